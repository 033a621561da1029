"""Bodies of requests and answers: split, joined, edited, cut into events, assembled."""

import itertools
import json
import random
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import inject, splice
from proxy.answer import Received, read_answer
from proxy.hosts import Accepts
from proxy.sse import Event, Events
from proxy.terminal import Terminal
from storage.split import join, split
from tests.fuzz.budget import fuzzed
from tests.proxy import corpus, tokens
from tests.scripted_upstream import DONE, delta

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner)
    ),
    max_leaves=10,
)
NAMES = st.sampled_from(
    ["messages", "input", "tools", "model", "metadata", "store", "stream", 'a"b', "é"]
)
BODIES = st.dictionaries(NAMES, VALUES | st.lists(VALUES, max_size=5), max_size=6)
STYLES = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")])
SEEDS = [body for _, body in corpus.built_in()]
TOKENS = [
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b" ",
    b"\n",
    b"\x00",
    b"\xff",
]
TOKENS += [b'"store":', b'"messages":[', b"\\u0000", b"1e999", b"-", b"null", b"\xef"]


@st.composite
def spelled(draw: st.DrawFn) -> bytes:
    """Draw a JSON object in one of its spellings."""
    made = draw(BODIES)
    text = json.dumps(made, separators=draw(STYLES), ensure_ascii=draw(st.booleans()))
    return text.encode("utf-8", "surrogatepass")


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Draw a body of the corpus with some of its bytes changed."""
    body = bytearray(draw(st.sampled_from(SEEDS)))
    choose = random.Random(draw(st.integers(0, 2**32)))
    for _ in range(choose.randint(1, 4)):
        at = choose.randint(0, len(body))
        token = choose.choice(TOKENS)
        body[at : at + choose.choice((0, 0, 1, 4))] = token
    return bytes(body)


ANY_BODY = st.one_of(spelled(), mutated(), st.binary(max_size=80))


@fuzzed(300)
@given(ANY_BODY)
def test_a_body_comes_back_from_its_pieces(body: bytes) -> None:
    parts = split(body)
    assert body == join(parts.skeleton, parts.cuts)


@pytest.mark.parametrize("name", ["built in", "suite"])
def test_every_body_of_the_corpus_comes_back_from_its_pieces(name: str) -> None:
    if name == "suite" and corpus.suite_folder() is None:
        pytest.skip(f"JSONTestSuite is missing: no {corpus.SUITE} in a folder above")
    for which, body in corpus.suite() if name == "suite" else corpus.built_in():
        for whole in (body, b'{"messages":[' + body + b',1],"tools": [2]}'):
            parts = split(whole)
            assert (which, whole) == (which, join(parts.skeleton, parts.cuts))


def untouched(body: bytes, sets: Mapping[str, bytes]) -> list[tuple[bytes, bytes]]:
    """Return the members that an edit leaves alone, by the second reading."""
    return [pair for pair in tokens.values(body) if json.loads(pair[0]) not in sets]


@fuzzed(300)
@given(ANY_BODY, st.dictionaries(NAMES, st.sampled_from([b"true", b"{}", b'"x"'])))
def test_j01_j09_an_edit_sets_its_members_and_moves_no_other_byte(
    body: bytes, sets: dict[str, bytes]
) -> None:
    spliced = splice.apply(body, sets)
    if spliced.doubt is not None or not sets:
        assert spliced.body is body
        return
    assert untouched(body, sets) == untouched(spliced.body, sets)
    found = {json.loads(key): value for key, value in tokens.values(spliced.body)}
    assert sets == {name: found[name] for name in sets}
    assert len(found) == len(tokens.values(spliced.body))


@fuzzed(300)
@given(ANY_BODY, st.dictionaries(st.text(max_size=70), st.text(max_size=600)))
def test_what_is_injected_is_json_and_within_the_limits(
    body: bytes, tags: dict[str, str]
) -> None:
    members = splice.read(body)
    if members.doubt is not None:
        return
    made = inject.inject(
        members.values,
        endpoint="chat",
        header_tags=tags,
        default_tags={"env": "fuzz"},
        accepts=Accepts(store=True, metadata=True),
    )
    assert set(made.sets) <= {"store", "metadata"}
    sent = splice.edit(body, members, made.sets)
    assert untouched(body, made.sets) == untouched(sent, made.sets)
    if "metadata" in made.sets:
        pairs = msgspec.json.decode(made.sets["metadata"], type=dict[str, str])
        assert len(pairs) <= inject.MAX_PAIRS


LINES = st.sampled_from(
    [b"data: {}", b"data:x", b"data", b"event: e", b": c", b"", b"", b"id: 1", b"\xff"]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Draw an event stream of odd lines, line ends, and now and then noise."""
    lines = draw(st.lists(st.tuples(LINES, ENDS), max_size=14))
    noise = draw(st.binary(max_size=6))
    lead = draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    return lead + b"".join(line + end for line, end in lines) + noise


def cuts(stream: bytes, choose: random.Random) -> list[bytes]:
    """Return the stream in slices."""
    places = [choose.randint(0, len(stream)) for _ in range(choose.randint(0, 6))]
    places = [0, *sorted(places), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(places)]


def read(slices: list[bytes]) -> list[Event]:
    """Return the events of these slices."""
    events = Events()
    found = [event for data in slices for event in events.feed(data, seen_us=1)]
    return found + events.close()


def plainly(stream: bytes) -> list[bytes]:
    """Read the data of all events by the letter of the standard, all at once."""
    text = stream.removeprefix(b"\xef\xbb\xbf")
    text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    found: list[bytes] = []
    data: list[bytes] = []
    for line in [*text.split(b"\n"), b""]:
        name, colon, value = line.partition(b":")
        if not line:
            found += [b"\n".join(data)] if data else []
            data = []
        elif name == b"data":
            data.append(value.removeprefix(b" ") if colon else b"")
    return found


@fuzzed(300)
@given(streams(), st.randoms(use_true_random=False))
def test_h70_a_stream_reads_the_same_at_every_cut(
    stream: bytes, choose: random.Random
) -> None:
    whole = read([stream])
    assert whole == read(cuts(stream, choose))
    assert plainly(stream) == [event.data for event in whole]


@fuzzed(200)
@given(streams(), st.randoms(use_true_random=False))
def test_a_terminal_event_is_found_at_every_cut(
    stream: bytes, choose: random.Random
) -> None:
    """And no byte before it is held back."""
    said = delta("x", "stop") + stream.rstrip(b"\r\n") + b"\n\n" + DONE

    def end(slices: list[bytes]) -> int | None:
        terminal, before = Terminal("chat"), 0
        for piece in slices:
            if (at := terminal.feed(piece)) is not None:
                return before + at
            before += len(piece)
        return None

    assert (end([said]) is None) == (end(cuts(said, choose)) is None)


@fuzzed(200)
@given(st.lists(st.one_of(streams(), mutated(), st.just(DONE)), max_size=4))
def test_no_answer_breaks_the_one_who_reads_it(pieces: list[bytes]) -> None:
    for kind in (b"text/event-stream", b"application/json", b""):
        for endpoint in ("chat", "responses", "completions"):
            read_answer(
                endpoint,
                Received(
                    status=200,
                    content_type=kind,
                    content_encoding=b"",
                    asked_stream=kind.startswith(b"text"),
                    chunks=pieces,
                    times_us=list(range(len(pieces))),
                    ended_clean=True,
                ),
            )
