"""Begins and ends the run of a writer, on its connection."""

import logging
import sqlite3

import msgspec

from storage import epochs
from storage.damage import check
from storage.engines.sqlite import checkpoint, transaction
from storage.recovery import RecoveryReport, recover, settle
from storage.replay import Replayed, replay
from storage.spool import Spool

_log = logging.getLogger(__name__)


def copy_log(connection: sqlite3.Connection) -> None:
    """Write what the log holds into the database, synced, and begin the log anew.

    After a sync that failed the log may hold a whole commit that is in memory only: a
    new connection finds it there, and no later sync writes it, as its pages count as
    clean (Rebello et al., ATC'20). So it is written again, elsewhere.
    Raises: `sqlite3.Error`, also where a reader keeps the log from starting over.
    """
    if not checkpoint(connection, "TRUNCATE"):
        raise sqlite3.OperationalError("a reader holds the log, which is not synced")


def begin(
    connection: sqlite3.Connection, spool: Spool, *, now_at: int
) -> tuple[RecoveryReport, Replayed]:
    """Bring in what the spool holds, and settle what runs before left."""
    if any(run.ended_at is None for run in epochs.read(connection)):
        check(connection)
        if not checkpoint(connection, "TRUNCATE"):  # perhaps never synced: `copy_log`
            _log.warning("a reader holds the log of the last run")
    replayed = replay(connection, spool, now_at=now_at)
    return recover(connection, now_at=now_at), replayed


def end(
    connection: sqlite3.Connection,
    epoch: int,
    *,
    accepted: int,
    unrecorded: int,
    now_at: int,
) -> list[str]:
    """End this run as a clean one; return the ids settled as incomplete."""
    (run,) = [run for run in epochs.read(connection) if run.id == epoch]
    run = msgspec.structs.replace(run, accepted=accepted, unrecorded=unrecorded)
    with transaction(connection):
        settled = settle(connection, epoch, reason="proxy_shutdown", now_at=now_at)
        epochs.end(connection, run, ended_at=now_at, settled=len(settled), clean=True)
    return settled
