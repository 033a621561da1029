"""What follows from a request's head, read once and never for another's."""

import httpx
import pytest

from proxy.callers import ANONYMOUS, project_of
from proxy.errors import ControlError
from proxy.head import MOST_HEAD_BYTES, MOST_HEADS, Heads
from proxy.settings import UpstreamSettings
from proxy.upstream.send import Upstream

SECRET = b"s" * 32
MARK = b"spiritsafe-aa"


@pytest.fixture
def heads() -> Heads:
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    settings = UpstreamSettings(url="http://inference.internal:8000/v1")
    return Heads(Upstream("default", settings, transport, mark=MARK), SECRET)


def pairs(*more: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"proxy"), (b"authorization", b"Bearer sk-one"), *more]


def test_the_length_of_a_body_makes_no_other_head(heads: Heads) -> None:
    first = heads.read(pairs((b"content-length", b"7")), b"")
    assert heads.read([(b"content-length", b"812"), *pairs()], b"") is first
    assert b"content-length" not in dict(first.onward.pairs) | dict(first.recorded)


def test_another_key_is_another_caller(heads: Heads) -> None:
    one = heads.read(pairs(), b"")
    other = heads.read([(b"host", b"proxy"), (b"authorization", b"Bearer sk-two")], b"")
    assert (one.key, other.key) == (b"sk-one", b"sk-two")
    assert one.project == project_of(b"sk-one", SECRET) != other.project
    assert dict(other.onward.pairs)[b"authorization"] == b"Bearer sk-two"


def test_a_key_in_the_query_is_of_its_request_alone(heads: Heads) -> None:
    bare = [(b"host", b"proxy")]
    assert heads.read(bare, b"key=sk-query").key == b"sk-query"
    assert heads.read(bare, b"key=sk-other").key == b"sk-other"
    assert heads.read(bare, b"").project == ANONYMOUS
    assert heads.read(pairs(), b"key=sk-query").key == b"sk-one"


def test_onward_goes_what_the_upstream_may_see(heads: Heads) -> None:
    asked = pairs((b"connection", b"x-mine"), (b"x-mine", b"1"), (b"accept", b"*/*"))
    assert heads.read(asked, b"").onward.pairs == (
        (b"host", b"inference.internal:8000"),
        (b"authorization", b"Bearer sk-one"),
        (b"accept", b"*/*"),
        (b"accept-encoding", b"identity"),
        (b"via", b"1.1 " + MARK),
    )


def test_a_head_that_cannot_be_obeyed_is_refused_each_time(heads: Heads) -> None:
    for _ in range(2):
        with pytest.raises(ControlError):
            heads.read(pairs((b"x-spiritsafe-record", b"maybe")), b"")


def test_s51_what_is_remembered_is_bounded(heads: Heads) -> None:
    for number in range(3 * MOST_HEADS):
        heads.read(pairs((b"traceparent", b"%d" % number)), b"")
    heads.read(pairs((b"x-long", b"x" * MOST_HEAD_BYTES)), b"")
    assert len(heads._known) <= MOST_HEADS
    assert all(len(b"".join(map(b"".join, it))) < 4096 for it in heads._known)
