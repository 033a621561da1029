"""The two files that an indexer works on, and what it holds of them in memory."""

from pathlib import Path

from storage.engines.sqlite import open_reader
from storage.index.blocks import Block, Fields
from storage.index.file import index_path, open_writer, remove
from storage.index.progress import Progress

# Rows under way and those whose words are indexed seldom lie in one block.
_MOST_BLOCKS = 2


class Worktop:
    """One index open to write, and its database open to read.

    To be thrown away when a step fails: what it holds may not be in the file.
    Raises: as `storage.engines.sqlite.open_reader`; `sqlite3.Error`; `OSError`.
    """

    def __init__(self, database: Path) -> None:
        self.main = open_reader(database)
        try:
            self.index = open_writer(database)
            if not Progress.read(self.index).belongs(self.main):
                self.index.close()
                remove(database)
                self.index = open_writer(database)
        except BaseException:
            self.main.close()
            raise
        self._files = _files(database)
        self._database = database
        self.fields = Fields(self.index)
        self._blocks: dict[int, Block] = {}

    @property
    def progress(self) -> Progress:
        """How far the index is."""
        return Progress.read(self.index)

    def block(self, number: int) -> Block:
        """Return a block, loaded where it is not at hand."""
        found = self._blocks.pop(number, None) or Block(self.index, self.fields, number)
        self._blocks[number] = found
        if len(self._blocks) > _MOST_BLOCKS:
            del self._blocks[next(iter(self._blocks))]
        return found

    @property
    def stale(self) -> bool:
        """Whether one of the two files is no longer at its place."""
        return _files(self._database) != self._files

    def close(self) -> None:
        """Close both files."""
        self.index.close()
        self.main.close()


def _files(database: Path) -> tuple[int, ...]:
    """Return which files lie at the two places; opening them would drop locks."""
    try:
        return tuple(at.stat().st_ino for at in (database, index_path(database)))
    except OSError:
        return ()
