"""How far integers can be from real numbers: the same step, written once, in a third number system.

A number here is a bound on `|integer 2^-fraction - real|`. Every word of the vocabulary adds what it rounds:

    message     error + 2^-f / 2                to the nearest of f fractional bits (a floor: 2^-f)
    synapse     |W| error (+ 2^-F)              a floor to F bits, if the weight exponent is negative
    scale       gain error (+ 2^-F)             a floor, if the gain is below 1
    integrate   (1 - a) error_v + a error_d + 2 2^-F     two products cut towards zero; none for a = 1
    clip        error                           clipping moves no two numbers apart

so that `Stepped(network, RoundingBound(loihi)).states(..)` are bounds for every state of every step. They hold for
weights that the integers hold exactly, time constants of 2^bits / take, and as long as the *real* trajectory stays
in the range of states and messages: then a saturating integer only comes closer to it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.loihi import IntegerSynapses, Loihi


@dataclass(frozen=True)
class RoundingBound:
    """Bounds on the rounding errors of `loihi`; arrays are float64, not negative."""

    loihi: Loihi

    @property
    def unit(self) -> float:
        """2^-F, one unit of a state."""
        return 2.0**-self.loihi.widths.state_fraction

    def array(self, values: Any) -> Array:
        """What rounding biases and targets to states costs."""
        values = np.asarray(values, np.float64)
        return np.abs(self.loihi.real(self.loihi.array(values)) - values)

    def real(self, states: Array) -> Array:
        """Bounds are real numbers."""
        return states

    def input(self, x: Any) -> Array:
        """What inputs lose as messages, saturation included."""
        x = np.asarray(x, np.float64)
        return np.abs(self.loihi.input(x) * 2.0 ** -self.loihi.formats.messages[0] - x)

    def connection(self, weights: Any, group: str, k: int, products: Any = None) -> IntegerSynapses:
        """|W|, with the exponent of the integer connection."""
        found = self.loihi.connection(weights, group, k, products)
        return found._replace(values=np.abs(found.values))

    def transposed(self, synapses: IntegerSynapses, k: int) -> IntegerSynapses:
        """|W_{k+1}|^T."""
        return self.loihi.transposed(synapses, k)

    def zeros(self, *shape: int) -> Array:
        """Both systems start from zero."""
        return np.zeros(shape)

    def message(self, rate: Array, k: int) -> Array:
        """Rounding to f_k bits, unless a message has all bits of a state."""
        f = self.loihi.formats.messages[k]
        step = 2.0**-f if f < self.loihi.widths.state_fraction else 0.0
        return rate + (0.5 * step if self.loihi.widths.round_messages else step)

    def synapse(self, weights: IntegerSynapses, rate: Array) -> Array:
        """Exact products, then a floor if bits are shifted out."""
        total = rate @ weights.values.T * 2.0**-weights.fraction
        return total + (self.unit if weights.exponent < 0 else 0.0)

    def add(self, a: Array, b: Array) -> Array:
        """Errors add up."""
        return a + b

    def subtract(self, a: Array, b: Array) -> Array:
        """Errors add up, here too."""
        return a + b

    def scale(self, a: Array, gain: float) -> Array:
        """A floor if bits are shifted out."""
        return a * gain + (self.unit if gain < 1.0 else 0.0)

    def integrate(self, v_mem: Array, drive: Array, tau_steps: float) -> Array:
        """Two cuts of less than a unit each; the membrane of before counts for nothing when tau is 1."""
        a = self.loihi.take(tau_steps) / (1 << self.loihi.widths.decay_bits)
        return (1.0 - a) * v_mem + a * drive + (2.0 * self.unit if a < 1.0 else 0.0)

    def clip(self, a: Array, low: float, high: float) -> Array:
        """The bounds of a rate are rounded to states as well."""
        edge = max(self._edge(low), self._edge(high))
        return a + edge

    def _edge(self, bound: float) -> float:
        one = 1 << self.loihi.widths.state_fraction
        return abs(round(bound * one) / one - bound) if np.isfinite(bound) else 0.0
