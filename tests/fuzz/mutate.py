"""Changes valid requests a little: bytes lost, doubled, turned, and tokens put in."""

import random

from tests.scripted_upstream import CHAT

HIDDEN = b"GET /v1/hidden HTTP/1.1\r\nHost: x\r\n\r\n"
"""A request that stands in a body: whoever forwards it was talked into it."""


def post(target: bytes, body: bytes, *fields: bytes, version: bytes = b"1.1") -> bytes:
    """Return a POST with a length."""
    lines = [b"POST %b HTTP/%b" % (target, version), b"Host: 127.0.0.1", *fields]
    lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(target: bytes, body: bytes, *fields: bytes) -> bytes:
    """Return a POST in two chunks, one with an extension, and a trailer."""
    lines = [b"POST %b HTTP/1.1" % target, b"Host: 127.0.0.1", *fields]
    lines.append(b"Transfer-Encoding: chunked")
    half = len(body) // 2
    return (
        b"\r\n".join(lines)
        + b"\r\n\r\n%x;a=b\r\n%b\r\n" % (half, body[:half])
        + b"%x\r\n%b\r\n0\r\nX-Trailer: t\r\n\r\n" % (len(body) - half, body[half:])
    )


CHAT_TARGET = b"/v1/chat/completions"
GET = b"GET /v1/models?limit=2 HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n"

VALID = (
    post(CHAT_TARGET, CHAT, b"Authorization: Bearer k"),
    post(b"/v1/files", HIDDEN, b"Content-Type: text/plain"),
    post(b"/v1/files", b"x" * 40 + HIDDEN, b"Expect: 100-continue"),
    post(CHAT_TARGET, CHAT) + GET,
    post(b"/v1/files", b"0\r\n\r\n" + HIDDEN, b"Connection: keep-alive"),
    post(b"/v1/files", HIDDEN, b"Connection: close"),
    post(b"/v1/files", b"abc", version=b"1.0"),
    chunked(CHAT_TARGET, CHAT),
    chunked(b"/v1/files", HIDDEN),
    chunked(b"/v1/files", b"abc") + GET,
    GET + GET,
    GET.replace(b"GET", b"HEAD"),
    GET.replace(b"GET", b"OPTIONS"),
    GET.replace(b"GET", b"DELETE"),
    GET.replace(b"Accept: */*", b"Connection: x-a\r\nX-A: b\r\nTE: trailers"),
    b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
)

TOKENS = (
    b"\r\n", b"\n", b"\r", b"\x00", b" ", b"\t", b":", b";", b",", b"\x0b", b"\x85",
    b"\r\n\r\n", b"0\r\n\r\n", b"Transfer-Encoding: chunked\r\n", b"chunked", b"+5",
    b"Content-Length: 3\r\n", b"Content-Length: 0\r\n", b"Content-Length: 05\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n", b"Transfer_Encoding: chunked\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n", b"Transfer-Encoding : chunked\r\n",
    b"Connection: close\r\n", b"Connection: content-length\r\n", b"Host: b\r\n",
    b"Expect: 100-continue\r\n", b"X-Long: " + b"y" * 900 + b"\r\n", b"\r\n folded",
    b"Upgrade: h2c\r\nConnection: Upgrade\r\n", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0",
    b"http://127.0.0.1", b"//evil", b"@evil", b"%2e%2e/", b"../", b"%00", b"#", b"?",
    b"1_0", b"0x5", b"-1", b"5;", b"ffffffffffffffffff", b"POST", b"CONNECT", b"PRI * ",
    HIDDEN,
)  # fmt: skip


def mutated(choose: random.Random) -> bytes:
    """Return one of the valid requests with one to four changes."""
    data = bytearray(choose.choice(VALID))
    for _ in range(choose.choice((1, 1, 1, 2, 2, 3, 4))):
        at = choose.randrange(len(data) + 1)
        if choose.random() < 0.6:  # what matters stands in the head
            at = choose.randrange(max(1, data.find(b"\r\n\r\n") + 4))
        how = choose.randrange(6)
        if how == 0:
            data[at : at + choose.choice((1, 1, 2, 8))] = b""
        elif how == 1:
            data[at:at] = data[at : at + choose.randint(1, 30)]
        elif how == 2 and at < len(data):
            data[at] ^= 1 << choose.randrange(8)
        elif how == 3:
            data[at:at] = bytes((choose.randrange(256),))
        else:
            lines = data.find(b"\r\n", at)
            where = at if choose.random() < 0.5 or lines < 0 else lines + 2
            data[where:where] = choose.choice(TOKENS)
    return bytes(data)
