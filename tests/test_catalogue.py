"""The catalogue is whole, true to the tests, and its page is up to date."""

from pathlib import Path

import pytest

from tests import catalogue
from tests.catalogue import Row

KNOWN = {
    "H-01": Row(tier="P", says="one"),
    "H-02": Row(tier="N", says="two", reason="open: later"),
    "L-01": Row(tier="R", says="three"),
}


def test_every_id_has_a_test_or_a_reason() -> None:
    wrong = list(catalogue.complaints(catalogue.rows(), catalogue.proving()))
    assert [] == wrong, "\n" + "\n".join(wrong)


def test_the_page_is_up_to_date() -> None:
    expected = catalogue.page(catalogue.rows(), catalogue.proving())
    assert expected == catalogue.PAGE.read_text(), "run 'make catalogue'"


def test_the_catalogue_has_every_id_of_the_handbook() -> None:
    handbook = catalogue.handbook()
    if handbook is None:
        pytest.skip(f"no {catalogue.HANDBOOK} beside this checkout: ids not compared")
    named = catalogue.named(handbook.read_text())
    assert len(named) == len(set(named))
    assert sorted(named) == sorted(catalogue.rows())


def test_ids_of_a_handbook_are_where_it_introduces_them() -> None:
    text = "* **H-01** as in H-09\n| F-02 | x |\ntext\n* **J-14 more** S-03\n"
    assert ["H-01", "F-02", "J-14"] == catalogue.named(text)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("test_h64_memory", ["H-64"]),
        ("test_h37_h38_f41_order", ["H-37", "H-38", "F-41"]),
        ("test_j01_to_j03_flagged", ["J-01", "J-02", "J-03"]),
        ("test_s41_no_h64_inside", ["S-41"]),
        ("test_f1_of_another_list", []),
        ("test_h100_is_no_id", []),
        ("test_plain", []),
    ],
)
def test_a_name_claims_what_it_begins_with(name: str, expected: list[str]) -> None:
    assert expected == catalogue.claims(name)


def test_tests_are_found_in_files_of_tests_alone(tmp_path: Path) -> None:
    folder = tmp_path / "wire"
    folder.mkdir()
    (folder / "test_a.py").write_text(
        "async def test_h01_x(): ...\nclass A:\n def test_h01_h02_y(self): ...\n"
    )
    (folder / "other.py").write_text("def test_h03_z(): ...\n")
    both = "wire/test_a.py::test_h01_h02_y"
    assert {
        "H-01": [both, "wire/test_a.py::test_h01_x"],
        "H-02": [both],
    } == catalogue.proving(tmp_path)


@pytest.mark.parametrize(
    ("reason", "proofs", "expected"),
    [
        ("", {"H-01": ["t"]}, ""),
        ("open: soon", {"H-01": ["t"]}, ""),
        ("partly: this only", {"H-01": ["t"]}, ""),
        ("open: soon", {}, ""),
        ("not ours: because", {}, ""),
        ("", {}, "H-01 (one) has neither"),
        ("partly: this only", {}, "H-01 (one) has neither"),
        ("not built yet: a thing", {"H-01": ["t"]}, "H-01 has tests now"),
        ("never mind", {}, "H-01: a reason begins with"),
        ("", {"H-01": ["t"], "H-77": ["a::b"]}, "H-77 is in no catalogue"),
    ],
)
def test_what_is_missing_or_unknown_is_told(
    reason: str, proofs: dict[str, list[str]], expected: str
) -> None:
    known = {**KNOWN, "H-01": Row(tier="P", says="one", reason=reason)}
    found = list(catalogue.complaints(known, proofs))
    assert [expected] * bool(expected) == [it[: len(expected)] for it in found]


def test_an_open_reason_goes_once_there_is_a_test() -> None:
    row = 'H-0{} = {{ tier = "P", says = "a"{} }}\n'
    open_, partly = ', reason = "open: x"', ', reason = "partly: x"'
    text = row.format(1, open_) + row.format(2, open_) + row.format(3, partly)
    expected = row.format(1, "") + row.format(2, open_) + row.format(3, partly)
    proofs = {"H-01": ["t"], "H-03": ["t"]}
    assert expected == catalogue.settled(text, proofs)


def test_the_page_has_one_line_for_each_id() -> None:
    lines = catalogue.page(KNOWN, {"H-01": ["a::b", "c::d"]}).splitlines()[-5:]
    assert [
        "| id | tier | what it is about | tests, or why there is none |",
        "|---|---|---|---|",
        "| H-01 | P | one | `a::b`<br>`c::d` |",
        "| H-02 | N | two | open: later |",
        "| L-01 | R | three |  |",
    ] == lines
