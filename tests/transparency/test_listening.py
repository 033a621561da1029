"""How the proxy listens."""

import socket
from pathlib import Path

import pytest

from proxy.front.serve import CannotListen, bind


def test_an_answer_in_two_writes_does_not_wait_for_an_acknowledgement() -> None:
    """Accepted sockets inherit TCP_NODELAY, on any event loop."""
    with (
        bind("127.0.0.1:0") as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "spiritsafe.db"
    path.write_bytes(b"years of work")
    with pytest.raises(CannotListen, match="a file that is no socket"):
        bind(f"unix:{path}")
    assert b"years of work" == path.read_bytes()


def test_the_socket_of_a_server_that_died_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as died:
        died.bind(str(path))
    with bind(f"unix:{path}") as listening, socket.socket(socket.AF_UNIX) as client:
        listening.listen()
        client.connect(str(path))


def test_the_socket_of_a_living_server_is_left_to_it(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with bind(f"unix:{path}") as living:
        living.listen()
        with pytest.raises(CannotListen, match="in use"):
            bind(f"unix:{path}")
        assert path.is_socket()
