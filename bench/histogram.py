"""Times in microseconds as the load generator counted them: merged, never averaged."""

from collections import Counter
from collections.abc import Iterable


class Histogram(Counter[int]):
    """How many times fell into the cell that begins at each microsecond."""

    def quantile_ms(self, share: float) -> float:
        """Return the time that this share of all times does not exceed.

        >>> Histogram({1000: 98, 5000: 2}).quantile_ms(0.99)
        5.0
        """
        wanted, seen = share * self.total(), 0
        for us in sorted(self):
            seen += self[us]
            if seen >= wanted:
                return us / 1000
        return float("nan")


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """Return one histogram of all that several runs counted."""
    whole = Histogram()
    for histogram in histograms:
        whole.update(histogram)
    return whole
