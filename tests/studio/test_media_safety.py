"""What the backend may not be made to fetch: other hosts, private addresses, endless or growing answers, bombs."""

from __future__ import annotations

import base64
import gzip
import io
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from PIL import Image

from ml_backend.studio import elsewhere
from ml_backend.studio.allowed_hosts import AllowedHosts, is_public
from ml_backend.studio.client import Studio, StudioError
from ml_backend.studio.image_check import check_image
from ml_backend.studio.media import MediaCache
from ml_backend.studio.media_errors import MediaError
from tests.studio.test_media import TOKEN, Host, bomb, hosting, one, png


@pytest.fixture
def studio_host() -> Iterator[Host]:
    with hosting() as host:
        yield host


@pytest.fixture
def other() -> Iterator[Host]:
    """A host that is not Label Studio, at a private address."""
    with hosting() as host:
        host.pages["/a.png"] = (200, {}, png())
        yield host


@pytest.fixture
def caching(tmp_path: Path, studio_host: Host) -> Iterator[Callable[..., MediaCache]]:
    studio = Studio(studio_host.url, TOKEN)

    def make(hosts: str = "", **limits: float) -> MediaCache:
        return MediaCache(
            tmp_path / "media",
            studio,
            local_root=None,
            hosts=AllowedHosts.parse(hosts),
            **limits,  # type: ignore[arg-type]
        )

    yield make
    studio.close()


def port(host: Host) -> int:
    return int(host.server_address[1])


# hosts


def test_nobody_but_label_studio_is_asked_by_default(caching: Callable[..., MediaCache], other: Host) -> None:
    fetched = caching().fetch([(1, f"{other.url}/a.png")])
    assert other.asked == []
    kind, message = fetched.problems[1]
    assert kind == "image_refused"
    assert message == (
        f"'{other.url}/a.png' leads to 127.0.0.1:{port(other)}, which is not allowed; add it to NEXTLABEL_MEDIA_HOSTS, "
        "or serve the image through Label Studio."
    )


def test_an_allowed_name_does_not_open_private_addresses(caching: Callable[..., MediaCache], other: Host) -> None:
    url, name = f"http://localhost:{port(other)}/a.png", f"localhost:{port(other)}"
    assert one(caching("localhost"), url) == (None, "image_refused")  # another port
    assert one(caching(name), url) == (None, "image_refused")
    assert one(caching("127.0.0.0/8, ::1"), url) == (None, "image_refused")
    assert other.asked == []
    assert one(caching(f"{name}, 127.0.0.0/8, ::1"), url)[1] is None


