"""`stats`: sums by day and model, and P3 over the file."""

import json
from pathlib import Path

import pytest

from proxy.commands.prices import Price, Prices
from storage.queries.sums import Sums
from tests.proxy.commands.conftest import Recorded
from tests.proxy.commands.recording import REQUESTS, complaint, out


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


def test_what_is_named_twice_is_one_column(file: Recorded) -> None:
    flags = ("--by", "day,model,day", "status:429")
    (heading, *_) = out("stats", "--db", file.db, *flags).splitlines()
    assert 1 == heading.count("day (UTC)")
    twice, once = (
        json.loads(out("stats", "--json", "--db", file.db, *told))["groups"]
        for told in (flags, ("--by", "day,model", "status:429"))
    )
    assert once == twice


def test_sums_by_a_tag_and_times(file: Recorded) -> None:
    flags = ("--by", "tag.name, state", "status:200")
    groups = json.loads(out("stats", "--json", "--db", file.db, *flags))["groups"]
    by_name = {group["tag.name"]: group for group in groups}
    assert set(REQUESTS) - {"refused"} == set(by_name)
    assert ("incomplete", 1) == (by_name["cut"]["state"], by_name["cut"]["failed"])
    assert by_name["plain"]["p50_ms"] == by_name["plain"]["p95_ms"]


def test_cost_follows_the_table_and_says_what_it_does_not_know(
    file: Recorded, tmp_path: Path
) -> None:
    table = tmp_path / "p.toml"
    table.write_text(
        'date = "2026-01-02"\ncurrency = "EUR"\n'
        '[[price]]\nmodel = "m-1*"\ninput = 1000000\noutput = 2000000\n'
    )
    flags = ("--prices", table, "--by", "model")
    document = json.loads(out("stats", "--json", "--db", file.db, *flags))
    by_model = {group["model"]: group for group in document["groups"]}
    # Three answers with 3 and 1 tokens; a whole and a broken stream told none.
    assert (15.0, 2) == (
        by_model["m-1-served"]["cost"], by_model["m-1-served"]["unpriced"]
    )  # fmt: skip
    assert (0.0, 0) == (by_model["m-429"]["cost"], by_model["m-429"]["unpriced"])
    assert {"date": "2026-01-02", "currency": "EUR", "checked": True} == (
        document["prices"]
    )
    text = out("stats", "--db", file.db, *flags)
    assert "15.0000+?" in text
    assert (
        "cost 15.0000 EUR at prices of 2026-01-02; of 3 exchanges it is unknown" in text
    )
    assert "unknown" in out("stats", "--db", file.db, "--by", "model")


def test_the_prices_that_come_along_are_to_be_checked(file: Recorded) -> None:
    text = out("stats", "--db", file.db)
    table = Prices.read(None)
    assert f"USD at prices of {table.date}, unchecked: see 'spiritsafe prices'" in text
    document = json.loads(out("stats", "--json", "--db", file.db))
    assert not document["prices"]["checked"]
    assert "check them before you go" in out("prices")


def test_the_table_that_is_printed_is_one_that_can_be_given(tmp_path: Path) -> None:
    table = tmp_path / "p.toml"
    table.write_text(out("prices"))
    assert Prices.read(None) == Prices.read(table)


@pytest.mark.parametrize(
    ("text", "told"),
    [("date = 1", "p.toml"), ("[[", "p.toml"), ('date = "x"\ncurrency = ""', "date")],
)
def test_a_table_that_is_none_is_wrong_use(
    file: Recorded, tmp_path: Path, text: str, told: str
) -> None:
    table = tmp_path / "p.toml"
    table.write_text(text)
    assert told in complaint("stats", "--prices", table, "--db", file.db, code=2)


def test_cached_tokens_are_paid_once() -> None:
    used = Sums(prompt_tokens=1_000_000, cached_tokens=400_000, completion_tokens=100)
    assert 0.6 * 10 + 0.4 * 1 + 0.0001 * 20 == pytest.approx(
        Price("m", 10, 20, 1).cost(used)
    )
    assert 10 + 0.0001 * 20 == pytest.approx(Price("m", 10, 20).cost(used))


def test_percentiles_are_of_what_was_counted() -> None:
    some = Sums(ms={1: 90, 50: 5, 900: 5})
    assert (1, 50, 900) == tuple(map(some.percentile_ms, (0.5, 0.95, 0.951)))
    assert None is Sums().percentile_ms(0.5)


def test_a_field_without_values_is_no_heading(file: Recorded) -> None:
    assert "summed up by 'id'" in complaint(
        "stats", "--by", "id", "--db", file.db, code=2
    )
