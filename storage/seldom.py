"""Says when the whole of a file may be gone through again."""

import math
import time
from collections.abc import Callable

# A hundredth of the time, so that a small file is clean within seconds; where that is
# more than five minutes, they are enough, but never more than a tenth of the time.
_RARE, _LEAST = 100, 10
_MOST_S = 300.0


class Seldom:
    """Keeps two passes apart; what is removed meanwhile shares the second."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._from_s = -math.inf

    @property
    def due(self) -> bool:
        """Whether a pass may begin."""
        return self._monotonic() >= self._from_s

    def rest(self, spent_s: float) -> None:
        """Put the next pass off after one that took so long."""
        pause_s = min(_RARE * spent_s, max(_MOST_S, _LEAST * spent_s))
        self._from_s = self._monotonic() + pause_s
