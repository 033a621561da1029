"""JSON as upstreams and clients happen to send it."""

from proxy.stitch.values import read_members


def test_what_is_no_object_has_no_members() -> None:
    for body in (b"", b"[]", b"\xff", b"[" * 100_000):
        assert {} == read_members(body)
