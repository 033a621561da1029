"""Splitting: whatever comes in comes back, byte for byte."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.split import LARGE_BYTES, MAX_ELEMENTS, join, split

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner)
    ),
    max_leaves=12,
)
members = st.sampled_from(["messages", "input", "tools", "model", "metadata"])
bodies = st.dictionaries(members, json_values | st.lists(json_values))
styles = st.sampled_from(
    [(None, (",", ":")), (None, (", ", ": ")), (2, None), ("\t", None)]
)


def rejoined(body: bytes) -> bytes:
    parted = split(body)
    return join(parted.skeleton, parted.cuts)


@given(st.binary())
def test_any_bytes_come_back(body: bytes) -> None:
    assert rejoined(body) == body


@given(bodies, styles, st.booleans())
def test_any_json_comes_back(
    body: dict[str, object],
    style: tuple[int | str | None, tuple[str, str] | None],
    ascii_only: bool,  # noqa: FBT001  hypothesis gives arguments by position
) -> None:
    text = json.dumps(
        body, indent=style[0], separators=style[1], ensure_ascii=ascii_only
    )
    raw = text.encode("utf-8", "surrogatepass")
    assert rejoined(raw) == raw


@given(st.text(alphabet='{}[]",: \n\\aes1NmgtolinpuI.0-', max_size=60))
def test_what_looks_like_json_comes_back(text: str) -> None:
    raw = b'{"messages":' + text.encode() + b"}"
    assert rejoined(raw) == raw


FIRST = b'{"role":"system","content":"Answer in one paragraph."}'


@pytest.mark.parametrize(
    ("body", "skeleton"),
    [
        (b'{"messages":[{"a":1},{"b":2}],"n":1}', b'{"messages":[],"n":1}'),
        (b'{"input": [1, 2, 3]}', b'{"input": []}'),
        (
            b'{"tools":[7],"messages":[\n  1,\n  2\n]}',
            b'{"tools":[],"messages":[\n  \n]}',
        ),
        (b'{"messages":[1],"input":[2]}', b'{"messages":[],"input":[2]}'),
        (b'{"metadata":[1,2],"messages":[1,2]}', b'{"metadata":[1,2],"messages":[]}'),
        (
            b'{"x":[%b,1],"y":[%b,2],"messages":[%b,3]}' % ((FIRST,) * 3),
            b'{"x":[%b,1],"y":[%b,2],"messages":[]}' % ((FIRST,) * 2),
        ),
        (b'{"messages":[1 ,\n\t2 ,\n\t3]}', b'{"messages":[]}'),
    ],
    ids=[
        *("compact", "spaced", "pretty", "messages before input", "same array"),
        *("arrays that begin alike", "space before the comma"),
    ],
)
def test_elements_are_cut_out(body: bytes, skeleton: bytes) -> None:
    parted = split(body)
    if b"metadata" not in body:
        assert parted.skeleton == skeleton
    assert sum(len(cut.elements) for cut in parted.cuts) > 0
    assert join(parted.skeleton, parted.cuts) == body


def test_each_element_keeps_its_bytes() -> None:
    body = b'{"messages":[{"x": 1.0},"\\u00e9","\xc3\xa9", 18446744073709551617]}'
    uneven = split(body)
    assert uneven.cuts == ()
    even = split(body.replace(b", ", b","))
    assert [bytes(element) for element in even.cuts[0].elements] == [
        b'{"x": 1.0}',
        b'"\\u00e9"',
        b'"\xc3\xa9"',
        b"18446744073709551617",
    ]


ODD = {
    "j01 duplicate": b'{"messages":[1,2],"messages":[3]}',
    "j02 NaN": b'{"messages":[1,2],"t":NaN}',
    "j05 deep": b'{"messages":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}",
    "j05 deep beside": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b',"messages":[1]}',
    "j06 lone surrogate in a key": b'{"\\ud800":1,"messages":[1,2]}',
    "j07 byte order mark": b'\xef\xbb\xbf{"messages":[1,2]}',
    "j07 UTF-16": '{"messages":[1,2]}'.encode("utf-16"),
    "j08 broken key": b'{"\xff":1,"messages":[1,2]}',
    "j09 trailing": b'{"messages":[1,2]}]',
    "j09 trailing comma": b'{"messages":[1,2,]}',
    "j11 array": b"[1,2]",
    "j11 empty": b"",
    "j14 too many": b'{"messages":[' + b"1," * MAX_ELEMENTS + b"1]}",
    "no elements": b'{"messages":[]}',
    "a string": b'{"input":"hello"}',
    "uneven": b'{"messages":[1,2, 3]}',
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_body_is_kept_whole(name: str) -> None:
    parted = split(ODD[name])
    if parted.cuts:  # a body that reads well enough may be cut, if it comes back
        assert "surrogate" in name or "broken key" in name
    else:
        assert parted.skeleton == ODD[name]
    assert rejoined(ODD[name]) == ODD[name]


def test_a_schema_may_name_a_property_like_the_member() -> None:
    body = orjson.dumps(
        {"messages": [{"role": "user"}], "schema": {"messages": {"messages": 1}}}
    )
    assert len(split(body).cuts) == 1


LONG = json.dumps("x" * (LARGE_BYTES // 2)).encode()


@pytest.mark.parametrize(
    ("body", "cuts"),
    [
        (b'{"messages":[%b, %b, 1], "n": 1}', 3),
        (b'{"n": 1, "input": [  %b,\n%b,\n{"a": [2]} ]}', 3),
        (b'{"messages":[%b, %b,1]}', 0),  # another separator
        (b'{"messages":[%b,%b],"messages":[]}', 0),
        (b'{"messages":[%b,%b],"x":[1]}', 2),
    ],
)
def test_h64_a_large_body_is_cut_like_a_small_one(body: bytes, cuts: int) -> None:
    """It is compared in place, without a second copy in memory."""
    for text in (LONG, b'"small"'):
        whole = body % (text, text[:-1] + b'y"')
        parted = split(whole)
        assert whole == join(parted.skeleton, parted.cuts)
        assert cuts == sum(len(cut.elements) for cut in parted.cuts)


def test_h64_two_equal_large_arrays_come_back() -> None:
    """Both are found in one place, so neither is cut."""
    array = b"[%b,%b]" % (LONG, LONG)
    for body in (
        b'{"messages":%b,"tools":%b}' % (array, array),
        b'{"messages":[1,{"tools":%b}],"tools":%b}' % (array, array),
        b'{"tools":%b,"x":%b,"messages":[%b,2]}' % (array, array, array),
    ):
        assert body == rejoined(body)
