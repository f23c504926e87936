"""Accounts without HTTP: passwords at their real cost, names, tries, links, and what the command line does."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session
from typer.testing import CliRunner

import cli
from ml_backend.loop.house import House
from ml_backend.server import accounts, passwords
from ml_backend.server.accounts import AccountError, TooManyTriesError
from ml_backend.server.first_start import first_link
from ml_backend.server.passwords import PasswordError, check_password, hash_password, matches
from ml_backend.settings import Settings
from ml_backend.store.people import AccessToken, Attempt, OneTimeLink, PeopleChange, SignIn
from ml_backend.store.tables import now
from tests.server.conftest import PASSWORD


def test_a_hash_is_scrypt_at_a_cost_that_hurts_guessing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "COST", 15)
    stored = hash_password("pässword 1234")
    kind, cost, block, lanes, _, _ = stored.split("$")
    assert (kind, cost, block, lanes) == ("scrypt", "15", "8", "1")
    assert matches("pässword 1234", stored)
    assert not matches("password 1234", stored)
    assert hash_password("pässword 1234") != stored  # each has its own salt


def test_a_hash_of_a_cheaper_time_is_still_checked_at_its_own_cost() -> None:
    salt = b"0123456789abcdef"
    digest = hashlib.scrypt(b"an old one", salt=salt, n=2, r=1, p=1, dklen=32)
    stored = f"scrypt$1$1$1${passwords._text(salt)}${passwords._text(digest)}"
    assert matches("an old one", stored)
    assert not matches("an old two", stored)


@pytest.mark.parametrize("stored", ["", "plain", "bcrypt$x", "scrypt"])
def test_a_hash_of_another_kind_matches_nothing(stored: str) -> None:
    assert not matches("", stored if stored != "scrypt" else "scrypt-like$")


@given(st.text(max_size=30))
def test_any_text_is_hashed_and_found_again(password: str) -> None:
    assert matches(password, hash_password(password))


@pytest.mark.parametrize(
    ("password", "words"), [("123456789", "9 characters"), ("x" * 201, "at most 200"), ("ada-ada-ada", "little more")]
)
def test_a_password_that_is_refused_says_why(password: str, words: str) -> None:
    with pytest.raises(PasswordError, match=words):
        check_password(password, "ada-ada")


@pytest.mark.parametrize("name", ["", " ", "a b", "a" * 65, "<b>", "a/b", "a\nb"])
def test_a_name_that_is_refused_says_why(name: str) -> None:
    with pytest.raises(AccountError, match="cannot be taken; use"):
        accounts.clean_name(name)


def test_names_are_taken_whatever_their_case(rooms: House) -> None:
    with rooms.ledger.session() as session:
        accounts.add_user(session, "Zoë", PASSWORD, "viewer", author="test")
        with pytest.raises(AccountError, match="is taken"):
            accounts.add_user(session, "ZOE\u0308", PASSWORD, "viewer", author="test")
        with pytest.raises(AccountError, match="role 'root' is unknown"):
            accounts.add_user(session, "x", PASSWORD, "root", author="test")


def test_nothing_that_opens_a_door_stands_in_the_ledger(rooms: House) -> None:
    with rooms.ledger.session() as session:
        user = accounts.add_user(session, "ada", PASSWORD, "admin", author="test")
        secrets = [
            PASSWORD,
            accounts.open_session(session, user),
            accounts.make_token(session, "ci", "read", author="ada"),
            accounts.make_link(session, "viewer", author="ada"),
        ]
        session.flush()
        rows = [*session.query(SignIn), *session.query(AccessToken), *session.query(OneTimeLink), user]
        kept = [str(value) for row in [*rows, *session.query(PeopleChange)] for value in vars(row).values()]
    assert not [secret for secret in secrets for value in kept if secret in value]


def test_tries_count_before_they_are_made_and_are_forgotten_in_time(rooms: House) -> None:
    def fail(session: Session, count: int) -> None:
        for _ in range(count):
            accounts.count_try(session, "192.0.2.7", "Eve")

    with rooms.ledger.session() as session:
        fail(session, accounts.TRIES["name"])
        with pytest.raises(TooManyTriesError) as refused:
            accounts.count_try(session, "192.0.2.8", "eve ")
        assert 0 < refused.value.seconds <= accounts.TRIES_MINUTES * 60
        for row in session.query(Attempt):
            row.at = now() - timedelta(minutes=accounts.TRIES_MINUTES, seconds=1)
        made = accounts.count_try(session, "192.0.2.8", "eve")
        accounts.forget_tries(session, made, "eve")
        assert session.query(Attempt).count() == 0


def test_a_success_clears_the_name_but_not_the_address(rooms: House) -> None:
    """Else whoever has one account could guess at the others without end."""
    with rooms.ledger.session() as session:
        for name in ("ada", "bob"):
            accounts.count_try(session, "192.0.2.7", name)
        made = accounts.count_try(session, "192.0.2.7", "ada")
        accounts.forget_tries(session, made, "ada")
        assert sorted(row.key for row in session.query(Attempt)) == ["address:192.0.2.7"] * 2 + ["name:bob"]


def test_a_link_is_used_once_even_by_two_at_a_time(rooms: House) -> None:
    with rooms.ledger.session() as session:
        secret = accounts.make_link(session, "viewer", author="ada")
    with rooms.ledger.session() as session:
        assert accounts.use_link(session, secret, "cleo", PASSWORD).role == "viewer"
        with pytest.raises(AccountError, match="was used or has expired"):
            accounts.use_link(session, secret, "dora", PASSWORD)


def test_a_first_link_is_void_once_someone_is_there(rooms: House) -> None:
    with rooms.ledger.session() as session:
        secret = accounts.make_link(session, "first", author="the first start")
        accounts.add_user(session, "ada", PASSWORD, "admin", author="cli")
        assert accounts.find_link(session, secret) is None


def test_the_first_start_makes_a_link_until_someone_is_there(settings: Settings, rooms: House) -> None:
    address = first_link(settings)
    assert address is not None
    assert address.startswith("http://127.0.0.1:9090/link/")
    with rooms.ledger.session() as session:
        accounts.use_link(session, address.rpartition("/")[2], "ada", PASSWORD)
    assert first_link(settings) is None


def test_the_command_line_makes_links_and_tokens(monkeypatch: pytest.MonkeyPatch, rooms: House) -> None:
    monkeypatch.setattr("ml_backend.loop.house.house", lambda: rooms)
    run = CliRunner().invoke
    link = run(cli.app, ["admin-link"]).output.strip()
    with rooms.ledger.session() as session:
        accounts.use_link(session, link.rpartition("/")[2], "ada", PASSWORD)
    second = run(cli.app, ["admin-link"]).output.strip()
    with rooms.ledger.session() as session:
        assert accounts.use_link(session, second.rpartition("/")[2], "bea", PASSWORD).role == "admin"
    secret = run(cli.app, ["token", "create", "ci", "--scope", "write"]).output.strip()
    with rooms.ledger.session() as session:
        found = accounts.find_token(session, secret)
        assert found is not None
        number = found.id
    listed = run(cli.app, ["token", "list"]).output
    assert "ci" in listed
    assert secret not in listed
    assert "is revoked" in run(cli.app, ["token", "revoke", str(number)]).output
    with rooms.ledger.session() as session:
        assert accounts.find_token(session, secret) is None
    assert isinstance(run(cli.app, ["token", "create", "x", "--scope", "all"]).exception, AccountError)
