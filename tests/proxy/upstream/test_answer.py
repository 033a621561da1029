"""One connection's bytes to one answer: framing, ends and refusals, at every split."""

import pytest

from proxy.upstream.answer import Answer
from proxy.upstream.errors import UpstreamGone, UpstreamProtocolError, UpstreamTruncated

LIMIT = 1024


def fed(
    wire: bytes, *, method: str = "POST", step: int = 0, upgrade: bool = False
) -> tuple[Answer, bytes]:
    answer = Answer(method, max_head_bytes=LIMIT, upgrade_asked=upgrade)
    step = step or len(wire)
    body = b"".join(answer.feed(wire[i : i + step]) for i in range(0, len(wire), step))
    return answer, body


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
INTERIM = b"HTTP/1.1 103 E\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
WHOLE = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "length", b"hello"),
    (CHUNKED + b"2\r\nhe\r\n3;x=1\r\nllo\r\n0\r\n\r\n", "chunked", b"hello"),
    (CHUNKED + b"5\r\nhello\r\n0\r\nTrailer-A: 1\r\n\r\n", "chunked", b"hello"),
    (b"HTTP/1.1 204 No Content\r\n\r\n", "none", b""),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "none", b""),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "length", b""),
    (INTERIM + b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", "length", b"x"),
]


@pytest.mark.parametrize(("wire", "framing", "body"), WHOLE)
def test_f36_an_answer_reads_the_same_at_every_split(
    wire: bytes, framing: str, body: bytes
) -> None:
    for cut in range(len(wire) + 1):
        answer = Answer("POST", max_head_bytes=LIMIT)
        read = answer.feed(wire[:cut]) + answer.feed(wire[cut:])
        assert (framing, body, True) == (answer.framing, read, answer.complete)
    for step in (1, 2, 3):
        answer, read = fed(wire, step=step)
        assert (framing, body, True) == (answer.framing, read, answer.complete)
        assert answer.reusable


def test_headers_keep_their_spelling_order_and_duplicates() -> None:
    wire = (
        b"HTTP/1.1 299 Odd Phrase\r\nX-b: 1\r\nx-A: 2\r\nSet-Cookie: c=1\r\n"
        b"set-cookie: c=2\r\nX-Latin: \xe9\r\nEmpty:\r\nContent-Length: 0\r\n\r\n"
    )
    answer, _ = fed(wire, step=1)
    assert answer.headers == [
        (b"X-b", b"1"),
        (b"x-A", b"2"),
        (b"Set-Cookie", b"c=1"),
        (b"set-cookie", b"c=2"),
        (b"X-Latin", b"\xe9"),
        (b"Empty", b""),
        (b"Content-Length", b"0"),
    ]
    assert (
        answer.status,
        answer.reason,
        answer.version,
    ) == (299, b"Odd Phrase", b"HTTP/1.1")


REFUSED = {
    "length and chunked": b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
    "chunked and length": b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
    "length twice": b"Content-Length: 3\r\nContent-Length: 3\r\n",
    "two lengths": b"Content-Length: 3\r\nContent-Length: 4\r\n",
    "length list": b"Content-Length: 3, 3\r\n",
    "length sign": b"Content-Length: +3\r\n",
    "length hex": b"Content-Length: 0x3\r\n",
    "length empty": b"Content-Length:\r\n",
    "length overflow": b"Content-Length: 99999999999999999999999\r\n",
    "coding gzip": b"Transfer-Encoding: gzip\r\n",
    "coding gzip, chunked": b"Transfer-Encoding: gzip, chunked\r\n",
    "coding chunked, identity": b"Transfer-Encoding: chunked, identity\r\n",
    "coding xchunked": b"Transfer-Encoding: xchunked\r\n",
    "coding twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "obs-fold": b"A: b\r\n c\r\n",
    "space before colon": b"A : b\r\n",
    "nameless": b": b\r\n",
    "nul": b"A: b\0c\r\n",
    "bare cr": b"A: b\rc\r\n",
    "bare lf": b"A: b\nB: c\r\n",
}


