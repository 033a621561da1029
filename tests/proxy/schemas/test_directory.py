"""A directory of schemas: read at start and on SIGHUP, and never the end of a server."""

import json
import logging
import os
import signal
from pathlib import Path

import pytest

from proxy.schemas.directory import take_in
from proxy.schemas.registrar import Registrar
from storage.recorder import Recorder
from storage.registering import Entry
from tests.crash.running import serving, until
from tests.proxy.commands.recording import lines
from tests.storage.make import clock

pytestmark = pytest.mark.anyio

ONE, OTHER = b'{"type": "object"}', b'{"type": "array"}'


async def taken(folder: Path, registrar: Registrar) -> list[str]:
    """Take in the directory; return the refs of all that is registered."""
    await take_in(folder, registrar)
    return [its.ref for its in registrar.registry.versions]


async def test_a_file_that_changes_is_a_new_version(tmp_path: Path) -> None:
    async with Recorder.open(tmp_path / "s.db", clock=clock) as recorder:
        registrar = await Registrar.open(recorder, clock=clock)
        folder = tmp_path / "schemas"
        folder.mkdir()
        (folder / "order.json").write_bytes(ONE)
        (folder / "invoice.json").write_bytes(ONE)
        (folder / "notes.txt").write_bytes(b"no schema")
        (folder / ".invoice.json").write_bytes(b"an editor's")
        (folder / "deep.json").mkdir()
        assert ["invoice@1", "order@1"] == await taken(folder, registrar)
        assert ["invoice@1", "order@1"] == await taken(folder, registrar)
        (folder / "invoice.json").write_bytes(OTHER)
        (folder / "order.json").unlink()
        known = ["invoice@1", "invoice@2", "order@1"]
        assert known == await taken(folder, registrar)
        newest = registrar.registry.find("invoice")
        assert newest is not None
        assert (OTHER, "directory") == (newest.document, newest.source)


async def test_what_nobody_foresaw_in_a_file_stops_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Recorder.open(tmp_path / "s.db", clock=clock) as recorder:
        registrar = await Registrar.open(recorder, clock=clock)
        beyond = {"prefixItems": [{}], "$ref": f"#/prefixItems/{'9' * 5000}"}
        (tmp_path / "a.json").write_text(json.dumps(beyond))
        (tmp_path / "b.json").write_bytes(ONE)
        assert ["b@1"] == await taken(tmp_path, registrar)
        (tmp_path / "b.json").write_bytes(OTHER)

        def fails(_: object) -> None:
            raise RecursionError

        monkeypatch.setattr("proxy.schemas.admit.weigh", fails)
        assert ["b@1"] == await taken(tmp_path, registrar)


async def test_what_came_by_another_way_stays_until_the_file_changes(
    tmp_path: Path,
) -> None:
    async with Recorder.open(tmp_path / "s.db", clock=clock) as recorder:
        registrar = await Registrar.open(recorder, clock=clock)
        (tmp_path / "invoice.json").write_bytes(ONE)
        await take_in(tmp_path, registrar)
        put = Entry(do="add", schema="invoice", document=OTHER, source="api")
        await registrar.enter(put)
        assert ["invoice@1", "invoice@2"] == await taken(tmp_path, registrar)
        (tmp_path / "invoice.json").write_bytes(b"true")
        await take_in(tmp_path, registrar)
        newest = registrar.registry.find("invoice")
        assert b"true" == (newest and newest.document)


@pytest.mark.parametrize(
    ("name", "document", "told"),
    [
        ("invoice", b'{"type": "objekt"}', "at /type"),
        ("invoice", b"{", "is not taken"),
        ("invoice", b'"' + b"a" * 300_000, "256 KiB"),
        ("an invoice", ONE, "is no name"),
    ],
)
async def test_a_broken_file_is_told_of_by_its_path_and_the_old_version_stays(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    document: bytes,
    told: str,
) -> None:
    async with Recorder.open(tmp_path / "s.db", clock=clock) as recorder:
        registrar = await Registrar.open(recorder, clock=clock)
        (tmp_path / "invoice.json").write_bytes(ONE)
        (tmp_path / "order.json").write_bytes(ONE)
        await take_in(tmp_path, registrar)
        broken = tmp_path / f"{name}.json"
        broken.write_bytes(document)
        (tmp_path / "order.json").write_bytes(OTHER)
        known = ["invoice@1", "order@1", "order@2"]
        assert known == await taken(tmp_path, registrar), "others are taken"
    (said,) = [its.getMessage() for its in caplog.records if its.levelno > logging.INFO]
    assert str(broken) in said
    assert told in said


async def test_a_pipe_is_not_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Recorder.open(tmp_path / "s.db", clock=clock) as recorder:
        registrar = await Registrar.open(recorder, clock=clock)
        os.mkfifo(tmp_path / "pipe.json")
        (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere")
        assert [] == await taken(tmp_path, registrar)
        assert [] == await taken(tmp_path / "nowhere", registrar)
    assert 3 == caplog.text.count("cannot be read")


async def test_sighup_has_the_directory_read_again(tmp_path: Path) -> None:
    folder, db = tmp_path / "schemas", tmp_path / "s.db"
    folder.mkdir()
    (folder / "invoice.json").write_bytes(ONE)
    variables = {"SPIRITSAFE_SCHEMAS": str(folder)}
    command = ("schema", "list", "--db", db)
    async with serving(db, "http://127.0.0.1:9", variables=variables) as running:

        def known() -> list[str]:
            return [its["ref"] for its in lines(*command)[0]]

        assert ["invoice@1"] == known()
        (folder / "invoice.json").write_bytes(OTHER)
        (folder / "order.json").write_text(json.dumps({"type": "objekt"}))
        running.tell(signal.SIGHUP)
        await until(lambda: known() == ["invoice@2"])
        (folder / "order.json").write_bytes(ONE)
        running.tell(signal.SIGHUP)
        await until(lambda: known() == ["invoice@2", "order@1"])
        running.tell(signal.SIGTERM)
        code, said = await running.ended()
    assert 0 == code
    assert f"{folder / 'order.json'} is not taken" in said
