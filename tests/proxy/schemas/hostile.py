"""Schemas and answers that are made to harm whoever judges by them."""

import json

from storage.records import Json


def fan(levels: int, keyword: str = "allOf") -> Json:
    """Return a schema of some hundred bytes that unfolds to 2^levels."""
    named: dict[str, Json] = {
        f"a{level}": {keyword: [{"$ref": f"#/$defs/a{level + 1}"}] * 2}
        for level in range(levels)
    }
    named[f"a{levels}"] = {"type": "string"}
    return {"$ref": "#/$defs/a0", "$defs": named}


def chain(length: int, end: Json) -> Json:
    """Return a schema that refers on and on, to `end` at last."""
    named: dict[str, Json] = {
        f"a{link}": {"$ref": f"#/$defs/a{link + 1}"} for link in range(length)
    }
    return {"$ref": "#/$defs/a0", "$defs": named | {f"a{length}": end}}


def nested(levels: int, schema: str = "{}") -> str:
    """Return objects in objects."""
    return '{"a":' * levels + schema + "}" * levels


TREE: Json = {"type": "object", "additionalProperties": {"$ref": "#"}}

REMOTE = (
    "http://127.0.0.1:9/x.json",
    "https://example.com/s#/a",
    "file:///etc/passwd",
    "../x.json",
    "other",
    "//host/x",
    "urn:uuid:1",
    "http://json-schema.org/draft-07/schema#",
)

SLOW_PATTERNS = (("(a+)+b", "a"), ("(a|a)*$", "a"), ("(.*)*x", "a"), ("^(a+)+$", "a"))


def dumped(schema: Json) -> bytes:
    return json.dumps(schema).encode()
