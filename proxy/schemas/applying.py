"""Says what applies to the answer of a request before it is asked, and what follows."""

from collections.abc import Mapping

import msgspec
from msgspec import Raw

from proxy.schemas.cases import Chosen
from proxy.schemas.registry import Ask, Registry
from proxy.schemas.traits import fingerprint, format_name
from storage.schemas import Policy

_CARRYING = frozenset({"response_format", "text", "tools", "functions"})
_CALLED = (b"tool_calls", b"function_call")


class Judging(msgspec.Struct, frozen=True):
    """What is judged of an answer, and what follows from its verdict.

    Shapes: `bound` are registered schemas, the first before the others; with
    `calls_only` there is nothing to judge where an answer calls no tool.
    """

    bound: tuple[Chosen, ...] = ()
    policy: Policy = "observe"
    attempts: int = 0
    calls_only: bool = False

    def waits(self, *, sse: bool) -> bool:
        """Return whether the client gets nothing of an answer before its verdict."""
        if self.policy == "header":
            return not sse
        return self.policy != "observe"

    @property
    def refuses(self) -> bool:
        """Whether an invalid answer does not go to the client."""
        return self.policy in {"enforce", "repair"}


_CARRIED = Judging()
_CALLS = Judging(calls_only=True)


def judging(
    ask: Ask, values: Mapping[str, Raw], *, registry: Registry
) -> Judging | None:
    """Return what applies to the answer of a request; None where no schema does.

    Shapes: `ask` without what only the body says; `values` are the body's members.
    """
    if registry.reads_bodies:
        ask = msgspec.structs.replace(
            ask,
            format_name=format_name(values),
            prompt=fingerprint(ask.endpoint, values),
        )
    bound = registry.applying(ask)
    if not bound:
        return carried(values)
    binding = registry.policy(ask)
    if binding is None:
        return Judging(bound)
    return Judging(bound, binding.policy, binding.attempts)


def carried(values: Mapping[str, Raw]) -> Judging | None:
    """Return what applies where no registered schema does: what the body may carry.

    Asked of every request, so it costs next to nothing where there is nothing.
    """
    if _CARRYING.isdisjoint(values):
        return None
    if _carries_format(values):
        return _CARRIED
    if "tools" not in values and "functions" not in values:
        return None
    return _CARRIED if _forces_call(values) else _CALLS


def may_hold(judging: Judging, answer: bytes) -> bool:
    """Return whether an answer can hold what is judged: a look, no reading."""
    return not judging.calls_only or any(name in answer for name in _CALLED)


def _carries_format(values: Mapping[str, Raw]) -> bool:
    """Return whether `response_format` or `text.format` may have a schema in it."""
    for name in ("response_format", "text"):
        raw = values.get(name)
        if raw is not None and b'"schema"' in bytes(raw):
            return True
    return False


def _forces_call(values: Mapping[str, Raw]) -> bool:
    return any(
        (raw := values.get(name)) is not None and bytes(memoryview(raw)[:1]) == b"{"
        for name in ("tool_choice", "function_call")
    )
