"""The integers of a Loihi-class chip: the second meaning of the vocabulary in `arithmetic`.

Every number is an integer that stands for a real one, `integer * 2^-fraction`. Outside of this class numbers
are real; `array`, `input` and `connection` take them in. What each word rounds, and how:

    state     24 bits with sign, saturating at +-(2^23 - 1), fraction 2^12        `saturate`
    decay     v keep + drive take, two products with 12-bit constants, each cut
              towards zero: sign(z) (|z| >> 12), the rule of Lava's LIF            `integrate`
    gain      a power of two, as an arithmetic shift to the right (floor)          `scale`
    message   graded spike, (membrane + half a unit) >> shift, so to the nearest,
              halves up; 0..254, or 16 bits with sign for the linear output;
              saturating                                                          `message`
    synapse   integer product, exact, then << or >> (floor) by the weight
              exponent, as Lava's Dense                                            `synapse`
    inputs    real numbers to the nearest integer, halves to even                 `array`, `input`

Sources: `PyLifModelBitAcc`, `PyDenseModelBitAcc` and `learning/constants.py` of lava-nc 0.10; docs/fixed_point.md
has the table. No chip was used. A state beyond its bits saturates here; nengo-loihi wraps it instead.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lavaghost.base.errors import SpecError
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.widths import DEFAULT, Formats, LoihiWidths, exponent_of

EXACT_BITS = 53
"""float64 BLAS adds and multiplies integers exactly below 2^53."""


class IntegerSynapses(NamedTuple):
    """Integer connections: `values (n_post, n_pre)` hold mantissas as float64, for an exact BLAS product.

    `fraction` is that of the weights; `exponent` shifts a product left, or right if negative, to the fraction
    of a state. It is Lava's `weight_exp`.
    """

    values: Array
    fraction: int
    exponent: int

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_post, n_pre)."""
        return self.values.shape

    def integers(self) -> Array:
        """The mantissas as int32, as a Lava Dense holds them."""
        return self.values.astype(np.int32)


SOURCES = {"weights": -1, "feedback": +1, "ghost_weights": 0, "ghost_inhibition": +1}
"""The layer, counted from k, whose messages arrive through W_k, B_k, G_k and I_k."""


