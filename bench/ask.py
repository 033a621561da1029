"""The requests of every measurement: chat completions, headers of the Python client."""

import json
import random
from pathlib import Path

NONCE = "@" * 16  # the load generator and wrk put the request's number here
MESSAGE_BYTES = 2500
VOCABULARY = 2000  # words, the n-th used in proportion to 1/n, as in real prose

HEADERS = {
    "accept": "application/json",
    "content-type": "application/json",
    "authorization": "Bearer sk-bench",
    "user-agent": "OpenAI/Python 3.3.1",
    "accept-encoding": "gzip, deflate",
    "x-stainless-lang": "python",
    "x-stainless-os": "Linux",
    "x-stainless-retry-count": "0",
}


def words() -> list[str]:
    """Return words of a language that nobody speaks, always the same."""
    draw = random.Random(1)
    letters = "eeeeeeaaaaooiiuttttnnnnssssrrrhhllddccmfpgwybvk"
    return ["".join(draw.choices(letters, k=2 + n % 8)) for n in range(VOCABULARY)]


WORDS = words()
WEIGHTS = [1 / (rank + 3) for rank in range(VOCABULARY)]


def prose(number: int, size: int) -> str:
    """Return text of this size that no other number has; it packs as prose does."""
    draw = random.Random(number)
    return " ".join(draw.choices(WORDS, WEIGHTS, k=size // 3 + 1))[:size]


def body(size: int, *, stream: bool = False) -> str:
    """Return a request of about `size` bytes; its last message differs every time."""
    said = f"Question {NONCE}: what is a spirit safe, and why is it locked?"
    earlier = [
        {"role": ("user", "assistant")[n % 2], "content": prose(n, MESSAGE_BYTES)}
        for n in range(size // MESSAGE_BYTES)
    ]
    rules = "You are a helpful assistant. You answer in one paragraph. "
    rest = max(size - len(earlier) * (MESSAGE_BYTES + 40) - 280, 0)
    messages = [
        {"role": "system", "content": rules + prose(99, rest)},
        *earlier,
        {"role": "user", "content": said},
    ]
    asked = {"messages": messages, "model": "m-1", "temperature": 0.2}
    if stream:
        asked["stream"] = True
    return json.dumps(asked, separators=(",", ":"))


def whole(text: str, headers: dict[str, str]) -> bytes:
    """Return the bytes of one request, for the load generator."""
    lines = [f"{name}: {value}" for name, value in (HEADERS | headers).items()]
    head = "\r\n".join(
        (
            "POST /v1/chat/completions HTTP/1.1",
            "host: 127.0.0.1",
            f"content-length: {len(text)}",
            *lines,
        )
    )
    return f"{head}\r\n\r\n{text}".encode()


def script(place: Path, text: str, headers: dict[str, str], *, seed: int) -> Path:
    """Write and return wrk's script, which numbers its requests from the seed on."""
    lead, trail = text.split(NONCE)
    pairs = ", ".join(f'["{n}"]="{v}"' for n, v in (HEADERS | headers).items())
    path = place / "ask.lua"
    path.write_text(
        f"local n = {seed * 10_000_000}\nlocal headers = {{{pairs}}}\n"
        f"local lead, trail = [==[{lead}]==], [==[{trail}]==]\n"
        "function request()\n  n = n + 1\n"
        '  return wrk.format("POST", "/v1/chat/completions", headers,\n'
        '    lead .. string.format("%016d", n) .. trail)\nend\n'
    )
    return path
