"""A network in integers as integrate-and-fire neurons that keep its own mantissas.

    a mantissa w of layer k       stands for w 2^-s_k, and each spike that it gets for theta_{k-1}
    unit_k = 2^-s_k theta_{k-1}   the drive per integer at which the weights of the file are the mantissas
    theta_0 = 2^-f_0              the input is the chip's messages rint(x 2^f_0), as a current; a spike stands for the
                                  largest of them

Biases and thresholds are rounded to their unit, and nothing else is. Where a format has no room for a layer, its
mantissas are halved, so that odd ones go to the nearest even one, and an input current loses its lowest bits; the
sidecar says so (`own_weights`). What is left between such a file and the chip is the code: T steps hold T + 1 rates.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lavaghost.base.errors import ExportError
from lavaghost.engines.calibration import calibrations
from lavaghost.engines.forward_integers import ForwardIntegers
from lavaghost.exporters.base import Carried
from lavaghost.exporters.chain import Chain
from lavaghost.exporters.spiking.neurons import FormatLimits, InputCode, Scales, Spiking, finest_units
from lavaghost.numbers.arithmetic import Array

BYTE = 127
HALVINGS = 1
"""Bits that a mantissa may lose; with more, its layer would be another."""


def own_scales(
    exporter: str,
    net: Chain,
    own: ForwardIntegers,
    x: Array,
    percentile: float | None,
    limits: FormatLimits,
    code: InputCode,
    input_bits: int,
) -> Scales:
    """The scales at which weights are the mantissas of `own`, from training samples `x (samples, n_0)`.

    percentile  of the activations, the threshold of their layer; None: the largest rate

    Raises `ExportError` where `limits` have no room for a layer.
    """
    largest = int(own.arith.input(x).max(initial=1))
    dropped = max(0, largest.bit_length() - input_bits)
    scale, top = _messages(own, largest, dropped)
    arriving = scale * top if code == "spikes" else scale
    units: list[float] = []
    thresholds: list[int] = []
    for k, found in enumerate(calibrations(net.layers, net.r_max, x), start=1):
        layer, s, theta = own.layers[k - 1], own.arith.formats.weights[k - 1], 0.0
        if k < own.depth:
            theta = layer.top * 2.0 ** -own.arith.formats.messages[k]
            theta = theta if percentile is None else min(theta, found.percentile(percentile))
        needed = finest_units(net.layers[k - 1], found, arriving, theta, limits, first=k == 1)
        del needed["weight"]
        most = int(np.abs(layer.mantissas).max())
        # one that is just too large is held at the largest, as 128 at 127
        halved = (max(0, most - 1) // (limits.weight + 1)).bit_length()
        lacking = _doublings(max(needed.values()) / (arriving * 2.0 ** (halved - s)))
        if k == 1 and code == "current":
            scale, top = _messages(own, largest, dropped + lacking)
            arriving, lacking = scale, 0
        halved += lacking
        if halved > HALVINGS or not top:
            what = max(needed, key=lambda name: needed[name])
            raise ExportError(
                f"exporter {exporter!r}: layer {k} has mantissas up to {most} and, at their unit, a {what} that need "
                f"{halved} bits more than the format has; export to 'nir-if', or quantise to fewer weight_bits"
            )
        units.append(arriving * 2.0 ** (halved - s))
        if theta:
            thresholds.append(max(1, round(theta / units[-1])))
            arriving = (thresholds[-1] + 0.5) * units[-1]
    return Scales(scale, top, code, tuple(units), tuple(thresholds))


def _messages(own: ForwardIntegers, largest: int, dropped: int) -> tuple[float, int]:
    """(r_0 per integer, largest integer) of input messages without their lowest bits."""
    return 2.0 ** (dropped - own.input_fraction), round(largest / 2**dropped)


def _doublings(ratio: float) -> int:
    return max(0, math.ceil(math.log2(ratio))) if ratio > 0 else 0


def own_weights(own: ForwardIntegers, whole: Spiking, settings: Mapping[str, Any]) -> Carried:
    """How weights and biases of `own` fare as those of a file: what was rounded, and by how much."""
    faults, exact = [], True
    for k, (mantissas, halved, held) in enumerate(_compared(own, whole, settings), start=1):
        changed = np.abs(mantissas - held * 2**halved)
        if halved or changed.any():
            exact = exact and not changed.any()
            faults.append(
                f"those of layer {k} are halved, which changes {np.count_nonzero(changed)} of {mantissas.size} "
                f"by up to {changed.max():.0f}"
            )
    biases = zip(own.layers, whole.biases, settings["units"], strict=True)
    off = max(float(np.abs(held * unit - layer.biases * own.unit).max()) for layer, held, unit in biases)
    faults.append(f"biases are off by up to {off:.2g}" if off else "biases are exact")
    text = f"the network's own mantissas, as integers; {'; '.join(faults)}"
    return Carried("weights", "faithful" if exact and not off else "approximate", text)


def dropped_by_a_chip(whole: Spiking) -> str:
    """What is lost of these weights on a chip that sets eight bits and a sign where both signs occur, as text."""
    wide = [w for w in whole.weights if np.abs(w).max() > BYTE]
    odd = sum(int(np.count_nonzero(w % 2)) for w in wide)
    return (
        f"; a Loihi 1 itself would drop the lowest bit of {odd}, for it sets only even ones beyond {BYTE}"
        * bool(odd)
    )


def own_input(own: ForwardIntegers, settings: Mapping[str, Any]) -> str:
    """What the file takes of a sample, as text."""
    dropped = round(math.log2(settings["input"])) + own.input_fraction
    lost = f" without their lowest {dropped} bits" if dropped else ""
    end = f"larger than {settings['top']}, the largest of training samples, are held there"
    if settings["code"] == "current":
        end = f"where those of the network end at {own.input_top}, they go on"
    return f"the network's messages{lost}, the integers round(raw x {settings['factor']:g}); {end}"


def _compared(
    own: ForwardIntegers, whole: Spiking, settings: Mapping[str, Any]
) -> Iterator[tuple[Array, int, Array]]:
    """(mantissas, how often they were halved, weights of the file) of each layer."""
    arriving = settings["input"] * (settings["top"] if settings["code"] == "spikes" else 1)
    thetas = (*whole.thresholds, 0.0)
    rows = zip(own.layers, own.arith.formats.weights, settings["units"], thetas, whole.weights, strict=True)
    for layer, s, unit, theta, held in rows:
        yield layer.mantissas, round(math.log2(unit / arriving)) + s, held
        arriving = theta * unit
