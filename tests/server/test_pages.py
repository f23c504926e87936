"""The pages on a filled ledger and on an empty one: who may see and do what, and what stands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from benchmarks.filled_ledger import fill
from ml_backend.loop import jobs
from ml_backend.loop.house import House
from ml_backend.server.app import create_app
from ml_backend.server.pages import found
from ml_backend.server.static_files import FOLDER, static_url
from ml_backend.settings import Settings
from ml_backend.store.ledger import note_problem
from ml_backend.store.tables import Change, Cycle, Problem, Project, now
from tests.server.conftest import People, RedisServer, add_project, make_people, own_redis

HTML = {"Accept": "text/html"}
PATHS = ["/", "/people", "/projects/{p}", *(f"/projects/{{p}}/{tab.path}" for tab in found()[1] if tab.path)]


@pytest.fixture
def filled(rooms: House) -> int:
    return fill(rooms, 300, cycles=12)


@pytest.fixture
def ada(client: TestClient, people: People) -> str:
    """An admin is logged in; the CSRF token."""
    return people.log_in(client, "ada")


@dataclass(frozen=True)
class Shared:
    """One application for the tests that only look; `filled` and `empty` are projects."""

    client: TestClient
    people: People
    filled: int
    empty: int


@pytest.fixture(scope="module")
def shared(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    folder = tmp_path_factory.mktemp("pages")
    rooms = House(Settings(_env_file=None, model_dir=folder, redis_url=own_redis(redis_server)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ml_backend.server.passwords.COST", 4)
        people = make_people(rooms)
    with TestClient(create_app(rooms)) as client:
        yield Shared(client, people, fill(rooms, 300, cycles=12), add_project(rooms))
    rooms.ledger.close()


@pytest.mark.parametrize("path", PATHS)
def test_every_page_shows_a_filled_project_and_an_empty_one(shared: Shared, path: str) -> None:
    shared.people.log_in(shared.client, "ada")
    for number in (shared.filled, shared.empty):
        answer = shared.client.get(path.format(p=number), headers=HTML)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-security-policy"].startswith("default-src 'self'")
        assert answer.headers["cache-control"] == "no-store"
        assert "<h1>" in answer.text


def test_every_page_on_postgresql(settings: Settings, postgres_url: str) -> None:
    rooms = House(settings.model_copy(update={"database_url": postgres_url}))
    people, number = make_people(rooms), fill(rooms, 300, cycles=12)
    with TestClient(create_app(rooms)) as client:
        csrf = people.log_in(client, "ada")
        for path in PATHS:
            assert client.get(path.format(p=number), headers=HTML).status_code == 200, path
        assert client.post("/people/links", data={"csrf": csrf, "role": "viewer"}).status_code == 200
        made = client.post("/people/tokens", data={"csrf": csrf, "name": "ci", "scope": "read"}).text
        assert "nextlabel_" in made
        client.cookies.clear()
        assert client.post("/login", data={"name": "ada", "password": "wrong"}).status_code == 401
    rooms.ledger.close()


@pytest.mark.parametrize("path", PATHS)
def test_a_viewer_sees_every_page_and_no_button_that_changes_a_project(shared: Shared, path: str) -> None:
    shared.people.log_in(shared.client, "bob")
    text = shared.client.get(path.format(p=shared.filled), headers=HTML).text
    forms = re.findall(r'<form[^>]*method="post".*?</form>', text, re.DOTALL)
    own = ('action="/logout"', 'action="/people/password"')
    assert not [form for form in forms if "<button" in form and not any(action in form for action in own)]


def routes_that_change() -> list[str]:
    routers, _ = found()
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    paths = [route.path for route in routes if "POST" in (route.methods or ())]
    return [path for path in paths if path != "/people/password"]


@pytest.mark.parametrize("path", routes_that_change())
def test_viewers_and_forged_forms_are_refused_everywhere(shared: Shared, path: str) -> None:
    client, people = shared.client, shared.people
    address = path.format(project_id=shared.filled, number=1, version="nextlabel-12-abcd", task_id=1001)
    csrf = people.log_in(client, "bob")
    refused = client.post(address, data={"csrf": csrf}, headers=HTML)
    assert (refused.status_code, "may look and change nothing" in refused.text) == (403, True)
    people.log_in(client, "ada")
    forged = client.post(address, data={"csrf": "forged"}, headers=HTML)
    assert (forged.status_code, "not of this session" in forged.text) == (403, True)
    client.cookies.clear()
    assert client.post(address, data={"csrf": csrf}, headers=HTML, follow_redirects=False).status_code == 303


@pytest.mark.parametrize("path", ["/nowhere", "/projects/77", "/projects/77/runs", "/projects/{p}/runs/99"])
def test_what_is_not_there_is_a_page_that_says_so(shared: Shared, path: str) -> None:
    shared.people.log_in(shared.client, "ada")
    answer = shared.client.get(path.format(p=shared.filled), headers=HTML)
    assert answer.status_code == 404
    assert "Not found" in answer.text
    program = shared.client.get(path.format(p=shared.filled), headers={"Accept": "application/json"})
    assert program.json()["detail"]


@pytest.mark.parametrize(
    "path", ["/projects/x", "/projects/0/runs", "/projects/{p}/runs/x", "/projects/{p}/audit?offset=-1"]
)
def test_what_makes_no_sense_is_refused_with_a_sentence(shared: Shared, path: str) -> None:
    shared.people.log_in(shared.client, "ada")
    answer = shared.client.get(path.format(p=shared.filled), headers=HTML)
    assert answer.status_code == 422
    assert "That did not work" in answer.text


def test_what_people_and_tasks_are_called_is_escaped(client: TestClient, rooms: House, ada: str) -> None:
    number = add_project(rooms, title="<script>alert(1)</script>")
    with rooms.ledger.session() as session:
        note_problem(session, number, "reconcile_stopped", "<img src=x onerror=alert(1)>")
        session.add(Change(project_id=number, author='"><b>', what="<i>"))
    for path in ("/", f"/projects/{number}", f"/projects/{number}/audit"):
        text = client.get(path, headers=HTML).text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "<i>" not in text


# projects


def button_of(text: str) -> list[str]:
    """Actions of the forms of a project's verdict."""
    return [part.split('"')[0] for part in text.split('action="')[1:] if not part.startswith("/logout")]


