"""Images from hosts other than Label Studio: only allowed hosts and public addresses, at each redirect anew."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import httpx

from ml_backend.studio.allowed_hosts import Address, AllowedHosts, literal
from ml_backend.studio.client import HOPS
from ml_backend.studio.media_errors import MediaError, refused_by, shortened

ALLOW = "add it to NEXTLABEL_MEDIA_HOSTS, or serve the image through Label Studio"
CONNECT_SECONDS = 5.0


class Elsewhere:
    """Never sends a token, asks no proxy, and connects to the very address that it has looked at, so that a name
    cannot mean another one a moment later. byte_limit, seconds: of one image, however slowly it drips."""

    def __init__(self, hosts: AllowedHosts, *, byte_limit: int, seconds: float) -> None:
        self.hosts, self.byte_limit, self.seconds = hosts, byte_limit, seconds

    def read(self, url: str, *, for_storage: str | None = None) -> bytes:
        """The bytes behind a URL. Raises MediaError.

        for_storage: the address, s3://bucket/key say, for which Label Studio named this URL of a project's storage. Its
        host is therefore allowed, but no private address, since a project's people may write that; and errors name the
        address, for the URL carries a signature.
        """
        clock, name = _Clock(self.seconds), shortened(for_storage or url)
        try:
            for _ in range(HOPS):
                target = httpx.URL(url)
                self._check_host(target, name, any_host=for_storage is not None)
                answer = self._ask(target, self._addresses(target, name), clock, name)
                if isinstance(answer, bytes):
                    return answer
                url = str(target.join(answer))
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
            raise MediaError("image_bad_url", f"'{name}' is not a URL ({error}); correct the task.") from error
        except httpx.HTTPError as error:
            what = f"It took over {self.seconds:g} s." if clock.is_over else f"{type(error).__name__}: {error}."
            raise refused_by(name, 0, what) from error
        raise refused_by(name, 0, f"It is sent on more than {HOPS} times.")

    def _check_host(self, url: httpx.URL, name: str, *, any_host: bool) -> None:
        if url.scheme not in ("http", "https") or not url.host:
            raise MediaError("image_bad_url", f"'{name}' leads to no http(s) URL; correct the task.")
        if not any_host and not self.hosts.has_host(url.scheme, url.host, url.port):
            where = url.host if url.port is None else f"{url.host}:{url.port}"
            raise MediaError("image_refused", f"'{name}' leads to {where}, which is not allowed; {ALLOW}.")

    def _addresses(self, url: httpx.URL, name: str) -> list[Address]:
        """Where the host's name leads. All of it must be allowed: a name that leads inside as well is a trick."""
        found = literal(url.host)
        addresses = [found] if found else _resolve(url.host)
        if not addresses:
            raise refused_by(name, 0, f"The host {url.host} is unknown.")
        for address in addresses:
            if not self.hosts.has_address(address):
                raise MediaError(
                    "image_refused",
                    f"'{name}' leads to {address}, which is private; add its network to "
                    "NEXTLABEL_MEDIA_HOSTS if this is meant.",
                )
        return addresses

    def _ask(self, url: httpx.URL, addresses: list[Address], clock: _Clock, name: str) -> bytes | str:
        """The body, or where the host sends on to; the next address where one does not answer."""
        for address in addresses[:-1]:
            with suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return self._ask_at(url, address, clock, name)
        return self._ask_at(url, addresses[-1], clock, name)

    def _ask_at(self, url: httpx.URL, address: Address, clock: _Clock, name: str) -> bytes | str:
        headers = {"Host": url.netloc.decode("ascii"), "Accept-Encoding": "identity"}
        limits = httpx.Timeout(max(0.01, min(20.0, clock.left)), connect=max(0.01, min(CONNECT_SECONDS, clock.left)))
        with (
            httpx.Client(verify=_tls(), trust_env=False, timeout=limits) as client,
            clock.watching() as extensions,
            client.stream(
                "GET",
                url.copy_with(host=str(address)),
                headers=headers,
                extensions={**extensions, "sni_hostname": url.host},  # the certificate must be the name's
                follow_redirects=False,
            ) as answer,
        ):
            if answer.has_redirect_location:
                return str(answer.headers["location"])
            if answer.is_error:
                raise refused_by(name, answer.status_code, f"It answered {answer.status_code}.")
            return self._body(answer, name)

    def _body(self, answer: httpx.Response, name: str) -> bytes:
        if answer.headers.get("content-encoding", "identity").lower() != "identity":  # it may grow to gigabytes
            raise refused_by(name, 0, "It answers compressed though it was asked not to.")
        parts, size = [], 0
        for part in answer.iter_raw():
            parts.append(part)
            size += len(part)
            if size > self.byte_limit:
                raise refused_by(name, 413, f"It exceeds {self.byte_limit} bytes.")
        return b"".join(parts)


class _Clock:
    """A deadline that hangs up: a host that sends a byte of its head now and then would beat every timeout."""

    def __init__(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()

    @property
    def is_over(self) -> bool:
        return self.left <= 0

    @contextmanager
    def watching(self) -> Iterator[dict[str, Any]]:
        """What httpx takes as extensions of one request, so that its connection ends at the deadline."""
        connections: list[socket.socket] = []

        def hang_up() -> None:
            for connection in connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

        def trace(event: str, info: dict[str, Any]) -> None:
            if event == "connection.connect_tcp.complete":
                # a duplicate, since TLS takes the socket over; hanging up on one is hanging up on both
                connections.append(info["return_value"].get_extra_info("socket").dup())

        timer = threading.Timer(max(0.0, self.left), hang_up)
        timer.daemon = True
        timer.start()
        try:
            yield {"trace": trace}
        finally:
            timer.cancel()
            timer.join()
            for connection in connections:
                connection.close()


@cache
def _tls() -> Any:
    """One for all: it reads a thousand certificates."""
    return httpx.create_ssl_context()


def _resolve(host: str) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(ipaddress.ip_address(row[4][0]) for row in found))
