"""Answers of one row whether its bodies hold words or call a tool.

For rows that nothing beside the file knows yet. Words are what FTS5 takes for words: it
is asked, with one document at a time.
"""

import sqlite3
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import NamedTuple, TypeAlias

from storage.assemble import Kept
from storage.reading import Library
from storage.verify import DAMAGE

TOKENS = "unicode61 remove_diacritics 2"
"""How a text is cut into words, here and wherever else it is searched."""


class Said(NamedTuple):
    """What an exchange adds to its conversation.

    Shapes: `text` has the messages that its parent did not have and its answer;
    `tools` the names of those that the answer calls.
    """

    text: str
    tools: frozenset[str]


Reader: TypeAlias = Callable[[Kept], Said]

NOTHING = Said("", frozenset())


class Contents:
    """Gives a library's connection the functions that a predicate asks."""

    def __init__(self, library: Library, read: Reader) -> None:
        self._library = library
        self._read = read
        self._seq = 0
        self._said = NOTHING
        self._searched = 0
        self._words = sqlite3.connect(":memory:", isolation_level=None)
        self._words.execute(
            f"CREATE VIRTUAL TABLE documents USING fts5(text, tokenize='{TOKENS}')"
        )
        connection = library.connection
        connection.create_function("spiritsafe_says", 2, self.says)
        connection.create_function("spiritsafe_calls", 3, self.calls)

    def says(self, seq: int, phrase: str) -> bool:
        """Return whether an exchange says a phrase, as FTS5 spells it."""
        said = self._of(seq)
        if self._searched != seq:
            self._words.execute("DELETE FROM documents")
            insert = "INSERT INTO documents (text) VALUES (?)"
            self._words.execute(insert, (said.text,))
            self._searched = seq
        query = "SELECT 1 FROM documents WHERE documents MATCH ?"
        return self._words.execute(query, (phrase,)).fetchone() is not None

    def calls(self, seq: int, operator: str, value: str) -> bool:
        """Return whether the answer of an exchange calls such a tool."""
        tools = self._of(seq).tools
        if operator == "=":
            return value in tools
        return any(fnmatchcase(tool, value) for tool in tools)

    def close(self) -> None:
        """Take the functions back."""
        for name, count in (("spiritsafe_says", 2), ("spiritsafe_calls", 3)):
            self._library.connection.create_function(name, count, None)
        self._words.close()

    def _of(self, seq: int) -> Said:
        if self._seq != seq:
            self._said = self._whole(seq)
            self._seq = seq
        return self._said

    def _whole(self, seq: int) -> Said:
        rows = self._library.after(seq - 1, limit=1)
        if not rows or rows[0].seq != seq or not rows[0].content_kept:
            return NOTHING
        try:
            return self._read(self._library.whole(rows[0]))
        except DAMAGE:  # `verify` tells of it; a search passes it by
            return NOTHING
