"""The annotator's view: "Label All Tasks" in a real Chromium serves the published order, submit after submit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Response, sync_playwright

from ml_backend.loop.plan import ColdStart, Plan, Policy
from tests.loop.conftest import Loop

pytestmark = [pytest.mark.studio, pytest.mark.browser]

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
FIRST_PAINT = 60_000  # ms


def sign_in(page: Page, server: Any) -> None:
    page.goto(f"{server.url}/user/login/")
    page.fill("input[name=email]", server.email)
    page.fill("input[name=password]", server.password)
    page.click("button[type=submit]")
    page.wait_for_url(lambda url: "login" not in url)


def test_label_all_tasks_serves_the_published_order(
    loop: Loop, studio_server: Any, chromium: str, tmp_path: Path
) -> None:
    loop.create(60)
    loop.label_some(40)
    loop.start_backend()
    plan = Plan(policy=Policy(new_labels=1000, minutes=10_000), cold_start=ColdStart(labels_per_class=1, at_most=1))
    loop.connect(plan)
    served: list[int] = []

    def note(response: Response) -> None:
        if "id=next_task" in response.url and response.ok:
            served.append(int(response.json()["id"]))

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.on("response", note)
        sign_in(page, studio_server)
        page.goto(f"{studio_server.url}/projects/{loop.number}/data")
        page.get_by_text("Label All Tasks").click(timeout=FIRST_PAINT)
        for turn in range(3):
            submit = page.get_by_test_id("bottombar-submit-button")
            submit.wait_for(timeout=FIRST_PAINT)
            page.locator("input[type=checkbox]:checked, input[type=radio]:checked").first.wait_for(
                state="attached", timeout=FIRST_PAINT
            )  # the prediction is filled in, so the task has arrived
            page.screenshot(path=tmp_path / f"turn-{turn}.png")
            with page.expect_response(lambda response: "id=next_task" in response.url, timeout=FIRST_PAINT):
                submit.click()
        browser.close()
    assert served[:4] == loop.order()[:4]
    if os.environ.get("NEXTLABEL_KEEP_SCREENSHOTS"):
        print(f"screenshots: {tmp_path}")
