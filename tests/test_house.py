"""The house rules that neither ruff nor mypy knows: layers, homes, purity, sizes.

A rule is a callable in `RULES` from one source file to its complaints; a complaint says
what to do. Rules go by patterns of paths, so a new module meets them on the day it
arrives, and every exception stands in a table with its reason. `test_checkout.py` holds
the rules about all files together, `test_house_proof.py` shows that each rule can fail.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("proxy", "distill", "storage")
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

ARROWS = {
    "proxy": {"proxy", "distill", "storage"},
    "distill": {"distill", "storage"},
    "storage": {"storage"},
}

COMMAND_LINE = ("proxy/cli*", "proxy/commands/*")
FRONT = ("proxy/front/*", "proxy/server.py")  # where uvicorn's protocols are refined
FORWARDING = tuple(
    f"proxy/{name}.py" for name in ("bodies", "passage", "relay", "replay", "upgrade")
)
HOMES = {
    "aiosqlite": ("storage/engines/*",),
    "genson": ("proxy/schemas/infer.py",),
    "h2": ("proxy/upstream*",),
    "jsonschema_rs": ("proxy/schemas/compile.py",),
    "httptools": ("proxy/upstream*", *FRONT),
    "httpx": ("proxy/upstream*", *FORWARDING),  # in forwarding its types only
    "openai": ("proxy/demo/*",),
    "prometheus_client": ("proxy/metrics*",),
    "pydantic_settings": ("proxy/settings.py",),
    "sqlalchemy": ("storage/*",),
    "sqlite3": ("storage/*", "proxy/commands/doctor.py"),
    "starlette": ("proxy/*",),
    "typer": COMMAND_LINE,
    "uvicorn": (*COMMAND_LINE, *FRONT, "proxy/demo/*"),
    "uvloop": (*COMMAND_LINE, *FRONT),
    "zstandard": ("storage/bodies.py", "proxy/decode.py"),
}

PURE = re.compile(
    "proxy/(additions|answer|decode|front/framing|headers|hosts|inject|prompt|redact|rules|schemas|splice|sse|"
    "strangers|stitch|tape|targets|terminal|validate|repair|stitch/.*|stored/(parameters|shapes)|"
    "schemas/(__init__|applying|carried|cases|document|extract|patterns|registry|slots|strict|traits)).py|"
    "distill/(pairs|chat|items|split|dedupe|preflight|formats/.*).py|"
    "storage/(records|bodies|phrases|complaints|schemas|threads|writable).py|(proxy|distill|storage)/errors.py"
)
PURE_TO_READ = "proxy/settings.py"  # as a type: a pure module is given a Settings
IMPURE = re.compile(
    "aiosqlite|anyio|asyncio|concurrent|fcntl|glob|httpx|logging|mmap|multiprocessing|"
    "os|pathlib|random|secrets|select|selectors|shutil|signal|socket|sqlalchemy|sqlite3|"
    "ssl|subprocess|tempfile|threading|time|uuid|uvicorn|uvloop"
)
IMPURE_CALLS = {"open", "print", "input"}

FORBIDDEN = re.compile(
    "base|common|core|handlers?|helpers?|manager|misc|services?|stuff|utils?"
)

ENVIRONMENT = ("proxy/settings.py", "proxy/upstream/settings.py", *COMMAND_LINE)
LAZY_IMPORTS = (
    *COMMAND_LINE,  # a command loads only what it runs
    "proxy/demo/run.py",
    "proxy/mask.py",  # RE2 is 2 MiB: for those who mask
    "proxy/schemas/compile.py",  # jsonschema-rs is 5 MiB: for those who judge
)
BROAD_CATCHES = {
    ("proxy/cli.py", "main"): "a command never ends in a traceback",
}
LONG_FILES: dict[str, str] = {}
LONG_FUNCTIONS: dict[tuple[str, str], str] = {}
MANY_POSITIONALS = {
    (
        "proxy/settings.py",
        "settings_customise_sources",
    ): "pydantic-settings calls it so",
}


class Source(NamedTuple):
    """One Python file of the checkout."""

    path: str
    text: str

    def complain(self, node: ast.AST | None, what: str) -> str:
        """Return one complaint, with the place an editor can jump to."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {what}"


Rule: TypeAlias = Callable[[Source, ast.Module], Iterator[str]]


def matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(path, pattern) for pattern in patterns)


def in_package(path: str) -> bool:
    return path.startswith(tuple(f"{package}/" for package in PACKAGES))


