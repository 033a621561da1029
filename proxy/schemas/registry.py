"""Which registered schemas apply to an exchange, and what follows from a verdict.

A registry is a snapshot: it never changes, and a change of the file makes another one.
"""

import re
from collections.abc import Iterable
from fnmatch import translate

import msgspec

from proxy.schemas.cases import Bound, Chosen, Unknown
from storage.records import Endpoint
from storage.schemas import Binding, Version


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a request that a schema may apply to.

    Shapes: `header` is what `x-spiritsafe-schema` names; `tags` are all tags of the
    record; `format_name` and `prompt` (`proxy.schemas.traits`) matter, and are to be
    found out, only where `Registry.reads_bodies`.
    """

    header: str = ""
    tags: dict[str, str] = {}
    model: str = ""
    upstream: str = ""
    endpoint: Endpoint = "chat"
    format_name: str = ""
    prompt: str = ""


class Registry:
    """All registered schemas and bindings, as of one moment."""

    def __init__(
        self, versions: Iterable[Version] = (), bindings: Iterable[Binding] = ()
    ) -> None:
        self.versions = tuple(sorted(versions, key=lambda its: (its.name, its.version)))
        self.bindings = tuple(bindings)
        self._by_ref = {its.ref: its for its in self.versions}
        self._by_ref |= {its.name: its for its in self.versions}  # the newest is last
        self._binders = tuple(map(_Binder, self.bindings))
        rules = [its.rule for its in self.bindings]
        self.reads_bodies = any(its.format_name or its.prompt for its in rules)
        """Whether any rule looks at what only a request's body says."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is registered."""
        return not self.versions and not self.bindings

    def find(self, name: str) -> Version | None:
        """Return the version that `invoice@2` names, or the newest of `invoice`."""
        return self._by_ref.get(name)

    def newest(self) -> list[Version]:
        """Return the newest version of each schema, by name."""
        return [its for its in self.versions if self._by_ref[its.name] is its]

    def history(self, name: str) -> list[Version]:
        """Return all versions of a schema, the first one first; none where unknown."""
        return [its for its in self.versions if its.name == name]

    def applying(self, ask: Ask) -> tuple[Chosen, ...]:
        """Return what applies, in order of precedence: header, tag, bindings."""
        found = [self._named(name, why) for name, why in _chosen(ask)]
        found += [
            self._named(its.schema, f"binding:{its.id}", its.rule.tool)
            for its in self._fitting(ask)
        ]
        return tuple(found)

    def follows(self, ask: Ask) -> dict[str, Binding]:
        """Return what follows from a verdict, by what made its schema apply.

        Shapes: keys as in `Judgement.why`; a schema that header or tag chose has the
        first binding that fits and is bound to it. What is not there is kept only.
        """
        fitting = self._fitting(ask)
        told = {f"binding:{its.id}": its for its in fitting}
        for name, why in _chosen(ask):
            version = self.find(name)
            names = set() if version is None else {version.name, version.ref}
            its = next((its for its in fitting if its.schema in names), None)
            if its is not None:
                told[why] = its
        return told

    def _fitting(self, ask: Ask) -> list[Binding]:
        return [its.binding for its in self._binders if its.fits(ask)]

    def _named(self, name: str, why: str, tool: str = "") -> Chosen:
        version = self.find(name)
        if version is None:
            return Unknown(name, why, tool)
        return Bound(version.ref, version.digest, version.document, why, tool)


class _Binder:
    """A binding, ready to be asked whether it fits."""

    def __init__(self, binding: Binding) -> None:
        self.binding = binding
        rule = binding.rule
        self._model = re.compile(translate(rule.model)).match if rule.model else None
        self._tags = rule.tags.items()
        self._same = [
            (name, value)
            for name in ("upstream", "endpoint", "format_name", "prompt")
            if (value := getattr(rule, name))
        ]

    def fits(self, ask: Ask) -> bool:
        """Return whether this request has all that the rule names."""
        return (
            all(getattr(ask, name) == value for name, value in self._same)
            and self._tags <= ask.tags.items()
            and (self._model is None or self._model(ask.model) is not None)
        )


def _chosen(ask: Ask) -> list[tuple[str, str]]:
    """Return what the request itself names, the header first."""
    named = [(ask.header, "header"), (ask.tags.get("schema", ""), "tag")]
    return [(name, why) for name, why in named if name]
