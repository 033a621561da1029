"""Sees to it that one process owns a file, where its locks can be trusted."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from storage.errors import DatabaseInUse, UnsafeFileSystem

# reliability.md 2.7: shared memory or locks of a write-ahead log do not hold there.
_UNSAFE = {
    "9p", "afs", "ceph", "cifs", "gpfs", "lustre", "nfs", "nfs4", "smb3", "smbfs",
}  # fmt: skip


class Owner:
    """Holds the lock on `<database>.owner` until it is closed.

    It lies beside the file itself, whatever links lead there: SQLite's log does too.
    Raises: `DatabaseInUse` when another process, or another owner here, has it.
    """

    def __init__(self, database: Path) -> None:
        database = database.resolve()
        path = database.with_name(database.name + ".owner")
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            told = os.read(self._file, 20).decode("ascii", "replace").split()
            process = told[0] if told else ""
            os.close(self._file)
            raise DatabaseInUse(
                f"{database} is in use by process {process or 'unknown'}: "
                "stop it, or name another file"
            ) from exc
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, b"%d\n" % os.getpid(), 0)

    def close(self) -> None:
        """Release the lock; the file stays, as removing it would race with others."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def tell(database: Path, *, address: str, secret: str) -> None:
    """Tell where the owner of a file can be asked, and by what it knows who may.

    Shapes: behind the number of the process, a line each, for the same user's eyes.
    """
    path = database.with_name(database.name + ".owner")
    file = os.open(path, os.O_RDWR)
    try:
        os.fchmod(file, 0o600)
        line = os.read(file, 20).split(b"\n")[0]
        os.ftruncate(file, 0)
        os.pwrite(file, b"%b\n%b\n%b\n" % (line, address.encode(), secret.encode()), 0)
    finally:
        os.close(file)


def told(database: Path) -> tuple[str, str] | None:
    """Return the address and the secret that the owner of a file told, if it did."""
    database = database.resolve()
    path = database.with_name(database.name + ".owner")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    return (lines[1], lines[2]) if len(lines) == 3 else None


def create(database: Path) -> Path:
    """Create the file, for its owner's eyes only, and its folder, where missing.

    Shapes: returns where the file is, behind all links.
    Raises: `UnsafeFileSystem`; `OSError`.
    """
    database = database.resolve()
    database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    refuse_unsafe(database.parent, read_mounts())
    if not database.exists():
        os.close(os.open(database, os.O_RDWR | os.O_CREAT, 0o600))
    return database


def refuse_unsafe(folder: Path, mountinfo: str) -> None:
    """Raise `UnsafeFileSystem` where the folder's file system has no safe locks."""
    kind = file_system_of(folder, mountinfo)
    if kind in _UNSAFE or kind == "fuse" or kind.startswith("fuse."):
        raise UnsafeFileSystem(
            f"{folder} is on {kind}, where a write-ahead log is unsafe: "
            "name a file on a local disk"
        )


def file_system_of(folder: Path, mountinfo: str) -> str:
    """Return the type of a folder's file system; empty where it is not told.

    Source: proc_pid_mountinfo(5): field 3 is the device, the type follows ` - `.
    """
    device = folder.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in mountinfo.splitlines():
        mount, _, rest = line.partition(" - ")
        if mount.split()[2] == wanted:
            return rest.partition(" ")[0]
    return ""


def read_mounts() -> str:
    """Return what is mounted, as the kernel tells it; empty where it does not."""
    mounts = Path("/proc/self/mountinfo")
    return mounts.read_text(encoding="utf-8") if mounts.exists() else ""
