"""Every URL becomes a file kept by its content, or a named problem; the token goes to Label Studio alone."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ml_backend.studio.allowed_hosts import AllowedHosts
from ml_backend.studio.client import Studio
from ml_backend.studio.image_check import check_image
from ml_backend.studio.media import MediaCache
from ml_backend.studio.media_errors import MediaError

TOKEN = "0" * 40
LOOPBACK = AllowedHosts.parse("127.0.0.0/8")  # where the tests' hosts are
NOWHERE = MediaCache(Path(), Studio("http://127.0.0.1:9", TOKEN), local_root=None)


def png(color: int = 0, size: tuple[int, int] = (4, 4)) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", size, color).save(buffer, "PNG")
    return buffer.getvalue()


def noise(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(buffer, kind)
    return buffer.getvalue()


class Host(ThreadingHTTPServer):
    """A web server that answers `pages` (path without query -> status, headers, body) and remembers who asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.names: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Page(BaseHTTPRequestHandler):
    server: Host

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        self.server.names.append(self.headers.get("Host"))
        status, headers, body = self.server.pages.get(self.path.split("?")[0], (404, {}, b""))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def hosting() -> Iterator[Host]:
    host = Host()
    thread = threading.Thread(target=host.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield host
    finally:
        host.shutdown()
        host.server_close()
        thread.join()


@pytest.fixture
def studio_host() -> Iterator[Host]:
    with hosting() as host:
        yield host


@pytest.fixture
def foreign_host() -> Iterator[Host]:
    with hosting() as host:
        yield host


@pytest.fixture
def cache(tmp_path: Path, studio_host: Host) -> Iterator[MediaCache]:
    local = tmp_path / "local"
    local.mkdir()
    studio = Studio(studio_host.url, TOKEN)
    yield MediaCache(tmp_path / "media", studio, local_root=local, hosts=LOOPBACK, byte_limit=10_000)
    studio.close()


def one(cache: MediaCache, url: str) -> tuple[str | None, str | None]:
    """(content, problem kind) of a single URL."""
    fetched = cache.fetch([(1, url)])
    assert set(fetched.contents) ^ set(fetched.problems) == {1}
    if 1 in fetched.problems:
        assert fetched.problems[1][1].endswith(".")
    return fetched.contents.get(1), fetched.problems.get(1, (None,))[0]


def test_a_file_is_kept_under_its_hash(cache: MediaCache, studio_host: Host) -> None:
    studio_host.pages["/data/upload/1/a.png"] = (200, {}, png())
    content, problem = one(cache, "/data/upload/1/a.png")
    assert problem is None
    assert content == hashlib.sha256(png()).hexdigest()
    assert cache.has(content)
    assert cache.path(content) == cache.root / content[:2] / content
    assert cache.path(content).read_bytes() == png()
    assert not list(cache.root.rglob(".new-*"))
    assert studio_host.asked == [("/data/upload/1/a.png", f"Token {TOKEN}")]


def test_a_shared_url_is_read_once_and_progress_counts_tasks(cache: MediaCache, studio_host: Host) -> None:
    studio_host.pages["/a.png"] = (200, {}, png())
    steps: list[tuple[int, int]] = []
    fetched = cache.fetch([(1, "/a.png"), (2, "/a.png"), (3, "/b.png")], lambda done, of: steps.append((done, of)))
    assert fetched.contents[1] == fetched.contents[2]
    assert fetched.problems[3][0] == "image_missing"
    assert len(studio_host.asked) == 2
    assert steps[-1] == (3, 3)


def test_nothing_to_fetch(cache: MediaCache) -> None:
    assert cache.fetch([]).contents == {}


def test_local_files_come_from_disk(cache: MediaCache, studio_host: Host) -> None:
    assert cache.local_root is not None
    (cache.local_root / "a b.png").write_bytes(png(1))
    content, _ = one(cache, "/data/local-files/?d=a%20b.png")
    assert content == hashlib.sha256(png(1)).hexdigest()
    content, _ = one(cache, f"{studio_host.url}/data/local-files/?d=a%20b.png")
    assert content == hashlib.sha256(png(1)).hexdigest()
    assert studio_host.asked == []


def test_what_is_not_on_disk_is_asked_of_label_studio(cache: MediaCache, studio_host: Host) -> None:
    studio_host.pages["/data/local-files/"] = (200, {}, png(2))
    content, _ = one(cache, "/data/local-files/?d=elsewhere.png")
    assert content == hashlib.sha256(png(2)).hexdigest()


def test_no_path_leaves_the_served_folder(cache: MediaCache, studio_host: Host, tmp_path: Path) -> None:
    assert cache.local_root is not None
    (tmp_path / "secret.png").write_bytes(png(3))
    (cache.local_root / "link.png").symlink_to(tmp_path / "secret.png")
    for path in ("../secret.png", "x/../../secret.png", "..%2fsecret.png", "..\\secret.png", "%2e%2e/secret.png"):
        assert one(cache, f"/data/local-files/?d={path}") == (None, "image_bad_url")
    assert one(cache, f"/data/local-files/?d={tmp_path}/secret.png") == (None, "image_missing")
    assert studio_host.asked[-1][0].startswith("/data/local-files/")
    assert one(cache, "/data/local-files/?d=link.png") == (None, "image_missing")  # Label Studio's own rules decide


def test_storage_addresses_go_through_label_studio(cache: MediaCache, studio_host: Host) -> None:
    studio_host.pages["/tasks/1/resolve/"] = (200, {}, png(4))
    content, _ = one(cache, "s3://bucket/ä b?.png")
    assert content == hashlib.sha256(png(4)).hexdigest()
    asked = studio_host.asked[0][0]
    encoded = asked.split("fileuri=")[1].replace("%3D", "=")
    assert base64.urlsafe_b64decode(encoded).decode() == "s3://bucket/ä b?.png"


def test_a_foreign_host_never_sees_the_token(cache: MediaCache, foreign_host: Host) -> None:
    foreign_host.pages["/a.png"] = (200, {}, png(5))
    content, _ = one(cache, f"{foreign_host.url}/a.png")
    assert content == hashlib.sha256(png(5)).hexdigest()
    assert foreign_host.asked == [("/a.png", None)]


def test_a_redirect_to_another_host_does_not_carry_the_token(
    cache: MediaCache, studio_host: Host, foreign_host: Host
) -> None:
    studio_host.pages["/tasks/1/resolve/"] = (303, {"Location": f"{foreign_host.url}/presigned.png"}, b"")
    foreign_host.pages["/presigned.png"] = (200, {}, png(6))
    content, _ = one(cache, "s3://bucket/a.png")
    assert content == hashlib.sha256(png(6)).hexdigest()
    assert studio_host.asked[0][1] == f"Token {TOKEN}"
    assert foreign_host.asked == [("/presigned.png", None)]


def test_a_foreign_redirect_to_label_studio_gains_no_token(
    cache: MediaCache, studio_host: Host, foreign_host: Host
) -> None:
    foreign_host.pages["/a.png"] = (302, {"Location": f"{studio_host.url}/data/upload/1/a.png"}, b"")
    one(cache, f"{foreign_host.url}/a.png")
    assert studio_host.asked == [("/data/upload/1/a.png", None)]


def test_no_url_passes_for_label_studio_by_its_looks(cache: MediaCache, studio_host: Host, foreign_host: Host) -> None:
    own, port = studio_host.url.removeprefix("http://"), foreign_host.server_address[1]
    for url in (
        f"http://{own}@127.0.0.1:{port}/a",
        f"http://127.0.0.1:{port}\\@{own}/a",
        f"//{own}@127.0.0.1:{port}/a",
    ):
        one(cache, url)
    assert all(token is None for path, token in foreign_host.asked if token != f"Basic {_basic(own)}")


def _basic(credentials: str) -> str:
    return base64.b64encode(credentials.encode()).decode()


def test_label_studio_under_a_path(tmp_path: Path, studio_host: Host) -> None:
    cache = MediaCache(tmp_path, Studio(f"{studio_host.url}/ls/", TOKEN), local_root=None)
    studio_host.pages["/ls/data/upload/a.png"] = (200, {}, png())
    for url in ("/data/upload/a.png", "/ls/data/upload/a.png", f"{studio_host.url}/ls/data/upload/a.png"):
        assert one(cache, url)[1] is None
    assert one(cache, f"{studio_host.url}/another/a.png") == (None, "image_refused")
    assert [token for _, token in studio_host.asked] == [f"Token {TOKEN}"] * 3


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, "image_missing"),
        (410, "image_missing"),
        (401, "image_forbidden"),
        (403, "image_forbidden"),
        (500, "image_unreachable"),
        (429, "image_unreachable"),
    ],
)
def test_refusals_are_told_apart(
    cache: MediaCache, studio_host: Host, foreign_host: Host, status: int, kind: str
) -> None:
    for host, url in ((studio_host, "/a.png"), (foreign_host, f"{foreign_host.url}/a.png")):
        host.pages["/a.png"] = (status, {}, b"")
        assert one(cache, url) == (None, kind)


