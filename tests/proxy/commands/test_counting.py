"""`stats`: sums by day and model, and P3 over the file."""

import json

from tests.proxy.commands.conftest import Recorded
from tests.proxy.commands.recording import REQUESTS, out


def test_sums_by_model(file: Recorded) -> None:
    document = json.loads(out("stats", "--json", "--db", file.db))
    by_model = {group["model"]: group for group in document["groups"]}
    served = by_model["m-1-served"]
    assert (5, 1) == (served["exchanges"], served["failed"])
    assert (1, 1) == (by_model["m-429"]["exchanges"], by_model["m-429"]["failed"])
    sent = sum(len(json.dumps(request)) for request in REQUESTS.values())
    assert sent == sum(group["request_bytes"] for group in document["groups"])
    assert document["disk_bytes"] == file.db.stat().st_size


def test_all_that_was_accepted_is_accounted_for(file: Recorded) -> None:
    document = json.loads(out("stats", "--json", "--db", file.db))
    assert {
        "accepted": 7, "complete": 6, "incomplete": 1, "unrecorded": 0, "lost": 0,
        "in_flight": 0, "balanced": True,
    } == document["totals"]  # fmt: skip
    text = out("stats", "--db", file.db)
    assert "accepted 7 = 6 complete + 1 incomplete + 0 unrecorded + 0 in flight" in text
    assert " to 1" in text


def test_filters_count_part_of_it(file: Recorded) -> None:
    flags = ("--tag", "name=refused")
    (group,) = json.loads(out("stats", "--json", "--db", file.db, *flags))["groups"]
    assert ("m-429", 1) == (group["model"], group["exchanges"])
    assert " to 1" not in out("stats", "--db", file.db, *flags)
