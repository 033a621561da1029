"""Recognises an answer where a later request repeats it, to link the two."""

from collections.abc import Iterator, Sequence
from hashlib import blake2b

import msgspec

KEY_BYTES = 16


class _Function(msgspec.Struct):
    name: str = ""
    arguments: str = ""
    input: str = ""


class _ToolCall(msgspec.Struct):
    function: _Function | None = None
    custom: _Function | None = None


class _Part(msgspec.Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None


class _Message(msgspec.Struct):
    type: str = "message"
    role: str | None = None
    content: str | list[_Part] | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None
    name: str | None = None  # of a Responses item `function_call`, as the next two
    arguments: str = ""
    input: str = ""


class _Kind(msgspec.Struct):
    type: str = ""


_decoder = msgspec.json.Decoder(_Message)
_kind_decoder = msgspec.json.Decoder(_Kind)
_encode = msgspec.msgpack.Encoder().encode

_CALL_ITEMS = {"function_call", "custom_tool_call"}


def message_key(message: bytes | msgspec.Raw) -> bytes | None:
    """Return a hash of what an assistant's message says; None for any other message.

    Shapes: a chat message or a Responses output item, as JSON. Equal for the answer as
    assembled and as a client sends it back: null or missing content equals "", one
    text equals the same text in parts, ids and annotations do not count.

    >>> one = message_key(b'{"role":"assistant","content":"hi"}')
    >>> parts = b'{"role":"assistant","content":[{"type":"text","text":"hi"}],"id":"7"}'
    >>> one == message_key(parts), message_key(b'{"role":"user","content":"hi"}')
    (True, None)
    """
    try:
        said = _decoder.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if said.type in _CALL_ITEMS:
        call = (said.name or "", said.arguments or said.input)
        return _digest("", "", [call])
    if said.role != "assistant" or said.type != "message":
        return None
    text, refusal = _words(said)
    calls = [_call(call) for call in said.tool_calls or ()]
    if said.function_call is not None:
        calls.append((said.function_call.name, said.function_call.arguments))
    return _digest(text, refusal, calls)


def split_keys(keys: bytes) -> set[bytes]:
    """Return the keys of all choices of an answer, which a row has joined."""
    return set(key_list(keys))


def key_list(keys: bytes) -> list[bytes]:
    """Return the same in the order of the choices, or of a response's items."""
    starts = range(0, len(keys), KEY_BYTES)
    return [keys[start : start + KEY_BYTES] for start in starts]


def is_reasoning(element: bytes | msgspec.Raw) -> bool:
    """Return whether this is a Responses item `reasoning`, which has no key.

    >>> is_reasoning(b'{"type":"reasoning"}'), is_reasoning(b'{"name":"reasoning"}')
    (True, False)
    """
    try:
        return _kind_decoder.decode(element).type == "reasoning"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def may_repeat(request: bytes) -> bool:
    """Return whether a request can hold an answer: cheap, and never falsely false.

    The quotes tell the role from the "helpful assistant" of so many system prompts.
    """
    # `in` would try them as numbers first, and make a `TypeError` of each.
    return request.find(b'"assistant"') >= 0 or request.find(b'_call"') >= 0


def answers_before(
    elements: Sequence[bytes | msgspec.Raw],
) -> Iterator[tuple[int, set[bytes]]]:
    """Yield where an answer may start in a conversation, latest first, with its keys.

    Shapes: a position and the keys of all messages from there to the end of the same
    run of model output: the Responses API answers with several items at once, of which
    `reasoning` has no key.
    """
    keys: set[bytes] = set()
    for position in range(len(elements) - 1, -1, -1):
        element = bytes(elements[position])
        if not may_repeat(element):
            if b'"reasoning"' not in element:
                keys = set()
            elif keys:
                yield position, keys
            continue
        key = message_key(element)
        if key is None:
            keys = set()
            continue
        keys = {key, *keys}
        yield position, keys


def _words(said: _Message) -> tuple[str, str]:
    refusal = said.refusal or ""
    if not isinstance(said.content, list):
        return said.content or "", refusal
    text = "".join(part.text or "" for part in said.content)
    return text, refusal + "".join(part.refusal or "" for part in said.content)


def _call(call: _ToolCall) -> tuple[str, str]:
    function = call.function or call.custom or _Function()
    return function.name, function.arguments or function.input


def _digest(text: str, refusal: str, calls: list[tuple[str, str]]) -> bytes:
    said = _encode((text, refusal, calls))
    return blake2b(said, digest_size=KEY_BYTES).digest()
