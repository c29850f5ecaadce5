"""A trained network as integrate-and-fire neurons in integers, once for all spiking formats, and what they compute.

    drive       I_k(t) = W_k s_{k-1}(t) + b_k          s_0(t): the input, see below
    integrate   v_k(t) = v_k(t-1) + I_k(t)
    fire        s_k(t) = 1 where v_k(t) >= theta_k; there v_k is set to 0 (hard reset) or falls by theta_k (soft)
    read out    logits = unit_L * sum_t I_L(t) / T

Weights and biases are integers, each layer in a unit of its own, so every sum is exact in any order, in float32 as
well (below 2^24). A threshold lies half way between two integers: no tie, so `>` and `>=` are the same, and a format
of integers holds the integer below. Simulators then agree spike for spike, or compute something else.

Thresholds are the activations that all but 0.1 % of the training data stay below (data-based normalisation:
P. U. Diehl et al., IJCNN 2015; the percentile: B. Rueckauer et al., Front. Neurosci. 11:682, 2017), or, where rates
saturate, their bound: a neuron fires once a step at most, so its rate is clip(drive, 0, theta) as it is. A rate code
of T steps holds T + 1 rates, so with a soft reset the error falls as 1/T; a hard reset also drops what exceeds the
threshold, which leaves an error that T does not remove.

The input is a constant current, the sample itself in every step, where a format can take numbers: it costs no
precision. Where it takes spikes only, they come at regular distances, `regular_spikes`.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal, NamedTuple

import numpy as np

from lavaghost.engines.calibration import Calibration, calibrations
from lavaghost.exporters.chain import Chain
from lavaghost.numbers.arithmetic import Array

Reset = Literal["hard", "soft"]
InputCode = Literal["current", "spikes"]

HEADROOM = 2.0
"""How much larger than on the training data a drive may become before it leaves its bits."""


@dataclass(frozen=True)
class FormatLimits:
    """The largest magnitudes that a format holds."""

    weight: int
    bias: int
    threshold: int
    drive: int
    """Of W s + b; for float32 also of every partial sum."""


@dataclass(frozen=True)
class Scales:
    """What the calibration found; with the weights it gives the integers, see `spiking_integers`.

    input       r_0 per integer of a sample
    top         largest integer of a sample; as spikes, it is one in every step
    code        how a sample comes
    units       drive per integer, one per layer
    thresholds  theta_k - 1/2, one per hidden layer
    """

    input: float
    top: int
    code: InputCode
    units: tuple[float, ...]
    thresholds: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Spiking:
    """Integers, held as float64 so that products run in BLAS; exact below 2^53.

    weights  (n_k, n_{k-1}); biases (n_k,); thresholds, one per hidden layer; unit: a logit per integer and step
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    thresholds: tuple[float, ...]
    unit: float


class Run(NamedTuple):
    """`sums (samples, n_L)`, the readout; `counts (samples, n_k)`, spikes of each hidden layer; the largest |sum| of
    any step.
    """

    sums: Array
    counts: tuple[Array, ...]
    largest: float


def input_levels(x: Array, input_scale: float, bits: int) -> tuple[float, int]:
    """(r_0 per integer, largest integer) so that the magnitudes of the input fit `bits` bits.

    Raw data that already are such integers are taken as they are.
    """
    raw = x / input_scale
    top = float(np.abs(raw).max(initial=0.0))
    if 0 < top < 2**bits and np.abs(raw - np.rint(raw)).max() < 1e-3:
        return input_scale, round(top)
    levels = 2**bits - 1
    return (top * input_scale if top > 0 else 1.0) / levels, levels


def spike_scales(
    net: Chain,
    x: Array,
    percentile: float | None,
    limits: FormatLimits,
    levels: tuple[float, int],
    code: InputCode,
) -> Scales:
    """Units and thresholds from training samples `x (samples, n_0)`; each unit is the finest that `limits` allow.

    percentile  of the activations, the threshold of their layer; None: r_max, at which they saturate
    """
    scale, top = levels
    arriving = scale * top if code == "spikes" else scale
    units: list[float] = []
    thresholds: list[int] = []
    for k, (layer, found) in enumerate(
        zip(net.layers, calibrations(net.layers, net.r_max, x), strict=True), start=1
    ):
        theta = 0.0
        if k < len(net.layers):
            theta = net.r_max if percentile is None else found.percentile(percentile)
        needed = finest_units(layer, found, arriving, theta, limits, first=k == 1)
        units.append(max(needed.values()) or 1.0)
        if theta:
            thresholds.append(max(1, round(theta / units[-1])))
            arriving = (thresholds[-1] + 0.5) * units[-1]
    return Scales(scale, top, code, tuple(units), tuple(thresholds))


