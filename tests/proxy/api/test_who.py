"""Who may read what: nobody, a caller, the console."""

from pathlib import Path

import pytest

from proxy.api.who import Door, Visitor
from proxy.callers import Callers, project_of
from proxy.errors import WhoError
from tests.proxy.api.served import ask, refusal, served

pytestmark = pytest.mark.anyio
LIST = "/api/exchanges"
PATHS = (LIST, f"{LIST}/facets", f"{LIST}/tail", f"{LIST}/ex_{'0' * 32}")


@pytest.mark.parametrize("path", PATHS)
async def test_who_brings_no_key_reads_nothing(path: str, tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        answer = await to.nobody.get(path)
        assert (401, "missing_api_key", None) == refusal(answer)
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_caller_sees_its_own_and_the_console_all(tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        hers, his = await ask(to.alice, "hers"), await ask(to.bob, "his")
        for client, seen in (
            (to.alice, [hers]),
            (to.bob, [his]),
            (to.console, [his, hers]),
        ):
            answer = await client.get(LIST)
            assert seen == [row["id"] for row in answer.json()["data"]]
        for below in ("", "/request", "/sent", "/answer"):
            answer = await to.bob.get(f"{LIST}/{hers}{below}")
            assert (404, "not_found", None) == refusal(answer)
            other = await to.bob.get(f"{LIST}/ex_{'0' * 32}{below}")
            told = answer.json()["error"]["message"].replace(hers, "X")
            assert told == other.json()["error"]["message"].replace(
                "ex_" + "0" * 32, "X"
            )


def bearer(key: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", b"Bearer " + key)]


def test_a_token_opens_all_and_a_key_its_own_project() -> None:
    door = Door(Callers(b"secret"), [b"t" * 16], only_issued=True)
    assert Visitor(None) == door.let_in(bearer(b"t" * 16))
    own = Visitor(project_of(b"t" * 15, b"secret"))
    assert own == door.let_in(bearer(b"t" * 15))
    assert own == door.let_in([(b"api-key", b"t" * 15)])
    with pytest.raises(WhoError):
        door.let_in(bearer(b""))


def test_where_tokens_are_issued_another_key_reads_nothing() -> None:
    callers = Callers(b"secret", [b"issued"])
    door = Door(callers, [b"t" * 16], only_issued=True)
    issued = Visitor(project_of(b"issued", b"secret"))
    assert issued == door.let_in(bearer(b"issued"))
    with pytest.raises(WhoError):
        door.let_in(bearer(b"another"))
    some = Door(callers, [], only_issued=False)  # an upstream takes keys of its own
    assert issued == some.let_in(bearer(b"issued"))
    assert Visitor(project_of(b"another", b"secret")) == some.let_in(bearer(b"another"))
