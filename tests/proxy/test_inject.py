"""Claims about what is added to requests, and what an upstream's refusal teaches."""

import json

import msgspec
import pytest

from proxy import inject, splice
from proxy.hosts import Accepts
from proxy.inject import Injection
from storage.records import Endpoint

YES = Accepts(store=True, metadata=True)
UNKNOWN = Accepts()
NO = Accepts(store=False, metadata=False)
STORE = {"store": b"true"}


def inject_into(
    body: bytes,
    *,
    endpoint: Endpoint = "chat",
    header: dict[str, str] | None = None,
    default: dict[str, str] | None = None,
    accepts: Accepts = YES,
) -> Injection:
    return inject.inject(
        splice.read(body).values,
        endpoint=endpoint,
        header_tags=header or {},
        default_tags=default or {},
        accepts=accepts,
    )


@pytest.mark.parametrize(
    ("body", "accepts", "sets"),
    [
        (b"{}", YES, STORE),
        (b"{}", UNKNOWN, STORE),
        (b"{}", NO, {}),
        (b'{"store":true}', YES, {}),
        (b'{"store":false}', YES, {}),
        (b'{"store":null}', YES, {}),
        (b'{"store":"yes"}', YES, {}),
        (b'{"metadata":{"a":"b"}}', YES, STORE),
    ],
)
def test_store_is_added_only_where_the_client_said_nothing(
    body: bytes, accepts: Accepts, sets: dict[str, bytes]
) -> None:
    assert sets == inject_into(body, accepts=accepts).sets


@pytest.mark.parametrize(
    ("body", "accepts", "sets"),
    [
        (b"{}", YES, {**STORE, "metadata": b'{"env":"dev"}'}),
        (b"{}", NO, {}),
        (b"{}", Accepts(store=True, metadata=False), STORE),
        (b"{}", Accepts(store=False, metadata=True), {}),
        (b'{"store":true}', NO, {}),
        (b'{"store":true}', Accepts(store=False), {"metadata": b'{"env":"dev"}'}),
        (b'{"store":true}', YES, {"metadata": b'{"env":"dev"}'}),
        (b'{"store":false}', YES, {}),
        (b'{"store":null}', YES, {}),
        (b'{"store":1}', YES, {}),
    ],
)
def test_metadata_is_never_added_without_store_on_chat(
    body: bytes, accepts: Accepts, sets: dict[str, bytes]
) -> None:
    injection = inject_into(body, default={"env": "dev"}, accepts=accepts)
    assert (sets, {"env": "dev"}) == (injection.sets, injection.tags)


@pytest.mark.parametrize(
    ("body", "sets"),
    [
        (b"{}", {"metadata": b'{"env":"dev"}'}),
        (b'{"store":null}', {"metadata": b'{"env":"dev"}'}),
        (b'{"store":true}', {"metadata": b'{"env":"dev"}'}),
        (b'{"store":false}', {}),
    ],
)
def test_f8_responses_get_metadata_and_never_store(
    body: bytes, sets: dict[str, bytes]
) -> None:
    assert sets == inject_into(body, endpoint="responses", default={"env": "dev"}).sets


@pytest.mark.parametrize("endpoint", ["completions", "embeddings"])
def test_other_endpoints_get_local_tags_only(endpoint: Endpoint) -> None:
    injection = inject_into(b"{}", endpoint=endpoint, default={"env": "dev"})
    assert Injection({}, {"env": "dev"}) == injection


def test_injection_switched_off_keeps_local_tags() -> None:
    injection = inject.inject(
        {},
        endpoint="chat",
        header_tags={"a": "b"},
        default_tags={"c": "d"},
        accepts=YES,
        mode="off",
    )
    assert Injection({}, {"c": "d", "a": "b"}) == injection


