"""Filters as somebody may ask them of `stock.py`'s exchanges; run, it asks for ever."""

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import stock

from proxy.said import said
from storage.queries.language import parse
from storage.queries.pages import page
from storage.reading import open_library

Draw = Callable[[random.Random], str]

ASK_EVERY_S = 0.1

FIELDS: dict[str, Draw] = {
    "model": lambda draw: f"model:model-{draw.choice((0, 1, 4, 12, 16))}",
    "model*": lambda draw: f"model:model-1{draw.choice('26')}*",
    "status": lambda draw: f"status:{draw.choice((200, 400, 429, 500))}",
    "status>": lambda _: "status>=400",
    "state": lambda draw: f"state:{draw.choice(('complete', 'incomplete'))}",
    "reason": lambda draw: f"reason:{draw.choice(('timeout', 'client_aborted'))}",
    "finish": lambda draw: f"finish:{draw.choice(('stop', 'length', 'tool_calls'))}",
    "endpoint": lambda draw: f"endpoint:{draw.choice(('chat', 'responses'))}",
    "upstream": lambda draw: f"upstream:{draw.choice(('default', 'together', 'no'))}",
    "stream": lambda draw: f"stream:{draw.choice(('yes', 'no'))}",
    "verdict": lambda draw: f"verdict:{draw.choice(('valid', 'invalid'))}",
    "schema": lambda draw: f"schema:invoice@{draw.randrange(4)}",
    "project": lambda draw: f"project:key{draw.randrange(52)}",
    "task": lambda draw: f"tag.task:task-{draw.randrange(42)}",
    "user": lambda draw: f"tag.user:user-{draw.randrange(20_100)}",
    "tokens>": lambda draw: f"tokens>{draw.choice((10, 2000, 9000, 12_345, 10**6))}",
    "prompt_tokens<": lambda draw: f"prompt_tokens<{draw.choice((50, 51, 300, 4000))}",
    "ms>": lambda draw: f"ms>{draw.choice((350, 1500, 15_000, 19_850, 10**6))}",
    "ms<": lambda draw: f"ms<{draw.choice((301, 1000, 7777))}",
    "after": lambda draw: f"after:{draw.choice(('2026-09-22', '2026-10-10'))}",
    "before": lambda draw: f"before:{draw.choice(('2026-09-21', '2026-10-10'))}",
}
WORDS: dict[str, Draw] = {
    "a rare word": lambda draw: f"rare{draw.randrange(1000)}",
    "a word of one prompt": lambda draw: f"only{draw.randrange(2 * stock.POOL)}",
    "a common word": lambda draw: draw.choice(("expected", "index", "often")),
    "a phrase": lambda draw: (
        f'"seldom{draw.randrange(4001)} only{draw.randrange(900)}"'
    ),
    "a prefix": lambda draw: f"seldom{draw.randrange(40, 400)}*",
    "two words": lambda draw: f"rare{draw.randrange(997)} seldom{draw.randrange(4001)}",
    "a word and a field": lambda draw: f"rare{draw.randrange(997)} status>=400",
    "no such word": lambda draw: f"nowhere{draw.randrange(9)}",
}


def main() -> None:
    """Page and search a file until ended."""
    draw = random.Random()
    makers = [*FIELDS.values(), *WORDS.values()]
    while True:
        with open_library(Path(sys.argv[1])) as library:
            page(library, parse(draw.choice(makers)(draw)), read=said)
        time.sleep(ASK_EVERY_S)


if __name__ == "__main__":
    main()
