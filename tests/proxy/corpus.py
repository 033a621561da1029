"""Some hundred request bodies: sound, odd and broken, as (name, bytes)."""

import json
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

SUITE = "shared/data/json-test-suite/test_parsing"

_CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}

# wire.md 1.1, one or more values each.
_FIELDS: dict[str, list[object]] = {
    "store": [True, False, None, "true"],
    "metadata": [{}, {"a": "b"}, None, {"a": 1}, [], "x", {"a": "b", "c": "d é"}],
    "stream": [True, False, None],
    "stream_options": [{"include_usage": True}, None],
    "temperature": [0, 0.2, 1.0, 2],
    "top_p": [0.5, 1],
    "n": [1, 128],
    "stop": ["\n", ["a", "b"], None],
    "max_completion_tokens": [1, 100000],
    "max_tokens": [16],
    "presence_penalty": [-2, 0.25],
    "frequency_penalty": [1.5],
    "logit_bias": [{"50256": -100}, None],
    "logprobs": [True],
    "top_logprobs": [20],
    "seed": [2**63 - 1, -1],
    "response_format": [
        {"type": "text"},
        {
            "type": "json_schema",
            "json_schema": {
                "name": "n",
                "schema": {
                    "type": "object",
                    "properties": {"store": {"type": "string"}},
                },
                "strict": True,
            },
        },
    ],
    "tools": [
        [
            {
                "type": "function",
                "function": {
                    "name": "f",
                    "parameters": {"type": "object", "properties": {}},
                },
            }
        ],
        [
            {
                "type": "custom",
                "custom": {
                    "name": "g",
                    "format": {
                        "type": "grammar",
                        "grammar": {"syntax": "lark", "definition": 'start: "a"'},
                    },
                },
            }
        ],
    ],
    "tool_choice": ["auto", {"type": "function", "function": {"name": "f"}}],
    "parallel_tool_calls": [False],
    "functions": [[{"name": "f", "parameters": {}}]],
    "function_call": ["none", {"name": "f"}],
    "modalities": [["text", "audio"]],
    "audio": [{"voice": "alloy", "format": "wav"}],
    "prediction": [{"type": "content", "content": "x = {1: [2]}\n"}],
    "reasoning_effort": ["high"],
    "verbosity": ["low"],
    "service_tier": ["flex"],
    "web_search_options": [{"search_context_size": "low"}],
    "safety_identifier": ["u"],
    "prompt_cache_key": ["k"],
    "prompt_cache_retention": ["24h"],
    "prompt_cache_options": [{"ttl": "30m", "mode": "explicit"}],
    "moderation": [{"model": "omni", "policy": {"input": {"mode": "score"}}}],
    "user": ["me", "ü", ""],
    "extra": [
        {"store": False, "metadata": {"deep": "x"}},
        [[[]]],
        "}",
        "]",
        ',"store":true}',
    ],
}

