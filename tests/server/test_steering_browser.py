"""Queue, Plan, Learning and Balance in a real Chromium: with boxes, by keyboard, live, and for screen
readers; nothing is fetched from another host."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it has none
from playwright.sync_api import Browser, Page, expect, sync_playwright
from rq import SimpleWorker

from benchmarks.filled_ledger import fill
from ml_backend.loop import preview_job
from ml_backend.loop.house import House
from ml_backend.loop.learning import evidence_key
from ml_backend.server.app import create_app
from ml_backend.store.steering import Override
from ml_backend.store.tables import Cycle, Item, Publication, PublishedItem
from stack.ports import free_port
from tests.loop.test_browser import FLAGS
from tests.server.conftest import PASSWORD, People, until
from tests.server.test_page_queue import DRAWING, image

pytestmark = pytest.mark.browser
PAGES = ("queue", "plan", "learning", "balance")
TASKS = 200


@pytest.fixture
def project(rooms: House) -> int:
    """With boxes over the first picture, so that the legend is there, and evidence to preview with."""
    number = fill(rooms, TASKS)
    with rooms.ledger.session() as session:
        live = session.query(Publication).filter_by(state="live").one()
        first = session.query(PublishedItem).filter_by(publication_id=live.id).order_by(PublishedItem.rank).first()
        assert first is not None
        first.detail = {"temporal_coherence": {**next(iter(first.detail.values())), "drawing": DRAWING}}
        item = session.get_one(Item, (number, first.task_id))
        item.width, item.height = 100, 90
        content = item.content or ""
        trained = (
            session.query(Cycle).filter(Cycle.evidence_cycle == Cycle.number).order_by(Cycle.number.desc()).first()
        )
        assert trained is not None
        ids: dict[str, list[int]] = {state: [] for state in ("unlabeled", "labeled")}
        for task, state in session.query(Item.task_id, Item.status).filter(Item.status.in_(ids)):
            ids[state].append(task)
    rng = np.random.default_rng(0)
    n, known = len(ids["unlabeled"]), len(ids["labeled"])
    rooms.arrays.write(
        evidence_key(number, trained.number),
        {
            "task_id": np.array(ids["unlabeled"]),
            "labeled_task_id": np.array(ids["labeled"]),
            "probabilities": rng.dirichlet(np.ones(10), n).astype(np.float32),
            "embeddings": rng.normal(size=(n, 4)).astype(np.float32),
            "labeled_embeddings": rng.normal(size=(known, 4)).astype(np.float32),
            "label_history": rng.integers(0, 10, (n, 5)).astype(np.uint8),
        },
    )
    kept = rooms.settings.model_dir.absolute() / "thumbnails" / content[:2]
    kept.mkdir(parents=True)
    image(kept / f"{content}-640.jpg", (100, 90))
    return number


@pytest.fixture
def address(rooms: House, people: People) -> Iterator[str]:
    """A running server on that ledger."""
    port = free_port()
    app = create_app(rooms)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    yield f"http://127.0.0.1:{port}"
    app.state.pulse.stopping.set()  # streams of events end first
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()


@contextmanager
def signed_in(browser: Browser, address: str, name: str = "ada", **options: Any) -> Iterator[tuple[Page, list[str]]]:
    """A window of someone who is logged in, and every address that it asks for."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(60_000)
    expect.set_options(timeout=30_000)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}/login")
    page.fill("input[name=name]", name)
    page.fill("input[name=password]", PASSWORD)
    page.click("main button")
    page.wait_for_url(lambda url: "login" not in url)
    try:
        yield page, asked
    finally:
        context.close()


def keep(page: Page, name: str) -> None:
    """A picture for whoever wants to look at it."""
    if folder := os.environ.get("NEXTLABEL_KEEP_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def faults(page: Page) -> list[str]:
    """What axe finds serious or worse."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['html'][:160]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark")])
def test_pages_are_readable_at_each_width_and_theme(
    browser: Browser, address: str, project: int, width: int, scheme: str
) -> None:
    options: dict[str, Any] = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    with signed_in(browser, address, **options) as (page, asked):
        for name in PAGES:
            page.goto(f"{address}/projects/{project}/{name}{'?old=0' if name == 'plan' else ''}")
            page.wait_for_load_state("load")
            if name in ("learning", "balance"):
                page.wait_for_selector(".plot .main-svg")
            keep(page, f"{name}-{width}-{scheme}")
            assert faults(page) == []
            sideways = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert sideways <= 0, f"{name} scrolls sideways by {sideways} px"
        assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


def test_the_queue_by_keyboard_and_without_a_reload(browser: Browser, address: str, rooms: House, project: int) -> None:
    with signed_in(browser, address) as (page, _):
        page.goto(f"{address}/projects/{project}/queue")
        card = page.locator("article.task").first
        task = int((card.get_attribute("id") or "").removeprefix("task-"))
        assert card.locator("rect.box").count() == 3
        lines = {
            kind: page.eval_on_selector(f"article rect.{kind}", "e => getComputedStyle(e).strokeDasharray")
            for kind in ("shown", "wrong", "miss")
        }
        assert len(set(lines.values())) == 3, "told apart without colours"
        page.evaluate("window.untouched = true")
        pin = page.get_by_role("button", name=f"Pin task {task}", exact=True)
        pin.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_text(f"Task {task} is pinned to the front.")).to_be_visible()
        expect(page.locator(f"#task-{task}")).to_contain_text("pinned to the front by ada")
        page.get_by_role("button", name=f"Undo task {task}", exact=True).click()
        expect(page.get_by_text(f"Task {task} has its own place again.")).to_be_visible()
        assert page.evaluate("window.untouched") is True
        with rooms.ledger.session() as session:
            assert session.query(Override).count() == 0
        page.get_by_label("Why is this task there?").fill(str(task))
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name=f"Task {task}, as asked")).to_be_visible()


def test_the_plan_hides_what_is_not_chosen_and_shows_a_preview(
    browser: Browser, address: str, rooms: House, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview_job, "house", lambda: rooms)
    with signed_in(browser, address) as (page, _):
        page.goto(f"{address}/projects/{project}/plan")
        shares = page.get_by_role("group", name="Share of each class").first
        expect(shares).to_be_hidden()
        page.get_by_label("Selector", exact=True).select_option("class_balanced")
        if not page.locator("[id='selector.class_balanced.target']").is_visible():
            page.get_by_text("Settings of Class balance", exact=True).click()
        page.locator("[id='selector.class_balanced.target']").select_option("own")
        expect(shares).to_be_visible()
        slider = page.locator("[id='selector.class_balanced.share.0']")
        slider.focus()
        page.keyboard.press("Home")
        assert page.locator("output[for='selector.class_balanced.share.0']").inner_text() == "0"
        page.get_by_role("button", name="Preview").click()
        expect(page.locator("#preview[data-status=waiting]")).to_be_visible()
        SimpleWorker([rooms.queue], connection=rooms.redis).work(burst=True, logging_level="WARNING")
        expect(page.locator("#preview[data-status=done]")).to_contain_text("of the next 50 tasks would change")
        keep(page, "plan-preview")
        assert faults(page) == []
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("in force; ")).to_be_visible()
        expect(page.get_by_text("selector: top -> class_balanced")).to_be_visible()


def test_a_viewer_sees_the_pages_and_can_press_nothing_that_changes(
    browser: Browser, address: str, project: int
) -> None:
    with signed_in(browser, address, "bob") as (page, _):
        for name in PAGES:
            page.goto(f"{address}/projects/{project}/{name}")
            names = page.locator("main button").all_inner_texts()
            assert set(names) <= {"Find"}, name
