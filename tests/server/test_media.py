"""Signed links to stored frames: what opens them, what does not, and what a browser gets."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from ml_backend.loop.house import House
from ml_backend.loop.import_links import KEY, LinkError, SignedLinks, is_name, stored_name

NAME = "0123456789abcdef/000051.jpg"
BYTES = bytes(range(256)) * 4


@pytest.fixture
def links(rooms: House) -> SignedLinks:
    """The store of the house, with one frame in it."""
    links = SignedLinks(rooms.settings.model_dir.absolute())
    file = links.store / NAME
    file.parent.mkdir(parents=True)
    file.write_bytes(BYTES)
    return links


def test_a_link_shows_the_frame_and_nothing_may_be_guessed_of_it(client: TestClient, links: SignedLinks) -> None:
    answer = client.get(links.link(NAME))
    assert (answer.status_code, answer.content) == (200, BYTES)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"].startswith("private, max-age=")
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["access-control-allow-origin"] == "*"  # the labeling editor loads images by script
    assert "access-control-allow-credentials" not in answer.headers
    head = client.head(links.link(NAME))
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(BYTES)))


def test_players_ask_for_parts(client: TestClient, links: SignedLinks) -> None:
    name = "0123456789abcdef/video.mp4"
    (links.store / name).write_bytes(BYTES)
    part = client.get(links.link(name), headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, BYTES[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(BYTES)}"
    assert part.headers["content-type"] == "video/mp4"
    assert client.get(links.link(name), headers={"Range": "bytes=-4"}).content == BYTES[-4:]
    assert client.get(links.link(name), headers={"Range": f"bytes={len(BYTES)}-"}).status_code == 416
    changed = client.get(links.link(name), headers={"Range": "bytes=0-3", "If-Range": '"another"'})
    assert (changed.status_code, changed.content) == (200, BYTES)


def test_the_signature_is_hmac_of_name_and_end(links: SignedLinks) -> None:
    """RFC 2104 written out: H((K ^ opad) | H((K ^ ipad) | m)), with a block of 64 bytes."""
    link = links.link(NAME, 1234567890)
    key = (links.folder / KEY).read_bytes().ljust(64, b"\0")
    message = f"nextlabel media link 1\n{NAME}\n1234567890".encode()
    inner = hashlib.sha256(bytes(k ^ 0x36 for k in key) + message).digest()
    digest = hashlib.sha256(bytes(k ^ 0x5C for k in key) + inner).digest()
    assert digest == hmac.new(key, message, hashlib.sha256).digest()
    signature = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert link == f"/media/{NAME}?until=1234567890&s={signature}"


@examples(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_other_link_opens_anything(links: SignedLinks, data: st.DataObject) -> None:
    """One character of a true link changed, added or left out."""
    link = links.link(NAME, data.draw(st.none() | st.just(2**33)))
    at = data.draw(st.integers(len("/media/"), len(link)))
    letters = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=&?/.%", max_size=1)
    spoiled = link[:at] + data.draw(letters) + link[at + data.draw(st.integers(0, 1)) :]
    name, _, query = spoiled.removeprefix("/media/").partition("?")
    true_query = link.partition("?")[2]
    assume(name != NAME or parse_qs(query) != parse_qs(true_query))  # '&&' says the same as '&'
    assert links.file(name, query) is None


@pytest.mark.parametrize(
    "query", ["", "s=", "s=abc", "s=" + "A" * 43, "until=9999999999", "s=%00", "s=" + "é" * 43, "s[]=a", "s=a&s=b"]
)
def test_what_is_not_signed_is_refused_in_a_sentence(client: TestClient, links: SignedLinks, query: str) -> None:
    links.link(NAME)
    answer = client.get(f"/media/{NAME}?{query}")
    assert answer.status_code == 403
    assert answer.json()["detail"].endswith("fresh links.")
    assert answer.headers["cache-control"] == "no-store"


def test_a_link_opens_its_own_file_alone(client: TestClient, links: SignedLinks) -> None:
    other = "0123456789abcdef/000052.jpg"
    (links.store / other).write_bytes(b"another")
    query = links.link(NAME).partition("?")[2]
    assert client.get(f"/media/{other}?{query}").status_code == 403
    assert client.get(f"/media/{NAME}?until=9999999999&{query}").status_code == 403
    assert client.get(f"/media/{NAME}?{query}&{query}").status_code == 403
    until = links.link(NAME, 2**33).partition("until=")[2]
    assert client.get(f"/media/{NAME}?until={until}").status_code == 200
    assert client.get(f"/media/{NAME}?until=0{until}").status_code == 403


@pytest.mark.parametrize(
    "name",
    [
        "../media.key",
        "0123456789abcdef/../../media.key",
        "0123456789abcdef/%2e%2e/%2e%2e/media.key",
        "0123456789abcdef/index.json",
        "0123456789abcdef/000001.jpg/..",
        "0123456789abcdef//000001.jpg",
        "0123456789ABCDEF/000001.jpg",
        "0123456789abcdef/000001.svg",
        "0123456789abcdef/000001.jpg\n",
        ".project-1.lock",
        "/etc/passwd",
        "",
    ],
)
def test_only_names_of_the_store_can_be_signed_for(client: TestClient, links: SignedLinks, name: str) -> None:
    """Even a true signature opens nothing else."""
    assert not is_name(name)
    query = links.link(name).partition("?")[2]
    assert links.file(name, query) is None
    assert client.get(f"/media/{name.replace('%', '%25')}?{query}".replace("\n", "%0A")).status_code in (403, 404)


def test_a_new_key_revokes_every_link_at_once(client: TestClient, links: SignedLinks) -> None:
    old = links.link(NAME)
    assert client.get(old).status_code == 200
    (links.folder / KEY).unlink()
    assert client.get(old).status_code == 403  # no key, no link
    fresh = links.link(NAME)
    assert fresh != old
    assert [client.get(link).status_code for link in (old, fresh)] == [403, 200]


def test_a_link_can_end(links: SignedLinks) -> None:
    query = links.link(NAME, 1_000).partition("?")[2]
    assert links.file(NAME, query, now=999.9) == links.store / NAME
    assert links.file(NAME, query, now=1_000.0) is None
    assert links.file(NAME, query.replace("1000", "1001"), now=1_000.0) is None


def test_what_is_gone_or_leads_elsewhere_is_missing(client: TestClient, links: SignedLinks, tmp_path: Path) -> None:
    (links.store / NAME).unlink()
    answer = client.get(links.link(NAME))
    assert (answer.status_code, answer.json()["detail"].split(";")[0]) == (
        404,
        "The file of this link is not stored (any more)",
    )
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(b"secret")
    (links.store / NAME).symlink_to(secret)
    assert client.get(links.link(NAME)).status_code == 404
    assert links.file_of(f"http://host{links.link(NAME)}") is None


def test_a_damaged_key_is_said(client: TestClient, links: SignedLinks) -> None:
    link = links.link(NAME)
    (links.folder / KEY).write_bytes(b"short")
    assert client.get(link).status_code == 503
    with pytest.raises(LinkError, match=r"has 5 bytes, not 32; delete it"):
        links.link(NAME)


def test_the_key_is_private_and_made_once(links: SignedLinks) -> None:
    first = links.link(NAME)
    assert (links.folder / KEY).stat().st_mode & 0o777 == 0o600
    assert SignedLinks(links.folder).link(NAME) == first
    assert not list(links.folder.glob(".media-key-*"))


def test_two_processes_agree_on_one_key(links: SignedLinks) -> None:
    """Both see no key, and both make one: the slower takes the faster one's."""
    reading, writing = os.pipe()
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            os.write(writing, links.link(NAME).encode() + b"\n")
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        assert len(set(file.read().split())) == 1


def test_links_are_known_whatever_their_host() -> None:
    assert stored_name(f"https://label.example.com/next/media/{NAME}?s=x") == NAME
    for other in ("/data/local-files/?d=a/b.jpg", f"/media/{NAME}/more", "/media/a/b.jpg", "http://[", None, 7):
        assert stored_name(other) is None


@pytest.mark.filterwarnings("error")
def test_the_schema_describes_links(client: TestClient) -> None:
    schema = client.app.openapi()["paths"]["/media/{name}"]  # type: ignore[attr-defined]  # it is a FastAPI
    assert set(schema) == {"get"}
    assert [(each["name"], each["in"]) for each in schema["get"]["parameters"]] == [
        ("name", "path"),
        ("s", "query"),
        ("until", "query"),
    ]
