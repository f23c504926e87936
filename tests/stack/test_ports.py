import socket

from stack.ports import free_port, is_free


def _listen(host: str) -> socket.socket:
    server = socket.socket()
    server.bind((host, 0))
    server.listen()
    return server


def test_a_taken_port_is_passed_over() -> None:
    with _listen("127.0.0.1") as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        chosen = free_port(port)
        assert chosen != port
        assert is_free(chosen)


def test_a_server_on_every_interface_counts() -> None:
    with _listen("0.0.0.0") as server:
        assert not is_free(server.getsockname()[1])


def test_the_preferred_port_is_taken_if_it_is_free_and_nobody_else_was_promised_it() -> None:
    port = free_port()
    assert free_port(None, port) == port
    assert free_port(port, avoid=frozenset({port})) != port
