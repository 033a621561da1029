"""The house rules about the whole checkout: cycles, names of tests, README, scripts."""

import ast
import inspect
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.cli import cli
from proxy.settings import RedactSettings, Settings, UpstreamSettings
from tests import test_house as house


def no_cycles(root: Path) -> Iterator[str]:
    arrows: dict[str, set[str]] = {}
    modules = {s.path: s for s in house.sources(root) if house.in_package(s.path)}
    for path, source in modules.items():
        found = (
            next((c for c in house.candidates(name) if c in modules), None)
            for _, name in house.imported(ast.parse(source.text))
        )
        arrows[path] = {there for there in found if there} - {path}
    while leaves := {path for path, there in arrows.items() if not there}:
        arrows = {p: there - leaves for p, there in arrows.items() if p not in leaves}
    if arrows:
        yield f"these modules import each other: {sorted(arrows)}: move what both need"


def shown(name: str, default: object) -> str:
    """Return a default as the README shows it."""
    if default in (None, {}, (), ""):
        return ""
    if name.endswith("_bytes"):
        return f"`{default}` ({int(str(default)) >> 20} MiB)"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def flags_of_serve() -> dict[str, str]:
    """Return the flags of `serve` by the settings they stand for."""
    (serve,) = [it.callback for it in cli.registered_commands if it.name == "serve"]
    assert serve is not None
    names = inspect.signature(serve).parameters
    return {
        name if name in Settings.model_fields else f"{name}s": (
            f"`--{name.replace('_', '-')}`"
        )
        for name in names
    }


def settings_table() -> str:
    """Return the README's table of settings, as proxy/settings.py has them now."""
    flags = flags_of_serve()
    rows = ["| setting | flag | default | what it does |", "|---|---|---|---|"]
    for prefix, model in (
        ("", Settings),
        ("redact.*.", RedactSettings),
        ("upstreams.*.", UpstreamSettings),
    ):
        for name, field in model.model_fields.items():
            default = field.get_default(call_default_factory=True)
            text = "required" if field.is_required() else shown(name, default)
            flag = flags.pop(f"{prefix}{name}", "")
            rows.append(f"| `{prefix}{name}` | {flag} | {text} | {field.description} |")
    assert {} == flags, "these flags set nothing that has a name"
    return "\n".join(rows)


def settings_are_documented(root: Path) -> Iterator[str]:
    found = re.search(
        r"<!-- settings -->\n(.*?)\n<!-- /settings -->",
        (root / "README.md").read_text(),
        re.DOTALL,
    )
    if found is None or found[1] != settings_table():
        yield (
            "README.md: put this between <!-- settings --> and <!-- /settings -->:\n\n"
            f"{settings_table()}\n"
        )


def names_of_tests(root: Path) -> Iterator[str]:
    for package in house.PACKAGES:
        known = {
            "_".join(parts[start:])
            for path in (root / package).rglob("*.py")
            for parts in [path.relative_to(root).with_suffix("").parts]
            for parts in [parts[:-1] if parts[-1] == "__init__" else parts]
            for start in range(len(parts))
        }
        for path in sorted((root / "tests" / package).rglob("test_*.py")):
            name = path.stem.removeprefix("test_")
            if not any(name == k or name.startswith(f"{k}_") for k in known):
                yield (
                    f"{path.relative_to(root)}: no module of {package} has that name: "
                    "call it test_<module>.py or test_<module>_<aspect>.py, or move it "
                    "out of the package's folder"
                )


def scripts_are_executable(root: Path) -> Iterator[str]:
    for path in sorted((*root.glob("scripts/*"), *root.glob(".ci/*"))):
        if (
            path.is_file()
            and path.read_bytes()[:2] == b"#!"
            and not os.access(path, os.X_OK)
        ):
            yield f"{path.relative_to(root)}: chmod +x, it starts with #!"


def requirements_are_bare(root: Path) -> Iterator[str]:
    for path in sorted(root.glob("tests/*/*/package-lock.json")):
        if "://" in path.read_text():
            yield (
                f"{path.relative_to(root)}: no addresses: make it anew, with 'npm "
                "install --package-lock-only' in its folder, where .npmrc omits them"
            )
    for path in sorted(root.glob("requirements/*.txt")):
        if "://" in path.read_text() or "--find-links" in path.read_text():
            yield f"{path.relative_to(root)}: names, versions and hashes only"
        for pinned in re.split(r"\n(?=\w)", path.read_text()):
            if not re.match(r"[\w.-]+==.*--hash=sha256:", pinned, re.DOTALL):
                yield (
                    f"{path.relative_to(root)}: pin this with a version and hashes, by "
                    f"'make lock': {pinned[:60]}"
                )


RULES: tuple[Callable[[Path], Iterator[str]], ...] = (
    no_cycles,
    settings_are_documented,
    names_of_tests,
    scripts_are_executable,
    requirements_are_bare,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_checkout_keeps_the_rule(rule: Callable[[Path], Iterator[str]]) -> None:
    complaints = list(rule(house.ROOT))
    assert [] == complaints, "\n" + "\n".join(complaints)
