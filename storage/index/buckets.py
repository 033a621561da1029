"""Numbers in buckets with round decimal edges, on three levels.

The finest has two significant digits, so that a bound such as 2000 or 15 is an edge;
the two coarser ones keep a long range to some thirty buckets.
"""

import msgspec

LEVELS = ("", "/1", "/0")
"""What a facet's name ends in: two digits, one digit, none (the power of ten)."""


class Cover(msgspec.Struct, frozen=True):
    """Which buckets hold the numbers from a bound on.

    Shapes: `ranges` has for each of `LEVELS` the first bucket and the one where it
    ends, None for no end; `torn` is a bucket of the finest that holds others too.
    """

    ranges: tuple[tuple[int, int | None], ...]
    torn: int | None


def bucket(number: int) -> int:
    """Return the finest bucket of a number: its first two digits, the rest zero.

    >>> bucket(7), bucket(42), bucket(12_345), bucket(-3)
    (7, 42, 12000, -1)
    """
    if number < 100:
        return max(number, -1)
    step = _power(number) // 10
    return number // step * step


def coarser(finest: int) -> tuple[int, int]:
    """Return the buckets of the two coarser levels that a finest bucket lies in.

    >>> coarser(12_000), coarser(7), coarser(0)
    ((10000, 10000), (7, 1), (0, 0))
    """
    if finest <= 0:
        return finest, finest
    power = _power(finest)
    return finest // power * power, power


def from_on(least: int) -> Cover:
    """Return the buckets of the numbers that are at least this.

    >>> from_on(2345)
    Cover(ranges=((2400, 3000), (3000, 10000), (10000, None)), torn=2300)
    """
    if least <= 0:
        torn = None if least == 0 else -1
        return Cover(((0, 0), (0, 0), (0, None)), torn)
    first = bucket(least)
    torn = None
    if first != least:
        torn = first
        first += max(_power(first) // 10, 1)
    power = _power(first)
    edge = -(-first // power) * power
    decade = edge if edge == _power(edge) else 10 * _power(edge)
    return Cover(((first, edge), (edge, decade), (decade, None)), torn)


def _power(number: int) -> int:
    """Return the power of ten that a number above zero begins with."""
    return int(10 ** (len(str(number)) - 1))
