"""A trained network in the sigma-delta integers of a netx file, by `lavaghost.engines.sigma_delta`.

    message    m_0 = 2^6 input;  m_k = act_k >> 6 for hidden layers        16 bits
    state      sigma_k = W_k sum_t m_{k-1}(t);  act_k = max(sigma_k + 2^12 b_k, 0)        24 bits
    read out   sigma_L, which has no bias: a unit that always sends `always_on` carries it through weights

One hidden layer is exact. In deeper networks each message loses what the shift drops, and the loss depends on the
samples before; the reference counts it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lavaghost.base.errors import ExportError
from lavaghost.engines.calibration import calibrations
from lavaghost.engines.sigma_delta import HEADROOM, STATE_BITS, SigmaDelta
from lavaghost.exporters.chain import Chain
from lavaghost.numbers.arithmetic import Array

SHIFT = 6
"""netx's `spike_exp` and `state_exp`."""
BIAS = 1 << 2 * SHIFT
MESSAGE_BITS = 16
LARGEST_WEIGHT = 127
LARGEST_STATE = float(1 << STATE_BITS - 1)
LARGEST_MESSAGE = float(1 << MESSAGE_BITS - 1)


def delta_scales(
    net: Chain, x: Array, levels: tuple[float, int], weight: int, steps: Sequence[float] = ()
) -> dict[str, Any]:
    """`units`, r per integer of the state of each layer, and `always_on`, from samples `x (samples, n_0)`.

    levels  (r_0 per integer, largest integer) of the input; weight: the largest integer of a weight

    A unit is the finest at which weights, states and messages stay in their bits with room to spare. With `steps`, what
    1 in the mantissas of each layer stands for, a weight is its mantissa, or that halved so often and rounded; the
    largest may then be beyond `weight` by one, and `delta_network` holds it there.
    """
    message = levels[0] / 2**SHIFT
    units: list[float] = []
    always_on = 0
    for k, ((w, b), found) in enumerate(
        zip(net.layers, calibrations(net.layers, net.r_max, x), strict=True), start=1
    ):
        last = k == len(net.layers)
        state = max(float(np.abs(found.sums).max()), float(np.abs(found.drives).max()))
        needed = [
            float(np.abs(w).max()) * message / weight,
            HEADROOM * state / LARGEST_STATE,
            float(np.abs(b).max()) / (LARGEST_STATE / 2),
        ]
        if not last:
            needed.append(HEADROOM * float(found.rates.max()) / (LARGEST_MESSAGE * 2**SHIFT))
        if steps:
            needed[0] *= weight / (weight + 1)
            own = message * steps[k - 1]
            needed.append(own * 2.0 ** max(0, math.ceil(math.log2(max(needed) / own))))
        units.append(max(needed) or 1.0)
        if last:
            always_on = max(1, int(np.ceil(float(np.abs(b).max()) / (units[-1] * 2**SHIFT * weight))))
        message = units[-1] * 2**SHIFT
    if always_on << SHIFT >= LARGEST_MESSAGE:
        raise ExportError(
            f"exporter 'netx-sdnn': an output bias needs a message of {always_on << SHIFT}, and one has "
            f"{MESSAGE_BITS} bits; train with more weight decay"
        )
    return {"units": units, "always_on": always_on}


def delta_network(net: Chain, settings: Mapping[str, Any]) -> SigmaDelta:
    """The integers, the always-on unit as the last one of the last hidden layer; output biases are 0."""
    message, always_on = settings["input"] / 2**SHIFT, settings["always_on"]
    weights, biases, scales = [], [], [message]
    for (w, b), unit in zip(net.layers, settings["units"], strict=True):
        held = np.clip(np.rint(w.astype(np.float64) * (message / unit)), -LARGEST_WEIGHT, LARGEST_WEIGHT)
        weights.append(held.astype(np.int32))
        biases.append(np.rint(b.astype(np.float64) / (unit * BIAS)).astype(np.int32) * BIAS)
        message = unit * 2**SHIFT
        scales.append(message)
    column = np.rint(net.biases[-1].astype(np.float64) / (settings["units"][-1] * always_on * 2**SHIFT))
    weights[-1] = np.column_stack([weights[-1], column.astype(np.int32)])
    weights[-2] = np.vstack([weights[-2], np.zeros_like(weights[-2][:1])])
    biases[-2] = np.append(biases[-2], np.int32(always_on * BIAS))
    biases[-1] = np.zeros_like(biases[-1])
    scales[-1] = settings["units"][-1]
    return SigmaDelta(tuple(weights), tuple(biases), (0,) * len(weights), tuple(scales), SHIFT, MESSAGE_BITS)
