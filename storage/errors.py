"""The errors of the memory side.

StorageError
├── DatabaseInUse     another process owns this file
├── DatabaseTooNew    a later version of the program wrote this file
├── NotOurDatabase    the file is something else
├── Unreadable        the file cannot be read: damaged, busy or not allowed
├── UnsafeFileSystem  the file lies where write-ahead logging is unsafe
├── StorageFailed     a commit failed twice, or the recorder has stopped
├── BodyTooLarge      a stored body unpacks to more than it may
└── NoSuchExchange    an id that names nothing here, or more than one thing
"""


class StorageError(Exception):
    """Something about the stored exchanges that a caller may want to catch."""


class DatabaseInUse(StorageError):
    """Another process owns this file."""


class DatabaseTooNew(StorageError):
    """A later version of the program wrote this file."""


class NotOurDatabase(StorageError):
    """The file is something else than a database of this program."""


class Unreadable(StorageError):
    """The file cannot be read: it is damaged, busy, or not ours to read."""


class UnsafeFileSystem(StorageError):
    """The file lies on a file system where write-ahead logging loses data."""


class StorageFailed(StorageError):
    """A commit failed twice, or the recorder has stopped: the row is not kept."""


class BodyTooLarge(StorageError):
    """A stored body unpacks to more bytes than its reader allows."""


class NoSuchExchange(StorageError):
    """An id that names no exchange in this file, or more than one."""
