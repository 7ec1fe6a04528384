import errno
import socket

import pytest

from flows.process.free_ports import is_taken


def test_a_port_is_taken_while_another_listens_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert [is_taken(host, port) for host in ("127.0.0.1", "localhost", "0.0.0.0")] == [True] * 3
    assert not is_taken("127.0.0.1", port)


def test_one_of_everywhere_is_taken_at_each_address() -> None:
    with socket.create_server(("", 0)) as server:
        assert is_taken("127.0.0.1", server.getsockname()[1])


def test_one_of_the_other_family_is_found() -> None:
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError as error:
        assert error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
        pytest.skip("no IPv6 here")
    with server:
        port = server.getsockname()[1]
        assert is_taken("::1", port)


def test_it_is_free_once_its_clients_have_gone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            server.accept()[0].close()  # it leaves first, so that the port is in TIME_WAIT
    assert not is_taken("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "host.invalid"])
def test_what_is_wrong_otherwise_is_for_the_server_to_say(host: str) -> None:
    assert not is_taken(host, 9)