def imported(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Yield every imported dotted name, `from a import b` as `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            yield from ((node, f"{start}.{alias.name}") for alias in node.names)


def functions(tree: ast.AST) -> Iterator[Function]:
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node


def layers(source: Source, tree: ast.Module) -> Iterator[str]:
    here = source.path.split("/")[0]
    if here not in ARROWS:
        return
    for node, name in imported(tree):
        there = name.split(".")[0]
        if not there:
            yield source.complain(node, "write imports in full, from the package down")
        if there in {*PACKAGES, "tests", "bench"} - ARROWS[here]:
            yield source.complain(
                node,
                f"{here} must not import {there} (proxy -> distill -> storage): move "
                "the shared part down, or take it as an argument",
            )


def library_homes(source: Source, tree: ast.Module) -> Iterator[str]:
    if not in_package(source.path):
        return
    for node, name in imported(tree):
        homes = HOMES.get(name.split(".")[0])
        if homes is not None and not matches(source.path, homes):
            yield source.complain(
                node,
                f"{name.split('.')[0]} lives in {' and '.join(homes)} only: call what "
                "is there, or move this there",
            )


def purity(source: Source, tree: ast.Module) -> Iterator[str]:
    if not PURE.fullmatch(source.path):
        return
    for node, name in imported(tree):
        if IMPURE.fullmatch(name.split(".")[0]):
            yield source.complain(
                node, f"a pure module knows no {name}: take its result as an argument"
            )
        if in_package(name.replace(".", "/")) and not any(
            PURE.fullmatch(path) or path == PURE_TO_READ for path in candidates(name)
        ):
            yield source.complain(
                node,
                f"a pure module imports pure ones only, and {name} is not in PURE: take "
                "its result as an argument",
            )
    for node in ast.walk(tree):
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Name) and called.id in IMPURE_CALLS:
            yield source.complain(
                node, f"a pure module calls no {called.id}(): return the value"
            )


def candidates(name: str) -> Iterator[str]:
    """Yield the files that `name` could mean: a module, or a name inside one."""
    parts = name.split(".")
    for whole in (parts, parts[:-1]):
        yield "/".join(whole) + ".py"
        yield "/".join((*whole, "__init__.py"))


def public(body: Iterable[ast.stmt]) -> Iterator[ast.ClassDef | Function]:
    """Yield public classes and functions, and the methods of such classes."""
    for node in body:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


def docstrings(source: Source, tree: ast.Module) -> Iterator[str]:
    first = (ast.get_docstring(tree) or "").split("\n\n")[0]
    if not first.rstrip().endswith((".", "?")):
        yield source.complain(
            None, "open the module with one sentence that says what it owns"
        )
    if not in_package(source.path):
        return
    for node in public(tree.body):
        if ast.get_docstring(node) is None:
            yield source.complain(
                node, f"say in one indicative line what {node.name} is or does"
            )


def module_names(source: Source, tree: ast.Module) -> Iterator[str]:
    del tree
    if not in_package(source.path):
        return
    for name in source.path.removesuffix(".py").split("/"):
        if FORBIDDEN.fullmatch(name):
            yield source.complain(
                None, f"'{name}' attracts everything: name the one thing it owns"
            )
        if name in sys.stdlib_module_names and name != "__main__":
            yield source.complain(
                None, f"'{name}' is a module of the standard library: choose another"
            )


def sizes(source: Source, tree: ast.Module) -> Iterator[str]:
    lines = source.text.count("\n")
    if lines > 400 and source.path not in LONG_FILES:
        yield source.complain(
            None, f"{lines} lines: find the seam, or give LONG_FILES the reason"
        )
    for node in functions(tree):
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > 50 and (source.path, node.name) not in LONG_FUNCTIONS:
            yield source.complain(
                node,
                f"{node.name} has {length} lines: find the seam, or give "
                "LONG_FUNCTIONS the reason",
            )


def positionals(source: Source, tree: ast.Module) -> Iterator[str]:
    if source.path.startswith("tests/"):
        return  # fixtures are arguments
    for node in functions(tree):
        names = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
        count = len(names) - (names[:1] in (["self"], ["cls"]))
        if count > 4 and (source.path, node.name) not in MANY_POSITIONALS:
            yield source.complain(
                node,
                f"{node.name} takes {count} positional arguments: put a * after the "
                "fourth at the latest",
            )


def no_globals(source: Source, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield source.complain(
                node, "no `global`: open it in the lifespan and pass it on"
            )


def no_type_checking(source: Source, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if "TYPE_CHECKING" in {getattr(node, "id", ""), getattr(node, "attr", "")}:
            yield source.complain(
                node, "no TYPE_CHECKING: break the cycle by moving what both need"
            )


def imports_on_top(source: Source, tree: ast.Module) -> Iterator[str]:
    if not in_package(source.path) or matches(source.path, LAZY_IMPORTS):
        return
    for function in functions(tree):
        for node, name in imported(function):
            yield source.complain(
                node, f"import {name} at the top: only a CLI command imports later"
            )


def narrow_catches(source: Source, tree: ast.Module) -> Iterator[str]:
    places = {
        id(node): function.name
        for function in functions(tree)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = ast.walk(node.type or ast.Name("BaseException"))
        names = {name.id for name in caught if isinstance(name, ast.Name)}
        passes_on = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
        if not names & {"Exception", "BaseException"} or passes_on:
            continue
        if (source.path, places.get(id(node), "")) not in BROAD_CATCHES:
            yield source.complain(
                node, "catch by name, end in a bare `raise`, or use the named places"
            )


def one_reader_of_environment(source: Source, tree: ast.Module) -> Iterator[str]:
    if not in_package(source.path) or matches(source.path, ENVIRONMENT):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}:
            yield source.complain(
                node, "only settings see the environment: take it from Settings"
            )


RULES: tuple[Rule, ...] = (
    layers,
    library_homes,
    purity,
    docstrings,
    module_names,
    sizes,
    positionals,
    no_globals,
    no_type_checking,
    imports_on_top,
    narrow_catches,
    one_reader_of_environment,
)


def sources(root: Path) -> Iterator[Source]:
    """Yield every Python file of packages, tests and benches under `root`."""
    for top in (*PACKAGES, "tests", "bench"):
        for path in sorted((root / top).rglob("*.py")):
            yield Source(path.relative_to(root).as_posix(), path.read_text())


@pytest.fixture(scope="module")
def trees() -> list[tuple[Source, ast.Module]]:
    """Every source, read once for all rules; rules only look."""
    return [(source, ast.parse(source.text)) for source in sources(ROOT)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_source_keeps_the_rule(
    rule: Rule, trees: list[tuple[Source, ast.Module]]
) -> None:
    complaints = [
        complaint for source, tree in trees for complaint in rule(source, tree)
    ]
    assert [] == complaints, "\n" + "\n".join(complaints)
