"""What the source never does, read: no formatted SQL, no execution of what was recorded."""

import ast
import importlib
import pkgutil
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from tests import test_house as house

Complaints = Iterator[str]

SQL_OF_OURS = {  # constants of ours alone, as PRAGMA binds none, and rows of `?`
    "storage/engines/migrate.py",
    "storage/engines/scrub.py",
    "storage/engines/sqlite.py",
    "storage/index/file.py",
    "storage/index/texts.py",  # tables of words by their number, which none binds either
    "storage/pieces.py",
}
EXECUTE = {"execute", "executemany", "executescript"}
NEVER_IMPORTED = re.compile("pickle|marshal|shelve|dill|yaml|jinja2|code|codeop|runpy")
NEVER_CALLED = {"eval", "exec", "compile", "__import__"}
TELLS_LOCALS = {"show_locals", "capture_locals", "tracebacks_show_locals", "f_locals"}


def formatted_sql(tree: ast.Module) -> Complaints:
    """Yield statements that are put together where they are executed (S-40)."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr in EXECUTE and node.args:
            said = node.args[0]
            formats = isinstance(said, ast.Call) and "format" in ast.dump(said.func)
            if formats or isinstance(said, ast.JoinedStr | ast.BinOp):
                yield f"{node.lineno}: bind values, do not format them"


def execution(tree: ast.Module) -> Complaints:
    """Yield what could execute what was recorded (S-47)."""
    for node, name in house.imported(tree):
        if NEVER_IMPORTED.fullmatch(name.split(".")[0]):
            yield f"{getattr(node, 'lineno', 1)}: {name} executes or templates data"
    for node in ast.walk(tree):
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Name) and called.id in NEVER_CALLED:
            yield f"{called.lineno}: {called.id}() executes data"


def locals_told(tree: ast.Module) -> Complaints:
    """Yield tracebacks that would show local variables, keys among them (S-03)."""
    for node in ast.walk(tree):
        names = {getattr(node, "arg", ""), getattr(node, "attr", "")}
        if names & TELLS_LOCALS:
            yield f"{getattr(node, 'lineno', 1)}: a traceback with locals tells keys"
    for node, name in house.imported(tree):
        if name.startswith(("cgitb", "rich.traceback")):
            yield f"{getattr(node, 'lineno', 1)}: {name} tells locals"


def losing_cancels(tree: ast.Module) -> Complaints:
    """Yield what runs an application in a task of its own, or behind it (H-73).

    A client that leaves is then not heard of, and what comes after may never run.
    """
    lost = ("BaseHTTPMiddleware", "BackgroundTask", "BackgroundTasks", "TestClient")
    for node, name in house.imported(tree):
        if name.rpartition(".")[2] in lost or name.startswith("starlette.background"):
            yield f"{getattr(node, 'lineno', 1)}: {name} loses a cancel"


def patterns_of_others(tree: ast.Module) -> Complaints:
    """Yield patterns made from more than texts of ours (S-45)."""
    for node in ast.walk(tree):
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
            first = node.args[0] if isinstance(node, ast.Call) and node.args else None
            if called.value.id == "re" and isinstance(first, ast.Name):
                yield f"{called.lineno}: whose pattern is {first.id}?"


def everywhere(look: Callable[[ast.Module], Complaints], exempt: set[str]) -> list[str]:
    return [
        f"{source.path}:{complaint}"
        for source in house.sources(house.ROOT)
        if house.in_package(source.path) and source.path not in exempt
        for complaint in look(ast.parse(source.text))
    ]


def test_s40_no_statement_is_put_together_where_it_is_executed() -> None:
    assert [] == everywhere(formatted_sql, SQL_OF_OURS)


def test_s47_nothing_recorded_is_executed_or_templated() -> None:
    assert [] == everywhere(execution, set())


def test_s03_no_traceback_tells_local_variables() -> None:
    assert [] == everywhere(locals_told, set())


def test_h73_no_layer_loses_a_cancel() -> None:
    assert [] == everywhere(losing_cancels, set())


def test_s45_no_pattern_comes_from_a_client() -> None:
    assert [] == everywhere(patterns_of_others, set())


@pytest.mark.parametrize(
    ("look", "offence"),
    [
        (formatted_sql, 'c.execute(f"SELECT {x}")'),
        (formatted_sql, 'c.executemany("SELECT " + x, y)'),
        (formatted_sql, 'c.execute("{}".format(x))'),
        (formatted_sql, 'c.execute("%s" % x)'),
        (execution, "import pickle"),
        (execution, "from yaml import load"),
        (execution, "eval(x)"),
        (locals_told, "from rich.traceback import install"),
        (locals_told, "TracebackException(a, b, c, capture_locals=True)"),
        (locals_told, "print(frame.f_locals)"),
        (losing_cancels, "from starlette.middleware.base import BaseHTTPMiddleware"),
        (losing_cancels, "import starlette.background"),
        (patterns_of_others, "re.compile(asked)"),
        (patterns_of_others, "re.search(asked, text)"),
    ],
)
def test_each_offence_is_seen(
    look: Callable[[ast.Module], Complaints], offence: str
) -> None:
    assert [] != list(look(ast.parse(offence)))


UNENDING = re.compile("x*").pattern, 4294967295  # how re spells "no upper bound"
GREEDY = {"MAX_REPEAT", "MIN_REPEAT"}  # POSSESSIVE_REPEAT never goes back


def explosive(pattern: str | bytes) -> bool:
    """Return whether a repetition without bound holds another, or alternatives.

    Each could match one text in many ways, all of which are tried before it fails.
    """
    parse: Any = importlib.import_module("re._parser").parse
    return _explosive(parse(pattern), within=False)


def _explosive(tree: Any, *, within: bool) -> bool:
    for operation, value in tree:
        name = str(operation)
        unbounded = name in GREEDY and value[1] >= UNENDING[1]
        if within and (unbounded or name == "BRANCH"):
            return True
        inner = within or unbounded
        if any(_explosive(part, within=inner) for part in _parts(name, value)):
            return True
    return False


def _parts(name: str, value: Any) -> list[Any]:
    if name in GREEDY | {"POSSESSIVE_REPEAT"}:
        return [value[2]]
    if name == "BRANCH":
        return list(value[1])
    if name == "SUBPATTERN":
        return [value[3]]
    if name in {"ASSERT", "ASSERT_NOT"}:
        return [value[1]]
    return [value] if name == "ATOMIC_GROUP" else []


def modules() -> Iterator[ModuleType]:
    for package in house.PACKAGES:
        yield importlib.import_module(package)
        folder = [str(house.ROOT / package)]
        for found in pkgutil.walk_packages(folder, f"{package}."):
            yield importlib.import_module(found.name)


def test_s45_no_pattern_of_ours_can_run_for_ever() -> None:
    patterns = {
        f"{module.__name__}.{name}": value.pattern
        for module in modules()
        for name, value in vars(module).items()
        if isinstance(value, re.Pattern)
    }
    assert len(patterns) > 10
    assert [] == [name for name, pattern in patterns.items() if explosive(pattern)]


@pytest.mark.parametrize(
    "pattern", ["(a+)+b", "(a|ab)*$", "(.*)*x", "(?:x(?:y*))+", rb"(\s*,)*"]
)
def test_a_pattern_that_can_run_for_ever_is_seen(pattern: str | bytes) -> None:
    assert explosive(pattern)


@pytest.mark.parametrize("pattern", ["a+b*", "(?:[ab]|c)?", "(?:a*+b)*+", "(ab){0,9}"])
def test_a_pattern_that_ends_passes(pattern: str) -> None:
    assert not explosive(pattern)
