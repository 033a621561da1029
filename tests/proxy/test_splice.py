"""Claims about editing bodies, checked by a second tokenizer and three parsers."""

import json
from collections.abc import Callable, Mapping

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import splice
from storage.records import Edit
from tests.proxy import corpus, tokens

BODIES = corpus.bodies()
NEW = {"store": b"true", "metadata": b'{"env":"dev"}'}

Parser = Callable[[bytes], object]
PARSERS: tuple[Parser, ...] = (json.loads, orjson.loads, msgspec.json.decode)


def undo(sent: bytes, client: bytes, sets: Mapping[str, bytes]) -> bytes:
    """Take the declared edits out of what was sent; knows nothing of `splice`."""
    before = {json.loads(key): value for key, value in tokens.values(client)}
    for member in reversed(tokens.members(sent)):
        name = json.loads(member.spelled)
        if name not in sets:
            continue
        assert sets[name] == sent[member.value_start : member.value_end]
        if name in before:
            start, end, put = member.value_start, member.value_end, before[name]
        else:
            start, end, put = member.key_start, member.value_end, b""
            end += sent[end : end + 1] == b","
        sent = sent[:start] + put + sent[end:]
    return sent


def editable() -> list[tuple[str, bytes]]:
    return [(name, body) for name, body in BODIES if splice.read(body).doubt is None]


def check(name: str, body: bytes, sets: Mapping[str, bytes]) -> None:
    sent = splice.apply(body, sets).body
    assert (name, body) == (name, undo(sent, body, sets))
    untouched = [
        pair for pair in tokens.values(body) if json.loads(pair[0]) not in sets
    ]
    after = [pair for pair in tokens.values(sent) if json.loads(pair[0]) not in sets]
    assert (name, untouched) == (name, after)
    names = [json.loads(key) for key, _ in tokens.values(sent)]
    assert (name, len(names)) == (name, len(set(names)))
    assert set(sets) <= set(names)
    edits = [Edit("body", member, text.decode()) for member, text in sets.items()]
    assert (name, sent) == (name, splice.reapply(body, edits))


def test_corpus_holds_over_300_bodies_without_the_suite() -> None:
    assert len(dict(corpus.built_in())) == len(list(corpus.built_in())) >= 300
    assert len(BODIES) >= 300


def test_suite_is_there() -> None:
    if corpus.suite_folder() is None:
        pytest.skip(f"JSONTestSuite is missing: no {corpus.SUITE} in a folder above")
    assert len(list(corpus.suite())) > 300


def test_without_an_edit_every_body_is_the_same_object() -> None:
    for name, body in BODIES:
        spliced = splice.apply(body, {})
        assert (name, True, None) == (name, spliced.body is body, spliced.doubt)


def test_a_doubted_body_is_the_same_object() -> None:
    doubts = set()
    for name, body in BODIES:
        spliced = splice.apply(body, NEW)
        if spliced.doubt is not None:
            doubts.add(spliced.doubt)
            assert (name, True) == (name, spliced.body is body)
    assert doubts == {
        "not_json",
        "not_object",
        "duplicate_member",
        "too_deep",
        "bad_utf8",
        "too_many_members",
    }


def test_sent_minus_inserted_members_is_what_the_client_sent() -> None:
    for name, body in editable():
        sets = {"x-new-1": b"true", "x-new-2": b'{"a":"}"}'}
        check(name, body, sets)
        sent = splice.apply(body, sets).body
        brace = body.index(b"{") + 1
        assert (name, body[brace:]) == (name, sent[len(sent) - len(body[brace:]) :])


def test_sent_minus_replaced_members_is_what_the_client_sent() -> None:
    replaced = 0
    for name, body in editable():
        names = [json.loads(key) for key, _ in tokens.values(body)]
        for member in {*names[:3], *names[-2:]}:
            check(name, body, {member: b'["put", {"here": 1}]'})
            replaced += 1
    assert replaced > 300


def test_sent_minus_both_kinds_of_edits_is_what_the_client_sent() -> None:
    for name, body in editable():
        check(name, body, NEW)


def test_valid_files_stay_valid_under_three_parsers() -> None:
    for name, body in editable():
        sent = splice.apply(body, NEW).body
        for parser in PARSERS:
            if name.startswith("y_") or _takes(parser, body):
                assert (name, parser, True) == (name, parser, _takes(parser, sent))


def test_every_valid_object_of_the_suite_is_editable_but_for_known_reasons() -> None:
    for name, body in BODIES:
        if not name.startswith("y_object"):
            continue
        pairs: list[tuple[str, object]] = json.loads(body, object_pairs_hook=list)
        unique = len({key for key, _ in pairs}) == len(pairs)
        assert (name, unique) == (name, splice.read(body).doubt is None)


