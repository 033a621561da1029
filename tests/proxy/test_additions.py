"""Claims about what is added to a request, and that it is decided once for many."""

import pytest
from msgspec.structs import replace

from proxy import inject, splice
from proxy.additions import Basis, decide
from proxy.hosts import Accepts
from storage.records import Edit
from tests.proxy import corpus

YES = Accepts(store=True, metadata=True)
ASKED = Basis("chat", (("team", "billing"),), (("env", "dev"),), YES, "auto", True)
PLAIN = splice.read(b'{"model":"m","messages":[]}')


def test_it_is_decided_once_for_all_that_name_none_of_it() -> None:
    made = decide(PLAIN, ASKED)
    assert made is decide(splice.read(b'{"model":"other"}'), ASKED)
    assert made.tags == {"env": "dev", "team": "billing"}
    metadata = '{"team":"billing","env":"dev"}'
    assert made.edits == (
        Edit("body", "store", "true"),
        Edit("body", "metadata", metadata),
        Edit("header", "accept-encoding", "identity"),
    )
    assert made.spelled == b'"store":true,"metadata":%b,' % metadata.encode()


@pytest.mark.parametrize(
    "tags",
    [(("long", "v" * 4096),), tuple((f"t{number}", "v") for number in range(65))],
    ids=["long", "many"],
)
def test_who_brings_much_of_its_own_is_not_remembered(
    tags: tuple[tuple[str, str], ...],
) -> None:
    asked = replace(ASKED, header_tags=tags)
    made = decide(PLAIN, asked)
    assert made is not decide(PLAIN, asked)
    assert made == decide(PLAIN, asked)


@pytest.mark.parametrize(
    ("other", "tags", "added"),
    [
        (replace(ASKED, endpoint="completions"), {"env", "team"}, set()),
        (replace(ASKED, header_tags=()), {"env"}, {"store", "metadata"}),
        (replace(ASKED, default_tags=()), {"team"}, {"store", "metadata"}),
        (replace(ASKED, accepts=Accepts(store=False)), {"env", "team"}, set()),
        (replace(ASKED, mode="off"), {"env", "team"}, set()),
    ],
)
def test_who_asks_otherwise_gets_its_own(
    other: Basis, tags: set[str], added: set[str]
) -> None:
    decide(PLAIN, ASKED)
    made = decide(PLAIN, other)
    assert (set(made.tags), set(made.added)) == (tags, added)


def test_what_the_client_names_is_never_taken_from_another() -> None:
    decide(PLAIN, ASKED)
    for name, body in corpus.bodies():
        members = splice.read(body)
        made = decide(members, ASKED)
        alone = inject.inject(
            members.values,
            endpoint="chat",
            header_tags={"team": "billing"},
            default_tags={"env": "dev"},
            accepts=YES,
        )
        assert (name, alone.tags) == (name, made.tags)
        assert (name, {} if members.doubt else alone.sets) == (name, made.sets)


def test_a_body_gets_what_an_edit_by_its_members_gives() -> None:
    for name, body in corpus.bodies():
        members = splice.read(body)
        made = decide(members, ASKED)
        edited = splice.edit(body, members, made.sets)
        assert (name, edited) == (name, made.onto(body, members))
