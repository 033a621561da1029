"""Who calls, told apart without keeping a key."""

from pathlib import Path

import pytest

from proxy.callers import ANONYMOUS, load_secret, project_of

SECRET = b"s" * 32


def test_s02_keys_that_begin_alike_are_two_callers() -> None:
    """The whole key counts, and the whole hash is kept: 64 hexadecimal digits."""
    keys = [b"k" * length for length in (1, 19, 20, 21, 64, 65, 4096)]
    keys += [
        b"sk-proj-" + b"a" * 100 + tail for tail in (b"x", b"y", b" ", b"\xff", b"\0")
    ]
    projects = [project_of(key, SECRET) for key in keys]
    assert len(keys) == len(set(projects))
    assert {64} == {len(project) for project in projects}


def test_s02_without_the_secret_a_key_cannot_be_guessed_from_its_project() -> None:
    assert project_of(b"key", SECRET) != project_of(b"key", b"t" * 32)
    assert project_of(b"key", SECRET) == project_of(b"key", SECRET)


def test_no_key_is_a_caller_without_a_name() -> None:
    assert ANONYMOUS == project_of(None, SECRET) == project_of(b"", SECRET)


def test_s60_the_secret_is_made_once_and_is_the_owners(tmp_path: Path) -> None:
    path = tmp_path / "s.secret"
    secret = load_secret(path)
    assert (32, secret) == (len(secret), load_secret(path))
    assert 0o600 == path.stat().st_mode & 0o777
    assert secret != load_secret(tmp_path / "other.secret")


def test_a_secret_that_is_none_is_told(tmp_path: Path) -> None:
    path = tmp_path / "s.secret"
    path.write_text("abcd\n")
    with pytest.raises(ValueError, match="does not hold 32 bytes"):
        load_secret(path)