@pytest.mark.parametrize(
    ("body", "doubt"),
    [
        (b'{"a":1,"a":2}', "duplicate_member"),
        (b'{"a":1,"a":1}', "duplicate_member"),
        (b'{"store":1, "x":2, "store":1}', "duplicate_member"),
        (b'{"a":NaN}', "not_json"),
        (rb'{"a":"\ud800"}', "not_json"),
        (b'\xef\xbb\xbf{"a":1}', "not_json"),
        ('{"a":1}'.encode("utf-16"), "not_json"),
        (b'{"\xff":1}', "bad_utf8"),
        (b'{"a":1} {"b":2}', "not_json"),
        (b"[1]", "not_object"),
        (b"", "not_json"),
        (b"null", "not_object"),
    ],
)
def test_j01_to_j11_a_doubt_is_named(body: bytes, doubt: str) -> None:
    assert splice.Spliced(body, doubt) == splice.apply(body, NEW)


def test_j02_j03_j04_numbers_keep_their_text() -> None:
    body = (
        b'{"a":1e400,"b":-0,"c":1.0,"f":1E+2,"d":'
        + b"7" * 5000
        + b',"e":0.12345678901234567890123}'
    )
    assert b'{"store":true,' + body[1:] == splice.apply(body, {"store": b"true"}).body


def test_j05_depth_is_kept_or_doubted() -> None:
    deep = b'{"a":' + b"[" * 900 + b"]" * 900 + b"}"
    assert splice.apply(deep, {"b": b"1"}).body == b'{"b":1,' + deep[1:]
    deeper = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert splice.apply(deeper, {"b": b"1"}) == splice.Spliced(deeper, "too_deep")


def test_j08_invalid_utf8_in_a_value_is_kept() -> None:
    assert (
        splice.apply(b'{"a":"\xff\xc3"}', {"b": b"1"}).body == b'{"b":1,"a":"\xff\xc3"}'
    )


def test_j10_white_space_and_escapes_between_members_are_kept() -> None:
    body = b' {\r\n\t"a\\/b" : "\\/" ,\n"store"\t:\tfalse , "c":"\xc3\xa9" } \n'
    expected = body.replace(b"false", b"true")
    assert expected == splice.apply(body, {"store": b"true"}).body


def test_j12_a_member_is_never_there_twice() -> None:
    for spelled in (b'"store"', rb'"st\u006fre"', rb'"\u0073\u0074\u006f\u0072\u0065"'):
        body = b"{" + spelled + b":false}"
        expected = b"{" + spelled + b":true}"
        assert expected == splice.apply(body, {"store": b"true"}).body


@pytest.mark.parametrize(
    "body",
    [
        b'{"":0,"":0}',
        b'{"a":1,"a":1}',
        b'{"a":1,"":0,"":0}',
        '{"é":1,"b":2,"é":1}'.encode(),
        b'{"a" : 1, "a":1 }\n',
    ],
)
def test_j01_the_shortest_second_member_is_seen(body: bytes) -> None:
    """Whether a body has none is first told from its length."""
    assert splice.read(body).doubt == "duplicate_member"


def test_j13_an_escaped_spelling_is_the_same_member() -> None:
    body = rb'{"model":"a","m\u006fdel":"b"}'
    assert splice.apply(body, NEW).doubt == "duplicate_member"


def test_j14_s48_members_are_not_read_beyond_the_cap() -> None:
    most = b",".join(b'"k%d":1' % number for number in range(splice.MAX_MEMBERS))
    assert splice.apply(b"{" + most + b"}", NEW).doubt is None
    broken_behind_the_cap = b"{" + most + b',"one":1, and this is never read'
    assert splice.apply(broken_behind_the_cap, NEW).doubt == "too_many_members"


def test_an_empty_object_gets_no_comma() -> None:
    assert splice.apply(b" { } ", {"a": b"1", "b": b"2"}).body == b' {"a":1,"b":2 } '


def test_a_new_name_is_quoted() -> None:
    assert splice.apply(b"{}", {'a"é': b"1"}).body == '{"a\\"é":1}'.encode()


def test_reapplying_takes_body_edits_only() -> None:
    edits = [
        Edit("header", "accept-encoding", "identity"),
        Edit("body", "store", "true"),
    ]
    assert splice.reapply(b'{"a":1}', edits) == b'{"store":true,"a":1}'


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(max_size=4), JSON, max_size=5),
    st.sampled_from([True, False]),
    st.sampled_from([(",", ":"), (" ,\t", "\n: ")]),
    st.data(),
)
def test_any_object_keeps_its_other_bytes(
    value: dict[str, object],
    ascii_only: bool,  # noqa: FBT001  hypothesis passes by position
    separators: tuple[str, str],
    data: st.DataObject,
) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only, separators=separators).encode()
    name = data.draw(st.sampled_from([*value, "store"]))
    check("hypothesis", body, {name: b"[]", "more": b"1"})


@given(st.binary(max_size=40))
def test_no_bytes_raise(noise: bytes) -> None:
    for body in (noise, b"{" + noise + b"}", b'{"a":' + noise + b',"b":1}'):
        spliced = splice.apply(body, NEW)
        if spliced.doubt is None:
            assert body == undo(spliced.body, body, NEW)
        else:
            assert spliced.body is body


def _takes(parser: Parser, body: bytes) -> bool:
    try:
        parser(body)
    except (ValueError, RecursionError):
        return False
    return True
