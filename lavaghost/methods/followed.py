"""Dropout that follows the loss, after the code of Mei et al. 2023 as it reads (their paper was not at hand).

    every n epochs   p <- p - s c,   s the power of ten in 1..1e-6 that is nearest to |p_max / c|
                     p_max = min(|0.8 - p|, |0.2 - p|) / 100

p is the share of units kept, c by how much the mean loss of n epochs is larger than that of the n before. So a loss
that falls lowers dropout. A step is at most about three hundredths of the way to the nearer bound, so p stays
inside (0.2, 0.8) by itself; it is clipped there all the same.
"""

import math
from typing import NamedTuple

import numpy as np

from lavaghost.numbers.arithmetic import Array

LOWEST, HIGHEST = 0.2, 0.8
"""Of the share kept."""


class Followed(NamedTuple):
    """What it remembers: p, the loss summed over samples since the last step, those samples, the mean before, and
    whether there is one (1 or 0).
    """

    kept: float
    total: float = 0.0
    samples: float = 0.0
    before: float = 0.0
    known: float = 0.0

    @classmethod
    def of(cls, array: Array) -> "Followed":
        """From an array of its fields."""
        return cls(*(float(a) for a in array))

    def array(self) -> Array:
        """Its fields."""
        return np.array(self, np.float64)

    def stepped(self) -> "Followed":
        """After n epochs."""
        if self.samples == 0:
            return self
        mean = self.total / self.samples
        kept = moved(self.kept, mean - self.before) if self.known else self.kept
        return Followed(kept, before=mean, known=1.0)

    def heard(self, loss: float, samples: int) -> "Followed":
        """After a batch of `samples` with this mean loss."""
        return self._replace(total=self.total + loss * samples, samples=self.samples + samples)


def moved(kept: float, change: float) -> float:
    """P after a change of the loss."""
    most = min(abs(HIGHEST - kept), abs(LOWEST - kept)) / 100
    if change == 0.0 or most == 0.0 or not math.isfinite(change):
        return kept
    exponent = min(0, max(-6, round(math.log10(most / abs(change)))))
    return min(HIGHEST, max(LOWEST, kept - 10.0**exponent * change))
