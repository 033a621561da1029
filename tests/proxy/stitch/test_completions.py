"""Legacy completions append."""

from proxy.stitch import Stitched
from tests.proxy.stitch.spelling import read
from tests.proxy.vectors import COMPLETIONS


def test_legacy_completions_append_text_and_logprobs() -> None:
    stitched = read("completions", COMPLETIONS["legacy_text"])
    assert stitched == Stitched(
        {
            "id": "cmpl-1",
            "object": "text_completion",
            "created": 5,
            "model": "m-l",
            "choices": [
                {
                    "index": 0,
                    "text": "Once",
                    "logprobs": {
                        "tokens": ["On", "ce"],
                        "token_logprobs": [-0.1, -0.2],
                        "top_logprobs": [{"On": -0.1}, {"ce": -0.2}],
                        "text_offset": [0, 2],
                    },
                    "finish_reason": "length",
                }
            ],
            "usage": {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4},
        },
        complete=True,
        first_token_us=0,
    )
