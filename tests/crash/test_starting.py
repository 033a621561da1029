"""A start that cannot be: an exit code and sentences, never a traceback."""

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.reading import open_library
from tests import canary
from tests.crash.running import launch, refusal, serving
from tests.living import RawClient
from tests.scripted_upstream import (
    CHAT,
    RawRequest,
    Wire,
    completion,
    scripted_upstream,
)

pytestmark = pytest.mark.anyio

HERE = ("--listen", "127.0.0.1:0")


@pytest.fixture
def unwritable(tmp_path: Path) -> Path:
    """Return a folder that not even root may write to, where root runs the tests."""
    if os.geteuid() == 0:
        return Path("/sys")
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    return folder


def databases(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("*.db")]


async def test_a_port_in_use_is_told_with_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, lines = await refusal("--listen", address, folder=tmp_path)
    assert 3 == code
    (line,) = lines
    assert f"cannot listen on {address}: Address already in use" in line
    assert "--listen" in line
    assert not (tmp_path / "spiritsafe.db").exists()


@pytest.mark.parametrize("listen", ["8787", ":8787", "127.0.0.1:x", "127.0.0.1:99999"])
async def test_an_address_that_is_none_is_told(tmp_path: Path, listen: str) -> None:
    """And a port alone is none: it would listen on every interface."""
    code, (line,) = await refusal("--listen", listen, folder=tmp_path)
    assert (3, True) == (code, f"'{listen}' is no address" in line)


async def test_a_missing_folder_is_made_for_its_owner_only(tmp_path: Path) -> None:
    db = tmp_path / "new" / "deeper" / "s.db"
    async with serving(db, "http://127.0.0.1:9/v1"):
        assert 0o700 == db.parent.stat().st_mode & 0o777
        assert 0o600 == db.stat().st_mode & 0o777


def a_file_as_folder(folder: Path) -> Path:
    (folder / "file").touch()
    return folder / "file" / "s.db"


def a_folder_as_file(folder: Path) -> Path:
    (folder / "s.db").mkdir()
    return folder / "s.db"


@pytest.mark.parametrize("made", [a_file_as_folder, a_folder_as_file])
async def test_a_file_that_cannot_be_opened_is_named(
    tmp_path: Path, made: Callable[[Path], Path]
) -> None:
    db = made(tmp_path)
    code, lines = await refusal(*HERE, "--db", str(db), folder=tmp_path)
    assert 3 == code, lines
    (line,) = lines
    assert line.startswith("spiritsafe: ")
    assert str(db.parent) in line


async def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    db, content = tmp_path / "s.db", b"no database, but longer than its head" * 99
    db.write_bytes(content)
    code, (line,) = await refusal(*HERE, "--db", str(db), folder=tmp_path)
    assert (3, True) == (code, "no SQLite database" in line)
    assert content == db.read_bytes()


async def test_f15_a_damaged_file_is_told_and_set_aside(tmp_path: Path) -> None:
    db = tmp_path / "s.db"
    async with serving(db, "http://127.0.0.1:9/v1") as running:
        running.tell(signal.SIGTERM)
        await running.ended()
    sound = db.read_bytes()
    broken = sound[:4096] + b"\xa5" * (len(sound) - 4096)  # all but the first page
    db.write_bytes(broken)
    async with serving(db, "http://127.0.0.1:9/v1") as running:
        running.tell(signal.SIGTERM)
        code, said = await running.ended()
    assert (0, True) == (code, f"{db} is damaged" in said)
    (aside,) = [name for name in os.listdir(tmp_path) if name.startswith("s.db.dam")]  # noqa: PTH208  no Path in async
    assert broken == (tmp_path / aside).read_bytes()
    with open_library(db) as library:
        assert 0 == library.totals().accepted


async def test_an_unwritable_folder_is_named(unwritable: Path) -> None:
    code, lines = await refusal(*HERE, "--db", str(unwritable / "s.db"))
    assert 3 == code, lines
    (line,) = lines
    assert f"Permission denied: '{unwritable}" in line


