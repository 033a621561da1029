"""Candidates: whatever the filter, all that matches is told, and what is sure matches."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.index.candidates import blocks
from storage.index.file import BLOCK_ROWS
from storage.index.indexer import Indexer
from storage.index.reader import Index
from storage.queries.language import parse
from storage.queries.pages import page
from storage.queries.predicate import predicate
from storage.queries.tree import Both, Either, Except, Node, Operator, Term
from storage.reading import Library
from storage.records import Exchange, Usage
from storage.statements import bound
from storage.tables import exchanges
from tests.storage.index.stock import open_stock, put
from tests.storage.make import NOW_AT, exchange

MODELS = ("gpt-4o", "gpt-4o-mini", "llama", "x" * 300)


def some(number: int) -> Exchange:
    """Return the exchange of a number: each field has a rhythm of its own."""
    ended = None if number % 11 == 0 else NOW_AT + number * number * 700
    return exchange(
        project=f"key{number % 3}",
        model_asked=MODELS[number % 4],
        model_served="" if number % 5 == 0 else MODELS[number % 2],
        status=(200, 200, 404, 429, 500, 0)[number % 6],
        state="incomplete" if number % 7 == 0 else "complete",
        reason="timeout" if number % 7 == 0 else None,
        finish_reason=(None, "stop", "length")[number % 3],
        usage=Usage(number**3 % 100_003, None, number % 90 if number % 4 else None),
        tags={"n": str(number % 10), "task": "triage"} if number % 2 else {},
        created_at=NOW_AT + number * 1_000_000,
        first_token_at=None,
        ended_at=ended,
        streamed=number % 2 == 0,
        request_size=number * 37,
    )


PLACES = [
    seq
    for block in (0, 1, 3)
    for low in (*range(1, 60), *range(BLOCK_ROWS - 40, BLOCK_ROWS))
    for seq in [block * BLOCK_ROWS + low]
]


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    path = tmp_path_factory.mktemp("stock") / "a.db"
    with closing(open_stock(path)) as connection:
        put(connection, ((seq, some(number)) for number, seq in enumerate(PLACES)))
        indexer = Indexer(path)
        while indexer.step():
            pass
        indexer.close()
        yield connection


ROUND = (0, 1, 9, 10, 37, 99, 100, 404, 1500, 2000, 12_345, 99_999, 100_000, 10**9)
THEIRS = [number * 37 for number in range(0, len(PLACES), 9)]
NUMBERS = (*ROUND, *THEIRS, *(n + 1 for n in THEIRS), *(2 + n**3 for n in range(30)))
ids = st.sampled_from(["ex_", f"ex_{3:032x}", f"ex_{40:032x}", "chatcmpl-000007", "no"])
terms = st.one_of(
    st.builds(Term, st.sampled_from(["model", "model_served"]), st.just("="),
              st.sampled_from([*MODELS, "none"])),
    st.builds(Term, st.just("model"), st.just("glob"),
              st.sampled_from(["gpt-4o*", "*", "x*", "?lama", "[", "GPT*"])),
    st.builds(Term, st.sampled_from(["state", "reason", "finish", "project", "tag.n"]),
              st.sampled_from(["=", "glob", ">", "<="]),
              st.sampled_from(["stop", "timeout", "key1", "3", "complete", "t*"])),
    st.builds(Term, st.sampled_from(
        ["status", "tokens", "prompt_tokens", "completion_tokens", "ms", "first_ms",
         "request_bytes", "retries", "cached_tokens"]),
        st.sampled_from(["=", ">", ">=", "<", "<="]), st.sampled_from(NUMBERS)),
    st.builds(Term, st.just("created"), st.sampled_from([">", ">=", "<", "<="]),
              st.integers(-5, 300).map(lambda n: NOW_AT + n * 1_000_000)),
    st.builds(Term, st.sampled_from(["stream", "kept", "error", "parent"]),
              st.just("="), st.sampled_from([0, 1])),
    st.builds(Term, st.sampled_from(["id", "thread"]), st.just("="), ids),
)  # fmt: skip
trees = st.recursive(
    terms,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda them: Both(tuple(them))),
        st.lists(inner, min_size=1, max_size=3).map(lambda them: Either(tuple(them))),
        inner.map(Except),
    ),
    max_leaves=6,
)


def decided(
    connection: sqlite3.Connection, node: Node, keys: set[str] | None
) -> list[int]:
    """Return the rows that SQL says match, oldest first."""
    found = connection.execute(
        *bound(exchanges.select().with_only_columns(exchanges.c.seq, exchanges.c.project)
               .where(predicate(node)).order_by(exchanges.c.seq))
    )  # fmt: skip
    return [seq for seq, project in found if keys is None or project in keys]


def path_of(connection: sqlite3.Connection) -> Path:
    return Path(connection.execute("PRAGMA database_list").fetchone()[2])


def told(
    connection: sqlite3.Connection,
    node: Node | None,
    *,
    keys: set[str] | None = None,
    newest_first: bool = True,
    start: int | None = None,
) -> tuple[list[int], set[int]]:
    """Return the candidates in their order, and those that are sure."""
    index = Index.open(path_of(connection), connection)
    assert index is not None
    with closing(index):
        found = list(
            blocks(
                index, node, projects=keys, newest_first=newest_first, from_seq=start
            )
        )
    seqs = [seq for block in found for seq in block.seqs]
    sure = {
        seq
        for block in found
        for seq in block.seqs
        if block.sure is True or (block.sure is not False and seq in block.sure)
    }
    return seqs, sure


@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    node=trees,
    keys=st.one_of(st.none(), st.sets(st.sampled_from(["key0", "key2", "other"]))),
    newest_first=st.booleans(),
    start=st.one_of(st.none(), st.sampled_from([1, 30, 70_000, 4 * BLOCK_ROWS])),
)
def test_all_that_sql_finds_is_told_and_what_is_sure_is_found(
    stock: sqlite3.Connection,
    node: Node,
    keys: set[str] | None,
    newest_first: bool,  # noqa: FBT001  hypothesis
    start: int | None,
) -> None:
    """The bitmaps and SQL are two readings of one filter: they may never differ."""
    wanted = decided(stock, node, keys)
    if start is not None:
        wanted = [s for s in wanted if (s <= start if newest_first else s >= start)]
    seqs, sure = told(stock, node, keys=keys, newest_first=newest_first, start=start)
    assert set(wanted) <= set(seqs)
    assert sure <= set(wanted)
    assert all((a > b) == newest_first for a, b in pairwise(seqs))


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("text", ["request_bytes:0", "model:nothing", "status:404"])
def test_a_page_sees_time_pass_where_blocks_have_nothing(
    stock: sqlite3.Connection, text: str, *, newest_first: bool
) -> None:
    """Else a filter of nothing goes through all blocks however long it takes."""
    query, cursor, seqs, pages = parse(text), None, [], 0
    while pages == 0 or cursor is not None:
        found = page(
            Library(stock),
            query,
            newest_first=newest_first,
            cursor=cursor,
            deadline_s=-1,
        )
        cursor, pages = found.cursor, pages + 1
        seqs += [row.seq for row in found.rows]
    assert query is not None
    assert sorted(seqs) == decided(stock, query, None)
    assert len(seqs) == len(set(seqs))
    assert pages > (0 if seqs else 3)  # one for each block


@pytest.mark.parametrize("operator", ["=", ">", ">=", "<", "<="])
def test_every_bound_of_a_number_is_kept(
    stock: sqlite3.Connection, operator: Operator
) -> None:
    for number in range(0, 37 * len(PLACES), 23):
        node = Term("request_bytes", operator, number)
        wanted = set(decided(stock, node, None))
        seqs, sure = told(stock, node)
        assert wanted <= set(seqs)
        assert sure <= wanted


@pytest.mark.parametrize(
    "node",
    [
        Term("model", "=", "gpt-4o"),
        Term("finish", "glob", "st*"),
        Term("tag.n", "=", "3"),
        Term("request_bytes", ">=", 2000),
        Term("tokens", "<", 15_000),
        Term("status", ">", 404),
        Except(Term("reason", "=", "timeout")),
        Both((Term("state", "=", "complete"), Term("completion_tokens", ">=", 70))),
    ],
)
def test_a_round_filter_needs_no_second_look(
    stock: sqlite3.Connection, node: Node
) -> None:
    """Else a page of few matches would read a million rows to find them."""
    seqs, sure = told(stock, node)
    assert sorted(sure) == sorted(seqs) == decided(stock, node, None)
