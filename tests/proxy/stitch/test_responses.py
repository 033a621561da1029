"""A streamed response is what its terminal event holds."""

import json

import pytest

from tests.proxy.stitch.spelling import read
from tests.proxy.vectors import RESPONSES, framed


def test_a9_the_terminal_event_holds_the_response() -> None:
    for name in ("a9_completed", "a9_no_names", "a9_spaced"):
        stitched = read("responses", RESPONSES[name], ended_clean=False)
        assert stitched.whole["status"] == "completed"
        assert stitched.whole["output"][0]["content"][0]["text"] == "Hi"
        assert (stitched.complete, stitched.error) == (True, None)


def test_a9_failed_and_incomplete_are_terminal_too() -> None:
    failed = read("responses", RESPONSES["a9_failed"])
    assert (failed.whole["status"], failed.complete) == ("failed", True)
    assert json.loads(failed.error or b"")["code"] == "server_error"
    cut = read("responses", RESPONSES["a9_incomplete"])
    assert (cut.whole["status"], cut.complete, cut.error) == ("incomplete", True, None)


def test_a9_an_error_event_ends_without_a_response() -> None:
    stitched = read("responses", RESPONSES["a9_error"])
    assert (stitched.whole["id"], stitched.complete) == ("resp_1", False)
    assert json.loads(stitched.error or b"")["message"] == "backend failed"
    bare = read("responses", framed(b'{"error":{"message":"no"}}'))
    assert (bare.error, bare.complete) == (b'{"message":"no"}', False)


def test_a9_without_a_terminal_event_finished_items_stand_in() -> None:
    stitched = read("responses", RESPONSES["a9_items_only"])
    assert stitched.whole["id"] == "resp_1"
    assert stitched.whole["output"][0]["content"][0]["text"] == "Hi"
    assert not stitched.complete


def test_a9_the_first_delta_is_the_first_token() -> None:
    for name in ("a9_completed", "a9_no_names"):
        pieces = [event + b"\n\n" for event in RESPONSES[name].split(b"\n\n")[:-1]]
        assert read("responses", *pieces).first_token_us == 1


@pytest.mark.parametrize(
    "odd",
    [b"[]", b"{}", b'{"type":[]}', b'{"type":{}}', b"\xff", b": keepalive",
     b'{"type":"response.output_item.done","output_index":"x"}'],
)  # fmt: skip
def test_odd_responses_events_do_no_harm(odd: bytes) -> None:
    stitched = read("responses", framed(odd) + RESPONSES["a9_completed"])
    assert stitched.complete
    assert stitched.flags == (("unparsed_event",) if odd == b"\xff" else ())
