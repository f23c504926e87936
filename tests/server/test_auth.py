"""Basic authentication: what it guards, and that nothing malformed gets further than 401."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.loop.house import House
from ml_backend.server.app import create_app
from ml_backend.server.auth import AuthError, Guard, secret_matches
from ml_backend.settings import Settings
from tests.server.conftest import payload

GUARDED = (
    ("POST", "/setup"),
    ("POST", "/predict"),
    ("GET", "/versions"),
    ("GET", "/metrics"),
    ("POST", "/train"),
    ("GET", "/api/projects"),
    ("GET", "/api/plugins"),
    ("GET", "/openapi"),
)


def header(user: str, password: str, encoding: str = "utf-8") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode(encoding)).decode()


@pytest.fixture
def guarded(settings: Settings) -> Iterator[TestClient]:
    locked = settings.model_copy(update={"basic_auth_user": "label", "basic_auth_pass": "päss:word"})
    with TestClient(create_app(House(locked))) as client:
        yield client


@pytest.mark.parametrize(("method", "path"), GUARDED)
@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic bm9jb2xvbg==",
        "Bearer abc.def.ghi",
        "Token 0123",
        "Basic " + "A" * 10_000,
        header("label", "wrong"),
        header("", ""),
    ],
)
def test_every_door_but_health_is_shut(guarded: TestClient, method: str, path: str, value: str | None) -> None:
    answer = guarded.request(method, path, headers={} if value is None else {"Authorization": value}, json={})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic")
    assert "BASIC_AUTH_USER" in answer.json()["detail"]


@pytest.mark.parametrize(("method", "path"), GUARDED)
@pytest.mark.parametrize("value", [header("label", "päss:word"), header("label", "päss:word", "latin-1")])
def test_the_right_credentials_open(guarded: TestClient, method: str, path: str, value: str) -> None:
    answer = guarded.request(method, path, headers={"Authorization": value}, json={})
    assert answer.status_code in {200, 400, 410}


def test_health_is_open(guarded: TestClient) -> None:
    assert guarded.get("/health").status_code == 200
    assert guarded.get("/health", headers={"Authorization": "Bearer x"}).status_code == 200


def test_the_scheme_has_no_case(guarded: TestClient) -> None:
    value = header("label", "päss:word").replace("Basic", "basic")
    assert guarded.post("/setup", json=payload("setup"), headers={"Authorization": value}).status_code == 200


@pytest.mark.parametrize("half", [{"basic_auth_user": "label"}, {"basic_auth_pass": "studio"}])
def test_half_an_authentication_does_not_start(settings: Settings, half: dict[str, str]) -> None:
    with pytest.raises(AuthError, match="set both, or neither"):
        create_app(House(settings.model_copy(update=half)))


@given(st.text())
def test_no_header_breaks_the_guard(value: str) -> None:
    guard = Guard(Settings(_env_file=None, basic_auth_user="label", basic_auth_pass="studio"))
    assert not guard.admits(value)
    assert not guard.admits(f"Basic {value}")


def test_an_empty_secret_matches_nothing() -> None:
    assert not secret_matches("", "")
    assert not secret_matches(None, "")
    assert not secret_matches("ü", "u")
    assert secret_matches("ü", "ü")
