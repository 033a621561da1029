"""The official cases of JSON Schema, through the way every answer takes.

Each case is an answer of its own, judged by a registered schema. What refers to a
document that is not its own is refused by us, for nothing is ever fetched; the table
says how many cases those are.
"""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from proxy.schemas.compile import Compiler
from proxy.schemas.document import SchemaRefused
from proxy.schemas.judge import Bound, Question, judge
from storage.records import Json

SUITE = "shared/data/json-schema-test-suite/tests"
FOLDER = next(
    (folder for above in Path(__file__).parents if (folder := above / SUITE).is_dir()),
    None,
)

DRAFTS = {
    "draft7": "http://json-schema.org/draft-07/schema#",
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
}

OUTSIDE = {
    "draft7": {
        "definitions.json": 2,  # refers to the meta-schema
        "ref.json": 2,  # as before
        "refRemote.json": 23,
    },
    "draft2020-12": {
        "defs.json": 2,  # refers to the meta-schema
        "dynamicRef.json": 13,  # to documents of `remotes`
        "ref.json": 2,  # to the meta-schema
        "refRemote.json": 31,
        "vocabulary.json": 5,  # meta-schemas of their own
    },
}
"""Cases that are refused, by file."""


def verdict(schema: Bound, data: Json, compiler: Compiler) -> str:
    message = {"role": "assistant", "content": json.dumps(data)}
    question = Question(
        endpoint="chat",
        request=b'{"model":"m"}',
        answer={"choices": [{"message": message, "finish_reason": "stop"}]},
        complete=True,
        status=200,
        bound=(schema,),
    )
    (judgement,) = judge(question, compiler)
    return judgement.verdict


def registered(schema: Json, dialect: str, compiler: Compiler) -> Bound:
    """Return a schema of the suite; those without a dialect have the folder's."""
    if isinstance(schema, dict):
        schema = {"$schema": dialect} | schema
    document = json.dumps(schema).encode()
    digest = sha256(document).digest()
    compiler.compiled(digest, document)
    return Bound("official@1", digest, document, "tag")


@pytest.mark.parametrize("draft", DRAFTS)
def test_every_official_case_has_its_verdict(draft: str) -> None:
    if FOLDER is None:
        pytest.skip(f"the official cases are missing: no {SUITE} in a folder above")
    compiler = Compiler()
    wrong: list[tuple[str, str, str]] = []
    refused: dict[str, int] = {}
    count = 0
    for path in sorted((FOLDER / draft).glob("*.json")):
        for group in json.loads(path.read_bytes()):
            try:
                schema = registered(group["schema"], DRAFTS[draft], compiler)
            except SchemaRefused:
                cases = len(group["tests"])
                refused[path.name] = refused.get(path.name, 0) + cases
                continue
            for case in group["tests"]:
                count += 1
                expected = "valid" if case["valid"] else "invalid"
                if expected != verdict(schema, case["data"], compiler):
                    wrong.append((path.name, group["description"], case["description"]))
    assert [] == wrong
    assert OUTSIDE[draft] == refused
    assert count > 850
