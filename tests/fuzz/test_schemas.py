"""Schemas and answers of any form: judging and admitting have no other way to end."""

import asyncio
import contextlib
import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from proxy.schemas.admit import admit
from proxy.schemas.document import SchemaRefused
from proxy.schemas.judge import Judge, Question
from storage.records import Json
from tests.fuzz.budget import fuzzed
from tests.proxy.schemas.questions import bound, call, chat, responses, say

DIGITS = st.integers(1, 5000).map(lambda count: "9" * count)
TEXTS = st.text(st.characters(exclude_categories=()), max_size=6)
POINTERS = st.lists(
    st.sampled_from(["$defs", "a", "prefixItems", "0", "~0", "~", "%", "٣"]) | DIGITS,
    max_size=4,
).map(lambda steps: "/".join(["#", *steps]))
REFERENCES = (
    POINTERS | TEXTS | st.sampled_from(["#", "a#b", "//[", "http://[::1", "//℀.com"])
)
NUMBERS = (
    st.integers()
    | st.floats()
    | st.sampled_from([10**308, 10**4000, 10**-300, float("inf")])
)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
KEYWORDS = (
    st.sampled_from(
        [
            "$anchor", "$defs", "$dynamicRef", "$id", "$recursiveRef", "$schema", "a",
            "additionalProperties", "allOf", "anyOf", "const", "dependencies", "enum",
            "id", "items", "maximum", "minLength", "multipleOf", "not", "pattern",
            "patternProperties", "prefixItems", "properties", "required", "type",
        ]
    )
    | TEXTS
)  # fmt: skip


def members(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    """Draw an object that may be a schema."""
    some = st.dictionaries(KEYWORDS, inner, max_size=4)
    referring = st.fixed_dictionaries({"$ref": REFERENCES}, optional={"a": inner})
    return some | referring | st.lists(inner, max_size=3)


SCHEMAS = st.recursive(SCALARS | POINTERS, members, max_leaves=8)
ANSWERS = SCHEMAS.map(json.dumps) | TEXTS | DIGITS


def answered(schema: Json, text: str, tool: str) -> list[Question]:
    """Return questions of both styles, by a registered schema and by a carried one."""
    form = {"json_schema": {"name": "n", "schema": schema}}
    own = [{"type": "function", "function": {"name": tool, "parameters": schema}}]
    item = {"type": "function_call", "name": tool, "arguments": text}
    registered = bound(schema)
    return [
        chat(say(text), response_format=form),
        chat(call(text, tool), tools=own),
        *(
            msgspec.structs.replace(asked, bound=(registered,))
            for asked in (
                chat(call({"a": text}, tool)),
                chat(say(text), call(text, tool)),
                responses(item),
            )
        ),
    ]


@fuzzed(60)
@given(st.lists(st.tuples(SCHEMAS, ANSWERS, TEXTS), max_size=3))
def test_judging_an_answer_never_raises(asked: list[tuple[Json, str, str]]) -> None:
    async def ask() -> None:
        judge = Judge(limit_s=1)
        try:
            for schema, text, tool in asked:
                for question in answered(schema, text, tool):
                    for one in await judge.ask(question):
                        assert "failed" != one.reason
        finally:
            await judge.close()

    asyncio.run(ask())


@fuzzed(100)
@given(SCHEMAS.map(json.dumps).map(str.encode) | st.binary(max_size=50))
def test_a_document_is_admitted_or_refused(document: bytes) -> None:
    with contextlib.suppress(SchemaRefused):
        asyncio.run(admit("invoice", document))
