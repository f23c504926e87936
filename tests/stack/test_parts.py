"""Redis and Label Studio, as the stack starts them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import redis as client

from stack import redis, studio
from stack.home import Home, StackError
from tests.conftest import RedisServer, StudioServer


def test_redis_wants_its_password(redis_server: RedisServer) -> None:
    assert redis.answers(redis_server.url)
    host = redis_server.url.rpartition("@")[2]
    assert not redis.answers(f"redis://{host}")
    with pytest.raises(client.AuthenticationError), client.Redis.from_url(f"redis://{host}") as stranger:
        stranger.ping()


def test_the_bundled_redis_is_used_where_there_is_none_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert os.access(redis.server_binary(), os.X_OK)


def test_a_redis_url_that_does_not_answer_is_named() -> None:
    with pytest.raises(StackError, match="REDIS_URL does not answer"):
        redis.check("redis://127.0.0.1:1/0")


def test_secrets_do_not_stand_in_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studio, "executable", lambda: Path("label-studio"))
    home = Home(tmp_path)
    for service in (studio.service(home, 8080), redis.service(home, 6379)[0]):
        words = " ".join(service.command)
        for secret in (home.state.password, home.state.token, home.state.redis_password):
            assert secret not in words


def test_label_studio_does_not_take_the_callers_variables(tmp_path: Path) -> None:
    caller = {"PORT": "1", "USERNAME": "me", "LABEL_STUDIO_PORT": "2", "DJANGO_DB": "x", "HTTPS_PROXY": "p"}
    given = studio.environment(Home(tmp_path), 8080, caller)
    assert given["HTTPS_PROXY"] == "p"
    assert not {"PORT", "USERNAME", "LABEL_STUDIO_PORT", "DJANGO_DB"} & given.keys()


def test_a_half_created_database_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studio, "executable", lambda: Path("label-studio"))
    home = Home(tmp_path)
    home.studio.mkdir()
    (home.studio / "label_studio.sqlite3").write_text("half")
    studio.service(home, 8080)
    assert list(home.studio.iterdir()) == []
    (home.studio / "label_studio.sqlite3").write_text("whole")
    home.state.studio_created = True
    studio.service(home, 8080)
    assert (home.studio / "label_studio.sqlite3").read_text() == "whole"


def test_a_missing_label_studio_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(studio, "ROOT", tmp_path)
    with pytest.raises(StackError, match="Label Studio is not installed"):
        studio.executable()


@pytest.mark.studio
def test_only_our_label_studio_counts_as_ours(studio_server: StudioServer) -> None:
    assert studio.answers(studio_server.url, studio_server.email, studio_server.token)
    assert not studio.answers(studio_server.url, studio_server.email, "f" * 40)
    assert not studio.answers(studio_server.url, "someone@example.com", studio_server.token)


def test_postgresql_is_there_or_is_named(postgres_url: str) -> None:
    import psycopg

    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.browser
def test_chromium_is_there_or_is_named(chromium: str) -> None:
    assert shutil.which(chromium)
