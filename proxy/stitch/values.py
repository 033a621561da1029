"""Reads and writes JSON that strict readers refuse, as upstreams happen to send it.

A lone surrogate escape is legal JSON and no legal UTF-8: msgspec refuses to read it and
orjson to write it, so the standard library does where they fail.
"""

import json
import math

import msgspec
import orjson

from storage.records import Json

MAX_INDEX = 127  # of choices and tool calls, as in the official client for Node


def read_json(data: bytes) -> Json:
    """Return what a JSON text says; a number past any bound reads as None.

    Raises: `ValueError` if it is no JSON, `RecursionError` if it nests too deep.
    """
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError:
        text = data.decode("utf-8-sig")
        # Not strict: U+000B and its like stand unescaped in what some servers send.
        return json.loads(
            text, strict=False, parse_constant=_no_number, parse_float=_finite
        )


def read_members(body: bytes) -> dict[str, Json]:
    """Return the members of a JSON object; none where it cannot be read."""
    try:
        value = read_json(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def write_json(value: Json) -> bytes:
    """Return a JSON text in ASCII where the value holds lone surrogates.

    Raises: `RecursionError` if it nests too deep.
    """
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def is_index(value: Json) -> bool:
    """Return whether this is an integer that an index may be."""
    return type(value) is int and 0 <= value <= MAX_INDEX


def extend_arrays(kept: dict[str, Json], arrays: dict[str, Json]) -> None:
    """Append arrays to the arrays of the same name; of anything else, the last wins."""
    for key, value in arrays.items():
        so_far = kept.get(key)
        if isinstance(value, list) and isinstance(so_far, list):
            so_far.extend(value)
        elif value is not None or key not in kept:
            kept[key] = value


def _no_number(_: str) -> None:
    return None


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None
