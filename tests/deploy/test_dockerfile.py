"""The Dockerfile, read: there is no engine here to build it."""

import json
import re
from pathlib import Path

from tests.deploy.parsing import served_with

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "Dockerfile").read_text()
LINES = [
    (word, rest)
    for line in re.sub(r"\\\n\s*", "", TEXT).splitlines()
    if line and not line.startswith("#")
    for word, rest in [line.split(maxsplit=1)]
]


def rests(instruction: str) -> list[str]:
    return [rest for word, rest in LINES if word == instruction]


def test_every_base_is_pinned_to_a_patch_release() -> None:
    bases = {rest.split()[0] for rest in rests("FROM")}
    assert 1 == len(bases)
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", bases.pop())


def test_what_is_copied_exists_and_may_enter_the_context() -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    copied = {
        source
        for rest in rests("COPY")
        if not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    assert allowed == copied
    assert "*" in ignore
    assert [] == [source for source in copied if not (ROOT / source).exists()]


def test_all_three_packages_are_in_the_image() -> None:
    assert {"proxy proxy", "distill distill", "storage storage"} <= set(rests("COPY"))


def test_nothing_is_installed_without_its_hash() -> None:
    installs = [rest for rest in rests("RUN") if "pip install" in rest]
    assert 2 == len(installs)
    assert "--require-hashes" in installs[0]
    assert "--no-deps --no-build-isolation ." in installs[1]


def test_it_runs_as_nobody_in_particular_and_writes_to_one_volume() -> None:
    (user,) = rests("USER")
    assert int(user.split(":")[0]) > 0
    assert ["/data"] == rests("VOLUME") == rests("WORKDIR")[-1:]
    words = [word for word, _ in LINES]
    assert "FROM" not in words[words.index("USER") :]


def test_it_serves_on_the_exposed_port_and_the_volume() -> None:
    command = json.loads(rests("ENTRYPOINT")[0]) + json.loads(rests("CMD")[0])
    assert ["-I", "/opt/spiritsafe/bin/spiritsafe", "serve"] == command[1:4]
    assert ["--listen", "0.0.0.0:8787", "--db", "/data/spiritsafe.db"] == command[4:]
    assert ["8787"] == rests("EXPOSE")


def test_the_program_takes_its_arguments() -> None:
    given = served_with(json.loads(rests("CMD")[0]))
    assert {"listen": "0.0.0.0:8787", "db": Path("/data/spiritsafe.db")} == given


def test_its_health_is_asked_by_the_probe_it_carries() -> None:
    (check,) = rests("HEALTHCHECK")
    command = json.loads(check[check.index("[") :])
    assert ["-I", "/opt/spiritsafe/probe.py", "/healthz"] == command[1:]
    assert "deploy/probe.py /opt/spiritsafe/probe.py" in rests("COPY")
