"""What can go wrong when recordings are used.

Unfit    what was recorded cannot become this kind of example; the reason is counted
"""

from typing import Literal, TypeAlias

Reason: TypeAlias = Literal[
    "incomplete",
    "status",
    "content_not_kept",
    "endpoint",
    "unreadable",
    "prompt_elsewhere",
    "length",
    "content_filter",
    "finish_reason",
    "refusal",
    "too_long",
    "empty_message",
    "broken_turns",
    "unsupported_content",
    "unsupported_tool",
    "invalid",
    "no_reask",
    "not_valid",
    "not_set_right",
    "several_choices",
]


class Unfit(Exception):
    """Says why an exchange, or one choice of it, is left out."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason
