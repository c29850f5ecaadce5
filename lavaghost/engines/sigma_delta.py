"""The inference network in integers, as sigma-delta neurons compute it, and the reference for what Lava returns.

    dense        a(t) = (W delta(t-1)) >> shift        W even, in -254..254, as Lava's 8-bit mixed weights are
    sigma-delta  sigma(t) = sigma(t-1) + a(t);  r(t) = max(sigma(t) + b, 0);  delta(t) = r(t) - r(t-1)

A new sample enters in every step and its result comes out `depth` steps later. Without shifts the sums telescope
and sample i's output is exactly that of the static integer network. A shift rounds every delta down, so it is used
only where the state would not fit the chip; then the history counts, and this module counts it too. The output's
bias is added by the host, so that no bias needs more than its 16 bits.

A format may shift what a hidden layer sends instead: delta(t) = (r(t) - r(t-1)) >> message_shift, with the same loss.
"""

import math
from dataclasses import dataclass

import numpy as np

from lavaghost.base.errors import SpecError
from lavaghost.dynamics import Parameters
from lavaghost.engines.calibration import calibrations
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Array

LARGEST_WEIGHT = 254
BIAS_BITS = 16
STATE_BITS = 24
HEADROOM = 2.0
"""How much larger than on the training data a state may become before it leaves its bits."""
PERCENTILE = 99.9


@dataclass(frozen=True, eq=False)
class SigmaDelta:
    """Integers of one network; `scales[k] * integer = rate` of layer k, from the input on.

    weights  (n_k, n_{k-1}) int32; biases (n_k,) int32, the output's is the host's; shifts, one per layer
    message_shift, message_bits  of what a hidden layer sends; no shift and the state's bits, unless a format has them
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    shifts: tuple[int, ...]
    scales: tuple[float, ...]
    message_shift: int = 0
    message_bits: int = STATE_BITS

    @property
    def depth(self) -> int:
        """Weight layers, and steps from input to output."""
        return len(self.weights)

    def inputs(self, x: Array) -> Array:
        """Integers for `x (samples, n_0)`."""
        return np.rint(x / self.scales[0]).astype(np.int32)


def sigma_delta_of(graph: Graph, params: Parameters, x_train: Array, input_scale: float) -> SigmaDelta:
    """Integers for the feedforward part of `graph` with `params`, with ranges from the training data.

    Raw data that are small integers are taken as they are; others are scaled so that their 99.9th percentile is
    127. Raises `SpecError` if a sigma-delta neuron cannot compute the activation.
    """
    if graph.activation != "relu" or graph.saturation is not None:
        what = graph.activation if graph.saturation is None else f"relu with saturation {graph.saturation}"
        raise SpecError(
            f"deploy: {what} has no sigma-delta neuron; train with --activation relu and no saturation"
        )
    scale = _input_scale(x_train, input_scale)
    weights, biases, shifts, scales = [], [], [], [scale]
    matrices = [products.matrix(w) for products, w in zip(graph.up, params.weights, strict=True)]
    layers = list(zip(matrices, params.biases, strict=True))
    found = calibrations(layers, graph.r_max, x_train)
    for k, ((w, b), seen) in enumerate(zip(layers, found, strict=True), start=1):
        largest = float(np.abs(w).max())
        exponent = math.floor(math.log2(LARGEST_WEIGHT / largest)) if largest > 0 else 0
        # even, because Lava drops the lowest bit of weights of both signs
        weights.append(2 * np.rint(w.astype(np.float64) * 2.0 ** (exponent - 1)).astype(np.int32))
        scale *= 2.0**-exponent
        state = HEADROOM * float(np.abs(seen.sums).max()) / scale / 2 ** (STATE_BITS - 1)
        last = k == graph.depth
        bias = 0.0 if last else float(np.abs(b).max()) / scale / (2 ** (BIAS_BITS - 1) - 1)
        shift = max(0, math.ceil(math.log2(max(state, bias, 1e-9))))
        scale *= 2.0**shift
        biases.append(np.rint(b.astype(np.float64) / scale).astype(np.int32))
        shifts.append(shift)
        scales.append(scale)
    return SigmaDelta(tuple(weights), tuple(biases), tuple(shifts), tuple(scales))


def _input_scale(x: Array, input_scale: float) -> float:
    raw = x / input_scale
    if np.abs(raw).max() <= 255 and np.abs(raw - np.rint(raw)).max() < 1e-3:
        return input_scale
    top = float(np.percentile(np.abs(x), PERCENTILE))
    return (top if top > 0 else 1.0) / 127


def deltas(samples: Array, steps: int) -> Array:
    """What the source sends: the change of the sample in each of `steps` steps, `(steps, n_0)`."""
    held = np.concatenate([samples, np.repeat(samples[-1:], steps - len(samples), axis=0)])
    return np.diff(held, axis=0, prepend=np.zeros_like(held[:1]))


def reference(net: SigmaDelta, samples: Array, state_bits: int = STATE_BITS) -> Array:
    """Outputs `(samples, n_L)` int64 for integer `samples (samples, n_0)`, as the Lava processes compute them.

    Raises `SpecError` if a state leaves its bits, which a chip would not survive.
    """
    steps = len(samples) + net.depth
    change = deltas(samples.astype(np.int64), steps)
    for k, (w, b, shift) in enumerate(zip(net.weights, net.biases, net.shifts, strict=True), start=1):
        # exact: every sum is far below 2^53
        arriving = np.rint(change.astype(np.float64) @ w.T.astype(np.float64)).astype(np.int64) >> shift
        sigma = np.cumsum(np.concatenate([np.zeros_like(arriving[:1]), arriving[:-1]]), axis=0)
        last = k == net.depth
        act = sigma if last else np.maximum(sigma + b, 0)
        # the simulator adds up the products before the shift in 32 bits
        largest = max(int(np.abs(sigma).max()), int(act.max(initial=0)))
        if largest >= 2 ** (state_bits - 1) or int(np.abs(arriving).max()) >= 2 ** (31 - shift):
            raise SpecError(
                f"deploy: layer {k} reaches {largest}, and a state has {state_bits} bits; scale the data down, or "
                "train with more weight decay"
            )
        change = np.diff(act, axis=0, prepend=np.zeros_like(act[:1]))
        if not last:
            change >>= net.message_shift
            if (largest := int(np.abs(change).max())) >= 2 ** (net.message_bits - 1):
                raise SpecError(
                    f"deploy: layer {k} sends {largest}, and a message has {net.message_bits} bits; scale the data "
                    "down, or train with more weight decay"
                )
    sums = np.cumsum(change, axis=0)[net.depth :]
    return sums + net.biases[-1]