def test_the_address_that_was_looked_at_is_the_one_that_is_asked(
    caching: Callable[..., MediaCache], other: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that answers differently a moment later changes nothing: it is asked once."""
    answers = [[ipaddress.ip_address("127.0.0.1")]]
    monkeypatch.setattr(elsewhere, "_resolve", lambda _: answers.pop())
    cache = caching(f"*.example.com:{port(other)}, 127.0.0.1")
    assert one(cache, f"http://images.example.com:{port(other)}/a.png")[1] is None
    assert other.names == [f"images.example.com:{port(other)}"]


def test_a_name_that_leads_inside_as_well_is_refused(
    caching: Callable[..., MediaCache], other: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [ipaddress.ip_address("8.8.8.8"), ipaddress.ip_address("127.0.0.1")]
    monkeypatch.setattr(elsewhere, "_resolve", lambda _: both)
    url = f"http://images.example.com:{port(other)}/a.png"
    assert one(caching(f"images.example.com:{port(other)}"), url) == (None, "image_refused")


def test_an_unknown_name_is_unreachable(caching: Callable[..., MediaCache], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "_resolve", lambda _: [])
    assert one(caching("example.com"), "https://example.com/a.png") == (None, "image_unreachable")


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "0"]
)
def test_loopback_in_disguise_is_refused(caching: Callable[..., MediaCache], other: Host, host: str) -> None:
    assert one(caching("example.com"), f"http://{host}:{port(other)}/a.png")[1] in ("image_refused", "image_bad_url")
    assert other.asked == []


# redirects


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("http://169.254.169.254/latest/meta-data/", "image_refused"),
        ("http://10.0.0.1/a.png", "image_refused"),
        ("http://[::1]/a.png", "image_refused"),
        ("http://example.com/a.png", "image_refused"),
        ("file:///etc/passwd", "image_bad_url"),
        ("gopher://127.0.0.1/", "image_bad_url"),
    ],
)
def test_an_allowed_host_cannot_send_on_to_a_forbidden_one(
    caching: Callable[..., MediaCache], other: Host, target: str, kind: str
) -> None:
    other.pages["/b.png"] = (302, {"Location": target}, b"")
    assert one(caching("127.0.0.0/8"), f"{other.url}/b.png") == (None, kind)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_label_studio_cannot_be_made_to_send_us_to_a_private_address(
    caching: Callable[..., MediaCache], studio_host: Host, other: Host, status: int
) -> None:
    """A storage's host is whatever its project's people wrote. The operator may allow the network of a real one."""
    target = f"{other.url}/a.png?X-Amz-Signature=secret"
    studio_host.pages["/tasks/1/resolve/"] = (status, {"Location": target}, b"")
    fetched = caching().fetch([(1, "s3://bucket/a.png")])
    assert other.asked == []
    kind, message = fetched.problems[1]
    assert kind == "image_refused"
    assert "'s3://bucket/a.png' leads to 127.0.0.1" in message
    assert "secret" not in message
    assert one(caching("127.0.0.0/8"), "s3://bucket/a.png")[1] is None
    assert other.asked == [("/a.png?X-Amz-Signature=secret", None)]


def test_a_refused_storage_does_not_tell_its_signature(
    caching: Callable[..., MediaCache], studio_host: Host, other: Host
) -> None:
    studio_host.pages["/tasks/1/resolve/"] = (303, {"Location": f"{other.url}/b.png?signature=secret"}, b"")
    kind, message = caching("127.0.0.0/8").fetch([(1, "gs://bucket/b.png")]).problems[1]
    assert (kind, "secret" in message) == ("image_missing", False)


def test_a_public_storage_needs_no_permission(
    caching: Callable[..., MediaCache], studio_host: Host, other: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its address passes for a public one here."""
    monkeypatch.setattr(AllowedHosts, "has_address", lambda *_: True)
    studio_host.pages["/tasks/1/resolve/"] = (303, {"Location": f"{other.url}/a.png"}, b"")
    assert one(caching(), "s3://bucket/a.png")[1] is None


def test_redirects_end(caching: Callable[..., MediaCache], studio_host: Host, other: Host) -> None:
    other.pages["/round"] = (302, {"Location": "/round"}, b"")
    assert one(caching("127.0.0.0/8"), f"{other.url}/round") == (None, "image_unreachable")
    studio_host.pages["/round"] = (302, {"Location": "/round"}, b"")
    assert one(caching(), "/round") == (None, "image_unreachable")
    assert len(other.asked) == len(studio_host.asked) == 5


def test_label_studio_may_send_on_to_itself(caching: Callable[..., MediaCache], studio_host: Host) -> None:
    studio_host.pages["/a"] = (302, {"Location": "/data/upload/a.png"}, b"")
    studio_host.pages["/data/upload/a.png"] = (200, {}, png())
    assert one(caching(), "/a")[1] is None
    assert [token for _, token in studio_host.asked] == [f"Token {TOKEN}"] * 2


@pytest.mark.parametrize(
    "path", ["/api/projects/1/next", "/data/../api/x", "/%61pi/x", "//api/x", "/./api", "/data/%2e%2e/api/x"]
)
def test_no_task_makes_us_call_the_api(caching: Callable[..., MediaCache], studio_host: Host, path: str) -> None:
    """A GET of the next task locks it, for instance."""
    assert one(caching(), studio_host.url + path)[1] in ("image_refused", "image_bad_url")
    assert one(caching(), path)[1] in ("image_refused", "image_bad_url")
    assert studio_host.asked == []


# limits


@contextmanager
def dripping(head: bytes, drop: bytes) -> Iterator[str]:
    """The URL of a host that begins well and then sends a drop at a time, until it is hung up on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)  # a client that never comes

        def drip() -> None:
            with suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(head)
                    connection.settimeout(0.02)
                    while True:
                        connection.sendall(drop)
                        with suppress(TimeoutError):
                            if not connection.recv(1):
                                return

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/a.png"
        finally:
            server.close()
            thread.join()


@pytest.mark.parametrize(
    ("head", "drop"),
    [(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"), (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"x")],
    ids=["head", "body"],
)
def test_a_host_that_drips_is_hung_up_on(caching: Callable[..., MediaCache], head: bytes, drop: bytes) -> None:
    with dripping(head, drop) as url:
        kind, message = caching("127.0.0.1", seconds=0.3).fetch([(1, url)]).problems[1]
    assert kind == "image_unreachable"
    assert "It took over 0.3 s" in message


def test_label_studio_has_a_deadline_too(tmp_path: Path) -> None:
    with dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"x") as url:
        studio = Studio(url.removesuffix("/a.png"), TOKEN)
        cache = MediaCache(tmp_path, studio, local_root=None, seconds=0.3)
        kind, message = cache.fetch([(1, "/a.png")]).problems[1]
        studio.close()
    assert kind == "image_unreachable"
    assert "took too long" in message


def test_an_answer_that_grows_is_refused(caching: Callable[..., MediaCache], other: Host) -> None:
    other.pages["/a.png"] = (200, {"Content-Encoding": "gzip"}, gzip.compress(bytes(50_000_000)))
    kind, message = caching("127.0.0.1").fetch([(1, f"{other.url}/a.png")]).problems[1]
    assert kind == "image_unreachable"
    assert "answers compressed" in message


def icon_bomb() -> bytes:
    """An icon of 16 x 16 pixels, by its own account, that holds a PNG of 20000 x 6000."""
    picture = io.BytesIO()
    Image.new("1", (20_000, 6_000)).save(picture, "PNG")
    data = picture.getvalue()
    entry = bytes([16, 16, 0, 0, 1, 0, 32, 0]) + len(data).to_bytes(4, "little") + (22).to_bytes(4, "little")
    return b"\0\0\1\0\1\0" + entry + data


def test_a_bomb_is_one_failed_item(caching: Callable[..., MediaCache], studio_host: Host) -> None:
    inline = "data:image/png;base64," + base64.b64encode(bomb()).decode()
    for name, data in (("/good.png", png()), ("/bomb.png", bomb()), ("/icon.ico", icon_bomb())):
        studio_host.pages[name] = (200, {}, data)
    fetched = caching().fetch([(1, "/good.png"), (2, "/bomb.png"), (3, inline), (4, "/icon.ico"), (5, "/good.png")])
    assert sorted(fetched.contents) == [1, 5]
    assert {task: kind for task, (kind, _) in fetched.problems.items()} == dict.fromkeys((2, 3, 4), "image_unreadable")
    assert "20000 x 6000 pixels, over 100000000; shrink it" in fetched.problems[4][1]


def test_text_in_a_picture_cannot_grow_without_end() -> None:
    """A PNG note of 60 MB of zeros, packed into 60 KB."""
    from zlib import compress, crc32

    body = b"zTXtnote\0\0" + compress(bytes(60_000_000))
    chunk = (len(body) - 4).to_bytes(4, "big") + body + crc32(body).to_bytes(4, "big")
    with pytest.raises(MediaError, match=r"cannot be decoded|no image"):
        check_image(png()[:33] + chunk + png()[33:], "a.png")


# what is allowed, by itself


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2001:4860:4860::8888", True),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::8.8.8.8", True),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("198.18.0.1", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fc00::1", False),
        ("fe80::1", False),
        ("fec0::1", False),
        ("ff0e::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("::127.0.0.1", False),
        ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b:1::a00:1", False),
        ("2001:0:4136:e378:8000:63bf:f5ff:fffe", False),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


@pytest.mark.parametrize(
    ("allowed", "url", "has"),
    [
        ("a.com", ("https", "a.com", None), True),
        ("A.com", ("https", "a.COM.", None), True),
        ("a.com", ("http", "a.com", 80), True),
        ("a.com", ("http", "a.com", 443), False),
        ("a.com", ("https", "a.com", 8443), False),
        ("a.com:8443", ("https", "a.com", 8443), True),
        ("a.com:8443", ("https", "a.com", None), False),
        ("a.com", ("https", "b.a.com", None), False),
        ("a.com", ("https", "ba.com", None), False),
        ("*.a.com", ("https", "c.b.a.com", None), True),
        ("*.a.com", ("https", "a.com", None), False),
        ("*.a.com", ("https", "a.com.evil.org", None), False),
        ("*.a.com:81", ("http", "b.a.com", 81), True),
        ("10.0.0.0/8", ("http", "10.1.2.3", 9000), True),
        ("10.0.0.1", ("http", "10.0.0.2", None), False),
        ("[::1], fd00::/8", ("http", "fd00::1", None), True),
        ("", ("https", "a.com", None), False),
    ],
)
def test_hosts(allowed: str, url: tuple[str, str, int | None], has: bool) -> None:
    assert AllowedHosts.parse(allowed).has_host(*url) is has


@pytest.mark.parametrize(
    "entry", ["*", "*.", "a b", "http://a.com", "a.com/x", "10.0.0.1/8", "10.0.0.256", "a..b", "*a.com"]
)
def test_what_is_no_host_is_named(entry: str) -> None:
    with pytest.raises(StudioError, match="which is no host; write"):
        AllowedHosts.parse(f"good.com, {entry}")