async def test_each_mistake_in_the_settings_gets_a_line_of_its_own(
    tmp_path: Path,
) -> None:
    (tmp_path / "spiritsafe.toml").write_text('durability = "maybe"\nspeed = 11\n')
    code, lines = await refusal(
        *("--upstream", "http://127.0.0.1:9/v1"),
        folder=tmp_path,
        variables={"SPIRITSAFE_DRAIN_S": "-1", "SPIRITSAFE_MAX_QUEUE_BYTES": "much"},
    )
    assert 2 == code
    assert 4 == len(lines)
    for name in ("durability", "speed", "drain_s", "max_queue_bytes"):
        (line,) = (line for line in lines if name in line)
        assert line.startswith(f"spiritsafe: {name}: ")
    assert [] == databases(tmp_path)


@pytest.mark.parametrize("content", [b"durability = \n", b"a = 1\na = 2\n", b"\xff"])
async def test_a_settings_file_that_is_no_toml_is_named(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "spiritsafe.toml").write_bytes(content)
    code, (line,) = await refusal(folder=tmp_path)
    assert (2, True) == (code, f"{tmp_path}/spiritsafe.toml is no TOML: " in line)


async def test_a_settings_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "spiritsafe.toml").symlink_to("/proc/self/mem")
    code, (line,) = await refusal(folder=tmp_path)
    assert (2, True) == (code, "spiritsafe.toml cannot be read: " in line)


async def test_an_empty_name_of_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "spiritsafe.toml").write_text('db = ""\n')
    for flags in ((), ("--db", "")):
        code, (line,) = await refusal(*HERE, *flags, folder=tmp_path)
        assert (2, True) == (code, "db: it names no file: write a path" in line)


async def test_a_socks_proxy_without_its_package_is_told(tmp_path: Path) -> None:
    (tmp_path / "spiritsafe.toml").write_text(
        '[upstreams.default]\nurl = "http://127.0.0.1:9/v1"\ntransport = "httpx"\n'
        f'proxy = "socks5://u:{canary.key("socks")}@127.0.0.1:9"\n'
    )
    code, (line,) = await refusal(*HERE, folder=tmp_path)
    assert (3, True) == (code, "needs the package socksio" in line)
    assert set() == canary.in_bytes(line.encode())
    (tmp_path / "spiritsafe.toml").unlink()  # the key stands there as it should


async def test_s03_a_base_url_with_a_key_in_it_is_told_without(tmp_path: Path) -> None:
    for lead in ("ftp", "https"):
        for url in ("{}://u:{}@h/v1", "{}://h/v1?key={}", "{}://u:{}@h:x/v1"):
            given = url.format(lead, canary.key("base-url"))
            code, (line,) = await refusal(*HERE, "--upstream", given, folder=tmp_path)
            assert (2, set()) == (code, canary.in_bytes(line.encode()))


async def test_flag_wins_over_variable_wins_over_file(tmp_path: Path) -> None:
    """The three speak at once; each setting tells whose word it was."""

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(completion())

    async with scripted_upstream(script) as upstream:
        (tmp_path / "spiritsafe.toml").write_text(
            'listen = "127.0.0.1:1"\ndb = "file.db"\nupstream = "http://127.0.0.1:9"\n'
            f'[tags]\nfrom = "file"\n[upstreams.named]\nurl = "{upstream.url}"\n'
        )
        process = await launch(
            *HERE,
            folder=tmp_path,
            variables={
                "SPIRITSAFE_LISTEN": "127.0.0.1:2",
                "SPIRITSAFE_DB": "variable.db",
                "SPIRITSAFE_UPSTREAM": upstream.url,
            },
        )
        assert process.stdout is not None
        try:
            port = int((await process.stdout.readline()).rpartition(b":")[2])
            async with RawClient.connect(port) as client:
                for path in ("/v1/chat/completions", "/named/v1/chat/completions"):
                    await client.post(path, CHAT)
                    status, headers = await client.head()
                    await client.body(headers)
                    assert 200 == status
            process.terminate()
        finally:
            await process.communicate()
    assert 0 == process.returncode
    assert ["variable.db"] == databases(tmp_path)
    assert [{"from": "file"}] * 2 == [
        request.json["metadata"] for request in upstream.requests
    ]