def test_a_deleted_upload_is_missing_though_label_studio_says_500(cache: MediaCache, studio_host: Host) -> None:
    studio_host.pages["/data/upload/1/a.png"] = (500, {}, b"")
    assert one(cache, "/data/upload/1/a.png") == (None, "image_missing")


def test_a_closed_port_is_unreachable(cache: MediaCache) -> None:
    with hosting() as host:
        url = f"{host.url}/a.png"
    assert one(cache, url) == (None, "image_unreachable")


def test_a_file_over_the_limit_is_too_large(cache: MediaCache, studio_host: Host, foreign_host: Host) -> None:
    assert cache.local_root is not None
    (cache.local_root / "a.png").write_bytes(bytes(20_000))
    studio_host.pages["/a.png"] = foreign_host.pages["/a.png"] = (200, {}, bytes(20_000))
    inline = "data:image/png;base64," + base64.b64encode(bytes(20_000)).decode()
    for url in ("/a.png", f"{foreign_host.url}/a.png", "/data/local-files/?d=a.png", inline):
        assert one(cache, url) == (None, "image_too_large")


def test_a_data_uri_is_an_image_too(cache: MediaCache) -> None:
    inline = base64.b64encode(png(7)).decode()
    assert one(cache, f"data:image/png;base64,{inline}")[0] == hashlib.sha256(png(7)).hexdigest()
    assert one(cache, "data:image/png;base64,???") == (None, "image_bad_url")
    assert one(cache, "data:image/svg+xml,%3Csvg/%3E") == (None, "image_bad_url")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.png",
        "ftp://host/a.png",
        "file:///etc/passwd",
        "//host/a.png",
        "http://",
        "http://[",
        "http://a:b/c",
        "\ud800",
        "/\0",
        "/\ud800",
        "javascript:alert(1)",
    ],
)
def test_what_is_no_url_is_named_so(cache: MediaCache, url: str, studio_host: Host) -> None:
    assert one(cache, url) == (None, "image_bad_url")
    assert studio_host.asked == []


