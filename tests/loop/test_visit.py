"""An admin's whole visit in Chromium, against a real Label Studio: log in, preview, save, and back again."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from ml_backend.loop.plan import changed_plan, plan_history
from ml_backend.server import accounts
from ml_backend.store.tables import Item
from tests.loop.conftest import Loop, until
from tests.loop.test_browser import FIRST_PAINT, FLAGS
from tests.loop.test_queue import QUIET

pytestmark = [pytest.mark.studio, pytest.mark.browser]
PASSWORD = "correct horse 7"


def log_in(page: Page, address: str) -> None:
    page.goto(f"{address}/login")
    page.fill("input[name=name]", "ada")
    page.fill("input[name=password]", PASSWORD)
    page.click("main button")
    page.wait_for_url(lambda url: "login" not in url)


def tasks_under(page: Page, heading: str) -> list[int]:
    """The tasks that a preview lists under a heading."""
    part = page.locator("#preview .two > div", has=page.get_by_role("heading", name=heading, exact=True))
    return [int(text.removeprefix("Task ")) for text in part.locator("li a").all_inner_texts()]


def is_labeled(loop: Loop, task: int) -> bool:
    """Whether the ledger knows."""
    with loop.house.ledger.session() as session:
        return session.get_one(Item, (loop.project, task)).status == "labeled"


def serves(loop: Loop) -> int:
    """The task that Label Studio gives next, which is then not locked by anyone."""
    task = loop.studio.next_task(loop.number)
    assert task is not None
    loop.annotate(int(task["id"]))
    return int(task["id"])


def test_an_admin_previews_saves_sees_the_queue_turn_and_goes_back(loop: Loop, chromium: str, tmp_path: Path) -> None:
    loop.create(160)
    loop.label_some(40)
    loop.start_backend()
    loop.start("worker")
    plain = changed_plan(QUIET, {"control": 0})
    first = loop.connect(plain)
    assert first.cycle is not None
    with loop.house.ledger.session() as session:
        accounts.add_user(session, "ada", PASSWORD, "admin", author="test")
    by_margin = loop.order()
    assert serves(loop) == by_margin[0]
    until(lambda: is_labeled(loop, by_margin[0]), what="the sync of the first label")

    address = loop.house.settings.backend_url
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(FIRST_PAINT)
        expect.set_options(timeout=FIRST_PAINT)
        log_in(page, address)
        page.goto(f"{address}/projects/{loop.project}/plan")
        page.get_by_label("Margin", exact=True).uncheck()
        page.get_by_label("Entropy", exact=True).check()
        page.get_by_role("button", name="Preview").click()
        done = page.locator("#preview[data-status=done]")
        expect(done).to_be_visible()
        expect(done).to_contain_text("tasks would change")
        page.screenshot(path=tmp_path / "preview.png", full_page=True)
        assert loop.order() == by_margin, "a preview changes nothing"
        come = tasks_under(page, "Would come")
        go = tasks_under(page, "Would go")

        page.get_by_label("Why this change").fill("try entropy")
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("in force; a ranking without a training is on its way")).to_be_visible()
        ranked = loop.published_since(first.cycle.number)
        assert (ranked.kind, ranked.evidence_cycle) == ("rank", first.cycle.number)
        by_entropy = loop.order()
        assert come == [task for task in by_entropy[:50] if task not in by_margin[1:51]], "what the preview said"
        assert go == [task for task in by_margin[1:51] if task not in by_entropy[:50]]
        assert come
        assert serves(loop) == by_entropy[0], "the change has reached Label Studio's own queue"

        last = by_entropy[-1]
        page.goto(f"{address}/projects/{loop.project}/queue?task={last}")
        picture = page.locator(f"#task-{last} .picture img")
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 8, "a scanned digit"
        page.screenshot(path=tmp_path / "queue.png", full_page=True)
        page.get_by_role("button", name=f"Pin task {last}", exact=True).first.click()
        expect(page.get_by_text(f"Task {last} is pinned to the front.")).to_be_visible()
        pinned = loop.published_since(ranked.number)
        assert loop.order()[0] == last
        assert serves(loop) == last

        page.goto(f"{address}/projects/{loop.project}/plan")
        with loop.house.ledger.session() as session:
            before = plan_history(session, loop.project)[1].number
        page.get_by_role("button", name=f"Restore plan {before}", exact=True).click()
        expect(page.get_by_text("a ranking without a training is on its way")).to_be_visible()
        restored = loop.published_since(pinned.number)
        assert restored.status == "published"
        left = [task for task in by_margin if task in set(loop.order())]
        assert loop.order() == left, "margin's order of what is left"
        assert serves(loop) == left[0]

        assert ranked.model_version is not None
        page.goto(f"{address}/projects/{loop.project}/models")
        page.get_by_role("button", name=f"Make current {ranked.model_version}", exact=True).click()
        until(lambda: loop.row().live_version == ranked.model_version, what="the roll back")
        assert loop.studio.project(loop.number)["model_version"] == ranked.model_version
        waiting = [task for task in by_entropy if task not in {by_entropy[0], last, left[0]}]
        assert serves(loop) == waiting[0]
        browser.close()
