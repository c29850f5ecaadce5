"""The feedforward pass in 8-bit integers, with a rescaling by a power of two between layers, and its reference.

    q_0 = clip(rint(x f) + z, 0, 255)             x raw, f the input factor, z the zero point; u8
    a_k = V_k q_{k-1} + c_k                       V_k signed integers of `weight_bits`, a_k in 32 bits
    q_k = min(max(a_k, 0) >> s_k, top_k)          u8; c_k holds half a unit of q_k, so the shift rounds
    a_L                                           the logits

    V_k = rint(W_k / w_k),  w_k = max |W_k| / (2^(bits-1) - 1)
    one unit of q_0 is 1/f raw, of a_k it is u_k = (unit of q_{k-1}) w_k, of q_k it is u_k 2^s_k

Only integers and one float32 product take part, so every runtime must give the same logits to the bit; one that adds
up in float32 does so while no sum can leave the 2^24 whole numbers that float32 has (`sums_note` says if one can).

`engines.sigma_delta` makes other integers from the same network, for sigma-delta neurons: even weights of 9 bits,
no 8-bit rates between layers, a shift only where a chip's state would overflow, and a history where there is one.
The two share no rounding, so they stay two.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from lavaghost.base.errors import ExportError, join_faults
from lavaghost.base.spec import Spec
from lavaghost.engines.calibration import calibrations
from lavaghost.exporters.chain import Chain
from lavaghost.numbers.arithmetic import Array

TOP = 255
WHOLE = 1e-3
LARGEST = 2**31 - 1
EXACT = 2**24
"""Whole numbers up to this are float32 numbers."""


class QuantizeOptions(Spec):
    """How a network becomes 8-bit integers."""

    weight_bits: Annotated[int, Field(ge=2, le=8)] = 8
    """Bits of a weight, sign included. Digits, 128 hidden: 98.33 % with 8 (as in float), 98.06 with 6, 98.61 with 4."""
    percentile: Annotated[float, Field(gt=50, le=100)] = 99.99
    """Of a layer's positive rates on the calibration data; larger ones saturate. In a 784-500-10 network the logits'
    rms error is 0.154 at 99, 0.037 at 99.9 and 99.99, 0.048 at 100; outliers saturate, so the largest is 0.2 at 100."""


@dataclass(frozen=True, eq=False)
class ByteNetwork:
    """One network in integers; tuples are indexed from layer 1, `units` from the input.

    weights  V_k (n_k, n_{k-1}) int64; biases c_k (n_k,) int64; shifts s_k and tops for the hidden layers
    factor   f, a float32; zero z; units: what 1 in q_0 .. q_{L-1} stands for, then 1 in a_L
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    shifts: tuple[int, ...]
    tops: tuple[int, ...]
    factor: np.float32
    zero: int
    units: tuple[float, ...]


def weight_unit(weights: Array, bits: int) -> float:
    """w_k, what 1 in V_k stands for."""
    largest = float(np.abs(weights).max())
    return (largest if largest > 0 else 1.0) / (2 ** (bits - 1) - 1)


def input_range(raw: Array) -> tuple[float, int]:
    """(f, z) so that raw data fill 0..255. Small whole numbers from 0 on are taken as they are."""
    low, high = min(float(raw.min()), 0.0), max(float(raw.max()), 0.0)
    if low == 0.0 and high <= TOP and np.abs(raw - np.rint(raw)).max() < WHOLE:
        return 1.0, 0
    factor = float(np.float32(TOP / (high - low)))
    return factor, int(np.rint(-low * factor))


def ranges(net: Chain, x: Array, options: QuantizeOptions) -> tuple[dict[str, Any], list[float]]:
    """The settings of the input and of the weights, and the largest rates of hidden layers, from `x (samples, n_0)`."""
    factor, zero = input_range(np.asarray(x, np.float64) / net.scale)
    settings = {"weight_bits": options.weight_bits, "input_factor": factor, "input_zero": zero}
    hidden = islice(calibrations(net.layers, net.r_max, x), len(net.layers) - 1)
    return settings, [layer.active_percentile(options.percentile) for layer in hidden]


