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
from storage.writable import writable

TOKENS = "unicode61 remove_diacritics 2"
"""How a text is cut into words, here and wherever else it is searched."""

DOCUMENTS = f"CREATE VIRTUAL TABLE documents USING fts5(text, tokenize='{TOKENS}')"
"""A table of one text, to be searched."""


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
    """Gives a library's connection the functions that a predicate asks.

    Shapes: `tell` says by its number what an exchange says.
    """

    def __init__(self, library: Library, tell: Callable[[int], Said]) -> None:
        self._library = library
        self._tell = tell
        self._seq = 0
        self._said = NOTHING
        self._searched = 0
        self._words = sqlite3.connect(":memory:", isolation_level=None)
        self._words.execute(DOCUMENTS)
        connection = library.connection
        connection.create_function("spiritsafe_says", 2, self.says)
        connection.create_function("spiritsafe_calls", 3, self.calls)

    def says(self, seq: int, phrase: str) -> bool:
        """Return whether an exchange says a phrase, as FTS5 spells it."""
        said = self._of(seq)
        if self._searched != seq:
            self._words.execute("DELETE FROM documents")
            insert = "INSERT INTO documents (text) VALUES (?)"
            text = writable(said.text)
            self._words.execute(insert, (text,))
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
            self._said = self._tell(seq)
            self._seq = seq
        return self._said
