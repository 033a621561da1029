"""What is registered changes in the file and in force, or in neither."""

import asyncio
from pathlib import Path

import pytest

from proxy.schemas.registrar import Registrar
from proxy.schemas.registry import Ask, Registry
from storage.errors import NoSuchBinding, NoSuchSchema
from storage.recorder import Recorder
from storage.registering import Entry
from storage.schemas import Rule
from tests.storage.make import NOW_AT, clock

pytestmark = pytest.mark.anyio

ADD = Entry(do="add", schema="invoice", document=b"{}", source="api")
BIND = Entry(do="bind", schema="invoice", rule=Rule(model="m-*"), policy="enforce")


async def test_a_change_is_in_force_at_once_and_after_a_restart(
    tmp_path: Path,
) -> None:
    async with Recorder.open(tmp_path / "s.db", clock=clock) as recorder:
        registrar = await Registrar.open(recorder, clock=clock)
        before = registrar.registry
        done = await registrar.enter(ADD)
        assert (True, "invoice@1", NOW_AT) == (
            done.new,
            done.version and done.version.ref,
            done.version and done.version.created_at,
        )
        assert done.version is not None
        bound = (await registrar.enter(BIND)).binding
        assert [bound] == list(registrar.registry.follows(Ask(model="m-1")).values())
        assert None is before.find("invoice"), "who holds a registry goes on with it"
        known = registrar.registry
    async with Recorder.open(tmp_path / "s.db", clock=clock) as recorder:
        again = (await Registrar.open(recorder, clock=clock)).registry
        assert (known.versions, known.bindings) == (again.versions, again.bindings)


async def test_bindings_are_moved_and_ended(tmp_path: Path) -> None:
    async with Recorder.open(tmp_path / "s.db", clock=clock) as recorder:
        registrar = await Registrar.open(recorder, clock=clock)
        await registrar.enter(ADD)
        for _ in range(3):
            await registrar.enter(BIND)

        def order() -> list[int]:
            return [its.id for its in registrar.registry.bindings]

        await registrar.enter(Entry(do="move", number=3, position=1))
        assert [3, 1, 2] == order()
        ended = await registrar.enter(Entry(do="unbind", number=1))
        assert 1 == (ended.binding and ended.binding.id)
        assert [3, 2] == order()


async def test_what_is_refused_changes_nothing(tmp_path: Path) -> None:
    async with Recorder.open(tmp_path / "s.db", clock=clock) as recorder:
        registrar = await Registrar.open(recorder, clock=clock)
        before = registrar.registry
        with pytest.raises(NoSuchSchema):
            await registrar.enter(BIND)
        for entry in (Entry(do="unbind", number=1), Entry(do="move", number=1)):
            with pytest.raises(NoSuchBinding):
                await registrar.enter(entry)
        assert before is registrar.registry


async def test_of_changes_at_once_none_is_lost(tmp_path: Path) -> None:
    async with Recorder.open(tmp_path / "s.db", clock=clock) as recorder:
        registrar = await Registrar.open(recorder, clock=clock)
        await registrar.enter(ADD)
        done = await asyncio.gather(*(registrar.enter(BIND) for _ in range(20)))
        assert list(range(1, 21)) == [its.binding.id for its in done if its.binding]
        assert 20 == len(registrar.registry.bindings)


async def test_a_new_file_has_nothing_registered(tmp_path: Path) -> None:
    async with Recorder.open(tmp_path / "s.db", clock=clock) as recorder:
        registry = (await Registrar.open(recorder, clock=clock)).registry
    assert ((), ()) == (registry.versions, registry.bindings)
    assert isinstance(registry, Registry)