def test_the_clients_pairs_win_over_the_headers_and_these_over_defaults() -> None:
    injection = inject_into(
        b'{"store":true,"metadata":{"x":"client" , "y":"client"}}',
        header={"y": "header", "z": "header"},
        default={"x": "default", "y": "default", "z": "default", "w": "default"},
    )
    assert injection.sets == {
        "metadata": b'{"x":"client" , "y":"client","z":"header","w":"default"}'
    }
    assert injection.tags == {
        "x": "client",
        "y": "client",
        "z": "header",
        "w": "default",
    }


def test_nothing_new_leaves_metadata_alone() -> None:
    body = b'{"store":true,"metadata":{"env":"mine"}}'
    assert inject_into(body, default={"env": "dev"}).sets == {}


@pytest.mark.parametrize("metadata", [b"null", b"{}", b"{ }"])
def test_f3_null_or_empty_metadata_counts_as_absent(metadata: bytes) -> None:
    injection = inject_into(
        b'{"store":true,"metadata":' + metadata + b"}", default={"é": '"'}
    )
    assert injection.sets == {"metadata": '{"é":"\\""}'.encode()}
    assert injection.flags == ()


def test_defaults_are_dropped_before_header_tags_and_never_the_clients() -> None:
    client = {f"c{number}": "1" for number in range(12)}
    header = {f"h{number}": "2" for number in range(3)}
    default = {f"d{number}": "3" for number in range(3)}
    body = json.dumps({"metadata": client}).encode()
    injection = inject_into(body, header=header, default=default)
    sent = json.loads(injection.sets["metadata"])
    assert list(sent) == [*client, "h0", "h1", "h2", "d0"]
    assert injection.dropped_tags == ("d1", "d2")
    assert injection.tags == {**default, **header, **client}


def test_a_full_metadata_of_the_client_stays_as_it_is() -> None:
    client = {f"c{number}": "1" for number in range(17)}
    body = json.dumps({"metadata": client}).encode()
    injection = inject_into(body, header={"h": "x"}, default={"d": "y"})
    assert (injection.sets, injection.dropped_tags) == (STORE, ("h", "d"))


def test_oversize_tags_stay_local() -> None:
    tags = {"k" * 64: "v" * 512, "k" * 65: "v", "long": "v" * 513, "": "v"}
    injection = inject_into(b"{}", default=tags)
    assert json.loads(injection.sets["metadata"]) == {"k" * 64: "v" * 512}
    assert injection.dropped_tags == ("k" * 65, "long", "")
    assert injection.tags == tags


@pytest.mark.parametrize(
    ("metadata", "flag", "tags"),
    [
        (b"[]", "metadata_not_object", {}),
        (b'"x"', "metadata_not_object", {}),
        (b'{"a":1,"b":"c","d":null}', "metadata_not_strings", {"b": "c"}),
        (b'{"a":"\xff","b":"c"}', "metadata_not_strings", {"b": "c"}),
        (b'{"\xff":"c"}', "metadata_not_strings", {}),
    ],
)
def test_unusable_metadata_is_left_and_flagged(
    metadata: bytes, flag: str, tags: dict[str, str]
) -> None:
    injection = inject_into(b'{"metadata":' + metadata + b"}", default={"env": "dev"})
    assert injection.sets == STORE
    assert injection.flags == (f"edit_skipped={flag}",)
    assert injection.tags == {"env": "dev", **tags}


@pytest.mark.parametrize(
    ("body", "endpoint", "expected"),
    [
        (b"{}", "chat", False),
        (b'{"store":true}', "chat", False),
        (b'{"store":false}', "chat", True),
        (b'{"store":null}', "chat", True),
        (b'{"store":false}', "responses", True),
        (b'{"store":null}', "responses", False),
    ],
)
def test_f2_an_explicit_false_or_null_is_an_opt_out(
    body: bytes, endpoint: Endpoint, *, expected: bool
) -> None:
    assert expected is inject.opted_out(splice.read(body).values, endpoint)


BOTH = frozenset({"store", "metadata"})
ONLY_METADATA = frozenset({"metadata"})


