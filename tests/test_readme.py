"""What the README tells people to write or type works as it stands there."""

import ast
import re
from pathlib import Path

import pytest

from proxy.settings import Settings
from tests.test_house import ROOT

README = (ROOT / "README.md").read_text()


def is_table(example: str) -> bool:
    """Say whether an example has no plain line, which could not follow a table."""
    return example.startswith("[")


def test_the_settings_file_of_the_readme_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "spiritsafe.toml").write_text("\n".join(sorted(examples, key=is_table)))
    monkeypatch.chdir(tmp_path)
    settings = Settings()
    assert ["card", "patient"] == [rule.name for rule in settings.redact]
    assert {"env": "prod"} == settings.tags
    assert {"default", "together"} == set(settings.every_upstream())
    assert "TOGETHER_API_KEY" == settings.upstreams["together"].key_env


def test_the_variable_of_the_readme_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    (variable,) = set(re.findall(r"SPIRITSAFE_\w+=\w+", README))
    name, value = variable.split("=")
    monkeypatch.setenv(name, value)
    assert value == Settings().durability


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_make_target_that_is_named_exists(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z0-9]+):", makefile, re.MULTILINE))
    named = re.findall(
        r"(?:`|^ +)make ([a-z0-9]+)", (ROOT / page).read_text(), re.MULTILINE
    )
    assert [] == [target for target in named if target not in targets]


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "bench/README.md",
        "deploy/README.md",
    ],
)
def test_every_link_within_the_checkout_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert [] == [
        link for link in links if not (ROOT / page).parent.joinpath(link).exists()
    ]


def defined(path: str) -> set[str]:
    """Return the functions and classes at the top of a file, none if it is missing."""
    if not (ROOT / path).exists():
        return set()
    body = ast.parse((ROOT / path).read_text()).body
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in body if isinstance(node, kinds)}


def test_every_promise_names_the_tests_that_carry_it() -> None:
    rows = re.findall(r"^\| \*\*(P\d) .*$", README, re.MULTILINE)
    assert [f"P{number}" for number in range(1, 8)] == rows
    for row in re.findall(r"^\| \*\*P\d .*$", README, re.MULTILINE):
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", row)
        assert named, row
        assert [] == [at for at in named if at[1] not in defined(at[0])]
