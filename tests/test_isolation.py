"""Done line 4: through no route does a caller get at what another one recorded.

Every route of the program stands in `ATTEMPTS`, with what its caller may try there;
one that is not in it fails the test on the day it arrives.
"""

import asyncio
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, get_args

import pytest
from starlette.routing import BaseRoute, Mount
from starlette.routing import Route as OwnRoute

from proxy import targets
from proxy.stored.serve import COMPLETIONS, RESPONSES
from storage.reading import open_library
from storage.records import Endpoint
from storage.registering import Entry
from storage.schemas import Rule
from tests.living import RawClient
from tests.proxy.stored.scene import ALICE, BOB, Answer, Reading, reading
from tests.scripted_upstream import RawRequest, Wire

pytestmark = pytest.mark.anyio

SECRET: Final = "only-alice-7f3a"
"""Stands in all that she sends and gets, and in nothing that others know of her."""

TOKENS: Final = ("tok-alice-0123456789", "tok-bob-012345678901")
KINDS: Final = {"captured", "stored", "relay", "own"}


class Attempt(NamedTuple):
    """One thing to try. Shapes: `{id}` and `ID` stand for an id of hers."""

    query: str = ""
    body: Any = None


PLAIN: Final = (Attempt(),)
EXCHANGES: Final = "/api/exchanges"
SCHEMAS: Final = "/api/schemas"
BINDINGS: Final = "/api/bindings"
OWNED: Final = "invoice"
"""A schema of the operator's, made of what she recorded."""

PLACES: Final = {"{name}": OWNED, "{version}": "1", "{number}": "1", "{path}": ""}
TAGGING: Final = {"add": {"taken": "yes"}, "remove": ["owner"]}
FILTERS: Final = (
    Attempt(),
    Attempt("?limit=100"),
    Attempt(f"?q={SECRET}"),
    Attempt(f"?q=tag.owner:{SECRET}"),
    Attempt("?q=id:ID"),
    Attempt("?q=thread:ID"),
    Attempt("?q=not%20id:x%20or%20id:ID"),
    Attempt("?q=project:*"),
)
CHAT: Final = {"model": "m", "messages": [{"role": "user", "content": "mine"}]}

