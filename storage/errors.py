"""The errors of the memory side.

StorageError
├── DatabaseInUse     another process owns this file
├── DatabaseTooNew    a later version of the program wrote this file
├── NotOurDatabase    the file is something else
├── CannotOpen        the file cannot be opened, or cannot be read
├── UnsafeFileSystem  the file lies where write-ahead logging is unsafe
├── NoRoom            the disk has too little room to start on
├── StorageFailed     neither database nor spool took it, or the recorder has stopped
├── StillOpen         an exchange that has not ended cannot be changed yet
├── HeldByRelease     a release is made of it: it stays
├── ReadTooLong       a question took longer than it may
├── TooManyReads      more questions wait for an answer than may
├── BodyTooLarge      a stored body unpacks to more than it may
├── NoSuchExchange    an id that names nothing here, or more than one thing
├── NoSuchSchema      a name or a version that no schema has
├── NoSuchBinding     a number that no binding has
├── BadQuery          a filter that cannot be read
└── BadCursor         a cursor that no page of this order gave out
"""


class StorageError(Exception):
    """Something about the stored exchanges that a caller may want to catch."""


class DatabaseInUse(StorageError):
    """Another process owns this file."""


class DatabaseTooNew(StorageError):
    """A later version of the program wrote this file."""


class NotOurDatabase(StorageError):
    """The file is something else than a database of this program."""


class CannotOpen(StorageError):
    """The file cannot be opened, or what it holds cannot be read."""


class UnsafeFileSystem(StorageError):
    """The file lies on a file system where write-ahead logging loses data."""


class NoRoom(StorageError):
    """The disk has too little room to start on."""


class StorageFailed(StorageError):
    """Neither database nor spool took it, or the recorder has stopped."""


class StillOpen(StorageError):
    """The exchange has not ended: its row is not final, and can be changed then."""


class HeldByRelease(StorageError):
    """A release is made of this exchange, so it stays as it is."""


class ReadTooLong(StorageError):
    """A question took longer than it may, and was broken off."""


class TooManyReads(StorageError):
    """More questions wait for an answer than may."""


class BodyTooLarge(StorageError):
    """A stored body unpacks to more bytes than its reader allows."""


class NoSuchExchange(StorageError):
    """An id that names no exchange in this file, or more than one."""


class NoSuchSchema(StorageError):
    """A name, or a version of it, under which no schema is registered."""


class NoSuchBinding(StorageError):
    """A number that no binding has, or has any more."""


class BadQuery(StorageError):
    """A filter that cannot be read, with the place in its text.

    Shapes: `column` counts characters from 1.
    """

    def __init__(self, message: str, column: int) -> None:
        super().__init__(f"column {column}: {message}")
        self.message = message
        self.column = column


class BadCursor(StorageError):
    """A cursor that no page of this order gave out."""
