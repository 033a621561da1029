"""Ownership: private files, on file systems whose locks hold."""

import os
import stat
from pathlib import Path

import pytest

from storage.engines.owner import Owner, create, refuse_unsafe
from storage.errors import DatabaseInUse, UnsafeFileSystem


def test_a_new_file_and_its_folder_are_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.db"
    before = os.umask(0)
    try:
        create(path)
        with Owner(path):
            owner = path.with_name("a.db.owner")
            assert stat.S_IMODE(owner.stat().st_mode) == 0o600
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.write_bytes(b"kept")
    create(path)
    assert path.read_bytes() == b"kept"


def test_the_lock_is_held_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with Owner(path), pytest.raises(DatabaseInUse, match=str(os.getpid())):
        Owner(path)
    Owner(path).close()


def test_a_link_to_the_file_has_the_same_owner(tmp_path: Path) -> None:
    path, link = tmp_path / "a.db", tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(path)
    with Owner(path), pytest.raises(DatabaseInUse, match=str(os.getpid())):
        Owner(link)
    assert [link] == list(link.parent.iterdir())


@pytest.mark.parametrize(
    ("kind", "refused"),
    [
        ("nfs4", True),
        ("fuse.sshfs", True),
        ("9p", True),
        ("ext4", False),
        ("fuseblk", False),
    ],
)
def test_f21_a_network_file_system_is_refused(
    tmp_path: Path,
    kind: str,
    refused: bool,  # noqa: FBT001  a parameter of the test
) -> None:
    device = tmp_path.stat().st_dev
    numbers = f"{os.major(device)}:{os.minor(device)}"
    mounts = (
        f"1 0 0:1 / / rw shared:1 - ext4 x rw\n2 1 {numbers} / /m rw - {kind} y rw\n"
    )
    if refused:
        with pytest.raises(UnsafeFileSystem, match=kind):
            refuse_unsafe(tmp_path, mounts)
    else:
        refuse_unsafe(tmp_path, mounts)
