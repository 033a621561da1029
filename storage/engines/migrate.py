"""Brings a file's tables up to date, one numbered migration at a time."""

import sqlite3
from importlib.resources import files

from storage.errors import DatabaseTooNew, NotOurDatabase

# "Safe", in the four bytes that SQLite leaves to applications.
APPLICATION_ID = 0x53616665


def migrations() -> list[tuple[int, str]]:
    """Return all migrations as number and SQL, in order."""
    folder = files("storage") / "migrations"
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".sql")]
    return sorted((int(entry.name[:4]), entry.read_text()) for entry in found)


def version(connection: sqlite3.Connection) -> int:
    """Return the number of the last migration in this file; 0 for an empty file.

    Raises: `NotOurDatabase`; `DatabaseTooNew`.
    """
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        number = int(connection.execute("PRAGMA user_version").fetchone()[0])
        count = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    except sqlite3.DatabaseError as exc:
        if exc.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
            raise
        raise NotOurDatabase("this file is no SQLite database: name another") from exc
    if application != APPLICATION_ID and (application or number or count):
        raise NotOurDatabase(
            "this SQLite file belongs to another program: name another"
        )
    latest = migrations()[-1][0]
    if number > latest:
        raise DatabaseTooNew(
            f"this file has tables of version {number}, and this program knows "
            f"versions up to {latest}: use the newer program"
        )
    return number


def migrate(connection: sqlite3.Connection) -> int:
    """Run the migrations that this file lacks, each in a transaction of its own.

    Raises: as `version`; `sqlite3.Error` where a migration fails, which leaves the
    file at the migration before it.
    """
    number = version(connection)
    for following, script in migrations():
        if following <= number:
            continue
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{script}\n"
                f"PRAGMA application_id = {APPLICATION_ID};\n"
                f"PRAGMA user_version = {following};\nCOMMIT;"
            )
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        number = following
    return number
