"""An upstream that closes idle connections just as we write to them (F-32, H-80)."""

import asyncio
import json
import os
import random
import re
from pathlib import Path
from typing import cast

import pytest

from tests.living import RawClient, living_proxy
from tests.scripted_upstream import completion

pytestmark = pytest.mark.anyio

ROUNDS = int(os.environ.get("IDLE_CLOSE_ROUNDS", "400"))
SEED = int(os.environ.get("IDLE_CLOSE_SEED", "32"))

ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
)


class Closing(asyncio.Protocol):
    """Answers, and closes within 5 ms; of what comes meanwhile some is never answered."""

    def __init__(self, seen: list[bytes], chance: random.Random) -> None:
        self._seen = seen
        self._chance = chance
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Note who asks, and answer mostly."""
        nonces = re.findall(rb"nonce-[0-9]+", data)
        self._seen += nonces
        if not nonces or self._transport.is_closing():
            return
        if self._timer is not None:
            self._timer.cancel()
            if self._chance.random() < 0.2:  # its close and the request have crossed
                self._transport.close()
                return
        self._transport.write(ANSWER % len(completion()) + completion())
        loop, wait_s = asyncio.get_running_loop(), self._chance.random() * 0.005
        self._timer = loop.call_later(wait_s, self._transport.close)


def asked(nonce: int) -> bytes:
    return json.dumps({"model": "m", "messages": [], "user": f"nonce-{nonce}"}).encode()


@pytest.mark.parametrize("transport", ["own", "httpx"])
async def test_f32_h80_a_post_into_a_closing_connection_is_never_sent_twice(
    tmp_path: Path, transport: str
) -> None:
    """It is answered once, or a 502 says whether the upstream may have seen it."""
    chance, seen = random.Random(SEED), list[bytes]()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Closing(seen, chance), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    its = {"default": {"url": url, "transport": transport}}
    statuses = []
    async with (
        server,
        living_proxy(tmp_path / "s.db", url, upstreams=its) as proxy,
        RawClient.connect(proxy.port) as client,
    ):
        for nonce in range(ROUNDS):
            await client.post("/v1/chat/completions", asked(nonce))
            status, headers = await client.head()
            body = await client.body(headers)
            statuses.append(status)
            told = headers.get("x-spiritsafe-upstream-contacted")
            expected = (completion(), None) if status == 200 else (body, "unknown")
            assert expected == (body, told), f"round {nonce}, seed {SEED}"
            await asyncio.sleep(chance.random() * 0.005)
    assert sorted(set(seen)) == sorted(seen)
    served = {b"nonce-%d" % n for n, status in enumerate(statuses) if status == 200}
    assert served <= set(seen)
    assert {200, 502} == set(statuses)
