"""Clients that send one head again and again, and some that only seem to."""

import asyncio
import json
import random
import re
from pathlib import Path

import pytest

from proxy.front.repeat import MOST_HEAD_BYTES
from tests.scripted_upstream import RawRequest, Wire, completion
from tests.wire.scene import CHAT_PATH, scene

pytestmark = pytest.mark.anyio

LEAD = b"POST /v1/files?x=1 HTTP/1.1\r\nHost: a\r\nX-One: 1\r\n"
LENGTH = b"Content-Length: %d\r\n"
TAIL = b"X-Two: 2\r\n\r\n"
OWN = re.compile(rb"\r\n(host|via): [^\r]*")


async def plain(_: RawRequest, wire: Wire) -> None:
    await wire.answer(completion())


def request(body: bytes, *, lead: bytes = LEAD, tail: bytes = TAIL) -> bytes:
    """Return a request that has always the same head but for its length."""
    return lead + LENGTH % len(body) + tail + body


async def passed(tmp_path: Path, *reads: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Send each list of requests on a connection; return the heads and bodies passed.

    The requests of a list go one by one, each in one write and behind an answer. What
    only this proxy has, its upstream's port and its mark, is left out.
    """
    async with scene(tmp_path, plain) as at:
        for requests in reads:
            async with at.client() as client:
                for data in requests:
                    await client.send(data)
                    status, headers = await client.head()
                    assert 200 == status, data
                    await client.body(headers)
        return [(OWN.sub(b"", it.head), it.body) for it in at.upstream.requests]


async def test_a_repeated_head_says_what_it_said_first(tmp_path: Path) -> None:
    bodies = [b"x" * size for size in (5, 5, 0, 12, 0, 3000, 9, 10)]
    one_by_one = [[request(body)] for body in bodies]
    fresh = await passed(tmp_path / "fresh", *one_by_one)
    again = await passed(tmp_path / "again", [request(body) for body in bodies])
    assert fresh == again
    assert bodies == [body for _, body in again]


async def test_another_head_on_the_connection_is_read_anew(tmp_path: Path) -> None:
    heads = [
        {},
        {"tail": TAIL.replace(b"2", b"3")},
        {"lead": LEAD.replace(b"x=1", b"x=2")},
        {},
        {"tail": b"\r\n"},
        {"lead": LEAD.replace(b"files", b"other"), "tail": b"\r\n"},
        {"tail": b"X-Two: 2\r\nAuthorization: Bearer k\r\n\r\n"},
        {},
    ]
    data = [request(b"abc", **head) for head in heads]
    fresh = await passed(tmp_path / "fresh", *([one] for one in data))
    assert fresh == await passed(tmp_path / "again", data)
    assert len(set(fresh)) == len({*data})


@pytest.mark.parametrize("digits", [b"+3", b"03", b"3 3", b"0x3", b"-3", b"3,3", b""])
async def test_h04_a_length_that_is_none_is_refused_behind_a_good_one(
    tmp_path: Path, digits: bytes
) -> None:
    async with scene(tmp_path, plain) as at, at.client() as client:
        await client.send(request(b"abc"))
        _, headers = await client.head()
        await client.body(headers)
        await client.send(request(b"abc").replace(b" 3\r\n", b" %b\r\n" % digits))
        status, headers = await client.head()
        assert (400, "close") == (status, headers["connection"])
        assert 1 == len(at.upstream.requests)


@pytest.mark.parametrize("seed", range(3))
async def test_h10_repeated_heads_in_other_pieces_are_the_same(
    tmp_path: Path, seed: int
) -> None:
    """Of three callers, split anywhere, or with the next request behind in one read."""
    chance = random.Random(seed)
    lead = LEAD + b"Authorization: Bearer %b\r\n"
    who = chance.choices([b"alice", b"bobby", b"carol"], k=40)
    bodies = [name * chance.randrange(4) for name in who]
    stream = b"".join(
        request(body, lead=lead % name) for name, body in zip(who, bodies, strict=True)
    )
    size = len(request(b"alice", lead=lead % b"alice"))
    async with scene(tmp_path, plain) as at, at.client() as client:
        while stream:
            cut = chance.choice([7, 60, *range(size - 6, size + 7), 500])
            await client.send(stream[:cut])
            stream = stream[cut:]
            await asyncio.sleep(0.002)
        for _ in bodies:
            status, headers = await client.head()
            assert 200 == status
            await client.body(headers)
        got = [
            (it.headers["authorization"][7:], it.body) for it in at.upstream.requests
        ]
    assert [
        (name.decode(), body) for name, body in zip(who, bodies, strict=True)
    ] == got


async def test_h10_no_head_is_known_in_the_middle_of_another(tmp_path: Path) -> None:
    """Two callers behind one balancer, their requests cut at each byte of a head."""
    lead = LEAD + b"Authorization: Bearer %b\r\n"
    alice, bobby = (request(who, lead=lead % who) for who in (b"alice", b"bobby"))
    async with scene(tmp_path, plain) as at:
        for cut in range(1, alice.index(TAIL) + len(TAIL)):
            async with at.client() as client:
                reads = (alice + alice[:cut], alice[cut:], alice + bobby[:cut])
                for data in (*reads, bobby[cut:]):
                    await client.send(data)
                    await client.body((await client.head())[1])
        asked = [
            (it.headers["authorization"][7:], it.body) for it in at.upstream.requests
        ]
    assert [("alice", b"alice")] * 3 + [("bobby", b"bobby")] == asked[:4]
    assert asked[:4] * (len(asked) // 4) == asked


async def test_h13_a_known_head_inside_of_a_header_is_its_value(tmp_path: Path) -> None:
    async with scene(tmp_path, plain) as at, at.client() as client:
        outer = b"POST /v1/outer HTTP/1.1\r\nX-Outer: "
        await client.send(request(b"one"))
        await client.body((await client.head())[1])
        await client.send(request(b"two") + outer)
        await client.body((await client.head())[1])
        await client.send(request(b"inner"))
        await client.body((await client.head())[1])
        told = [it.head.split(b" HTTP/")[0] for it in at.upstream.requests]
    assert [b"POST /v1/files?x=1"] * 2 + [b"POST /v1/outer"] == told


@pytest.mark.parametrize(
    ("tail", "told"),
    [
        (b"Connection: close\r\n\r\n", b""),
        (b"X-Long: %b\r\n\r\n" % (b"x" * MOST_HEAD_BYTES), None),
        (b"X-Length: \tContent-Length: 3\r\n\r\n", None),
    ],
)
async def test_what_is_not_remembered_goes_its_way_each_time(
    tmp_path: Path, tail: bytes, told: bytes | None
) -> None:
    async with scene(tmp_path, plain) as at, at.client() as client:
        for body in (b"abc", b"defg"):
            await client.send(request(body, tail=tail))
            await client.body((await client.head())[1])
            assert body == at.upstream.requests[-1].body
            if told is not None:
                assert told == await client.rest()
                break


async def test_expecting_to_be_told_to_go_on_is_met_each_time(tmp_path: Path) -> None:
    async with scene(tmp_path, plain) as at, at.client() as client:
        for body in (b"abc", b"defg", b"hi"):
            tail = b"Expect: 100-continue\r\n\r\n"
            await client.send(request(body, tail=tail))
            assert 100 == (await client.head())[0]
            await client.body((await client.head())[1])
            assert body == at.upstream.requests[-1].body


async def test_what_a_head_asks_of_us_counts_for_its_own_requests(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, plain) as at, at.client() as client:
        asked = ["a=1", "a=1", "a=2", "a=1", "none", "none", "a=1"]
        for number, tags in enumerate(asked):
            body = b'{"model":"m","messages":[],"user":"%d"}' % 10**number
            await client.post(CHAT_PATH, body, f"x-spiritsafe-tags: {tags}")
            status, headers = await client.head()
            await client.body(headers)
            assert (400 if tags == "none" else 200) == status
        kept = await at.settled()
    good = [tags.partition("=")[2] for tags in asked if tags != "none"]
    assert good == [it.row.tags["a"] for it in kept]
    users = [str(10**at) for at, tags in enumerate(asked) if tags != "none"]
    assert users == [json.loads(it.request)["user"] for it in kept]