@pytest.mark.parametrize("lines", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("step", [0, 1])
def test_h20_ambiguous_heads_are_refused(lines: bytes, step: int) -> None:
    wire = b"HTTP/1.1 200 OK\r\n" + lines + b"\r\nabc"
    with pytest.raises(UpstreamProtocolError) as caught:
        fed(wire, step=step)
    assert caught.value.contacted == "yes"


@pytest.mark.parametrize(
    "line",
    [
        b"HTTP/1.1 200OK",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 abc OK",
        b"HTTP/2.0 200 OK",
        b"HTTP/0.9 200 OK",
        b"http/1.1 200 OK",
        b"RTSP/1.0 200 OK",
        b"ICY 200 OK",
        b"SSH-2.0-OpenSSH_9.6",
        b"",
        b"\x16\x03\x01",
    ],
)
def test_h20_what_is_no_status_line_is_refused(line: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        fed(line + b"\r\nContent-Length: 0\r\n\r\n")


def test_h20_chunked_in_http_1_0_is_refused() -> None:
    with pytest.raises(UpstreamProtocolError):
        fed(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")


@pytest.mark.parametrize("status", [b"000", b"001", b"099", b"600", b"999", b"1000"])
def test_h29_a_status_outside_100_to_599_is_refused(status: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        fed(b"HTTP/1.1 " + status + b" X\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("status", [200, 299, 451, 499, 500, 599])
def test_h29_every_other_status_passes(status: int) -> None:
    answer, _ = fed(b"HTTP/1.1 %d\r\nContent-Length: 0\r\n\r\n" % status)
    assert (status, b"") == (answer.status, answer.reason)


@pytest.mark.parametrize("step", [0, 1, 100])
def test_h20_a_head_over_the_limit_is_refused_and_one_at_it_passes(step: int) -> None:
    start, end = b"HTTP/1.1 204 N\r\nA: ", b"\r\n\r\n"
    fits = start + b"a" * (LIMIT - len(start)) + end
    assert fed(fits, step=step)[0].complete
    with pytest.raises(UpstreamProtocolError):
        fed(start + b"a" * (LIMIT - len(start) + 1) + end, step=step)


def test_f40_an_endless_head_never_grows_past_the_limit() -> None:
    answer = Answer("POST", max_head_bytes=LIMIT)
    answer.feed(b"HTTP/1.1 200 OK\r\n")
    fed_bytes = 17
    while fed_bytes <= LIMIT + 3 - 10:
        answer.feed(b"A: bbbbb\r\n")
        fed_bytes += 10
    with pytest.raises(UpstreamProtocolError):
        answer.feed(b"A: bbbbb\r\n")


@pytest.mark.parametrize("tail", [b"1;" + b"x" * 50, b"0\r\nT: " + b"x" * 50])
def test_f40_endless_trailers_and_extensions_are_refused(tail: bytes) -> None:
    answer, _ = fed(CHUNKED + tail)
    for _ in range(LIMIT // 10 - 10):
        answer.feed(b"x" * 10)
    with pytest.raises(UpstreamProtocolError):
        answer.feed(b"x" * 200)


def test_h25_fifty_interim_answers_pass_and_fifty_one_do_not() -> None:
    interim, final = b"HTTP/1.1 102 P\r\n\r\n", b"HTTP/1.1 204 N\r\n\r\n"
    assert fed(interim * 50 + final)[0].status == 204
    with pytest.raises(UpstreamProtocolError):
        fed(interim * 51 + final)


def test_h25_headers_of_interim_answers_are_dropped() -> None:
    answer, _ = fed(
        b"HTTP/1.1 103 Early\r\nLink: </a>\r\nContent-Length: 7\r\nConnection: close"
        b"\r\n\r\nHTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"
    )
    assert answer.headers == [(b"Content-Length", b"0")]
    assert (answer.reason, answer.reusable) == (b"", True)


SWITCH = b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


@pytest.mark.parametrize("step", [0, 1])
def test_h25_101_is_taken_only_when_asked_for(step: int) -> None:
    answer, body = fed(SWITCH + b"frames", step=step, upgrade=True)
    assert (
        answer.status,
        answer.surplus,
        body,
        answer.reusable,
    ) == (101, b"frames", b"", False)
    with pytest.raises(UpstreamProtocolError):
        fed(SWITCH + b"frames", step=step)


def test_an_upgrade_header_on_another_status_changes_nothing() -> None:
    answer, body = fed(
        b"HTTP/1.1 426 Upgrade\r\nConnection: upgrade\r\nUpgrade: h2c\r\n"
        b"Content-Length: 2\r\n\r\nno"
    )
    assert (answer.status, body, answer.complete) == (426, b"no", True)


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n",
        CHUNKED + b"2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        CHUNKED + b"2\r\nok\r\n0\r\n\r\nH",
        CHUNKED + b"2\r\nok\r\n0\r\n\r\n{}",
    ],
)
@pytest.mark.parametrize("step", [0, 1, 7])
def test_h21_surplus_bytes_are_dropped_and_end_the_connection(
    wire: bytes, step: int
) -> None:
    answer, body = fed(wire, step=step)
    assert (body, answer.complete, answer.reusable) == (b"ok", True, False)
    assert len(answer.headers) == 1


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", 200), ("POST", 204), ("POST", 304)]
)
@pytest.mark.parametrize(
    "framing", [b"Content-Length: 4", b"Transfer-Encoding: chunked"]
)
def test_h26_an_answer_without_body_has_none_even_if_bytes_follow(
    method: str, status: int, framing: bytes
) -> None:
    wire = b"HTTP/1.1 %d X\r\n%b\r\n\r\n" % (status, framing)
    for step in (0, 1):
        answer, body = fed(wire + b"4\r\nevil\r\n0\r\n\r\n", method=method, step=step)
        assert (body, answer.complete, answer.reusable) == (b"", True, False)
    assert fed(wire, method=method)[0].reusable


def test_h27_trailers_are_not_merged_into_headers() -> None:
    answer, body = fed(CHUNKED + b"1\r\na\r\n0\r\nAuthorization: x\r\nB: c\r\n\r\n")
    assert answer.headers == [(b"Transfer-Encoding", b"Chunked")]
    assert (body, answer.complete, answer.reusable) == (b"a", True, True)


@pytest.mark.parametrize(
    "chunk",
    [b"0x1\r\na", b"-1\r\na", b"g\r\na", b" 1\r\na", b"1\na\n", b"1\r\nab\r\n"],
)
def test_a_bad_chunk_is_refused(chunk: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        fed(CHUNKED + chunk + b"\r\n0\r\n\r\n")


TRUNCATED = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
    CHUNKED + b"5\r\nhell",
    CHUNKED + b"5\r\nhello\r\n",
    CHUNKED + b"5\r\nhello\r\n0\r\n",
    CHUNKED + b"5\r\nhello\r\n0\r\nT: x\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Le",
    b"HTTP/1.1 100 Continue\r\n\r\n",
]


@pytest.mark.parametrize("wire", TRUNCATED)
@pytest.mark.parametrize("clean", [True, False])
def test_h22_an_early_end_is_truncation(wire: bytes, *, clean: bool) -> None:
    answer, _ = fed(wire)
    with pytest.raises(UpstreamTruncated):
        answer.end(clean=clean)
    assert not answer.complete


def test_h23_a_body_until_close_ends_with_a_clean_close_only() -> None:
    answer, body = fed(b"HTTP/1.1 200 OK\r\n\r\nall of it", step=3)
    assert (body, answer.framing, answer.complete) == (b"all of it", "close", False)
    answer.end(clean=True)
    answer.end(clean=False)  # the connection's loss follows; the answer is complete
    assert (answer.complete, answer.reusable) == (True, False)
    answer, _ = fed(b"HTTP/1.1 200 OK\r\n\r\nall of it")
    with pytest.raises(UpstreamTruncated):
        answer.end(clean=False)


def test_no_byte_at_all_is_gone_and_not_truncated() -> None:
    answer = Answer("POST", max_head_bytes=LIMIT)
    with pytest.raises(UpstreamGone) as caught:
        answer.end(clean=True)
    assert caught.value.contacted == "unknown"


@pytest.mark.parametrize(
    ("version", "line", "reusable"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: close\r\n", False),
        (b"1.1", b"Connection: x, Close\r\n", False),
        (b"1.1", b"Connection: x\r\nconnection: close\r\n", False),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: Keep-Alive\r\n", True),
    ],
)
def test_h30_connection_options_decide_on_reuse(
    version: bytes, line: bytes, *, reusable: bool
) -> None:
    wire = b"HTTP/" + version + b" 200 OK\r\n" + line + b"Content-Length: 0\r\n\r\n"
    assert reusable == fed(wire)[0].reusable


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [(b"timeout=5, max=100", 5.0), (b"max=1, Timeout=7", 7.0), (b"timeout=x", None)],
)
def test_h30_the_announced_keep_alive_is_read(
    value: bytes, wait_s: float | None
) -> None:
    wire = b"HTTP/1.1 204 N\r\nKeep-Alive: " + value + b"\r\n\r\n"
    assert wait_s == fed(wire)[0].keep_alive_s
