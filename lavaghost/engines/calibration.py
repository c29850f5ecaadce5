"""What layers do on calibration samples: what every scheme of integers takes its scales from.

    s_k = W_k r_{k-1},   u_k = s_k + b_k,   r_k = clip(u_k, 0, r_max)       in double precision, r_0 the samples

The schemes round differently, and stay: 8-bit rates (`exporters.onnx.whole_numbers`), spikes
(`exporters.spiking.neurons`), changes of rates (`exporters.spiking.netx_sigma_delta`, `engines.sigma_delta`). What
learns on a chip takes its rates from the free phase itself, feedback and all (`evaluation.quantise`).
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from lavaghost.numbers.arithmetic import Array


class Calibration(NamedTuple):
    """One layer on calibration samples, float64, all `(samples, n)`.

    below, sums, drives, rates   r_{k-1}, s_k, u_k and r_k; in the output layer, r_k is what a hidden one would send
    """

    below: Array
    sums: Array
    drives: Array
    rates: Array

    def percentile(self, percent: float) -> float:
        """What so many of the rates stay below; the largest if that is 0, and 1 for a silent layer."""
        return float(np.percentile(self.rates, percent)) or float(self.rates.max()) or 1.0

    def active_percentile(self, percent: float) -> float:
        """What so many of the rates above 0 stay below; 1 for a silent layer."""
        active = self.rates[self.rates > 0]
        return float(np.percentile(active, percent)) if active.size else 1.0


def calibrations(layers: Iterable[tuple[Array, Array]], r_max: float, x: Array) -> Iterator[Calibration]:
    """`layers` (W_k, b_k) on rates `x (samples, n_0)`, one after the other; only one is held at a time."""
    below = np.asarray(x, np.float64)
    for weights, biases in layers:
        sums = below @ weights.T.astype(np.float64)
        drives = sums + biases
        rates = np.clip(drives, 0.0, r_max)
        yield Calibration(below, sums, drives, rates)
        below = rates
