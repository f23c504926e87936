"""Our own links as the worker fetches them: from the disk where they are here, else from the backend alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ml_backend.loop.house import House
from ml_backend.loop.import_links import SignedLinks
from ml_backend.settings import Settings
from ml_backend.studio.client import Studio
from ml_backend.studio.media import MediaCache
from tests.studio.test_media import TOKEN, Host, hosting, png

NAME = "0123456789abcdef/000051.png"


@pytest.fixture
def studio_host() -> Iterator[Host]:
    with hosting() as host:
        yield host


@pytest.fixture
def backend() -> Iterator[Host]:
    """What answers where the backend should."""
    with hosting() as host:
        host.pages[f"/media/{NAME}"] = (200, {}, png(1))
        host.pages["/api/projects"] = (200, {}, png(2))
        yield host


@pytest.fixture
def links(tmp_path: Path) -> SignedLinks:
    return SignedLinks(tmp_path / "model")


@pytest.fixture
def media(tmp_path: Path, studio_host: Host, backend: Host) -> Iterator[MediaCache]:
    house = House(Settings(_env_file=None, model_dir=tmp_path / "model", public_url=backend.url))
    studio = Studio(studio_host.url, TOKEN)
    yield house.media(studio)
    studio.close()


def content(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_frame_that_is_here_is_read_from_the_disk(media: MediaCache, links: SignedLinks, backend: Host) -> None:
    file = links.store / NAME
    file.parent.mkdir(parents=True)
    file.write_bytes(png(3))
    for address in (backend.url, "https://label.example.com/next", media.studio.url):  # as browsers may reach it
        fetched = media.fetch([(1, address + links.link(NAME))])
        assert (fetched.contents, fetched.problems) == ({1: content(png(3))}, {})
    assert backend.asked == []
    media.byte_limit = 10
    assert media.fetch([(1, backend.url + links.link(NAME))]).problems[1][0] == "image_too_large"


def test_a_worker_without_the_frames_asks_the_backend_at_its_private_address(
    media: MediaCache, backend: Host, studio_host: Host
) -> None:
    fetched = media.fetch([(1, f"{backend.url}/media/{NAME}?s=signature")])
    assert (fetched.contents, fetched.problems) == ({1: content(png(1))}, {})
    assert backend.asked == [(f"/media/{NAME}?s=signature", None)]  # without a token
    assert studio_host.asked == []


@pytest.mark.parametrize(
    "path", ["/api/projects", "/media/../api/projects", f"/media/{NAME}/../../../api/projects", "/media/a.png", "/"]
)
def test_nothing_else_of_the_backend_can_be_asked(media: MediaCache, backend: Host, path: str) -> None:
    fetched = media.fetch([(1, backend.url + path)])
    assert fetched.problems[1][0] == "image_refused"
    assert backend.asked == []


def test_another_port_of_the_same_machine_is_no_backend(media: MediaCache, links: SignedLinks) -> None:
    with hosting() as other:
        other.pages[f"/media/{NAME}"] = (200, {}, png())
        fetched = media.fetch([(1, other.url + links.link(NAME))])  # signed, and yet not here
        assert fetched.problems[1][0] == "image_refused"
        assert other.asked == []


def test_the_backend_sends_nobody_on(media: MediaCache, backend: Host) -> None:
    with hosting() as other:
        other.pages["/a.png"] = (200, {}, png())
        backend.pages[f"/media/{NAME}"] = (302, {"Location": f"http://localhost:{urlsplit(other.url).port}/a.png"}, b"")
        assert media.fetch([(1, f"{backend.url}/media/{NAME}?s=x")]).problems[1][0] == "image_refused"
        assert other.asked == []


def test_a_damaged_key_is_one_failed_item(media: MediaCache, links: SignedLinks, backend: Host) -> None:
    url = backend.url + links.link(NAME)
    (links.folder / "media.key").write_bytes(b"short")
    kind, sentence = media.fetch([(1, url)]).problems[1]
    assert (kind, "has 5 bytes" in sentence) == ("image_unreachable", True)
