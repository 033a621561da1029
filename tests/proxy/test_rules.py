"""Claims about the plan of one request."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import rules, splice
from proxy.errors import ControlError
from proxy.headers import Headers, control
from proxy.hosts import Accepts
from proxy.rules import Plan
from proxy.schemas.applying import Judging
from proxy.schemas.cases import Unknown
from proxy.settings import Settings, UpstreamSettings
from proxy.targets import Route
from storage.records import Edit, Endpoint
from tests.proxy import corpus

YES = Accepts(store=True, metadata=True)
UPSTREAM = UpstreamSettings(url="https://api.openai.com/v1")
OFF = UpstreamSettings(url="https://api.openai.com/v1", inject="off")
SETTINGS = Settings(tags={"env": "dev"})
IDENTITY = Edit("header", "accept-encoding", "identity")
BODY = b'{"model":"gpt-4o", "messages":[{"role":"user","content":"hi"}],"stream":true}'


def plan(
    body: bytes = BODY,
    pairs: Headers = (),
    *,
    endpoint: Endpoint = "chat",
    upstream: UpstreamSettings = UPSTREAM,
    settings: Settings = SETTINGS,
    accepts: Accepts = YES,
) -> Plan:
    route = Route("captured", "default", b"/x", endpoint)
    return rules.plan(
        route,
        control(pairs),
        body,
        upstream=upstream,
        settings=settings,
        accepts=accepts,
    )


def test_an_ordinary_request_is_planned_whole() -> None:
    made = plan(
        pairs=[
            (b"x-spiritsafe-tags", b"team=billing"),
            (b"x-spiritsafe-schema", b"invoice@2"),
            (b"x-stainless-retry-count", b"1"),
            (b"content-type", b"application/json"),
        ]
    )
    metadata = '{"team":"billing","env":"dev"}'
    assert made == Plan(
        body=b'{"store":true,"metadata":' + metadata.encode() + b"," + BODY[1:],
        record=True,
        content_kept=True,
        edits=(
            Edit("body", "store", "true"),
            Edit("body", "metadata", metadata),
            IDENTITY,
        ),
        tags={"env": "dev", "team": "billing"},
        dropped_tags=(),
        flags=(),
        schema="invoice@2",
        streamed=True,
        model_asked="gpt-4o",
        prompt_preview="hi",
        previous_response_id="",
        retry_count=1,
        judging=Judging((Unknown("invoice@2", "header"),)),
    )


def test_what_was_sent_is_made_again_from_the_edits() -> None:
    for _, body in corpus.bodies():
        made = plan(body)
        assert made.body == splice.reapply(body, made.edits)


def test_without_an_edit_the_body_is_the_clients_own() -> None:
    for name, body in corpus.bodies():
        for made in (
            plan(body, upstream=OFF),
            plan(body, endpoint="completions"),
            plan(body, [(b"x-spiritsafe-record", b"off")]),
            plan(body, accepts=Accepts(store=False, metadata=False)),
        ):
            assert (name, True, frozenset()) == (name, made.body is body, made.added)


def test_a_doubted_body_is_forwarded_and_flagged() -> None:
    for name, body in corpus.bodies():
        members = splice.read(body)
        if members.doubt is None or "store" in members.values:
            continue
        made = plan(body)
        assert (name, True) == (name, made.body is body)
        flag = f"edit_skipped={members.doubt}"
        assert (name, (flag,)) == (name, made.flags[-1:])
    assert plan(b"\xef\xbb\xbf{}").flags == ("edit_skipped=not_json",)
    assert plan(b'{"a":1,"a":2}').flags == ("edit_skipped=duplicate_member",)


def test_j01_a_duplicate_is_flagged_only_where_an_edit_was_wanted() -> None:
    body = b'{"model":"a","model":"b"}'
    assert plan(body, upstream=OFF).flags == ()
    assert plan(body).model_asked == "b"


@pytest.mark.parametrize("coding", [b"gzip", b"zstd", b"br", b"GZIP, identity"])
def test_h61_an_encoded_body_is_not_edited(coding: bytes) -> None:
    made = plan(BODY, [(b"content-encoding", coding)])
    assert made.body is BODY
    assert made.edits == (IDENTITY,)
    assert made.flags == ("edit_skipped=encoded",)
    assert made.tags == {"env": "dev"}


def test_h61_identity_is_no_encoding() -> None:
    assert plan(BODY, [(b"content-encoding", b"identity")]).added == {
        "store",
        "metadata",
    }


@pytest.mark.parametrize(
    "kind",
    [
        b"text/plain",
        b"multipart/form-data; boundary=x",
        b"application/x-www-form-urlencoded",
    ],
)
def test_f1_another_content_type_is_not_edited(kind: bytes) -> None:
    made = plan(BODY, [(b"content-type", kind)])
    assert made.body is BODY
    assert made.flags == ("edit_skipped=content_type",)
    assert made.model_asked == "gpt-4o"


@pytest.mark.parametrize(
    "kind",
    [
        b"application/json; charset=utf-8",
        b"Application/JSON",
        b"application/vnd.x+json",
    ],
)
def test_f1_json_content_types_are_edited(kind: bytes) -> None:
    assert plan(BODY, [(b"content-type", kind)]).added == {"store", "metadata"}


@pytest.mark.parametrize("spelled", [b"false", b"null"])
def test_an_opt_out_is_forwarded_and_its_content_not_kept(spelled: bytes) -> None:
    body = (
        b'{"model":"m","store":'
        + spelled
        + b',"messages":[{"role":"user","content":"hi"}]}'
    )
    made = plan(body)
    assert made.body is body
    assert (made.record, made.content_kept, made.prompt_preview) == (True, False, "")
    kept = plan(body, settings=Settings(respect_opt_out=False))
    assert (kept.body, kept.content_kept, kept.prompt_preview) == (body, True, "hi")


def test_record_off_leaves_the_request_alone() -> None:
    made = plan(
        BODY, [(b"x-spiritsafe-record", b"off"), (b"x-spiritsafe-tags", b"a=b")]
    )
    assert (made.record, made.content_kept) == (False, False)
    assert (made.edits, made.added, made.prompt_preview) == ((), frozenset(), "")
    assert made.streamed


@pytest.mark.parametrize(
    ("pairs", "identity"),
    [
        ([], True),
        ([(b"accept-encoding", b"gzip, br")], True),
        ([(b"accept-encoding", b"identity")], False),
    ],
)
def test_h63_identity_is_a_declared_edit(pairs: Headers, *, identity: bool) -> None:
    made = plan(pairs=pairs)
    assert identity == (IDENTITY in made.edits)


def test_a_second_plan_without_refused_members_leaves_them_out() -> None:
    assert plan(accepts=Accepts(store=True, metadata=False)).added == {"store"}
    made = plan(accepts=Accepts(store=False, metadata=False))
    assert (made.body, made.tags) == (BODY, {"env": "dev"})


def test_responses_name_their_parent() -> None:
    body = b'{"model":"m","input":"ask","previous_response_id":"resp_1"}'
    made = plan(body, endpoint="responses")
    assert made.previous_response_id == "resp_1"
    assert made.prompt_preview == "ask"
    assert made.added == {"metadata"}


@pytest.mark.parametrize("spelled", ['"conv_1"', '{"id": "conv_1"}'])
def test_responses_name_their_conversation(spelled: str) -> None:
    body = b'{"model":"m","input":"ask","conversation":%b}' % spelled.encode()
    made = plan(body, endpoint="responses")
    assert ("conv_1", "conversation conv_1") == (made.conversation, made.before)


def test_nobody_takes_a_conversation_by_the_name_of_a_response() -> None:
    body = b'{"model":"m","previous_response_id":"conversation conv_1"}'
    assert "" == plan(body, endpoint="responses").before


@pytest.mark.parametrize("model", ["1", "null", '["m"]', '"' + "m" * 2000 + '"'])
def test_a_model_that_is_no_name_is_empty(model: str) -> None:
    assert plan(f'{{"model":{model}}}'.encode()).model_asked == ""


@pytest.mark.parametrize("stream", ["false", "null", '"true"', "1"])
def test_only_true_asks_for_a_stream(stream: str) -> None:
    assert not plan(f'{{"stream":{stream}}}'.encode()).streamed


def test_dropped_tags_are_told() -> None:
    body = json.dumps(
        {"metadata": {f"k{number}": "v" for number in range(16)}}
    ).encode()
    assert plan(body).dropped_tags == ("env",)


def test_a_wrong_control_header_is_the_clients_error() -> None:
    with pytest.raises(ControlError):
        plan(pairs=[(b"x-spiritsafe-record", b"maybe")])


@given(
    st.binary(max_size=60),
    st.sampled_from(["chat", "responses", "completions", "embeddings"]),
)
def test_no_bytes_raise(noise: bytes, endpoint: Endpoint) -> None:
    for body in (
        noise,
        b'{"model":%b,"messages":[%b],"metadata":%b}' % (noise, noise, noise),
    ):
        plan(body, endpoint=endpoint)
    plan(
        BODY,
        [
            (b"content-type", noise),
            (b"content-encoding", noise),
            (b"x-stainless-retry-count", noise),
        ],
    )
