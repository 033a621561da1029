"""Each house rule can fail: what it must complain about, and what it must let pass."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import test_checkout as checkout
from tests import test_house as house

OFFENCES = {
    "storage imports proxy": (house.layers, "storage/tables.py", "import proxy.sse"),
    "distill imports proxy": (house.layers, "distill/a.py", "from proxy import sse"),
    "product imports tests": (house.layers, "proxy/sse.py", "from tests import wire"),
    "relative import": (house.layers, "proxy/app.py", "from .sse import Events"),
    "httpx in an app": (house.library_homes, "proxy/app.py", "import httpx"),
    "zstd in a writer": (
        house.library_homes,
        "storage/recorder.py",
        "import zstandard",
    ),
    "typer in a library": (
        house.library_homes,
        "distill/x.py",
        "from typer import Typer",
    ),
    "a clock": (house.purity, "proxy/sse.py", "import time"),
    "a socket": (house.purity, "proxy/stitch/chat.py", "from socket import socket"),
    "a file": (house.purity, "distill/formats/x.py", "open('a')"),
    "impure friend": (house.purity, "proxy/rules.py", "from proxy.pool import Pool"),
    "no module docstring": (house.docstrings, "tests/test_a.py", "a = 1"),
    "no sentence": (house.docstrings, "proxy/a.py", '"""Stuff"""'),
    "no class docstring": (house.docstrings, "proxy/a.py", '"""Own."""\nclass A: ...'),
    "no method docstring": (
        house.docstrings,
        "proxy/a.py",
        '"""Own."""\nclass A:\n "A."\n def go(self): ...',
    ),
    "utils": (house.module_names, "proxy/utils.py", ""),
    "core folder": (house.module_names, "storage/core/rows.py", ""),
    "standard name": (house.module_names, "proxy/queue.py", ""),
    "long file": (house.sizes, "proxy/a.py", "\n" * 401),
    "long function": (house.sizes, "proxy/a.py", "def f():\n" + " a = 1\n" * 50),
    "five positionals": (house.positionals, "proxy/a.py", "def f(a, b, c, d, e): ..."),
    "global": (house.no_globals, "proxy/a.py", "def f():\n global a"),
    "hidden cycle": (house.no_type_checking, "proxy/a.py", "if TYPE_CHECKING: ..."),
    "typing.T_C": (house.no_type_checking, "proxy/a.py", "if t.TYPE_CHECKING: ..."),
    "late import": (house.imports_on_top, "proxy/a.py", "def f():\n import json"),
    "bare except": (house.narrow_catches, "proxy/a.py", "try: a\nexcept: a"),
    "broad except": (house.narrow_catches, "proxy/a.py", "try: a\nexcept Exception: a"),
    "broad in a tuple": (
        house.narrow_catches,
        "proxy/cli.py",
        "def other():\n try: a\n except (OSError, BaseException): a",
    ),
    "environment": (
        house.one_reader_of_environment,
        "storage/a.py",
        "import os\nos.environ",
    ),
}

DECENT = {
    "arrows down": (
        house.layers,
        "proxy/a.py",
        "import distill.pairs, storage.records",
    ),
    "at home": (house.library_homes, "proxy/upstream/pool.py", "import httpx"),
    "private class": (
        house.docstrings,
        "proxy/a.py",
        '"""Own."""\nclass _A:\n def go(self): ...',
    ),
    "tests may": (house.library_homes, "tests/proxy/test_a.py", "import httpx"),
    "pure friends": (
        house.purity,
        "proxy/rules.py",
        "from proxy.settings import Settings\nfrom storage.records import Edit\nimport re",
    ),
    "impure elsewhere": (house.purity, "proxy/server.py", "import time\nopen('a')"),
    "self is free": (
        house.positionals,
        "proxy/a.py",
        "def f(self, a, b, c, d, *, e): 1",
    ),
    "lazy command": (house.imports_on_top, "proxy/cli.py", "def f():\n import json"),
    "named place": (
        house.narrow_catches,
        "proxy/cli.py",
        "def main():\n try: a\n except Exception: a",
    ),
    "cleanup": (
        house.narrow_catches,
        "proxy/a.py",
        "try: a\nexcept BaseException: raise",
    ),
}


@pytest.mark.parametrize("name", OFFENCES)
def test_an_offence_is_found(name: str) -> None:
    rule, path, text = OFFENCES[name]
    assert 1 == len(list(rule(house.Source(path, text), ast.parse(text))))


@pytest.mark.parametrize("name", DECENT)
def test_decent_code_passes(name: str) -> None:
    rule, path, text = DECENT[name]
    assert [] == list(rule(house.Source(path, text), ast.parse(text)))


def test_no_rule_goes_unproven() -> None:
    assert set(house.RULES) == {rule for rule, _, _ in OFFENCES.values()}


def cyclic(root: Path) -> Iterator[str]:
    (root / "proxy").mkdir()
    (root / "proxy/a.py").write_text("from proxy import b")
    (root / "proxy/b.py").write_text("from proxy.c import C")
    (root / "proxy/c.py").write_text("import proxy.a")
    return checkout.no_cycles(root)


def undocumented(root: Path) -> Iterator[str]:
    (root / "README.md").write_text("<!-- settings -->\n| old |\n<!-- /settings -->")
    return checkout.settings_are_documented(root)


def misnamed(root: Path) -> Iterator[str]:
    for folder in ("proxy/upstream", "tests/proxy"):
        (root / folder).mkdir(parents=True)
    for file in ("proxy/upstream/pool.py", "tests/proxy/test_upstream_pool_limits.py"):
        (root / file).touch()
    (root / "tests/proxy/test_misc.py").touch()
    return checkout.names_of_tests(root)


def unrunnable(root: Path) -> Iterator[str]:
    (root / "scripts").mkdir()
    (root / "scripts/test").write_text("#!/bin/sh\n")
    return checkout.scripts_are_executable(root)


def addressed(root: Path) -> Iterator[str]:
    (root / "requirements").mkdir()
    pinned = "a==1 \\\n    --hash=sha256:0\n    # via b\n"
    (root / "requirements/run.txt").write_text(pinned + pinned)
    (root / "requirements/dev.txt").write_text(f"--index-url https://a\n{pinned}")
    return checkout.requirements_are_bare(root)


def unpinned(root: Path) -> Iterator[str]:
    (root / "requirements").mkdir()
    (root / "requirements/run.txt").write_text("a==1\n")
    return checkout.requirements_are_bare(root)


@pytest.mark.parametrize(
    "broken", [cyclic, undocumented, misnamed, unrunnable, unpinned]
)
def test_an_offending_checkout_is_found(
    broken: Callable[[Path], Iterator[str]], tmp_path: Path
) -> None:
    assert 1 == len(list(broken(tmp_path)))


def test_an_address_in_requirements_is_found(tmp_path: Path) -> None:
    assert {"requirements/dev.txt"} == {c.split(":")[0] for c in addressed(tmp_path)}


def test_a_checkout_without_cycles_passes(tmp_path: Path) -> None:
    (tmp_path / "proxy").mkdir()
    (tmp_path / "proxy/a.py").write_text("from proxy import b, c")
    (tmp_path / "proxy/b.py").write_text("from proxy.c import C")
    (tmp_path / "proxy/c.py").write_text("import storage")
    assert [] == list(checkout.no_cycles(tmp_path))
