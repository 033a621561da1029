"""Short ways to spell a stream and to look at what came of it."""

import json

from proxy.sse import Events
from proxy.stitch import Stitched, stitch
from storage.records import Endpoint, Json
from tests.proxy.vectors import CHAT


def read(endpoint: Endpoint, *pieces: bytes, ended_clean: bool = True) -> Stitched:
    events = Events()
    cut = [e for i, piece in enumerate(pieces) for e in events.feed(piece, seen_us=i)]
    return stitch(endpoint, cut + events.close(), ended_clean=ended_clean)


def chat(name: str) -> Stitched:
    return read("chat", CHAT[name])


def choice(stitched: Stitched, index: int = 0) -> dict[str, Json]:
    found: dict[str, Json] = stitched.whole["choices"][index]
    return found


def message(stitched: Stitched) -> dict[str, Json]:
    found: dict[str, Json] = choice(stitched)["message"]
    return found


def delta(**members: Json) -> bytes:
    return json.dumps({"choices": [{"index": 0, "delta": members}]}).encode()
