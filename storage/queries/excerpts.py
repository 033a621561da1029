"""Shows the place in an exchange that the words of a filter stand at."""

import sqlite3
from typing import Self

from storage.index.documents import documents
from storage.queries.content import DOCUMENTS, Reader
from storage.queries.predicate import phrase
from storage.queries.tree import Both, Either, Node, Words
from storage.reading import Library
from storage.writable import writable

WORDS = 24
"""How many words an excerpt has."""

_SELECT = (
    "SELECT snippet(documents, 0, '', '', '…', ?) FROM documents "
    "WHERE documents MATCH ?"
)


class Excerpts:
    """Finds excerpts for one filter; opened and closed as a context."""

    def __init__(self, library: Library, query: Node | None, read: Reader) -> None:
        self._library = library
        self._phrases = " OR ".join(map(phrase, _words(query)))
        self._read = read
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.execute(DOCUMENTS)

    def of(self, seq: int) -> str:
        """Return where the first of the words stands; empty where none does."""
        if not self._phrases:
            return ""
        for one in documents(self._library.connection, self._read, seq, seq + 1):
            text = one.said.text if one.said else ""
            self._connection.execute("DELETE FROM documents")
            self._connection.execute(
                "INSERT INTO documents (text) VALUES (?)",
                (writable(text),),
            )
        found = self._connection.execute(_SELECT, (WORDS, self._phrases))
        return next((str(text) for (text,) in found), "")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def _words(node: Node | None) -> list[Words]:
    """Return the words that a row may have been found for."""
    if isinstance(node, Both | Either):
        return [words for one in node.nodes for words in _words(one)]
    return [node] if isinstance(node, Words) else []
