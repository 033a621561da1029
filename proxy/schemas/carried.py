"""Reads which schemas a request carries itself, without reading the rest of it."""

from typing import TypeVar

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from storage.records import Endpoint

T = TypeVar("T")

NULL = Raw(b"null")
_REQUIRED = (b'"required"', b'"any"')
_MARKS = (b'"response_format"', b'"tools"', b'"functions"', b'"format"')


class Carry(Struct, frozen=True):
    """A schema inside a request: its name there, its JSON text, what holds it."""

    name: str
    document: bytes
    why: str


class Carried(Struct, frozen=True):
    """All schemas of one request.

    Shapes: `content` is for the text of the answer, `tools` for the arguments of calls,
    by name; `forced` names the one function to be called. `names` are all tools
    of the request, and `required` says that some tool has to be called; `closed` that
    all are functions, and so that no other can be.

    | choice | due | meant |
    |---|---|---|
    | none, `auto`, a tool of another kind | nothing | none |
    | `required` | where `closed`: any call | the only one that has a name |
    | a function | its call | that one |

    Foreign is, under every choice, a call of what `names` lacks where `closed`.
    """

    content: Carry | None = None
    tools: dict[str, Carry] = {}
    forced: str = ""
    names: frozenset[str] = frozenset()
    required: bool = False
    closed: bool = False

    @property
    def meant(self) -> str:
        """The tool whose call is the answer that was asked for; "" for none."""
        if self.forced or not self.required or len(self.names) != 1:
            return self.forced
        return next(iter(self.names))

    @property
    def needs_call(self) -> bool:
        """Whether an answer without a call of a function is wrong."""
        return bool(self.forced) or (self.required and self.closed)

    def satisfied(self, called: set[str], *, calls_else: bool) -> bool:
        """Return whether the call that is needed is among those of these tools.

        Where it is open which, one of what the upstream itself added will do.
        """
        if self.forced:
            return self.forced in called
        return calls_else or bool(called)

    def unsure(self) -> "Carried":
        """Return what holds where calls do not tell their tools: none is due."""
        return replace(self, forced="", required=False, closed=False)

    def offers(self, tool: str) -> bool:
        """Return whether a tool is offered, as far as the request tells."""
        return tool in self.names or not self.closed


class _Ask(Struct):
    response_format: Raw = NULL
    text: Raw = NULL
    tools: Raw = NULL
    functions: Raw = NULL
    tool_choice: Raw = NULL
    function_call: Raw = NULL


class _Format(Struct):
    type: str = ""
    name: str = ""
    schema: Raw = NULL
    json_schema: Raw = NULL


class _Choice(Struct):
    type: str = ""
    mode: str = ""
    allowed_tools: Raw = NULL


class _Text(Struct):
    format: Raw = NULL


class _Function(Struct):
    type: str = ""
    name: str = ""
    parameters: Raw = NULL
    function: Raw = NULL


NOTHING = Carried()

_FUNCTIONS = frozenset({"", "function"})
"""What the type of a tool says whose calls are calls of a function."""

CARRIERS = frozenset({"response_format", "text.format", "tool", "function"})
"""What holds a schema in a request, as `Carry.why`."""

_ask = msgspec.json.Decoder(_Ask)
_format = msgspec.json.Decoder(_Format)
_text = msgspec.json.Decoder(_Text)
_choice = msgspec.json.Decoder(_Choice)
_function = msgspec.json.Decoder(_Function)
_list = msgspec.json.Decoder(list[Raw])


def may_carry(body: bytes) -> bool:
    """Return whether a request can carry a schema at all: a look, no reading."""
    return any(mark in body for mark in _MARKS)


def carried(endpoint: Endpoint, body: bytes) -> Carried:
    """Return the schemas that a request carries; none where it cannot be read."""
    if endpoint not in {"chat", "responses"} or not may_carry(body):
        return NOTHING
    try:
        ask = _ask.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return NOTHING
    tools = _tools(ask.functions, "function") | _tools(ask.tools, "tool")
    if endpoint == "chat":
        content = _content(ask.response_format, "response_format")
        forced = _forced(ask.tool_choice) or _forced(ask.function_call)
    else:
        text = _decoded(_text, ask.text)
        content = None if text is None else _content(text.format, "text.format")
        forced = _forced(ask.tool_choice)
    names = _names(ask.functions) | _names(ask.tools)
    return Carried(
        *(content, tools, forced, names),
        required=requires(ask.tool_choice),
        closed=bool(names) and _closed(ask.tools),
    )


def requires(choice: Raw) -> bool:
    """Return whether a `tool_choice` leaves open which tool has to be called.

    Chat has the mode of `allowed_tools` in a member of that name, Responses beside it.
    """
    if bytes(choice) in _REQUIRED:
        return True
    allowed = _decoded(_choice, choice)
    if allowed is None or allowed.type != "allowed_tools":
        return False
    return (_decoded(_choice, allowed.allowed_tools) or allowed).mode == "required"


def _content(raw: Raw, why: str) -> Carry | None:
    asked = _decoded(_format, raw)
    if asked is None:
        return None
    inside = _decoded(_format, asked.json_schema) or asked
    if not _is_schema(inside.schema):
        return None
    return Carry(inside.name or asked.type, bytes(inside.schema), why)


def _tools(raw: Raw, why: str) -> dict[str, Carry]:
    found = {}
    for item in _decoded(_list, raw) or ():
        tool = _decoded(_function, item)
        if tool is None:
            continue
        tool = _decoded(_function, tool.function) or tool
        if tool.name and _is_schema(tool.parameters):
            found[tool.name] = Carry(tool.name, bytes(tool.parameters), why)
    return found


def _names(raw: Raw) -> frozenset[str]:
    """Return the names of tools, with a schema or without."""
    return frozenset(map(_named, _decoded(_list, raw) or ())) - {""}


def _closed(raw: Raw) -> bool:
    """Return whether all tools are functions, which only what is offered can be."""
    tools = [_decoded(_function, item) for item in _decoded(_list, raw) or ()]
    return all(tool is not None and tool.type in _FUNCTIONS for tool in tools)


def _forced(raw: Raw) -> str:
    """Return the function that a choice names; "" for `auto`, other tools and such."""
    choice = _decoded(_function, raw)
    if choice is None or choice.type not in _FUNCTIONS:
        return ""
    return _named(raw)


def _named(raw: Raw) -> str:
    """Return the name of a tool; "" where it has none."""
    tool = _decoded(_function, raw)
    if tool is None:
        return ""
    return (_decoded(_function, tool.function) or tool).name


def _is_schema(raw: Raw) -> bool:
    return bytes(raw)[:1] in {b"{", b"t", b"f"}


def _decoded(decoder: msgspec.json.Decoder[T], raw: Raw) -> T | None:
    """Return what is there, None where it is null or has another form."""
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
