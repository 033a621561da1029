"""Turns a request and the settings into a plan: what is edited, sent and recorded."""

from collections.abc import Mapping

import msgspec

from proxy import headers, inject, prompt, splice
from proxy.additions import Basis, decide
from proxy.decode import decode
from proxy.hosts import Accepts
from proxy.schemas.applying import Judging, carried, judging
from proxy.schemas.registry import Ask, Registry
from proxy.settings import Settings, UpstreamSettings
from proxy.targets import Route
from storage.records import CONVERSATION, Edit, Endpoint

KEY_BYTES = 16
"""From here on a key is no word that bodies hold by chance."""

_NAME_BYTES = 1024  # a model or an id beyond this is none
_NOTHING = Registry()
_OBJECT = ord("{")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that is decided about a captured request before a byte goes upstream.

    Shapes: `body` is what goes upstream, the client's own object where nothing is
    edited. Where `record` is false nothing is edited. `judging` is None where no schema
    concerns the answer.
    """

    body: bytes
    record: bool
    content_kept: bool
    edits: tuple[Edit, ...]
    tags: dict[str, str]
    dropped_tags: tuple[str, ...]
    flags: tuple[str, ...]
    schema: str | None
    streamed: bool
    model_asked: str
    prompt_preview: str
    previous_response_id: str
    conversation: str = ""
    retry_count: int
    judging: Judging | None = None

    @property
    def added(self) -> frozenset[str]:
        """The body members that we set, for `inject.refusals`."""
        return frozenset(its.member for its in self.edits if its.where == "body")

    @property
    def before(self) -> str:
        """What the request goes on from, as it is kept."""
        named = self.conversation
        return f"{CONVERSATION}{named}" if named else self.previous_response_id


def plan(
    route: Route,
    control: headers.Control,
    body: bytes,
    *,
    upstream: UpstreamSettings,
    settings: Settings,
    accepts: Accepts,
    registry: Registry = _NOTHING,
) -> Plan:
    """Return the plan of one captured request.

    Shapes: `control` is what the client's headers ask; `accepts` is what this upstream
    takes as far as it is known by now. Never raises, whatever the body's bytes are.
    """
    endpoint: Endpoint = route.endpoint or "chat"
    members = _members(control, body)
    values = members.values
    made = decide(
        members,
        Basis(
            endpoint,
            tuple(control.tags.items()),
            tuple(settings.tags.items()),
            accepts,
            mode=upstream.inject if control.record else "off",
            identity=control.identity,
        ),
    )
    opted_out = settings.respect_opt_out and inject.opted_out(values, endpoint)
    kept = control.record and not opted_out
    return Plan(
        body=made.onto(body, members),
        record=control.record,
        content_kept=kept,
        edits=made.edits,
        tags=made.tags,
        dropped_tags=made.dropped_tags,
        flags=made.flags,
        schema=control.schema,
        streamed=_is_true(values.get("stream")),
        model_asked=_name(values.get("model")),
        prompt_preview=prompt.preview(endpoint, values) if kept else "",
        previous_response_id=_before(values.get("previous_response_id")),
        conversation=_conversation(values.get("conversation")),
        retry_count=control.retry_count,
        judging=_judging(route, control, values, tags=made.tags, registry=registry),
    )


def _judging(
    route: Route,
    control: headers.Control,
    values: Mapping[str, msgspec.Raw],
    *,
    tags: dict[str, str],
    registry: Registry,
) -> Judging | None:
    """Return what applies to the answer; nothing does where nothing is recorded."""
    if not control.record:
        return None
    if not (control.schema or registry.bindings or "schema" in tags):
        return carried(values)
    ask = Ask(
        header=control.schema or "",
        tags=tags,
        model=_name(values.get("model")),
        upstream=route.upstream,
        endpoint=route.endpoint or "chat",
    )
    return judging(ask, values, registry=registry)


def _members(control: headers.Control, body: bytes) -> splice.Members:
    if control.encoding not in {b"", b"identity"}:  # H-61: read, never edited
        return splice.Members(splice.read(_decoded(control, body)).values, "encoded")
    members = splice.read(body)
    if members.doubt is None and not control.json:
        return splice.Members(members.values, "content_type")  # wire.md F.1
    return members


def _decoded(control: headers.Control, body: bytes) -> bytes:
    """Return what a coded body says, opt-outs too; nothing where it is broken."""
    undone = decode(body, control.encoding)
    return undone.data if undone.flag is None else b""


def guarded(plan: Plan, body: bytes, key: bytes | None) -> Plan:
    """Return the plan, without the content where it holds the caller's key (P5)."""
    if not holds(body, key):
        return plan
    return msgspec.structs.replace(
        plan,
        content_kept=False,
        prompt_preview="",
        tags={name: tag for name, tag in plan.tags.items() if tag.encode() != key},
    )


def holds(text: bytes, key: bytes | None) -> bool:
    """Return whether a text holds a caller's key; short ones are words like `none`."""
    return key is not None and len(key) >= KEY_BYTES and key in text


def _is_true(raw: msgspec.Raw | None) -> bool:
    return raw is not None and bytes(raw) == b"true"


def _before(raw: msgspec.Raw | None) -> str:
    """Return the response that a request names as the one before it."""
    name = _name(raw)
    return "" if name.startswith(CONVERSATION) else name


def _conversation(raw: msgspec.Raw | None) -> str:
    """Return the id of a conversation, which is said bare or in an object."""
    if raw is not None and prompt.kind(raw) == _OBJECT:
        return _name(splice.read(bytes(raw)).values.get("id"))
    return _name(raw)


def _name(raw: msgspec.Raw | None) -> str:
    if raw is None or len(raw) > _NAME_BYTES or prompt.kind(raw) != prompt.TEXT:
        return ""
    return prompt.text(raw)
