"""How often all of a file is gone through for what was removed from it."""

import pytest

from storage.seldom import Seldom


@pytest.mark.parametrize(
    ("spent_s", "rest_s"), [(0.02, 2), (2, 200), (5, 300), (30, 300), (120, 1200)]
)
def test_a_long_pass_comes_seldom(spent_s: float, rest_s: float) -> None:
    now_s = 7.0
    seldom = Seldom(lambda: now_s)
    assert seldom.due
    seldom.rest(spent_s)
    now_s += rest_s - 0.001
    assert not seldom.due
    now_s += 0.002
    assert seldom.due