@given(st.text().filter(lambda text: not text.strip().startswith("/") and "://" not in text))
def test_no_text_breaks_the_cache(text: str) -> None:
    with pytest.raises(MediaError):
        NOWHERE._read(1, text)


def bomb() -> bytes:
    """A small file that would decode to 20000 x 20000 pixels."""
    from zlib import crc32

    data = bytearray(png())
    data[16:24] = (20_000).to_bytes(4, "big") * 2
    data[29:33] = crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>login</html>",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        noise("PNG")[:500],
        noise("JPEG")[:500],
        bomb(),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    ],
    ids=["empty", "html", "svg", "cut png", "cut jpeg", "bomb", "eps"],
)
def test_what_does_not_decode_is_unreadable_and_not_kept(cache: MediaCache, studio_host: Host, data: bytes) -> None:
    studio_host.pages["/a.png"] = (200, {}, data)
    assert one(cache, "/a.png") == (None, "image_unreadable")
    assert not [path for path in cache.root.rglob("*") if path.is_file()]


@given(st.integers(0, 200), st.binary(min_size=1, max_size=30))
def test_damaged_bytes_decode_or_are_refused(at: int, damage: bytes) -> None:
    data = bytearray(noise("JPEG"))
    data[at : at + len(damage)] = damage
    with suppress(MediaError):
        check_image(bytes(data), "a.jpg")


def test_a_whole_jpeg_is_kept(cache: MediaCache, studio_host: Host) -> None:
    studio_host.pages["/a.jpg"] = (200, {}, noise("JPEG"))
    assert one(cache, "/a.jpg")[1] is None
