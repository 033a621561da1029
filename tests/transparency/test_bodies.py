"""Request bodies that JSON readers disagree about (reliability 3.8)."""

import json
from pathlib import Path

import pytest

from tests.transparency.standing import Standing, standing
from tests.transparency.wire import PLAIN, ask, chat

pytestmark = pytest.mark.anyio

STORED = b'"store":true,'


async def passes(at: Standing, body: bytes, flag: str | None) -> None:
    """Assert that a body passes: flagged and untouched, or edited and else untouched."""
    shown = body[:60]
    got = await ask(at.client, chat(body))
    assert (shown, 200) == (shown, got.status)
    kept = at.kept()
    assert body == kept.request
    added = b"" if flag is not None else STORED
    brace = body.find(b"{") + 1 if added else 0
    assert body[:brace] + added + body[brace:] == at.asked.body
    assert (shown, [flag] * bool(flag)) == (
        shown,
        [it.removeprefix("edit_skipped=") for it in kept.flags],
    )


LARGE = [
    ("j14", b'{"a":"' + b"x" * 20_000_000 + b'"}', None),
    ("j14", b"{" + b",".join(b'"%d":0' % i for i in range(1_000_000)) + b"}", "too_many_members"),
    ("j14", b'{"a":[' + b"0," * 999_999 + b"0]}", None),
]  # fmt: skip
SMALL = [
    ("j01", b'{"a":1,"a":2}', "duplicate_member"),
    ("j01", b'{"store":false,"store":true}', None),  # never edited: the client has it
    ("j02", b'{"a":NaN}', "not_json"),
    ("j02", b'{"a":-Infinity}', "not_json"),
    ("j02", b'{"a":1e400}', None),
    ("j03", b'{"a":0.1234567890123456789012,"b":1.0,"c":1E+2,"d":-0}', None),
    ("j04", b'{"a":18446744073709551617,"b":' + b"7" * 5000 + b"}", None),
    ("j05", b'{"a":' + b"[" * 900 + b"]" * 900 + b"}", None),
    ("j05", b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_deep"),
    ("j06", rb'{"a":"\ud800"}', "not_json"),
    ("j06", rb'{"a":"\u0000"}', None),
    ("j07", b'\xef\xbb\xbf{"a":1}', "not_json"),
    ("j07", '{"a":1}'.encode("utf-16"), "not_json"),
    ("j07", '{"a":1}'.encode("utf-32"), "not_json"),
    ("j08", b'{"a":"\xff\xfe"}', None),
    ("j08", b'{"\xff":1}', "bad_utf8"),
    ("j09", b'{"a":1} x', "not_json"),
    ("j09", b'{"a":1}{"a":1}', "not_json"),
    ("j09", b'{"a":1,}', "not_json"),
    ("j09", b'{"a":1/**/}', "not_json"),
    ("j10", b' {\t"b" :\n"\\/",\r\n "a":"/", "c":"\xc3\xa9","d":"\\u00e9" } ', None),
    ("j11", b"[]", "not_object"),
    ("j11", b'"store"', "not_object"),
    ("j11", b"1", "not_object"),
    ("j11", b"null", "not_object"),
    ("j11", b"", "not_json"),
]


async def test_j01_to_j14_odd_bodies_pass_edited_or_flagged(tmp_path: Path) -> None:
    async with standing(tmp_path, PLAIN, respect_opt_out=False) as at:
        for name, body, flag in SMALL + LARGE:
            if b'"store":false' in body:
                await ask(at.client, chat(body))
                assert (name, body) == (name, at.asked.body)
                continue
            await passes(at, body, flag)


@pytest.mark.parametrize(
    "body",
    [
        b'{"store":true}', b'{"store" : true , "metadata":{"env":"mine"}}',
        b'{"st\\u006fre":true,"met\\u0061data":{"env":"mine"}}',
        b'{"metadata":{"env":"mine"},"store":"yes"}', b'{"store":1}', b'{"store":[]}',
    ],
)  # fmt: skip
async def test_j12_j13_a_member_is_never_sent_twice(
    tmp_path: Path, body: bytes
) -> None:
    """Whatever its value is and however its name is spelled."""
    async with standing(tmp_path, PLAIN, tags={"env": "ours", "team": "a"}) as at:
        await ask(at.client, chat(body))
        pairs = json.loads(at.asked.body, object_pairs_hook=list)
        names = [name for name, _ in pairs]
        assert len(set(names)) == len(names)
        for name, value in json.loads(body).get("metadata", {}).items():
            assert [value] == [it for key, it in dict(pairs)["metadata"] if key == name]
        was = dict(json.loads(body, object_pairs_hook=list))
        assert was["store"] == dict(pairs)["store"]