ATTEMPTS: Final[dict[tuple[str, str], Sequence[Attempt]]] = {
    ("GET", "/healthz"): PLAIN,
    ("GET", "/readyz"): PLAIN,
    ("GET", "/metrics"): PLAIN,
    ("GET", "/v1/chat/completions"): (
        Attempt(),
        Attempt("?limit=100&order=desc"),
        Attempt("?after=ID"),
        Attempt(f"?metadata[owner]={SECRET}"),
        Attempt(f"?model=m-{SECRET}"),
    ),
    ("GET", "/v1/chat/completions/{id}"): PLAIN,
    ("GET", "/v1/chat/completions/{id}/messages"): (Attempt(), Attempt("?after=ID-0")),
    ("POST", "/v1/chat/completions/{id}"): (Attempt(body={"metadata": {"a": "b"}}),),
    ("DELETE", "/v1/chat/completions/{id}"): PLAIN,
    ("GET", "/v1/responses/{id}"): (Attempt(), Attempt("?include[]=x")),
    ("GET", "/v1/responses/{id}/input_items"): (Attempt(), Attempt("?after=ID-0")),
    ("DELETE", "/v1/responses/{id}"): PLAIN,
    ("POST", "/v1/chat/completions"): (Attempt(body=CHAT),),
    ("POST", "/v1/completions"): (Attempt(body={"model": "m", "prompt": "mine"}),),
    ("POST", "/v1/embeddings"): (Attempt(body={"model": "m", "input": "mine"}),),
    ("POST", "/v1/responses"): (
        Attempt(body={"model": "m", "input": "mine"}),
        Attempt(body={"model": "m", "input": "more", "previous_response_id": "ID"}),
        Attempt(body={"model": "m", "input": "more", "conversation": "ID"}),
        Attempt(body={"model": "m", "input": "more", "conversation": {"id": "ID"}}),
    ),
    ("GET", "/v1/{path}"): (
        Attempt("models"),
        Attempt("responses"),
        Attempt("chat/completions/ID/"),
        Attempt("chat//completions/ID"),
        Attempt("Chat/completions/ID"),
        Attempt("chat%2Fcompletions%2FID"),
        Attempt("responses/ID/"),
        Attempt("Responses/ID"),
        Attempt("responses%2FID"),
        Attempt("responses/ID/input_items/"),
        Attempt("responses/ID/cancel"),
        Attempt("conversations/ID"),
        Attempt("conversations/ID/items"),
        Attempt("Conversations//ID"),
    ),
    ("POST", "/v1/{path}"): (
        Attempt("responses/ID/cancel", {}),
        Attempt("chat/completions/ID/", {"metadata": {"a": "b"}}),
        Attempt("Chat/completions/ID", {"metadata": {"a": "b"}}),
    ),
    ("GET", EXCHANGES): FILTERS,
    ("GET", f"{EXCHANGES}/facets"): (*FILTERS, Attempt("?fields=model,tag.owner"), Attempt("?fields=project")),
    ("GET", f"{EXCHANGES}/{{id}}"): PLAIN,
    ("DELETE", f"{EXCHANGES}/{{id}}"): PLAIN,
    ("GET", f"{EXCHANGES}/{{id}}/request"): PLAIN,
    ("GET", f"{EXCHANGES}/{{id}}/sent"): PLAIN,
    ("GET", f"{EXCHANGES}/{{id}}/answer"): PLAIN,
    ("POST", f"{EXCHANGES}/{{id}}/tags"): (Attempt(body=TAGGING),),
    ("POST", f"{EXCHANGES}/tags"): (Attempt(body={"ids": ["ID"], **TAGGING}),),
    ("POST", f"{EXCHANGES}/delete"): (Attempt(body={"ids": ["ID"]}),),
    ("GET", SCHEMAS): PLAIN,
    ("GET", f"{SCHEMAS}/{{name}}"): PLAIN,
    ("GET", f"{SCHEMAS}/{{name}}/versions/{{version}}"): PLAIN,
    ("POST", f"{SCHEMAS}/{{name}}/versions/{{version}}/judgements"): (
        Attempt(body={}),
        Attempt(body={"where": SECRET, "apply": True}),
    ),
    ("PUT", f"{SCHEMAS}/{{name}}"): (Attempt(body={"type": "object"}),),
    ("GET", BINDINGS): PLAIN,
    ("POST", BINDINGS): (Attempt(body={"schema": OWNED, "policy": "enforce"}),),
    ("POST", f"{BINDINGS}/{{number}}/position"): (Attempt(body={"position": 1}),),
    ("DELETE", f"{BINDINGS}/{{number}}"): PLAIN,
    ("GET", "/api/openapi.json"): PLAIN,
    ("POST", "/api/upkeep"): (
        Attempt(body={"do": "remove", "seqs": [1, 2]}),
        Attempt(body={"do": "tag", "seqs": [1], "add": {"taken": "yes"}}),
    ),
    ("POST", "/api/upkeep/schemas"): (
        Attempt(body={"do": "add", "schema": "taken", "document": "e30="}),
        Attempt(body={"do": "unbind", "number": 1}),
    ),
}  # fmt: skip
TAILS: Final = {("GET", f"{EXCHANGES}/tail")}
"""What never ends: followed while both record."""

OPEN: Final = {"/healthz", "/readyz", "/metrics", "/api/openapi.json"}
"""What tells nothing of any exchange, and asks for no key."""


def own_routes(
    routes: Sequence[BaseRoute], under: str = ""
) -> Iterator[tuple[str, str]]:
    """Yield method and path of all that the program answers itself."""
    for route in routes:
        if isinstance(route, Mount):
            yield from own_routes(route.routes, under + route.path)
            continue
        assert isinstance(route, OwnRoute), f"{route}: how is it called?"
        for method in (route.methods or set()) - {"HEAD"}:
            yield method, under + route.path


def every_route(here: Reading) -> set[tuple[str, str]]:
    """Return all that the program serves, as method and path."""
    app: Any = here.proxy.app
    own = getattr(app, "own", None) or app._own
    captured = {"POST": targets._ENDPOINTS}
    return {
        *own_routes(own.routes),
        *((method, "/v1/chat/completions" + path) for method, path in COMPLETIONS),
        *((method, "/v1/responses" + path) for method, path in RESPONSES),
        *(
            (method, f"/v1{path.decode()}")
            for method, paths in captured.items()
            for path in paths
        ),
        *(("GET", "/v1/{path}"), ("POST", "/v1/{path}")),
    }


