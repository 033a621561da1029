"""Databases with rows at chosen places, so that a test meets many blocks at little cost."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from storage import epochs
from storage.engines.migrate import migrate
from storage.records import Exchange
from storage.rows import Links, exchange_row
from storage.statements import INSERT_EXCHANGE
from tests.storage.make import NOW_AT


def open_stock(path: Path) -> sqlite3.Connection:
    """Make a database with a run in it."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    migrate(connection)
    epochs.start(connection, started_at=NOW_AT)
    return connection


def put(connection: sqlite3.Connection, rows: Iterable[tuple[int, Exchange]]) -> None:
    """Insert exchanges without their bodies, each at its place."""
    for seq, exchange in rows:
        links = Links(messages_node=None, parent=None, thread=seq - seq % 3)
        row = exchange_row(exchange, seq=seq, epoch=1, links=links)
        connection.execute(INSERT_EXCHANGE, row)
