"""Logging in with a real application: one-time links, sessions, CSRF, tokens, and doors that stay shut."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

from ml_backend.loop.house import House
from ml_backend.server import accounts
from ml_backend.server.access import COOKIE
from ml_backend.server.app import create_app
from ml_backend.settings import Settings
from ml_backend.store.people import OneTimeLink, SignIn, User
from ml_backend.store.tables import now
from tests.server.conftest import PASSWORD, People, token_in

HTML = {"Accept": "text/html"}


def test_without_a_session_every_page_leads_to_the_login_and_back(client: TestClient, project: int) -> None:
    for path in ("/", "/people", f"/projects/{project}", f"/projects/{project}?x=1"):
        answer = client.get(path, headers=HTML, follow_redirects=False)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?next=/")
    script = client.get("/", headers={"HX-Request": "true"}, follow_redirects=False)
    assert (script.status_code, script.headers["HX-Redirect"]) == (401, "/login")


def test_the_first_link_makes_an_admin_once(client: TestClient, rooms: House) -> None:
    with rooms.ledger.session() as session:
        older = accounts.make_link(session, "first", author="the server's start")
        secret = accounts.make_link(session, "first", author="the server's start")
    assert client.get(f"/link/{older}", headers=HTML).status_code == 404  # a restart prints a new one
    shown = client.get(f"/link/{secret}", headers=HTML)
    assert "You will be an admin" in shown.text
    assert shown.headers["referrer-policy"] == "same-origin"
    assert "default-src 'self'" in shown.headers["content-security-policy"]
    short = client.post(f"/link/{secret}", data={"name": "Ada", "password": "short", "again": "short"}, headers=HTML)
    assert short.status_code == 422
    assert "at least 10" in short.text
    differ = client.post(f"/link/{secret}", data={"name": "Ada", "password": PASSWORD, "again": "x"}, headers=HTML)
    assert "differ" in differ.text
    fields = {"name": "Ada", "password": PASSWORD, "again": PASSWORD}
    made = client.post(f"/link/{secret}", data=fields, follow_redirects=False)
    assert (made.status_code, made.headers["location"]) == (303, "/")
    cookie = made.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "secure" not in cookie  # plain http
    assert "ada" in client.get("/", headers=HTML).text
    assert client.post(f"/link/{secret}", data=fields, headers=HTML).status_code == 404
    with rooms.ledger.session() as session:
        assert [(user.name, user.role) for user in accounts.people(session)] == [("ada", "admin")]


def test_a_link_that_expired_opens_nothing(client: TestClient, rooms: House) -> None:
    with rooms.ledger.session() as session:
        secret = accounts.make_link(session, "admin", author="cli")
        session.get_one(OneTimeLink, accounts.digest(secret)).expires_at = now() - timedelta(seconds=1)
    assert client.get(f"/link/{secret}", headers=HTML).status_code == 404


def test_https_makes_the_cookie_secure(rooms: House, people: People) -> None:
    with TestClient(create_app(rooms), base_url="https://testserver") as client:
        fields = {"name": "ada", "password": PASSWORD}
        assert "secure" in client.post("/login", data=fields, follow_redirects=False).headers["set-cookie"].lower()
    outside = House(rooms.settings.model_copy(update={"public_url": "https://label.example"}))
    with TestClient(create_app(outside)) as client:
        assert "secure" in client.post("/login", data=fields, follow_redirects=False).headers["set-cookie"].lower()


def test_log_in_and_out(client: TestClient, people: People) -> None:
    wrong = client.post("/login", data={"name": "ada", "password": "something else"}, headers=HTML)
    nobody = client.post("/login", data={"name": "eve", "password": PASSWORD}, headers=HTML)
    assert wrong.status_code == nobody.status_code == 401
    assert "Name or password is wrong." in wrong.text
    assert "Name or password is wrong." in nobody.text
    there = client.post(
        "/login", data={"name": " ADA ", "password": PASSWORD, "next": "/people"}, follow_redirects=False
    )
    assert (there.status_code, there.headers["location"]) == (303, "/people")
    shown = client.get("/people", headers=HTML)
    assert client.post("/logout", data={"csrf": "wrong"}, headers=HTML).status_code == 403
    cookie = client.cookies[COOKIE]
    client.post("/logout", data={"csrf": token_in(shown.text)}, headers=HTML)
    assert COOKIE not in client.cookies
    client.cookies.set(COOKIE, cookie)  # a thief's copy is worth nothing after the logout
    assert client.get("/people", follow_redirects=False).status_code == 303


@pytest.mark.parametrize("after", ["//evil.example/", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_the_login_leads_nowhere_else(client: TestClient, people: People, after: str) -> None:
    fields = {"name": "ada", "password": PASSWORD, "next": after}
    assert client.post("/login", data=fields, follow_redirects=False).headers["location"] == "/"


def test_a_session_ends(client: TestClient, rooms: House, people: People) -> None:
    people.log_in(client, "ada")
    assert client.get("/people").status_code == 200
    with rooms.ledger.session() as session:
        for row in session.query(SignIn):
            row.expires_at = now() - timedelta(seconds=1)
    assert client.get("/people", follow_redirects=False).status_code == 303


def test_guessing_is_slowed_for_the_name_and_for_the_address(client: TestClient, rooms: House, people: People) -> None:
    with rooms.ledger.session() as session:
        for _ in range(accounts.TRIES["name"]):
            accounts.count_try(session, "192.0.2.1", "Ada")
    fields = {"name": "ada", "password": PASSWORD}
    late = client.post("/login", data=fields, headers=HTML)
    assert late.status_code == 429
    assert int(late.headers["retry-after"]) > 800
    assert client.post("/login", data={"name": "bob", "password": PASSWORD}, follow_redirects=False).status_code == 303
    with rooms.ledger.session() as session:
        for _ in range(accounts.TRIES["address"]):
            accounts.count_try(session, "testclient")
    client.cookies.clear()
    assert client.post("/login", data={"name": "bob", "password": PASSWORD}).status_code == 429
    assert client.get("/link/guess", headers=HTML).status_code == 429


def test_a_viewer_changes_nothing(client: TestClient, rooms: House, people: People, project: int) -> None:
    csrf = people.log_in(client, "bob")
    assert "Invite an admin" not in client.get("/people").text
    for path, fields in (("/people/links", {"role": "admin"}), ("/people/tokens", {"name": "x", "scope": "write"})):
        refused = client.post(path, data={"csrf": csrf, **fields}, headers=HTML)
        assert refused.status_code == 403
        assert "may look and change nothing" in refused.text
    refused = client.post(f"/api/projects/{project}/train", headers={"X-CSRF-Token": csrf})
    assert refused.status_code == 403
    assert client.get(f"/api/projects/{project}").status_code == 200


def test_every_form_needs_the_token_of_its_session(client: TestClient, people: People, project: int) -> None:
    csrf = people.log_in(client, "ada")
    assert client.post("/people/links", data={"role": "viewer"}, headers=HTML).status_code == 403
    assert client.post("/people/links", data={"role": "viewer", "csrf": "ü"}, headers=HTML).status_code == 403
    assert client.post(f"/api/projects/{project}/train").status_code == 403
    other = {"X-CSRF-Token": csrf, "Sec-Fetch-Site": "same-site"}  # another port of this host, say
    assert client.post(f"/api/projects/{project}/train", headers=other).status_code == 403
    elsewhere = {"X-CSRF-Token": csrf, "Origin": "https://evil.example"}
    assert client.post(f"/api/projects/{project}/train", headers=elsewhere).status_code == 403
    own = {"X-CSRF-Token": csrf, "Origin": "http://testserver"}
    assert client.post(f"/api/projects/{project}/train", headers=own).status_code == 202


def test_a_change_by_session_is_signed_by_the_person(client: TestClient, people: People, project: int) -> None:
    csrf = people.log_in(client, "ada")
    headers = {"X-CSRF-Token": csrf, "X-NextLabel-Author": "Someone Else"}
    body = {"changes": {"seed": 3}, "author": "Someone Else"}
    changed = client.patch(f"/api/projects/{project}/plan", json=body, headers=headers).json()
    assert changed["plan"]["author"] == "ada"


def test_tokens_open_the_rest_interface_within_their_scope(
    client: TestClient, rooms: House, people: People, project: int
) -> None:
    assert client.get("/api/projects").status_code == 401  # somebody has an account, so the house is no longer open
    with rooms.ledger.session() as session:
        reading = accounts.make_token(session, "dashboards", "read", author="ada")
        writing = accounts.make_token(session, "ci", "write", author="ada")
    read, write = {"Authorization": f"Bearer {reading}"}, {"Authorization": f"Bearer {writing}"}
    assert client.get("/api/projects", headers=read).status_code == 200
    assert client.post(f"/api/projects/{project}/train", headers=read).status_code == 403
    assert client.post(f"/api/projects/{project}/train", headers=write).status_code == 202
    assert client.get("/people", headers=write, follow_redirects=False).status_code == 303  # pages are for people
    body = {"changes": {"seed": 3}, "author": "Ada"}
    changed = client.patch(f"/api/projects/{project}/plan", json=body, headers=write).json()
    assert changed["plan"]["author"] == "Ada through token ci"
    with rooms.ledger.session() as session:
        token = next(token for token in accounts.tokens(session) if token.name == "ci")
        assert token.used_at is not None
        accounts.revoke_token(session, token.id, author="ada")
    assert client.get("/api/projects", headers=write).status_code == 401
    assert client.get("/api/projects", headers={"Authorization": "Bearer nextlabel_guess"}).status_code == 401


def test_a_server_that_others_reach_is_not_open(settings: Settings, project: int) -> None:
    outside = House(settings.model_copy(update={"host": "0.0.0.0"}))
    with TestClient(create_app(outside)) as client:
        assert client.get("/api/projects").status_code == 401
        assert client.post("/setup", json={}).status_code == 200  # Label Studio's own calls are as before


def test_an_open_house_is_closed_to_a_page_that_lets_its_own_name_point_here(client: TestClient, project: int) -> None:
    assert client.get("/api/projects").status_code == 200
    assert client.get("/api/projects", headers={"Host": "evil.example:9090"}).status_code == 401
    assert client.get("/api/projects", headers={"Host": "127.0.0.1:9090"}).status_code == 200


def test_an_admin_invites_and_a_forgotten_password_is_set_anew(
    client: TestClient, rooms: House, people: People
) -> None:
    csrf = people.log_in(client, "ada")
    shown = client.post("/people/links", data={"role": "viewer", "csrf": csrf})
    (address,) = re.findall(r"http://testserver(/link/[\w-]+)", shown.text)
    with rooms.ledger.session() as session:
        bob = session.query(User).filter_by(name="bob").one()
    again = client.post("/people/links", data={"user": bob.id, "csrf": csrf})
    (reset,) = re.findall(r"http://testserver(/link/[\w-]+)", again.text)
    with TestClient(client.app) as guest:
        fields = {"name": "Cleo", "password": PASSWORD, "again": PASSWORD}
        assert guest.post(address, data=fields, follow_redirects=False).status_code == 303
        assert "cleo" in guest.get("/people").text
        people.log_in(guest, "bob")
    with TestClient(client.app) as guest:
        assert "bob" in guest.get(reset, headers=HTML).text
        new = "an entirely new one"
        assert guest.post(reset, data={"password": new, "again": new}, follow_redirects=False).status_code == 303
        guest.cookies.clear()
        assert guest.post("/login", data={"name": "bob", "password": PASSWORD}).status_code == 401
    with rooms.ledger.session() as session:
        assert session.query(SignIn).filter_by(user_id=bob.id).count() == 1  # the one that the link opened


def test_the_last_admin_stays(client: TestClient, rooms: House, people: People) -> None:
    csrf = people.log_in(client, "ada")
    with rooms.ledger.session() as session:
        ada = session.query(User).filter_by(name="ada").one()
    for action, fields in (("remove", {}), ("role", {"role": "viewer"})):
        answer = client.post(f"/people/{ada.id}/{action}", data={"csrf": csrf, **fields}, headers=HTML)
        assert "is the only admin and must stay one" in answer.text


def test_one_changes_ones_own_password(client: TestClient, people: People) -> None:
    csrf = people.log_in(client, "bob")
    fields = {"csrf": csrf, "old": "not this one", "password": "something new 1"}
    assert "The old password is another one" in client.post("/people/password", data=fields, headers=HTML).text
    client.post("/people/password", data={**fields, "old": PASSWORD}, headers=HTML)
    assert client.get("/people", follow_redirects=False).status_code == 303
    assert client.post("/login", data={"name": "bob", "password": "something new 1"}).status_code == 200


@pytest.fixture
def locked(settings: Settings, people: People) -> Iterator[TestClient]:
    with TestClient(
        create_app(House(settings.model_copy(update={"basic_auth_user": "label", "basic_auth_pass": "studio"})))
    ) as client:
        yield client


def test_basic_still_opens_the_rest_interface_and_a_wrong_one_is_not_mended_by_a_cookie(
    locked: TestClient, people: People
) -> None:
    assert locked.get("/api/projects", auth=("label", "studio")).status_code == 200
    people.log_in(locked, "ada")
    assert locked.get("/api/projects").status_code == 200
    assert locked.get("/api/projects", auth=("label", "wrong")).status_code == 401