async def record(here: Reading, key: str, text: str) -> list[str]:
    """Record one exchange of each kind; return all ids it can be asked by."""
    ids = []
    chat = {
        "model": f"m-{text}",
        "messages": [{"role": "user", "content": text}],
        "tools": [{"type": "function", "function": {"name": text}}],
        "metadata": {"owner": text},
    }
    response = {
        "model": f"m-{text}",
        "input": text,
        "conversation": f"conv_{len(text)}",
        "metadata": {"owner": text},
    }
    for path, body in (("chat/completions", chat), ("responses", response)):
        answer = await here.ask("POST", f"/v1/{path}", body, key=key)
        ids += [answer.json["id"], answer.headers["x-spiritsafe-id"]]
    return [*ids, f"conv_{len(text)}"]


def trials(
    route: tuple[str, str], ids: Sequence[str]
) -> Iterator[tuple[str, str, Any]]:
    """Yield all that is to be tried at a route, as method, target and body."""
    method, path = route
    for attempt in ATTEMPTS[route]:
        for name in ids:
            place = path.replace("{id}", name)
            for part, its in PLACES.items():
                place = place.replace(part, its)
            body = json.loads(json.dumps(attempt.body).replace("ID", name))
            yield method, place + attempt.query.replace("ID", name), body


def kept(db: Path, key_of: str) -> list[tuple[object, ...]]:
    """Return all that is kept of what one caller recorded."""
    with open_library(db) as library:
        rows = [row for row in library.rows() if SECRET in row.prompt_preview]
        wholes = [library.whole(row) for row in rows]
    assert wholes, key_of
    return [(it.row.id, it.row.tags_json, it.request, it.answer) for it in wholes]


@pytest.fixture(params=["own keys", "held key"])
def keys(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, str, tuple[str, ...]]:
    """Hers, his, and the tokens that are given out, if any."""
    monkeypatch.setenv("HELD_KEY", "sk-held-0123456789abcdef")
    if request.param == "own keys":
        return ALICE, BOB, ()
    return (*TOKENS, TOKENS)


def test_every_kind_of_route_is_known_here() -> None:
    kinds = get_args(targets.Route.__annotations__["kind"])
    assert set(kinds) == KINDS
    assert set(get_args(Endpoint)) == set(targets._ENDPOINTS.values())


async def test_s21_every_route_is_tried(tmp_path: Path) -> None:
    async with reading(tmp_path) as here:
        served = every_route(here)
    tried = ATTEMPTS.keys() | TAILS
    assert set() == served - tried, "say in ATTEMPTS what a stranger may try there"
    assert set() == tried - served, "these are served no more"


async def test_s30_nobody_gets_at_what_another_recorded(
    tmp_path: Path, keys: tuple[str, str, tuple[str, ...]]
) -> None:
    """Not listed, fetched, searched, tagged or deleted; and not with no key at all."""
    alice, bob, tokens = keys
    async with reading(tmp_path, tokens=tokens, record_embeddings=True) as here:
        hers: list[str] = []
        if tokens:  # one customer to the upstream: it gives all it has to whoever asks
            script = here.upstream.script

            async def open_hearted(request: RawRequest, wire: Wire) -> None:
                told = request.target + request.body
                if any(name in told for name in kept_upstream(hers, told)):
                    await wire.answer(b'{"text":"%b"}' % SECRET.encode())
                else:
                    await script(request, wire)

            here.upstream.script = open_hearted
        hers += await record(here, alice, SECRET)
        his = await record(here, bob, "bob")
        hers += await record(here, alice, f"{SECRET} again")
        await register(here)
        registered = here.proxy.app.registrar.registry
        before = kept(here.proxy.db, alice)
        for route in sorted(every_route(here) & ATTEMPTS.keys()):
            for method, target, body in trials(route, hers):
                for key in (bob, None):
                    got = await here.ask(method, target, body, key=key)
                    look_at(got, f"{method} {target}", asked_for="{id}" in route[1])
                    look_at_operators(got, route, known=key is not None)
                    no_id = route[1].startswith(EXCHANGES) and "ex_" not in target
                    if key is None and route[1] not in OPEN and not no_id:
                        told_off(got, route, held=bool(tokens))
        assert before == kept(here.proxy.db, alice)
        assert registered is here.proxy.app.registrar.registry
        assert his[0] in await here.ids("?limit=100", key=bob)
        assert [hers[0], hers[5]] == await here.ids(key=alice)


