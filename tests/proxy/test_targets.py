"""Claims about request targets: what is captured, relayed, refused, and forwarded."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import targets
from proxy.errors import ClientError, MethodError, NotFoundError, TargetError
from proxy.targets import Route

UPSTREAMS = {"default": 1, "together": 1, "azure": 1, "v1": 1, "api": 1}


def route(raw_path: bytes, method: str = "POST", *, embeddings: bool = False) -> Route:
    return targets.route(method, raw_path, UPSTREAMS, embeddings=embeddings)


@pytest.mark.parametrize(
    ("raw_path", "expected"),
    [
        (b"/v1/chat/completions", Route("captured", "default", b"/chat/completions", "chat")),
        (b"/v1/responses", Route("captured", "default", b"/responses", "responses")),
        (b"/v1/completions", Route("captured", "default", b"/completions", "completions")),
        (b"/v1/embeddings", Route("relay", "default", b"/embeddings")),
        (b"/together/v1/chat/completions", Route("captured", "together", b"/chat/completions", "chat")),
        (b"/together/v1/embeddings", Route("relay", "together", b"/embeddings")),
        (b"/azure/openai/deployments/gpt-4o/chat/completions", Route("captured", "azure", b"/openai/deployments/gpt-4o/chat/completions", "chat")),
        (b"/azure/openai/v1/responses", Route("captured", "azure", b"/openai/v1/responses", "responses")),
        (b"/azure/openai/deployments/a%2Fb/x", Route("relay", "azure", b"/openai/deployments/a%2Fb/x")),
        (b"/azure/openai/deployments/gpt-4o/audio/speech", Route("relay", "azure", b"/openai/deployments/gpt-4o/audio/speech")),
        (b"/v1/models/openai%2Fgpt-x", Route("relay", "default", b"/models/openai%2Fgpt-x")),
        (b"/v1", Route("relay", "default", b"")),
        (b"/v1/", Route("relay", "default", b"/")),
        (b"/v1/chat/completions/chatcmpl-1", Route("stored", "default", b"/chat/completions/chatcmpl-1", "chat", b"/chatcmpl-1")),
        (b"/v1/responses/resp_1/cancel", Route("stored", "default", b"/responses/resp_1/cancel", "responses", b"/resp_1/cancel")),
        (b"/v1/responses/compact", Route("relay", "default", b"/responses/compact", None, b"/compact")),
        (b"/azure/openai/chat/completions/A%2Fb", Route("stored", "azure", b"/openai/chat/completions/A%2Fb", "chat", b"/A%2Fb")),
        (b"/azure/openai/v1/responses/r", Route("stored", "azure", b"/openai/v1/responses/r", "responses", b"/r")),
        (b"/healthz", Route("own", "", b"/healthz")),
        (b"/readyz", Route("own", "", b"/readyz")),
        (b"/metrics", Route("own", "", b"/metrics")),
        (b"/api/exchanges", Route("own", "", b"/api/exchanges")),
        (b"/console", Route("own", "", b"/console")),
    ],
)  # fmt: skip
def test_each_path_goes_where_it_belongs(raw_path: bytes, expected: Route) -> None:
    assert expected == route(raw_path)


def test_embeddings_are_captured_where_switched_on() -> None:
    expected = Route("captured", "default", b"/embeddings", "embeddings")
    assert expected == route(b"/v1/embeddings", embeddings=True)
    assert (
        route(b"/azure/openai/deployments/e/embeddings", embeddings=True).endpoint
        == "embeddings"
    )


@pytest.mark.parametrize("method", ["OPTIONS", "DELETE", "PUT", "post"])
def test_only_post_is_captured(method: str) -> None:
    expected = Route("relay", "default", b"/chat/completions")
    assert expected == route(b"/v1/chat/completions", method)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_list_of_completions_is_read_back(method: str) -> None:
    expected = Route("stored", "default", b"/chat/completions", "chat")
    assert expected == route(b"/v1/chat/completions", method)
    assert route(b"/v1/responses", method).kind == "relay"  # of these there is no list
    assert route(b"/v1/completions", method).kind == "relay"


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT", "X"])
def test_whatever_is_asked_of_one_exchange_goes_to_the_stored_api(method: str) -> None:
    for path in (b"/v1/chat/completions/a", b"/v1/chat/completions/a/b/c"):
        assert route(path, method).kind == "stored"
    assert route(b"/together/v1/responses/a/input_items", method).kind == "stored"
    assert route(b"/v1/chat/completions/a", "OPTIONS").kind == "relay"


@pytest.mark.parametrize(
    "raw_path",
    [
        b"/v1/a%2Fb", b"/v1/a%2fb", b"/v1/a//b", b"/v1/a;x", b"/v1/%00", b"/v1/%",
        b"/v1/%zz", b"/v1/a+b", b"/v1/...", b"/v1/.a", b"/v1/a..", b"/v1/%2e%2ea",
        b"/v1/models/ft:gpt:org::id", b"/v1/x@y", b"/v1/[a]", b"/v1/Files",
    ],
)  # fmt: skip
def test_h50_what_is_relayed_keeps_its_bytes(raw_path: bytes) -> None:
    found = route(raw_path, "GET")
    assert (found.kind, raw_path) == ("relay", targets.forwarded(b"/v1", found.suffix))


@pytest.mark.parametrize(
    "raw_path",
    [
        b"/v1/a b",
        b"/v1/\xc3\xa9",
        b"/v1/a#b",
        b"/v1/a?b",
        b"/v1/\x00",
        b"/v1/\x7f",
        b"/v1/a\r\nx: y",
    ],
)
def test_h50_what_is_no_path_is_refused(raw_path: bytes) -> None:
    with pytest.raises(TargetError, match="plain path"):
        route(raw_path)


@pytest.mark.parametrize(
    "raw_path",
    [
        b"/v1/../admin", b"/v1/%2e%2e/admin", b"/v1//../x", b"/v1/.%2E/x", b"/v1/%2E./x",
        b"/v1/a/..", b"/v1/./x", b"/v1/a/%2e", b"/v1/..%2fadmin", b"/v1/a%2f..%2f..",
        b"/v1/..\\admin", b"/v1/..%5cadmin", b"/v1/..;/admin", b"/v1/..;x=y/admin",
        b"/together/v1/../../x", b"/azure/openai/../x", b"/console/../api", b"/../v1/x",
        b"/v1/%2e%2e%3bx/admin",
    ],
)  # fmt: skip
def test_h51_dot_segments_are_refused_in_any_spelling(raw_path: bytes) -> None:
    with pytest.raises(TargetError, match="segments"):
        route(raw_path, "GET")


@pytest.mark.parametrize(
    "raw_path",
    [
        b"/v1/chat/completions/", b"/v1/chat//completions", b"/v1//chat/completions",
        b"/v1/chat%2Fcompletions", b"/v1/%63hat/completions", b"/v1/Chat/Completions",
        b"/v1/chat/completions//", b"/v1/chat\\completions", b"/v1/chat/completions;x",
        b"/v1/responses/", b"/v1/COMPLETIONS", b"/together/v1/chat/completions%2f",
        b"/v1/chat/completions%20", b"/azure/openai/deployments/m/chat/completions/",
        b"/azure/openai/Deployments/m/chat/completions", b"/azure/openai//v1/responses",
        b"/v1/embeddings/", b"/v1/chat/completions/a/", b"/v1/chat/completions//a",
        b"/v1/Chat/completions/a", b"/v1/chat%2fcompletions/a", b"/v1/responses/a/",
        b"/v1//responses/a/input_items", b"/azure/openai//chat/completions/a",
    ],
)  # fmt: skip
def test_a_path_that_only_reads_like_an_endpoint_is_refused(raw_path: bytes) -> None:
    with pytest.raises(TargetError) as caught:
        route(raw_path)
    assert caught.value.code == "ambiguous_target"


def test_h52_the_query_keeps_its_bytes() -> None:
    assert (
        targets.forwarded(b"/v1", b"/x", b"a=%20+&&;=%zz?") == b"/v1/x?a=%20+&&;=%zz?"
    )
    assert targets.forwarded(b"/v1", b"/x", b"") == b"/v1/x?"
    assert targets.forwarded(b"/v1", b"/x") == b"/v1/x"
    assert targets.forwarded(b"", b"") == b"/"
    assert targets.forwarded(b"", b"", b"a") == b"/?a"


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
@pytest.mark.parametrize(
    "raw_path", [b"/v1/x", b"*", b"evil.com:443", b"/v1/responses"]
)
def test_h53_connect_and_trace_are_refused(method: str, raw_path: bytes) -> None:
    with pytest.raises(MethodError) as caught:
        route(raw_path, method)
    assert caught.value.status_hint == 405


@pytest.mark.parametrize(
    "raw_path",
    [b"*", b"", b"@evil.com/", b"http:evil", b"http://evil.com/v1/x", b"evil.com:443", b"//evil.com/v1/x", b"//v1/x", b"v1/responses"],
)  # fmt: skip
def test_h54_targets_of_another_form_are_refused(raw_path: bytes) -> None:
    with pytest.raises(ClientError) as caught:
        route(raw_path, "OPTIONS")
    assert caught.value.status_hint in {400, 404}


def test_h54_a_target_never_starts_like_an_authority() -> None:
    with pytest.raises(TargetError):
        targets.forwarded(b"", b"//evil.com/x")
    assert targets.forwarded(b"/v1", b"//evil.com/x") == b"/v1//evil.com/x"


@pytest.mark.parametrize(
    "raw_path",
    [b"/", b"/v2/x", b"/v1x", b"/nobody/v1/x", b"/together", b"/together/x", b"/together/v1x", b"/%76%31/x", b"/together%2Fv1/x", b"/apis", b"/healthz2", b"/Together/v1/x"],
)  # fmt: skip
def test_all_else_is_not_found(raw_path: bytes) -> None:
    with pytest.raises(NotFoundError) as caught:
        route(raw_path)
    assert caught.value.status_hint == 404


@given(st.text("/v1.%2eEfF;\\chat?#@:completions \x00é", max_size=20))
def test_any_target_is_routed_as_written_or_refused(text: str) -> None:
    raw_path = b"/v1/" + text.encode("latin-1")
    with suppress(TargetError):
        found = route(raw_path)
        assert (found.upstream, b"/v1" + found.suffix) == ("default", raw_path)
