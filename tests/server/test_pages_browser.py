"""The pages in a real Chromium: login by link, wide and narrow, light and dark, by keyboard, live, and for everyone."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it has none
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from benchmarks.filled_ledger import fill
from ml_backend.loop.house import House
from ml_backend.server import accounts
from ml_backend.server.app import create_app
from ml_backend.server.pages import found
from ml_backend.settings import Settings
from ml_backend.store.people import SignIn
from ml_backend.store.runs import CycleRun
from ml_backend.store.tables import Change, Cycle, Project
from stack.ports import free_port
from tests.server.conftest import PASSWORD, People, RedisServer, add_project, make_people, own_redis, until

pytestmark = [pytest.mark.browser]

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
expect.set_options(timeout=20_000)  # a busy machine is no fault of a page

LOOKS = {"wide-light": (1280, 800, "light"), "narrow-dark": (390, 844, "dark")}
TABS = [f"/projects/{{p}}/{tab.path}" for tab in found()[1] if tab.path]
PATHS = ["/", "/people", "/projects/{p}", *TABS, "/projects/{p}/runs/4", "/projects/{empty}", "/nowhere"]
SERIOUS = ("serious", "critical")
PATIENCE = 30_000  # ms


@dataclass
class Site:
    """A server on this machine with a filled project, whose newest cycle runs, and an empty one."""

    url: str
    rooms: House
    people: People
    filled: int
    empty: int

    def at(self, path: str) -> str:
        return self.url + path.format(p=self.filled, empty=self.empty)


@pytest.fixture(scope="module")
def site(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    port = free_port()
    folder = tmp_path_factory.mktemp("site")
    rooms = House(Settings(_env_file=None, model_dir=folder, redis_url=own_redis(redis_server), port=port))
    filled, empty = fill(rooms, 300, cycles=13, running=True), add_project(rooms, key="99.1", title="Empty")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ml_backend.server.passwords.COST", 4)
        people = make_people(rooms)
    server = uvicorn.Server(uvicorn.Config(create_app(rooms), port=port, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, 60)
    yield Site(f"http://127.0.0.1:{port}", rooms, people, filled, empty)
    server.should_exit = server.force_exit = True
    thread.join(20)
    rooms.ledger.close()


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()


@dataclass
class Watched:
    """A page, the hosts that it asked, and what its console complained of."""

    page: Page
    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)


def watched(context: BrowserContext) -> Watched:
    seen = Watched(context.new_page())
    seen.page.set_default_timeout(PATIENCE)
    seen.page.on("request", lambda request: seen.hosts.add(urlsplit(request.url).netloc))
    seen.page.on("console", lambda line: seen.complaints.append(line.text) if line.type == "error" else None)
    seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    return seen


def logged_in(browser: Browser, site: Site, name: str, look: str = "wide-light") -> BrowserContext:
    width, height, scheme = LOOKS[look]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    with site.rooms.ledger.session() as session:
        user = next(user for user in accounts.people(session) if user.name == name)
        cookie = accounts.open_session(session, user)
    context.add_cookies([{"name": "nextlabel_session", "value": cookie, "url": site.url}])
    return context


@pytest.fixture(scope="module", params=list(LOOKS))
def look(request: pytest.FixtureRequest, browser: Browser, site: Site) -> Iterator[tuple[str, BrowserContext]]:
    context = logged_in(browser, site, "ada", request.param)
    yield request.param, context
    context.close()


def screenshots() -> Path | None:
    """Where to keep them; CI names a folder that it keeps."""
    folder = os.environ.get("NEXTLABEL_SCREENSHOTS")
    if not folder:
        return None
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    return path


def faults(page: Page) -> list[str]:
    """What axe finds serious: rule, what it says, and the elements."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes']][:5]}"
        for one in found
        if one["impact"] in SERIOUS
    ]


