"""Which upstream hosts take `store` and `metadata`, as far as it is known."""

import msgspec


class Accepts(msgspec.Struct, frozen=True):
    """Whether an upstream takes a member; None is unknown: try it and learn."""

    store: bool | None = None
    metadata: bool | None = None


UNKNOWN = Accepts()
_BOTH = Accepts(store=True, metadata=True)
_NEITHER = Accepts(store=False, metadata=False)

# Host, or with a leading dot every host under it. Each line names its source; on chat
# `metadata` is worth nothing without `store` (wire.md 3.4), so who refuses the one is
# not offered the other.
_KNOWN = {
    "api.openai.com": _BOTH,  # wire.md 3
    ".api.openai.com": _BOTH,  # its regional hosts
    ".openai.azure.com": _BOTH,  # wire.md 3.5, api-version 2024-10-01-preview and later
    "api.mistral.ai": _NEITHER,  # 422 extra_forbidden: Gitlawb/openclaude#739
    "generativelanguage.googleapis.com": _NEITHER,  # 400: openclaw/openclaw#22704
    "api.groq.com": _NEITHER,  # 400: fanenr/chatbot#21, hass_local_openai_llm#59
    "api.cerebras.ai": _NEITHER,  # 400: openclaw/openclaw#51058, livekit/agents#1274
    "inference.do-ai.run": _NEITHER,  # DigitalOcean, 400: earendil-works/pi#2539
    "chatgpt.com": _NEITHER,  # "Store must be set to false": OmniRoute#1841
}

# Who answers GET and DELETE of /v1/responses/{id}: wire.md 4.1.
_READ_BACK = ("api.openai.com", ".api.openai.com", ".openai.azure.com")


def accepts(host: str, learned: frozenset[str] = frozenset()) -> Accepts:
    """Return what a host takes, less the members it was seen to refuse.

    Shapes: `host` without its port; `learned` is the union of `inject.refusals`.
    """
    name = host.lower().rstrip(".")
    known = _KNOWN.get(name)
    if known is None:
        known = _KNOWN.get(name[name.find(".") :], UNKNOWN)
    if not learned:
        return known
    return Accepts(
        store=False if "store" in learned else known.store,
        metadata=False if "metadata" in learned else known.metadata,
    )


def known(host: str) -> bool:
    """Return whether a host is one of the table: a public service, so never us."""
    return accepts(host) is not UNKNOWN


def reads_back(host: str) -> bool:
    """Return whether a host is known to keep responses and to give them back."""
    name = host.lower().rstrip(".")
    return name in _READ_BACK or name[name.find(".") :] in _READ_BACK