def finest_units(
    layer: tuple[Array, Array],
    found: Calibration,
    arriving: float,
    theta: float,
    limits: FormatLimits,
    *,
    first: bool,
) -> dict[str, float]:
    """The finest unit of the drive at which each part of a layer fits `limits`; what arrives is a spike of `arriving`.

    `theta` is the threshold, 0 for an output; the `first` layer gets samples and not spikes.
    """
    weights, biases = (a.astype(np.float64) for a in layer)
    largest = np.abs(weights) * arriving
    # the sum of all magnitudes is what no order of adding exceeds; spikes may all come at once, samples may not
    summed = np.abs(found.below) @ np.abs(weights).T if first else largest.sum(axis=1)
    return {
        "weight": float(largest.max()) / limits.weight,
        "bias": float(np.abs(biases).max()) / limits.bias,
        "sum": HEADROOM * float((summed + np.abs(biases)).max()) / limits.drive,
        "threshold": theta / limits.threshold,
    }


def spiking_integers(net: Chain, scales: Scales, largest: float = math.inf) -> Spiking:
    """The integers of `net`: W_k rate_{k-1} / unit_k, at most `largest`, and b_k / unit_k, rounded to nearest.

    Where units are powers of two of what arrives, weights that are mantissas come out as they are (`own_integers`).
    """
    arriving = scales.input * (scales.top if scales.code == "spikes" else 1)
    weights, biases = [], []
    thresholds = (*(theta + 0.5 for theta in scales.thresholds), 0.0)
    for (w, b), unit, theta in zip(net.layers, scales.units, thresholds, strict=True):
        weights.append(np.clip(np.rint(w.astype(np.float64) * (arriving / unit)), -largest, largest))
        biases.append(np.rint(b.astype(np.float64) / unit))
        arriving = theta * unit
    return Spiking(tuple(weights), tuple(biases), thresholds[:-1], scales.units[-1])


def regular_spikes(samples: Array, top: int, steps: int) -> Iterator[Array]:
    """Spikes `(samples, n_0)` of each step: sample i of `top` gives round(i T / top) spikes at regular distances.

    All in integers, half rounded up: floor((2 t i + top) / (2 top)) spikes until step t. Samples outside 0..top
    are clipped.
    """
    held = np.clip(samples, 0, top).astype(np.int64)
    before = np.zeros_like(held)
    for t in range(1, steps + 1):
        until = (2 * t * held + top) // (2 * top)
        yield (until - before).astype(np.float64)
        before = until


def simulate(
    net: Spiking,
    inputs: Iterable[Array],
    reset: Reset = "hard",
    limit: float = math.inf,
    *,
    delayed: bool = False,
) -> Run:
    """The equations above for every step of `inputs`, each `(samples, n_0)`; v is held within +-`limit`.

    delayed  what a layer sends arrives one step later, and the readout starts when the first sample can reach it;
             biases are there from the first step. Otherwise a step passes through all layers.

    The executable specification of every spiking target; the simulators of others must give the same numbers.
    """
    depth = len(net.weights)
    sent: list[Array] = [np.zeros((1, w.shape[1])) for w in net.weights]
    v: list[Array] = [np.zeros(1)] * (depth - 1)
    counts: list[Array] = [np.zeros(1)] * (depth - 1)
    sums, largest, held, first = np.zeros(1), 0.0, None, np.zeros(1)
    later = [np.zeros((1, net.weights[0].shape[1]))] * depth if delayed else []
    for step, sample in enumerate(chain(inputs, later)):
        if not delayed:
            sent[0] = sample
        for k in reversed(range(depth)) if delayed else range(depth):
            # a constant current gives the same drive in every step
            known = k == 0 and sent[0] is held
            drive = first if known else sent[k] @ net.weights[k].T + net.biases[k]
            if k == 0:
                held, first = sent[0], drive
            if k == depth - 1:
                sums = sums + drive if step >= len(later) else sums
                continue
            voltage = np.clip(v[k] + drive, -limit, limit)
            fires = voltage >= net.thresholds[k]
            v[k] = np.where(fires, 0.0 if reset == "hard" else voltage - net.thresholds[k], voltage)
            counts[k] = counts[k] + fires
            sent[k + 1] = fires.astype(np.float64)
        if delayed:
            sent[0] = sample
        largest = max(largest, float(np.abs(sums).max()))
    return Run(sums, tuple(counts), largest)


def magnitude(net: Spiking, samples: Array, steps: int) -> float:
    """A bound on every sum that decides something, for `samples (samples, n_0)` and in any order of adding.

    A first layer with a negative drive never fires, so its voltage may round as it likes.
    """
    first = (np.abs(samples) @ np.abs(net.weights[0]).T + np.abs(net.biases[0])).max()
    later = [np.abs(w).sum(axis=1) + np.abs(b) for w, b in zip(net.weights[1:], net.biases[1:], strict=True)]
    return max(float(first) + net.thresholds[0], *(steps * float(total.max()) for total in later))
