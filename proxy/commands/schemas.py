"""`spiritsafe schema`: registers schemas, binds them to traffic, and lists both."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from proxy.api.registered import NewBinding
from proxy.commands import printing
from proxy.commands.errors import CannotStart, NotFound, Refused, WrongUse
from proxy.commands.flags import database, tags_from
from proxy.commands.modelling import schema_of
from proxy.commands.opening import opened
from proxy.commands.registered import (
    added_json,
    binding_json,
    binding_table,
    version_json,
    version_table,
    whole_json,
    words,
)
from proxy.commands.wishing import register
from proxy.schemas.admit import addition
from proxy.schemas.document import MAX_BYTES, SchemaRefused
from proxy.schemas.registry import Registry
from proxy.stitch.values import read_json
from storage import registry
from storage.registering import Entry
from storage.schemas import Binding, Rule


def add(
    db: Path | None,
    name: str,
    *,
    file: str | None,
    pydantic: str | None = None,
    python: str | None = None,
    as_json: bool = False,
) -> None:
    """Register a schema from a file, from stdin or from a pydantic model.

    Raises: `Refused` with the path of the fault; `WrongUse`, `CannotStart`.
    """
    if (file is None) == (pydantic is None):
        raise WrongUse("name a file, or - for stdin, or a model with --pydantic")
    if pydantic is not None:
        document, source = schema_of(pydantic, python=python), "pydantic"
    else:
        document, source = _read(file or "-"), "file"
    try:
        entry = asyncio.run(addition(name, document, source=source))
    except SchemaRefused as exc:
        place = f" at {exc.path}" if exc.path else ""
        told = pydantic or ("stdin" if file == "-" else file)
        raise Refused(f"{told}: {exc.message}{place}") from exc
    done = register(database(db), entry)
    if done.version is None:  # pragma: no cover  adding gives a version
        return
    if as_json:
        printing.write_json(added_json(done.version, new=done.new))
    else:
        known = "" if done.new else " already"
        printing.say(f"{done.version.ref}{known}")


def _read(file: str) -> bytes:
    """Return what a file holds, or enough to see that it is too much."""
    try:
        if file == "-":
            return sys.stdin.buffer.read(MAX_BYTES + 1)
        with Path(file).open("rb") as it:
            return it.read(MAX_BYTES + 1)
    except OSError as exc:
        raise CannotStart(f"{file} cannot be read: {exc.strerror}") from exc


def show_list(db: Path | None, *, as_json: bool = False) -> None:
    """Print the newest version of every schema."""
    newest = _registry(db).newest()
    if as_json:
        printing.write_json([version_json(its) for its in newest])
    elif newest:
        printing.print_table(version_table(newest))
    else:
        printing.tell("no schema is registered: 'spiritsafe schema add' does it")


def show(db: Path | None, ref: str, *, as_json: bool = False) -> None:
    """Print a schema as it was given, and on stderr what it is."""
    known = _registry(db)
    its = known.find(ref)
    if its is None:
        raise NotFound(
            f"no schema is registered as '{ref}': see 'spiritsafe schema list'"
        )
    versions = [one.version for one in known.history(its.name)]
    if as_json:
        printing.write_json(read_json(whole_json(its, versions)))
        return
    printing.tell(f"{its.ref} of {len(versions)}, from {its.source}")
    printing.say(its.document.decode())


def bind(
    db: Path | None,
    asked: Mapping[str, object],
    *,
    tags: Sequence[str],
    as_json: bool = False,
) -> None:
    """Bind a schema to what a rule chooses.

    Shapes: `asked` as `NewBinding` takes it, but for the tags.
    Raises: `WrongUse`, `NotFound`, `CannotStart`.
    """
    try:
        new = NewBinding.model_validate({**asked, "tags": tags_from(list(tags))})
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        flag = str(first["loc"][0]).replace("_", "-")
        raise WrongUse(f"--{flag}: {first['msg']}") from exc
    _changed(db, new.entry, "bound", as_json=as_json)


def unbind(db: Path | None, number: int, *, as_json: bool = False) -> None:
    """End a binding. Raises: `NotFound`, `CannotStart`."""
    _changed(db, Entry(do="unbind", number=number), "ended", as_json=as_json)


def move(db: Path | None, number: int, position: int, *, as_json: bool = False) -> None:
    """Put a binding at another place. Raises: `NotFound`, `CannotStart`."""
    entry = Entry(do="move", number=number, position=position)
    _changed(db, entry, "moved", as_json=as_json)


def show_bindings(db: Path | None, *, as_json: bool = False) -> None:
    """Print the bindings, in the order in which they are asked."""
    bindings = _registry(db).bindings
    if as_json:
        printing.write_json([binding_json(its) for its in bindings])
    elif bindings:
        printing.print_table(binding_table(bindings))
    else:
        printing.tell("nothing is bound: 'spiritsafe schema bind' does it")


def _changed(db: Path | None, entry: Entry, done: str, *, as_json: bool) -> None:
    its = register(database(db), entry).binding
    if its is None:  # pragma: no cover  all that comes here changes one
        return
    if as_json:
        printing.write_json(binding_json(its))
    else:
        printing.say(_sentence(its, done))
        if done == "bound" and its.rule == Rule():
            printing.tell(
                "no rule was given, so this is all traffic: "
                f"'spiritsafe schema unbind {its.id}' ends it"
            )


def _sentence(its: Binding, done: str) -> str:
    return f"{done}: {its.id}, {its.schema} to {words(its.rule)}, {its.policy}"


def _registry(db: Path | None) -> Registry:
    with opened(db) as library:
        its = library.connection
        return Registry(registry.versions(its), registry.bindings(its))