@pytest.mark.parametrize("path", PATHS)
def test_every_page_is_readable_and_asks_no_other_host(site: Site, look: tuple[str, BrowserContext], path: str) -> None:
    name, context = look
    seen = watched(context)
    page = seen.page
    page.goto(site.at(path), wait_until="load")
    expect(page.locator("h1").first).to_be_visible()
    if path == "/projects/{p}":
        expect(page.locator("#health table")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "the page scrolls sideways"
    if (folder := screenshots()) is not None:
        words = path.replace("{p}", "filled").replace("{empty}", "empty").strip("/").replace("/", "-") or "projects"
        page.screenshot(path=folder / f"{words}-{name}.png", full_page=True)
    assert faults(page) == []
    assert seen.hosts == {urlsplit(site.url).netloc}
    assert [line for line in seen.complaints if "404" not in line] == []
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_login_is_readable_too(site: Site, browser: Browser, scheme: str) -> None:
    context = browser.new_context(color_scheme="dark" if scheme == "dark" else "light")
    seen = watched(context)
    seen.page.goto(site.at("/people"))
    assert "/login?next=/people" in seen.page.url
    assert faults(seen.page) == []
    seen.page.fill("#name", "ada")
    seen.page.fill("#password", PASSWORD)
    seen.page.keyboard.press("Enter")
    seen.page.wait_for_url(site.at("/people"))
    assert seen.hosts == {urlsplit(site.url).netloc}
    context.close()


def test_someone_comes_in_by_a_link_and_goes_out(site: Site, browser: Browser) -> None:
    with site.rooms.ledger.session() as session:
        secret = accounts.make_link(session, "viewer", author="ada")
    context = browser.new_context()
    page = watched(context).page
    page.goto(f"{site.url}/link/{secret}")
    assert faults(page) == []
    page.get_by_label("Name").fill("cleo")
    page.get_by_label("Password").fill("a password of 10")
    page.get_by_label("The same again").fill("a password of 10")
    page.get_by_role("button", name="Make the account").click()
    expect(page.get_by_text("cleo (viewer)")).to_be_visible()
    cookie = next(one for one in context.cookies() if one["name"] == "nextlabel_session")
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["secure"]) == (True, "Lax", False)
    page.goto(site.at("/projects/{p}/runs"))
    expect(page.get_by_text("Stage: learn")).to_be_visible()
    assert page.get_by_role("button", name="Cancel").count() == 0
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_text("You are logged out.")).to_be_visible()
    context.close()


def focused(page: Page) -> str:
    return str(page.evaluate("(document.activeElement.textContent || document.activeElement.id).trim()"))


def test_everything_is_reached_by_keyboard(site: Site, browser: Browser) -> None:
    context = logged_in(browser, site, "ada")
    page = watched(context).page
    page.goto(site.at("/projects/{p}/models"))
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    expect(page.locator(".skip")).to_be_in_viewport()
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(focused(page))
        if reached[-1] == "Make current":
            break
    wanted = ["Projects", "People", "Log out", "Overview", "Runs", "Models", "Audit", "Keep", "Make current"]
    assert [word for word in reached if word in wanted] == wanted
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.goto(site.at("/projects/{p}/models"))
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    context.close()


def test_the_theme_is_chosen_and_stays(site: Site, browser: Browser) -> None:
    context = logged_in(browser, site, "ada")
    page = watched(context).page
    page.goto(site.at("/"))
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    button = page.get_by_role("button", name="Colours")
    button.click()
    button.click()
    expect(button).to_have_text("Colours: dark")
    page.reload()
    expect(button).to_have_text("Colours: dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    context.close()


def test_a_page_follows_the_ledger_without_a_reload(site: Site, browser: Browser) -> None:
    context = logged_in(browser, site, "bob")
    page = watched(context).page
    page.goto(site.at("/projects/{p}/runs"))
    page.evaluate("window.sameDocument = true")
    expect(page.get_by_text("Stage: learn")).to_be_visible()
    with site.rooms.ledger.session() as session:
        cycle = session.query(Cycle).filter_by(project_id=site.filled, status="running").one()
        cycle.phase = "rank"
        run = session.get_one(CycleRun, cycle.id)
        run.log = [*run.log, "12:34:56 media done=5000 total=9000"]
    expect(page.get_by_text("Stage: rank")).to_be_visible()
    expect(page.get_by_text("12:34:56 media done=5000 total=9000")).to_be_visible()
    assert page.evaluate("window.sameDocument")
    page.goto(site.at("/"))
    page.evaluate("window.sameDocument = true")
    with site.rooms.ledger.session() as session:
        session.get_one(Project, site.filled).fresh_labels = 41
    expect(page.get_by_text("41 since the last training")).to_be_visible()
    assert page.evaluate("window.sameDocument")
    context.close()


def test_what_someone_types_is_not_swept_away(site: Site, browser: Browser) -> None:
    context = logged_in(browser, site, "ada")
    page = watched(context).page
    page.goto(site.at("/projects/{p}/audit"))
    page.get_by_label("Who").focus()
    with site.rooms.ledger.session() as session:
        session.add(Change(project_id=site.filled, author="person 2", what="something new"))
    expect(page.get_by_text("something new")).to_be_visible()
    expect(page.get_by_label("Who")).to_be_focused()
    context.close()


def test_a_stream_that_was_refused_is_asked_for_again(site: Site, browser: Browser) -> None:
    context = logged_in(browser, site, "ada")
    page, asked = context.new_page(), list[str]()
    page.clock.install()
    page.route("**/events", lambda route: route.fulfill(status=503), times=1)
    with page.expect_response(lambda answer: answer.url.endswith("/events") and answer.status == 503):
        page.goto(site.at("/projects/{p}/audit"))
    page.on("request", lambda request: asked.append(request.url))

    def asked_again() -> bool:
        page.clock.fast_forward(5000)
        return any(url.endswith("/events") for url in asked)

    until(asked_again)
    context.close()


def test_the_stream_is_for_people_who_are_logged_in(site: Site) -> None:
    answer = httpx.get(site.at("/projects/{p}/events"), headers={"Accept": "text/event-stream"})
    assert answer.status_code == 401
    with site.rooms.ledger.session() as session:
        assert session.query(SignIn).count() > 0