@pytest.mark.parametrize(
    ("status", "body", "refused"),
    [
        (400, {"error": {"message": "The 'metadata' parameter is only allowed when 'store' is enabled.", "type": "invalid_request_error"}}, ONLY_METADATA),
        (400, {"error": {"message": "x", "param": "store", "code": None}}, BOTH),
        (400, {"error": {"message": "too many", "param": "metadata", "code": "object_above_max_properties"}}, ONLY_METADATA),
        (400, {"error": {"message": "Unrecognized request argument supplied: store", "param": None}}, BOTH),
        (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "store"], "msg": "Extra inputs are not permitted", "input": True}]}, BOTH),
        (422, {"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "metadata"], "msg": "no"}]}}, ONLY_METADATA),
        (400, [{"error": {"code": 400, "message": 'Invalid JSON payload received. Unknown name "store": Cannot find field.', "status": "INVALID_ARGUMENT"}}], BOTH),
        (400, {"error": {"message": "property 'store' is unsupported, did you mean 'stop'?"}}, BOTH),
        (400, {"message": "body.store: property 'body.store' is unsupported", "param": "validation_error"}, BOTH),
        (422, {"message": "metadata: property 'metadata' is unsupported", "param": "validation_error"}, ONLY_METADATA),
        (400, {"error": {"message": "`metadata` is not supported with this model", "param": "metadata"}}, ONLY_METADATA),
        (400, {"error": "Argument not supported: metadata"}, ONLY_METADATA),
        (400, {"detail": "Store must be set to false"}, BOTH),
        (400, {"error": {"message": "Invalid 'metadata.env': string too long", "param": "metadata.env"}}, ONLY_METADATA),
        (400, "store: Extra inputs are not permitted", BOTH),
    ],
)  # fmt: skip
def test_refusals_are_read_from_every_wording_we_know(
    status: int, body: object, refused: frozenset[str]
) -> None:
    text = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    assert refused == inject.refusals(status, text, {"store", "metadata"})


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"error": {"param": "store"}}),
        (401, {"error": {"param": "store"}}),
        (500, {"error": {"param": "store"}}),
        (400, {"error": {"message": "Unknown model", "param": "model"}}),
        (400, {"error": {"message": "The vector store vs_1 was not found."}}),
        (400, {"error": {"message": "Please restore the keystore: store-front."}}),
        (400, {"error": {"message": "'messages.1' : property 'messages.1.metadata' is unsupported"}}),
        (422, {"detail": [{"type": "missing", "loc": ["body", "model"], "msg": "Field required", "input": {"store": True, "message": "'x'"}}]}),
        (400, {"error": {"message": "metadata_key is wrong", "param": None}}),
        (400, {}),
        (400, []),
        (400, 1),
    ],
)  # fmt: skip
def test_other_errors_refuse_nothing(status: int, body: object) -> None:
    assert frozenset() == inject.refusals(
        status, json.dumps(body).encode(), {"store", "metadata"}
    )


def test_only_what_we_added_can_be_refused() -> None:
    body = b'{"error":{"param":"store","message":"\'metadata\'"}}'
    assert inject.refusals(400, body, set()) == frozenset()
    assert inject.refusals(400, body, {"store"}) == {"store"}
    assert inject.refusals(400, body, {"metadata"}) == {"metadata"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[" * 5000,
        b'{"error":' * 900 + b"1" + b"}" * 900,
        b"x" * 100_000,
    ],
)
def test_no_error_body_raises(body: bytes) -> None:
    assert inject.refusals(400, body, {"store"}) == frozenset()


def test_merged_metadata_is_valid_json_whatever_the_tags_hold() -> None:
    tags = {'q"\\\n\x00é😀': "\u2028\x7f"}
    sets = inject_into(b'{"store":true,"metadata":{"a":"b"\n}}', default=tags).sets
    assert msgspec.json.decode(sets["metadata"]) == {"a": "b", **tags}