async def register(here: Reading) -> None:
    """Register a schema that quotes what she recorded, and bind it to all traffic."""
    schema = json.dumps({"enum": [SECRET]}).encode()
    for entry in (
        Entry(do="add", schema=OWNED, document=schema, source="inferred"),
        Entry(do="bind", schema=OWNED, rule=Rule(format_name=SECRET)),
    ):
        await here.proxy.app.registrar.enter(entry)


def kept_upstream(ids: Sequence[str], told: bytes) -> list[bytes]:
    """Return the ids by which the upstream knows what a request may name."""
    kind = "conv_" if b"onversation" in told else "resp_"
    return [name.encode() for name in ids if name.startswith(kind)]


def look_at(got: Answer, what: str, *, asked_for: bool) -> None:
    """Fail where an answer tells anything of hers."""
    target = what.split(" ")[1]
    body = got.body.replace(target.encode(), b"")
    assert SECRET.encode() not in body, what
    assert SECRET not in str(got.headers), what
    if asked_for:
        assert got.status in {400, 401, 404, 405}, (what, got.status, got.body)


def told_off(got: Answer, route: tuple[str, str], *, held: bool) -> None:
    """Fail where somebody without a key gets further than to be told so."""
    reads = route == ("GET", "/v1/chat/completions") or "{id}" in route[1]
    if reads or held or route[1].startswith("/api/"):
        assert got.status in {400, 401}, (route, got.status, got.body)


def look_at_operators(got: Answer, route: tuple[str, str], *, known: bool) -> None:
    """Fail where a caller gets any further at what is the operator's alone."""
    if route[1].startswith((SCHEMAS, BINDINGS)):
        assert got.status == (403 if known else 401), (route, got.status, got.body)


async def test_s30_nobody_follows_what_another_records(
    tmp_path: Path, keys: tuple[str, str, tuple[str, ...]]
) -> None:
    alice, bob, tokens = keys
    async with reading(tmp_path, tokens=tokens) as here:
        for method, path in TAILS & every_route(here):
            assert 401 == (await here.ask(method, path, key=None)).status
            async with RawClient.connect(here.proxy.port) as client:
                line = f"{method} {path} HTTP/1.1\r\nhost: a\r\n"
                await client.send(f"{line}authorization: Bearer {bob}\r\n\r\n".encode())
                assert 200 == (await client.head())[0]
                await record(here, alice, SECRET)
                last = (await record(here, bob, "bob"))[3]
                seen = b""
                async with asyncio.timeout(30):
                    while last.encode() not in seen:
                        seen += await client.reader.read(65536)
            assert SECRET.encode() not in seen


@pytest.mark.parametrize("seed", range(3))
async def test_s30_two_callers_see_what_a_dictionary_says(
    tmp_path: Path, seed: int
) -> None:
    """Interleaved at random, each of them also with the ids of the other."""
    draw = random.Random(seed)
    path = "/v1/chat/completions"
    kept: dict[str, dict[str, dict[str, str]]] = {ALICE: {}, BOB: {}}
    async with reading(tmp_path) as here:
        for _ in range(60):
            key = draw.choice((ALICE, BOB))
            own, ids = kept[key], [name for some in kept.values() for name in some]
            name = draw.choice([*ids, "nothing"])
            told = {"a": draw.choice("xy")}
            match draw.choice(("record", "record", "list", "get", "update", "delete")):
                case "record":
                    own[await here.chat(key=key, tags=told)] = told
                case "list":
                    listed = await here.ids(f"?metadata[a]={told['a']}", key=key)
                    assert [it for it in own if own[it] == told] == listed
                case "get":
                    got = await here.get(f"/{name}", key=key)
                    assert (200 if name in own else 404) == got.status
                case "update":
                    changed = {"metadata": told}
                    got = await here.ask("POST", f"{path}/{name}", changed, key=key)
                    assert (200 if name in own else 404) == got.status
                    own.update({name: told} if name in own else {})
                case "delete":
                    got = await here.ask("DELETE", f"{path}/{name}", key=key)
                    assert (200 if name in own else 404) == got.status
                    own.pop(name, None)
        for key, own in kept.items():
            assert list(own) == await here.ids("?limit=100", key=key)