@pytest.mark.parametrize(
    ("kind", "sentence", "action"),
    [("reconcile_stopped", "Label Studio refused.", "look-again"), ("plugin_entropy", "entropy broke.", "")],
)
def test_a_problem_is_told_with_its_button(
    client: TestClient, rooms: House, ada: str, filled: int, kind: str, sentence: str, action: str, a_worker: None
) -> None:
    with rooms.ledger.session() as session:
        note_problem(session, filled, kind, sentence)
    text = client.get(f"/projects/{filled}", headers=HTML).text
    assert sentence in text
    assert button_of(text) == ([f"/projects/{filled}/{action}"] if action else [])


@pytest.fixture
def a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if one was registered; test_runs_browser has real ones."""
    from ml_backend.server import machines

    seen = machines.WorkerView("w", "trainer-1", 7, "idle", "", 12, 0, 340.0, now(), now())
    monkeypatch.setattr(machines, "look", lambda _: machines.Machines((seen,), 0))


def test_the_verdicts_in_the_order_of_repair(
    client: TestClient, rooms: House, ada: str, filled: int, a_worker: None
) -> None:
    def says() -> tuple[str, list[str]]:
        text = client.get(f"/projects/{filled}", headers=HTML).text
        return text.split('id="verdict">')[1].split("<")[0], [
            a.removeprefix(f"/projects/{filled}/") for a in button_of(text)
        ]

    assert says() == ("12 files cannot be read, so their tasks are not in the queue.", ["retry-media"])
    with rooms.ledger.session() as session:
        for problem in session.query(Problem):
            problem.solved_at = now()
    assert says() == ("All is well.", ["train"])
    jobs.request_cycle(rooms, filled, "rank", "plan 3 by ada")
    assert says() == ("A ranking is queued (plan 3 by ada).", [])
    jobs.withdraw(rooms, filled)
    with rooms.ledger.session() as session:
        last = session.query(Cycle).filter_by(number=12).one()
        last.status, last.phase, last.error = "failed", "publish", "Label Studio does not answer."
    assert says() == ("Cycle 12 stopped at &#39;publish&#39;: Label Studio does not answer.", ["runs/12/retry"])
    with rooms.ledger.session() as session:
        session.get_one(Project, filled).state = "gone"
    assert says()[1] == ["reconnect"]


def test_without_a_worker_or_redis_that_is_what_is_said(
    client: TestClient, rooms: House, ada: str, filled: int
) -> None:
    assert "No worker runs, so nothing trains" in client.get(f"/projects/{filled}", headers=HTML).text


def test_train_now_and_fetch_images_again(client: TestClient, rooms: House, ada: str, filled: int) -> None:
    said = client.post(f"/projects/{filled}/train", data={"csrf": ada}, headers=HTML)
    assert "A training is queued." in said.text
    assert jobs.wish(rooms, filled) == ("train", "asked by ada")
    assert "A training waits already." in client.post(f"/projects/{filled}/train", data={"csrf": ada}).text
    said = client.post(f"/projects/{filled}/retry-media", data={"csrf": ada}, headers=HTML)
    assert "12 files are fetched again. A worker looks again now." in said.text
    with rooms.ledger.session() as session:
        assert all(now() - row.last_seen > timedelta(minutes=10) for row in session.query(Problem))
        assert session.query(Change).filter_by(what="asked to fetch 12 files again").one().author == "ada"


def test_a_message_is_said_once(client: TestClient, ada: str, filled: int) -> None:
    client.post(f"/projects/{filled}/look-again", data={"csrf": ada}, follow_redirects=False)
    assert "A worker looks again now." in client.get(f"/projects/{filled}", headers=HTML).text
    assert "A worker looks again now." not in client.get(f"/projects/{filled}", headers=HTML).text


def test_reconnecting_without_label_studio_says_why_and_changes_nothing(
    client: TestClient, rooms: House, ada: str, filled: int
) -> None:
    with rooms.ledger.session() as session:
        session.get_one(Project, filled).state = "gone"
    said = client.post(f"/projects/{filled}/reconnect", data={"csrf": ada}, headers=HTML)
    assert "said bad" in said.text
    with rooms.ledger.session() as session:
        assert session.get_one(Project, filled).state == "gone"


def test_health_tells_doctors_checks_in_words(client: TestClient, ada: str, filled: int) -> None:
    text = client.get(f"/projects/{filled}/health").text
    assert "Label Studio" in text
    assert "does not answer" in text
    assert "nextlabel worker" in text


# audit, lists, files


def test_the_audit_can_be_read_for_one_person_and_page_by_page(client: TestClient, ada: str, filled: int) -> None:
    whole = client.get(f"/projects/{filled}/audit", headers=HTML).text
    assert "1 to 50 of 300" in whole
    one = client.get(f"/projects/{filled}/audit?author=person 1&offset=50", headers=HTML).text
    assert "51 to 75 of 75" in one
    assert '<td data-name="Who">person 2</td>' not in one


def test_many_projects_stand_on_pages(client: TestClient, rooms: House, ada: str) -> None:
    for number in range(1, 24):
        add_project(rooms, key=f"{number}.1", title=f"project {number}")
    assert "1 to 20 of 23" in client.get("/", headers=HTML).text
    assert "project 23" in client.get("/?offset=20", headers=HTML).text


@pytest.mark.parametrize("name", [*sorted(path.name for path in FOLDER.iterdir()), "plotly.min.js"])
def test_static_files_may_be_kept_for_good(client: TestClient, name: str) -> None:
    address = static_url(name)
    answer = client.get(address)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-encoding"] == "gzip"
    again = client.get(address, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(f"/static/{name}?v=old").headers["cache-control"] == "no-cache"


def test_no_other_file_is_served(client: TestClient) -> None:
    for name in ("..%2Fapp.py", "%2e%2e/app.py", "nothing.css", "../app.py"):
        assert client.get(f"/static/{name}").status_code == 404


def test_no_page_has_inline_code_or_other_hosts() -> None:
    templates = Path(FOLDER).parent / "templates"
    for path in templates.glob("*.html"):
        text = path.read_text()
        assert " onclick=" not in text, path
        assert "hx-on" not in text, path
        assert "style=" not in text, path
        assert "//cdn" not in text, path
        assert "https://" not in text, path


def test_a_form_that_is_none_is_refused(client: TestClient, ada: str, filled: int) -> None:
    address = f"/projects/{filled}/train"
    assert client.post(address, json={"csrf": ada}).status_code == 415
    assert client.post(address, data={"csrf": ada, "x": "y" * 300_000}).status_code == 413
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert client.post(address, content=b"csrf=%ff", headers=kind).status_code == 400