@dataclass(frozen=True)
class Loihi:
    """Integers of a chip with `widths`, in the `formats` of one network. Arrays are int64 inside their bits."""

    formats: Formats
    widths: LoihiWidths = DEFAULT

    # ---- real numbers in, real numbers out

    def array(self, values: Any) -> Array:
        """Real numbers as states: `rint(v 2^fraction)`, saturating. Raises `SpecError` for NaN."""
        scaled = np.rint(np.asarray(values, np.float64) * (1 << self.widths.state_fraction))
        if np.isnan(scaled).any():
            raise SpecError("a bias, target or state is NaN; integers have no NaN, mend the network first")
        return self.saturate(np.clip(scaled, -(2.0**62), 2.0**62).astype(np.int64))

    def real(self, states: Array) -> Array:
        """States as real numbers, exactly."""
        return states * 2.0**-self.widths.state_fraction

    def input(self, x: Any) -> Array:
        """Input rates as graded spikes: `rint(x 2^f_0)` in 0..254. Raises `SpecError` for NaN or x < 0."""
        x = np.asarray(x, np.float64)
        if not (x >= 0).all():
            bad = float(x[~(x >= 0)].ravel()[0])
            raise SpecError(
                f"layer 0: input {bad} cannot be a graded spike; give rates of 0 and above, or two channels, "
                "np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)], axis=1)"
            )
        scaled = np.rint(x * 2.0 ** self.formats.messages[0])
        return np.minimum(scaled, self.widths.message_limit).astype(np.int64)

    def connection(self, weights: Any, group: str, k: int, products: Any = None) -> IntegerSynapses:
        """Real `weights` of layer k as mantissas `rint(W 2^s)`; of a kind that is no matrix, as its exact matrix.

        Raises `SpecError` where one does not fit its bits, or where a sum of them could overflow silently.
        """
        fraction = getattr(self.formats, group)[k - 1]
        values = np.rint(np.asarray(weights, np.float64) * 2.0**fraction)
        if not np.isfinite(values).all():
            raise SpecError(f"{group}.{k}: a weight is NaN or infinite; mend the network first")
        return self.held(values, group, k, products)

    def held(self, mantissas: Array, group: str, k: int, products: Any = None) -> IntegerSynapses:
        """`connection` of mantissas as they are."""
        values, fraction = mantissas.astype(np.float64), getattr(self.formats, group)[k - 1]
        low, high = self.widths.weight_limits
        name = f"{group}.{k}"
        if values.size and not (low <= values.min() and values.max() <= high):
            worst = values.ravel()[np.argmax(np.abs(values))]
            raise SpecError(
                f"{name}: weight mantissa {worst:.0f} is outside {low}..{high} "
                f"({self.widths.weight_bits} bits, fraction {fraction}); lower its fraction, or quantise anew"
            )
        matrix = values if products is None else products.matrix(values)
        return self._connect(np.ascontiguousarray(matrix), fraction, k + SOURCES[group], name)

    def transposed(self, synapses: IntegerSynapses, k: int) -> IntegerSynapses:
        """W_{k+1}^T as the feedback B_k: the same mantissas, shifted for the messages of layer k + 1."""
        values = np.ascontiguousarray(synapses.values.T)
        return self._connect(values, synapses.fraction, k + 1, f"feedback.{k}")

    def _connect(self, values: Array, fraction: int, source: int, name: str) -> IntegerSynapses:
        self.check_sum(values.shape[1], fraction, source, name)
        return IntegerSynapses(values, fraction, self._exponent(fraction, source))

    def _exponent(self, fraction: int, source: int) -> int:
        return self.widths.state_fraction - self.formats.messages[source] - fraction

    def check_sum(self, synapses: int, fraction: int, source: int, name: str) -> None:
        """Raise `SpecError` where a sum over so many synapses from layer `source` could overflow silently."""
        largest = self.widths.message_limit
        if source == len(self.formats.messages) - 1:
            largest = self.widths.output_limit
        bits = math.log2(max(1, synapses) * float(largest)) + self.widths.weight_range
        bits += max(0, self._exponent(fraction, source))
        # one bit is the sign; 2^53 is where float64 would stop being exact
        limit = min(self.widths.dendrite_bits - 1, EXACT_BITS)
        if bits > limit:
            raise SpecError(
                f"{name}: {synapses} synapses with messages up to {largest} can add up to 2^{bits:.1f}, "
                f"more than 2^{limit}; use fewer inputs, message_bits or weight_bits"
            )

    def zeros(self, *shape: int) -> Array:
        """See `Arithmetic`."""
        return np.zeros(shape, np.int64)

    # ---- what a step does

    def message(self, rate: Array, k: int) -> Array:
        """The graded spike of layer k: `(rate + half) >> shift`, saturating at its bits."""
        sent = shifted_by(rate + self.half(k), self.formats.messages[k] - self.widths.state_fraction)
        if k == len(self.formats.messages) - 1:
            return np.clip(sent, -self.widths.output_limit, self.widths.output_limit)
        return np.clip(sent, 0, self.widths.message_limit)

    def half(self, k: int) -> int:
        """Half a message of layer k in states, which rounds to the nearest; 0 where messages are floored."""
        right = self.widths.state_fraction - self.formats.messages[k]
        return 1 << (right - 1) if self.widths.round_messages and right > 0 else 0

    def synapse(self, weights: IntegerSynapses, rate: Array) -> Array:
        """Exact integer products, shifted to the fraction of a state: `(batch, n_post)`."""
        total = rate.astype(np.float64) @ weights.values.T
        return shifted_by(total.astype(np.int64), weights.exponent)

    def add(self, a: Array, b: Array) -> Array:
        """See `Arithmetic`. Dendrites are wider than states, so nothing saturates before `integrate`."""
        return a + b

    def subtract(self, a: Array, b: Array) -> Array:
        """See `Arithmetic`."""
        return a - b

    def scale(self, a: Array, gain: float) -> Array:
        """`a 2^n` for a gain of 2^n, as a shift (floor). Raises `SpecError` for any other gain."""
        return shifted_by(a, exponent_of(gain, "a gain (method.lam, method.beta)"))

    def integrate(self, v_mem: Array, drive: Array, tau_steps: float) -> Array:
        """`v keep + drive take` with `take = rint(2^12 / tau)`, `keep = 2^12 - take`; saturates."""
        one, take = 1 << self.widths.decay_bits, self.take(tau_steps)
        return self.saturate(self._decayed(v_mem, one - take) + self._decayed(drive, take))

    def take(self, tau_steps: float) -> int:
        """The decay constant `rint(2^decay_bits / tau)`. Raises `SpecError` if it would be zero."""
        take = round((1 << self.widths.decay_bits) / tau_steps)
        if take < 1:
            raise SpecError(
                f"schedule: tau of {tau_steps} steps is longer than {self.widths.decay_bits} bits of decay can "
                f"hold; use at most {1 << self.widths.decay_bits}"
            )
        return take

    def _decayed(self, x: Array, constant: int) -> Array:
        """Cut towards zero, as Lava's LIF: `>>` alone would pull every negative state down."""
        return np.sign(x) * (np.abs(x) * constant >> self.widths.decay_bits)

    def saturate(self, a: Array) -> Array:
        """A state held inside its bits."""
        return np.clip(a, -self.widths.state_limit, self.widths.state_limit)

    def clip(self, a: Array, low: float, high: float) -> Array:
        """States held between two real numbers."""
        one = 1 << self.widths.state_fraction
        lowest = round(low * one)
        highest = min(round(high * one), self.widths.state_limit) if high < np.inf else self.widths.state_limit
        return np.clip(a, lowest, highest)


def shifted_by(a: Array, exponent: int) -> Array:
    """`a 2^exponent` as an arithmetic shift: exact to the left, floor to the right (numpy and Lava alike)."""
    return a << exponent if exponent >= 0 else a >> -exponent
