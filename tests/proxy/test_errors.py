"""Claims about what a client is told when the proxy itself answers."""

import json

import pytest

from proxy import errors


class Upstream(Exception):
    """As the errors of the upstream package look to `answer`."""

    status_hint = 502
    code = "upstream_gone"

    def __init__(self, contacted: errors.Contacted) -> None:
        super().__init__("The connection closed.")
        self.contacted = contacted


OURS = [
    errors.ClientError,
    errors.TargetError,
    errors.ControlError,
    errors.NotFoundError,
    errors.MethodError,
    errors.BodyTimeoutError,
    errors.HeadTimeoutError,
    errors.TooLargeError,
    errors.ExpectationError,
    errors.VersionError,
    errors.LoopError,
    errors.BusyError,
    errors.OwnError,
]
CLIENTS = errors.ClientError


@pytest.mark.parametrize("kind", OURS)
def test_every_error_is_openais_envelope_marked_as_ours(
    kind: type[errors.SpiritsafeError],
) -> None:
    status, headers, body = errors.answer(kind("What failed, é.", param="x-header"))
    assert status == kind.status_hint
    assert dict(headers)[b"x-spiritsafe-error"] == kind.default_code.encode()
    assert dict(headers)[b"content-type"] == b"application/json"
    assert dict(headers)[b"content-length"] == b"%d" % len(body)
    error = json.loads(body)["error"]
    assert error == {
        "message": "What failed, é.",
        "type": "invalid_request_error"
        if issubclass(kind, CLIENTS)
        else "server_error",
        "param": "x-header",
        "code": kind.default_code,
    }


def test_the_tree_in_the_docstring_names_every_error() -> None:
    drawn = errors.__doc__ or ""
    for kind in [errors.SpiritsafeError, *OURS]:
        assert kind.__name__ in drawn
        assert kind is errors.SpiritsafeError or f"{kind.__name__} " in drawn
    timeouts = {errors.BodyTimeoutError, errors.HeadTimeoutError}  # one to clients
    assert len(OURS) - 1 == len({kind.default_code for kind in OURS})
    assert 1 == len({kind.default_code for kind in timeouts})


@pytest.mark.parametrize(
    ("error", "retry"),
    [
        (errors.ClientError("x"), b"false"),
        (errors.LoopError("x"), b"false"),
        (errors.TooLargeError("x"), b"false"),
        (errors.BodyTimeoutError("x"), None),
        (errors.OwnError("x"), None),
        (Upstream("unknown"), None),
    ],
)
def test_only_what_must_fail_again_says_not_to_retry(
    error: errors.Refusal, retry: bytes | None
) -> None:
    _, headers, _ = errors.answer(error)
    assert retry == dict(headers).get(b"x-should-retry")


@pytest.mark.parametrize(
    ("error", "contacted", "after"),
    [
        (Upstream("no"), b"no", b"1"),
        (Upstream("yes"), b"yes", None),
        (Upstream("unknown"), b"unknown", None),
        (errors.OwnError("x"), b"no", None),
        (errors.LoopError("x"), b"no", None),
        (errors.ClientError("x"), None, None),
    ],
)
def test_h81_retry_after_only_where_the_upstream_was_not_contacted(
    error: errors.Refusal, contacted: bytes | None, after: bytes | None
) -> None:
    _, headers, _ = errors.answer(error)
    assert contacted == dict(headers).get(b"x-spiritsafe-upstream-contacted")
    assert after == dict(headers).get(b"retry-after")


def test_a_foreign_error_without_param_has_all_four_keys() -> None:
    _, _, body = errors.answer(Upstream("no"))
    assert json.loads(body) == {
        "error": {
            "message": "The connection closed.",
            "type": "server_error",
            "param": None,
            "code": "upstream_gone",
        }
    }


def test_a_code_of_its_own_and_a_lone_surrogate_are_told() -> None:
    _, headers, body = errors.answer(
        errors.TargetError("bad \ud800", code="ambiguous_target")
    )
    assert dict(headers)[b"x-spiritsafe-error"] == b"ambiguous_target"
    assert json.loads(body)["error"]["message"] == "bad ?"
