"""The connections: what is bound arrives as it was."""

from contextlib import closing
from pathlib import Path

import pytest

from storage.engines.sqlite import open_writer


class Derived(bytes):
    """Bytes with an idea of their own of what they are bound as."""

    def __conform__(self, protocol: object) -> str:
        return "derived"


@pytest.mark.parametrize(
    ("value", "kind", "kept"),
    [
        (None, "null", None),
        (b"", "blob", b""),
        (b"\x00caf\xc3", "blob", b"\x00caf\xc3"),
        (bytearray(b"a"), "blob", b"a"),
        (memoryview(b"a"), "blob", b"a"),
        (Derived(b"a"), "text", "derived"),
        ("", "text", ""),
        (0, "integer", 0),
    ],
)
def test_a_value_is_bound_as_it_is(
    tmp_path: Path, value: object, kind: str, kept: object
) -> None:
    with closing(open_writer(tmp_path / "s.db")) as connection:
        row = connection.execute("SELECT typeof(?), ?", (value, value)).fetchone()
    assert row == (kind, kept)
    assert type(row[1]) is type(kept)