def byte_scales(net: Chain, x: Array, options: QuantizeOptions) -> dict[str, Any]:
    """The settings from which `byte_network` makes the network, with ranges from rates `x (samples, n_0)`."""
    settings, tops = ranges(net, x, options)
    unit = net.scale / settings["input_factor"]
    shifts = []
    for w, top in zip(net.weights, tops, strict=False):
        unit *= weight_unit(w, options.weight_bits)
        shift = max(0, int(np.ceil(np.log2(top / (TOP * unit)))))
        shifts.append(min(shift, 30))
        unit *= 2.0 ** shifts[-1]
    return settings | {
        "shifts": shifts,
        "logit_unit": unit * weight_unit(net.weights[-1], options.weight_bits),
    }


def byte_network(net: Chain, settings: Mapping[str, Any]) -> ByteNetwork:
    """The integers of `net`. Raises `ExportError` with every layer whose sums can leave 32 bits."""
    bits, zero = int(settings["weight_bits"]), int(settings["input_zero"])
    factor, shifts = np.float32(settings["input_factor"]), [int(shift) for shift in settings["shifts"]]
    unit = net.scale / float(factor)
    units, weights, biases, tops, faults = [unit], [], [], [], []
    for k, ((w, b), shift) in enumerate(zip(net.layers, [*shifts, None], strict=True), start=1):
        scale = weight_unit(w, bits)
        unit *= scale
        weights.append(np.rint(w.astype(np.float64) / scale).astype(np.int64))
        bias = np.rint(b.astype(np.float64) / unit)
        if k == 1:
            bias -= zero * weights[0].sum(axis=1)
        if shift is not None:
            bias += 2**shift // 2
            unit *= 2.0**shift
            tops.append(int(max(1, min(TOP, np.rint(min(net.r_max / unit, TOP))))))
        units.append(unit)
        biases.append(bias.astype(np.int64))
        if (most := largest_sum(weights[-1], biases[-1])) > LARGEST:
            faults.append(f"layer {k}: its sums reach {most}, and 32 bits hold {LARGEST}")
    if faults:
        raise ExportError(f"{join_faults(faults)}; use fewer weight_bits, or exporter 'onnx'")
    return ByteNetwork(tuple(weights), tuple(biases), tuple(shifts), tuple(tops), factor, zero, tuple(units))


def largest_sum(weights: Array, biases: Array) -> int:
    """Bound on |a_k|, and on every partial sum of it, for any input."""
    return int((TOP * np.abs(weights).sum(axis=1) + np.abs(biases)).max())


def byte_logits(net: ByteNetwork, raw: Array) -> Array:
    """a_L `(samples, n_L)` int64 for raw samples `(samples, n_0)` float32."""
    q = np.clip(np.rint(raw.astype(np.float32) * net.factor) + np.float32(net.zero), 0, TOP)
    for w, b, shift, top in zip(net.weights, net.biases, net.shifts, net.tops, strict=False):
        q = np.minimum(np.maximum(product(w, q) + b, 0) >> shift, top)
    return product(net.weights[-1], q) + net.biases[-1]


def product(weights: Array, q: Array) -> Array:
    """V q for each sample, exactly: every sum is far below 2^53."""
    return (q.astype(np.float64) @ weights.T.astype(np.float64)).astype(np.int64)


def sums_note(net: ByteNetwork) -> str:
    """Bound on the sums, as text, and whether a runtime that adds up in float32, as OpenVINO does, has them exactly."""
    most = max(largest_sum(w, b) for w, b in zip(net.weights, net.biases, strict=True))
    bound = f"sums below 2^{math.floor(math.log2(most)) + 1} for any input"
    if most <= EXACT:
        return bound
    return f"{bound}, more than float32 holds: OpenVINO adds up in it and may differ; fewer weight_bits help"
