"""Claims about header pairs on each hop and in the record."""

import pytest

from proxy import headers
from proxy.errors import ControlError

HOST = b"api.openai.com"


def up(*pairs: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    return headers.to_upstream(pairs, host=HOST)


@pytest.mark.parametrize(
    "name",
    [
        b"Connection", b"Proxy-Connection", b"keep-alive", b"TE", b"Trailer",
        b"Transfer-Encoding", b"upgrade", b"HTTP2-Settings", b"Proxy-Authenticate",
        b"Proxy-Authorization", b"alt-svc", b"proxy-foo", b"expect",
    ],
)  # fmt: skip
def test_h35_hop_by_hop_does_not_reach_the_upstream(name: bytes) -> None:
    assert up((name, b"x"), (b"a", b"b")) == [(b"host", HOST), (b"a", b"b")]


def test_h35_connection_names_are_removed_from_several_lines_both_ways() -> None:
    pairs = [
        (b"connection", b"Keep-Alive, X-One ,,"),
        (b"x-one", b"1"),
        (b"X-Two", b"2"),
        (b"Connection", b"\tx-two"),
        (b"x-three", b"3"),
    ]
    assert up(*pairs) == [(b"host", HOST), (b"x-three", b"3")]
    assert headers.to_client(pairs) == [(b"x-three", b"3")]


@pytest.mark.parametrize("name", [b"Trailer", b"Alt-Svc", b"Keep-Alive", b"Upgrade"])
def test_h35_hop_by_hop_does_not_reach_the_client(name: bytes) -> None:
    assert headers.to_client([(name, b"x"), (b"A", b"b")]) == [(b"a", b"b")]


def test_h36_connection_cannot_delete_what_is_ours() -> None:
    pairs = [
        (b"connection", b"host, authorization, content-length, accept-encoding, via"),
        (b"host", b"127.0.0.1"),
        (b"authorization", b"Bearer client"),
        (b"content-length", b"3"),
        (b"accept-encoding", b"gzip"),
    ]
    sent = headers.to_upstream(
        pairs,
        host=HOST,
        content_length=7,
        identity=True,
        authorization=b"Bearer ours",
        via=b"spiritsafe-1",
    )
    assert sent == [
        (b"host", HOST),
        (b"authorization", b"Bearer ours"),
        (b"accept-encoding", b"identity"),
        (b"content-length", b"7"),
        (b"via", b"1.1 spiritsafe-1"),
    ]


def test_h36_an_upstream_cannot_delete_our_answer_headers() -> None:
    pairs = [(b"connection", b"x-spiritsafe-id"), (b"x-spiritsafe-id", b"forged")]
    assert headers.to_client(pairs, [(b"x-spiritsafe-id", b"ex_1")]) == [
        (b"x-spiritsafe-id", b"ex_1")
    ]


def test_an_upstream_cannot_speak_in_our_name() -> None:
    pairs = [(b"X-Spiritsafe-Error", b"forged"), (b"x-spirit", b"kept")]
    assert headers.to_client(pairs) == [(b"x-spirit", b"kept")]


def test_h37_order_duplicates_and_bytes_are_kept() -> None:
    pairs = [
        (b"x-b", b"1"),
        (b"x-a", b"  spaced\t"),
        (b"x-b", b"2"),
        (b"cookie", b"c"),
        (b"x-b", b"1"),
    ]
    assert [(b"host", HOST), *pairs] == up(*pairs)


def test_h37_set_cookies_stay_separate_and_ordered() -> None:
    pairs = [
        (b"set-cookie", b"b=1"),
        (b"x", b"y"),
        (b"set-cookie", b"a=2, x"),
        (b"set-cookie", b"b=3"),
    ]
    assert pairs == headers.to_client(pairs)


def test_h38_nothing_is_invented() -> None:
    assert up() == [(b"host", HOST)]
    assert headers.to_client([]) == []


def test_h39_host_is_the_upstreams() -> None:
    assert up((b"Host", b"evil.example"), (b"host", b"two")) == [(b"host", HOST)]


def test_h40_forwarding_headers_of_the_client_are_dropped() -> None:
    assert up(
        (b"x-forwarded-for", b"1.2.3.4"),
        (b"X-Forwarded-Host", b"evil"),
        (b"forwarded", b"for=1.2.3.4"),
        (b"via", b"1.1 other"),
        (b"x-real-ip", b"1.2.3.4"),
    ) == [(b"host", HOST)]


def test_h40_our_own_mark_is_seen_and_marks_of_others_are_kept() -> None:
    first = headers.to_upstream([], host=HOST, via=b"spiritsafe-aa")
    second = headers.to_upstream(first, host=HOST, via=b"spiritsafe-bb")
    assert second[1:] == [
        (b"via", b"1.1 spiritsafe-aa"),
        (b"via", b"1.1 spiritsafe-bb"),
    ]
    other = headers.to_upstream([(b"via", b"1.1 x, y")], host=HOST, via=b"spiritsafe-a")
    assert other[1:] == [(b"via", b"1.1 spiritsafe-a")]
    assert headers.looped(second, b"spiritsafe-aa")
    assert headers.looped([(b"Via", b"1.0 x, 1.1 spiritsafe-bb")], b"spiritsafe-bb")
    assert not headers.looped(second, b"spiritsafe-cc")
    assert not headers.looped(
        [(b"via", b"spiritsafe-aa"), (b"a", b"b")], b"spiritsafe-aa"
    )


def test_h42_obs_text_round_trips() -> None:
    pair = (b"x-name", bytes(range(0x80, 0x100)))
    assert [(b"host", HOST), pair] == up(pair)
    assert [pair] == headers.to_client([pair])
    assert headers.control([(b"x-stainless-retry-count", b"\xb2")]).retry_count == 0


def test_h43_content_length_is_ours_or_left_to_the_transport() -> None:
    assert up((b"content-length", b"5")) == [(b"host", HOST)]
    sent = headers.to_upstream([(b"Content-Length", b"5")], host=HOST, content_length=9)
    assert sent == [(b"host", HOST), (b"content-length", b"9")]


def test_h63_accept_encoding_is_passed_or_identity_once() -> None:
    pairs = [(b"accept-encoding", b"gzip"), (b"Accept-Encoding", b"br")]
    assert [(b"host", HOST), *pairs] == up(*pairs)
    sent = headers.to_upstream(pairs, host=HOST, identity=True)
    assert sent == [(b"host", HOST), (b"accept-encoding", b"identity")]


def test_our_control_headers_do_not_reach_the_upstream() -> None:
    assert up((b"X-Spiritsafe-Tags", b"a=b"), (b"x-spiritsafe-x", b"")) == [
        (b"host", HOST)
    ]


def test_s05_our_key_takes_the_place_of_every_credential() -> None:
    pairs = [
        (b"Authorization", b"a"),
        (b"api-key", b"b"),
        (b"X-Api-Key", b"c"),
        (b"x-goog-api-key", b"d"),
    ]
    sent = headers.to_upstream(pairs, host=HOST, authorization=b"Bearer ours")
    assert sent == [(b"host", HOST), (b"authorization", b"Bearer ours")]


def test_s01_only_the_allow_list_is_recorded() -> None:
    kept = [
        (b"Content-Type", b"application/json"),
        (b"user-agent", b"OpenAI/Python 3"),
        (b"x-stainless-lang", b"python"),
        (b"openai-organization", b"org"),
        (b"X-RateLimit-Reset-Tokens", b"6m0s"),
        (b"x-request-id", b"req_1"),
        (b"x-client-request-id", b"mine"),
        (b"retry-after-ms", b"5"),
    ]
    secret = [
        (name, b"CANARY")
        for name in (
            b"Authorization", b"api-key", b"x-api-key", b"x-goog-api-key", b"cookie",
            b"set-cookie", b"proxy-authorization", b"openai-api-key", b"x-unknown",
            b"x-stainless-api-key", b"sec-websocket-protocol", b"x-auth-token",
        )
    ]  # fmt: skip
    assert tuple(kept) == headers.recorded([*secret, *kept, *secret])


def test_control_reads_what_is_asked() -> None:
    asked = headers.control(
        [
            (b"X-Spiritsafe-Tags", b" team = billing ,task=triage,, url=http://a?b=c"),
            (b"x-spiritsafe-tags", "name=Zoë,task=later,empty=".encode()),
            (b"x-spiritsafe-schema", b" invoice@2 "),
            (b"x-spiritsafe-record", b"OFF"),
            (b"x-stainless-retry-count", b"2"),
            (b"content-encoding", b" GZIP"),
            (b"content-type", b"application/json; charset=utf-8"),
            (b"accept-encoding", b"gzip"),
        ]
    )
    assert asked == headers.Control(
        tags={
            "team": "billing",
            "task": "later",
            "url": "http://a?b=c",
            "name": "Zoë",
            "empty": "",
        },
        schema="invoice@2",
        record=False,
        retry_count=2,
        encoding=b"gzip",
        json=True,
        accept_encoding=b"gzip",
    )


def test_control_without_headers_records_plainly() -> None:
    assert headers.Control() == headers.control([(b"x", b"y")])
    assert headers.control([(b"x-spiritsafe-record", b"on")]).record


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"x-spiritsafe-tags", b"team"),
        (b"x-spiritsafe-tags", b"=x"),
        (b"x-spiritsafe-tags", b"a=b,c"),
        (b"x-spiritsafe-tags", b"a=\xff"),
        (b"x-spiritsafe-tags", b"a=\x00"),
        (b"x-spiritsafe-tags", "a=x\u2028y".encode()),
        (b"x-spiritsafe-schema", b""),
        (b"x-spiritsafe-schema", b"../x"),
        (b"x-spiritsafe-schema", b"a@b"),
        (b"x-spiritsafe-schema", b"a\xffb"),
        (b"x-spiritsafe-record", b"no"),
        (b"x-spiritsafe-record", b""),
    ],
)
def test_s41_a_control_header_that_cannot_be_obeyed_is_a_400(
    name: bytes, value: bytes
) -> None:
    with pytest.raises(ControlError, match=name.decode()) as caught:
        headers.control([(name, value)])
    assert caught.value.status_hint == 400
    assert caught.value.param == name.decode()
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("pairs", "query", "key"),
    [
        ([(b"Authorization", b"Bearer sk-1")], b"", b"sk-1"),
        ([(b"authorization", b"bearer  sk-1 ")], b"key=other", b"sk-1"),
        ([(b"authorization", b"Basic abc")], b"", b"Basic abc"),
        ([(b"api-key", b"sk-1")], b"", b"sk-1"),
        ([(b"X-Api-Key", b"sk-1")], b"", b"sk-1"),
        ([(b"x-goog-api-key", b"sk-1")], b"", b"sk-1"),
        ([(b"api-key", b"b"), (b"authorization", b"Bearer a")], b"", b"a"),
        ([(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")], b"", b"a"),
        ([(b"authorization", b" "), (b"api-key", b"b")], b"", b"b"),
        ([], b"a=b&key=sk%2D1", b"sk-1"),
        ([], b"api%2Dkey=sk-1", b"sk-1"),
        ([], b"API_KEY=sk-1&key=x", b"sk-1"),
        ([], b"key=&monkey=1", None),
        ([(b"cookie", b"key=1")], b"", None),
        ([], b"", None),
    ],
)
def test_s02_the_same_key_is_the_same_credential_however_it_is_sent(
    pairs: list[tuple[bytes, bytes]], query: bytes, key: bytes | None
) -> None:
    assert key == headers.credential(pairs, query)


def test_s02_a_bearer_without_a_key_is_no_credential() -> None:
    assert headers.credential([(b"authorization", b"Bearer ")]) is None
    pairs = [(b"authorization", b"bearer"), (b"api-key", b"sk-1")]
    assert headers.credential(pairs) == b"sk-1"
