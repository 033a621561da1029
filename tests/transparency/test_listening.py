"""How the proxy listens."""

import socket

from proxy.front.serve import bind


def test_an_answer_in_two_writes_does_not_wait_for_an_acknowledgement() -> None:
    """Accepted sockets inherit TCP_NODELAY, on any event loop."""
    with (
        bind("127.0.0.1:0") as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
