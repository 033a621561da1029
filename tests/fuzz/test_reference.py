"""The strict reader and the mutator, checked by themselves: what they must tell apart."""

import random

import pytest

from tests.fuzz.mutate import CHAT_TARGET, GET, HIDDEN, VALID, mutated, post
from tests.fuzz.reference import Read, requests, well_formed
from tests.scripted_upstream import CHAT


def test_every_valid_seed_is_read_whole() -> None:
    for data in VALID:
        assert 1 + (data.count(GET) and not data.startswith(GET)) <= len(requests(data))
    assert [Read(b"POST", CHAT_TARGET, CHAT)] == requests(VALID[0])


def test_a_request_in_a_body_is_no_request() -> None:
    assert [Read(b"POST", b"/v1/files", HIDDEN)] == requests(post(b"/v1/files", HIDDEN))


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 2\r\nTransfer-Encoding: chunked",
        b"Content-Length: 2\r\nContent-Length: 2",
        b"Content-Length: +2",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding: chunked\r\n folded",
        b"X: a\x00b",
        b"X: a\nb",
    ],
)
def test_a_doubt_ends_the_reading(fields: bytes) -> None:
    head = b"POST /v1/files HTTP/1.1\r\n" + fields + b"\r\n\r\n"
    assert [] == requests(head + b"2\r\nhi\r\n0\r\n\r\n")


def test_what_follows_a_close_is_nobodys() -> None:
    closing = GET.replace(b"Accept", b"Connection: close\r\nAccept")
    assert 2 == len(requests(GET + closing + GET))


def test_heads_of_ours_are_judged() -> None:
    assert "" == well_formed(b"GET /v1/x HTTP/1.1\r\nhost: a")
    for broken in (b"GET /v1/x HTTP/1.1", b"GET x HTTP/1.1\r\nhost: a"):
        assert well_formed(broken)
    twice = b"POST /v1/x HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n"
    assert well_formed(twice + b"content-length: 1")
    assert well_formed(twice + b"transfer-encoding: chunked")


def test_the_mutator_says_the_same_for_the_same_seed_and_leaves_some_alone() -> None:
    made = [mutated(random.Random(f"1/{number}")) for number in range(300)]
    assert made == [mutated(random.Random(f"1/{number}")) for number in range(300)]
    assert 250 < len(set(made))
    assert 20 < sum(bool(requests(data)) for data in made) < 250
