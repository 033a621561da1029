"""Each act of the chaos upstream, before the proxy: what it claims is what comes of it."""

from pathlib import Path

import pytest

from tests.chaos import ACTS, LIES, script_of
from tests.crash.oracle import Hit
from tests.scripted_upstream import CHAT, DONE, STREAMED
from tests.wire.scene import CHAT_PATH, dechunked, scene, to_the_end

pytestmark = pytest.mark.anyio

SHORT = {"first_byte_timeout_s": 0.3, "idle_timeout_s": 0.3}


def split(raw: bytes) -> tuple[int, bytes, bool]:
    """Return an answer's status, its data, and whether its framing ended."""
    head, _, rest = raw.partition(b"\r\n\r\n")
    fields = head.lower()
    if b"transfer-encoding: chunked" in fields:
        data, ended = dechunked(rest)
        return int(head.split(b" ")[1]), data, ended
    size = int(fields.partition(b"content-length: ")[2].split(b"\r\n")[0])
    return int(head.split(b" ")[1]), rest, len(rest) == size


@pytest.mark.parametrize("body", [CHAT, STREAMED], ids=["plain", "streamed"])
@pytest.mark.parametrize("name", ACTS)
async def test_f33_f34_f35_f36_f37_f40_whatever_an_upstream_does_nothing_is_made_up(
    tmp_path: Path, name: str, body: bytes
) -> None:
    """What it ended arrives whole and once; what it did not end looks ended to nobody."""
    hits: list[Hit] = []
    script = script_of(name, hits=hits)
    async with scene(tmp_path, script, limits=SHORT) as at, at.client() as client:
        await client.post(CHAT_PATH, body, "Connection: close")
        status, data, ended = split((await to_the_end(client))[0])
        kept = await at.one()
    (hit,) = hits
    assert 1 == len(at.upstream.requests)
    assert hit.said.startswith(kept.answer)
    if hit.ending == "completed":
        assert (hit.said, True) == (data, ended)
        assert hit.said == kept.answer
        finished = body is CHAT or data.endswith(DONE) or b'"object": "chat.' in data
        assert finished or "upstream_truncated" == kept.row.reason
        return
    assert "incomplete" == kept.row.state
    if ended:
        assert status in {502, 504}
        assert b'"error"' in data
    else:
        assert 200 == status


def test_lies_are_told_one_by_one() -> None:
    assert len(LIES) == len(set(LIES.values()))
    assert {f"says {name}" for name in LIES} < set(ACTS)