_MESSAGES: list[list[object]] = [
    [],
    [{"role": "system", "content": "s"}, {"role": "user", "content": "é 😀 \u2028"}],
    [{"role": "user", "content": [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}],
    [{"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": "}"}'}}]}, {"role": "tool", "tool_call_id": "c", "content": "r"}],
    [{"role": "user", "content": 'a\\b"c"{[}],:'}],
    ["no message", 1, None],
]  # fmt: skip

_STYLES: list[dict[str, object]] = [
    {"separators": (",", ":")},
    {},
    {"indent": 2},
    {"indent": "\t"},
    {"separators": (" , ", " : ")},
    {"ensure_ascii": False, "separators": (",", ":")},
]

_NUMBERS = (
    "0 -0 1.0 1E+2 1e-7 1e400 -1e400 0.1234567890123456789012 18446744073709551617 "
    "01 +1 .5 1. 0x10 NaN Infinity -Infinity 1e 1_000 --1 9007199254740993 5e-324"
)

_STRINGS: list[bytes] = [
    rb'"\/"', b'"/"', b'"\xc3\xa9"', rb'"\u00e9"', rb'"\ud83d\ude00"', rb'"\ud800"',
    rb'"\udc00\ud800"', rb'"\u0000"', b'"\x00"', b'"\x1f"', b'"\x7f"', b'"\xff"',
    b'"\xed\xa0\x80"', b'"\xc3"', rb'"\x"', rb'"\u12"', b'"', rb'"\"', rb'"\\"',
    rb'"\\\""', b'"\xe2\x80\xa8"', b"'single'", rb'"{\"store\":true}"',
]  # fmt: skip

_WHOLE: list[tuple[str, bytes]] = [
    ("empty", b""),
    ("white", b" \r\n\t"),
    ("object", b"{}"),
    ("object-spaced", b" { \n } \r\n"),
    ("array", b"[]"),
    ("string", b'"store"'),
    ("number", b"1"),
    ("null", b"null"),
    ("true", b"true"),
    ("bom", b'\xef\xbb\xbf{"a":1}'),
    ("utf-16", '{"a":1}'.encode("utf-16")),
    ("utf-16-le", '{"a":1}'.encode("utf-16-le")),
    ("utf-32", '{"a":1}'.encode("utf-32")),
    ("latin-1", '{"a":"é"}'.encode("latin-1")),
    ("bad-key", b'{"\xff":1}'),
    ("surrogate-key", rb'{"\ud800":1}'),
    ("nul-key", rb'{"\u0000":1}'),
    ("empty-key", b'{"":1}'),
    ("empty-keys", b'{"":1,"":2}'),
    ("duplicate", b'{"a":1,"a":2}'),
    ("duplicate-same", b'{"a":1,"a":1}'),
    ("duplicate-far", b'{"a":1,"b":{"a":2},"c":[3],"a":{"x":"y"}}'),
    ("duplicate-store", b'{"store":false,"store":true}'),
    ("duplicate-escaped", rb'{"model":"x","m\u006fdel":"y"}'),
    ("duplicate-escaped-long", rb'{"a":1,"\u0061":2,"b":3}'),
    ("duplicate-inside", b'{"a":{"b":1,"b":2}}'),
    ("escaped-key", rb'{"m\u006fdel":"y","\"":1,"\\":2,"a\/b":3}'),
    ("escaped-store", rb'{"st\u006fre":false}'),
    ("key-brace", b'{"{":1,"}":2,",":3,":":4}'),
    ("trailing", b'{"a":1} x'),
    ("two", b'{"a":1}{"b":2}'),
    ("two-lines", b'{"a":1}\n{"b":2}\n'),
    ("comma", b'{"a":1,}'),
    ("comma-first", b'{,"a":1}'),
    ("comma-twice", b'{"a":1,,"b":2}'),
    ("comment", b'{"a":1/* c */}'),
    ("comment-line", b'// c\n{"a":1}'),
    ("no-colon", b'{"a" 1}'),
    ("no-value", b'{"a":}'),
    ("bare-key", b"{a:1}"),
    ("number-key", b"{1:1}"),
    ("vertical-tab", b'{\x0b"a":1}'),
    ("no-break-space", b'{\xc2\xa0"a":1}'),
    ("nul-end", b'{"a":1}\x00'),
    ("open", b"{"),
    ("close", b"}"),
    ("multipart", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--'),
    ("form", b"a=1&b=2"),
    ("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00"),
    ("depth-900", b'{"a":' + b"[" * 900 + b"]" * 900 + b"}"),
    ("depth-900-objects", b'{"a":' * 900 + b"1" + b"}" * 900),
    ("depth-100000", b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    ("depth-open", b'{"a":' * 100_000),
    ("digits-5000", b'{"a":' + b"7" * 5000 + b',"b":1}'),
    ("members-4096", b"{" + b",".join(b'"k%d":%d' % (i, i) for i in range(4096)) + b"}"),
    ("members-4097", b"{" + b",".join(b'"k%d":%d' % (i, i) for i in range(4097)) + b"}"),
    ("large-duplicate", b'{"a":"' + b"x" * 50_000 + b'","a":1}'),
    ("large-string", b'{"a":"' + b"\\n" * 50_000 + b'" , "b" : [ 1 , 2 ] }'),
]  # fmt: skip


def built_in() -> Iterator[tuple[str, bytes]]:
    """Yield the bodies that need no file."""
    yield from _WHOLE
    for field, values in _FIELDS.items():
        for number, value in enumerate(values):
            body = {**_CHAT, field: value}
            yield f"field-{field}-{number}", json.dumps(body).encode()
    for number, messages in enumerate(_MESSAGES):
        for style, form in enumerate(_STYLES):
            body = {**_CHAT, "messages": messages, "store": None}
            text = json.dumps(body, **form)  # type: ignore[arg-type]  # keyword table
            yield f"messages-{number}-style-{style}", text.encode()
    for spelled in _NUMBERS.split():
        text = f'{{"model": "m", "seed": {spelled}, "z":{spelled}}}'
        yield f"number-{spelled}", text.encode()
    for number, spelled_bytes in enumerate(_STRINGS):
        yield f"string-{number}", b'{"model":"m","user":' + spelled_bytes + b"}"
    for number, order in enumerate(permutations(("model", "messages", "store", "n"))):
        text = "{ " + ",\n".join(f'"{name}"\t:[{number}]' for name in order) + "}"
        yield f"order-{number}", text.encode()
    whole = rb'{"m\u006fdel" : "a\"}", "n":[{"b":-1.5e3}],"s":null}'
    for size in range(1, len(whole)):
        yield f"cut-{size}", whole[:size]
    for at in range(len(whole)):
        yield f"lost-{at}", whole[:at] + whole[at + 1 :]


def suite() -> Iterator[tuple[str, bytes]]:
    """Yield the files of JSONTestSuite where a folder above holds them."""
    folder = suite_folder()
    if folder is not None:
        for path in sorted(folder.glob("*.json")):
            yield path.stem, path.read_bytes()


def suite_folder() -> Path | None:
    """Return the folder of JSONTestSuite's files, or None."""
    for above in Path(__file__).resolve().parents:
        if (folder := above / SUITE).is_dir():
            return folder
    return None


def bodies() -> list[tuple[str, bytes]]:
    """Return all bodies, the suite's too where it is there."""
    return [*built_in(), *suite()]
