"""The formats that recordings can be exported in, as one ordered list.

A format is a callable from one pair to its lines; where it makes none of an exchange,
or of a choice, it says why. A new one is a module beside this and an entry below.
"""

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from distill.errors import Reason
from distill.formats import openai_chat, openai_dpo
from distill.pairs import Json, Pair

Format: TypeAlias = Callable[[Pair], Iterator[Json | Reason]]

FORMATS: Final[tuple[tuple[str, Format], ...]] = (
    ("openai-chat", openai_chat.examples),
    ("openai-dpo", openai_dpo.examples),
)
