"""Plain counters: what they count, and by which names."""

import msgspec

from proxy.meters import MOST_VERDICTS, Meters
from tests.storage.make import exchange
from tests.storage.test_judgements import UNKNOWN, WRONG

CARRIED = {"schema": "a name of the request's", "why": "response_format"}


def test_verdicts_count_by_registered_schemas_alone() -> None:
    meters = Meters()
    carried = msgspec.structs.replace(WRONG, **CARRIED)
    meters.passed(exchange(judgements=(WRONG, WRONG, UNKNOWN, carried)))
    meters.passed(exchange())
    assert meters.verdicts == {
        ("invoice@2", "invalid"): 2,
        ("", "unchecked"): 1,
        ("", "invalid"): 1,
    }


def test_no_number_of_schemas_makes_more_counters_than_there_may_be() -> None:
    meters = Meters()
    for number in range(MOST_VERDICTS + 9):
        one = msgspec.structs.replace(WRONG, schema=f"s@{number}")
        meters.passed(exchange(judgements=(one,)))
    assert len(meters.verdicts) == MOST_VERDICTS + 1
    assert meters.verdicts["", "invalid"] == 9
