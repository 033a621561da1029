"""Says what applies to the answer of a request before it is asked, and what follows."""

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Raw

from proxy.schemas.carried import NULL, requires
from proxy.schemas.cases import Chosen
from proxy.schemas.registry import Ask, Registry
from proxy.schemas.traits import fingerprint, format_name
from storage.records import Judgement
from storage.schemas import Binding, Policy

_CARRYING = frozenset({"response_format", "text", "tools", "functions"})
_OFFERING = ("tools", "functions")
_CALLED = (b"tool_calls", b"function_call")

REFUSING: frozenset[Policy] = frozenset({"enforce", "repair"})
"""Policies under which an invalid answer does not go to the client."""


class Judging(msgspec.Struct, frozen=True):
    """What is judged of an answer, and what follows from its verdicts.

    Shapes: `bound` are registered schemas, the first before the others; `follows` has
    a binding for what made a schema apply; with `calls_only` there is nothing to judge
    where an answer calls no tool.
    """

    bound: tuple[Chosen, ...] = ()
    follows: dict[str, Binding] = {}
    calls_only: bool = False

    @property
    def policies(self) -> set[Policy]:
        """What may follow."""
        return {its.policy for its in self.follows.values()}

    def waits(self, *, sse: bool) -> bool:
        """Return whether the client gets nothing of an answer before its verdict."""
        policies = self.policies
        if "header" in policies and not sse:
            return True
        return not policies.isdisjoint(REFUSING)

    def refused(self, judgements: Iterable[Judgement]) -> tuple[Judgement, ...]:
        """Return those for which an answer does not go to the client."""
        return tuple(
            one
            for one in judgements
            if one.verdict == "invalid" and self._policy(one) in REFUSING
        )

    def mends(self, refused: Iterable[Judgement], attempt: int) -> bool:
        """Return whether to ask again after this attempt, the first being 1."""
        return any(
            self._policy(one) == "repair" and attempt <= self.follows[one.why].attempts
            for one in refused
        )

    def _policy(self, judgement: Judgement) -> Policy:
        its = self.follows.get(judgement.why)
        return "observe" if its is None else its.policy


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
    follows = registry.follows(ask)
    offered = b"".join(bytes(values[name]) for name in _OFFERING if name in values)
    return Judging(
        bound,
        {
            why: its
            for why, its in follows.items()
            if its.rule.tool.encode() in offered  # else no answer can call it
        },
    )


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
    if requires(values.get("tool_choice", NULL)):
        return True
    return any(
        (raw := values.get(name)) is not None and bytes(memoryview(raw)[:1]) == b"{"
        for name in ("tool_choice", "function_call")
    )
