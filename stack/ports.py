"""Ports on the loopback interface."""

from __future__ import annotations

import errno
import socket

from stack.home import StackError

HOST = "127.0.0.1"


def is_free(port: int, host: str = HOST) -> bool:
    """Whether a server could listen there now."""
    for address in (host, "0.0.0.0"):  # a server bound to every interface takes it as well
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closed connections do not count
            try:
                probe.bind((address, port))
            except OSError as error:
                if error.errno in (errno.EADDRINUSE, errno.EACCES):
                    return False
                raise
    return True


def free_port(*preferred: int | None, avoid: frozenset[int] = frozenset()) -> int:
    """The first preferred port that is free, else one of the hundred after the last, else any.

    preferred: in order; None is passed over. avoid: ports promised to others.
    """
    wanted = [port for port in preferred if port is not None]
    after = range(wanted[-1] + 1, min(wanted[-1] + 101, 65536)) if wanted else range(0)
    candidates: list[int] = [*wanted, *after]
    for port in candidates:
        if port not in avoid and is_free(port):
            return port
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((HOST, 0))
        except OSError as error:
            raise StackError(f"No port is free on {HOST} ({error}); end a few programs that listen.") from error
        given: int = probe.getsockname()[1]
        return given
