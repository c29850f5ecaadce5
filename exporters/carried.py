"""What a file of the feedforward pass carries of a network, and how far an approximation is off, as text."""

import numpy as np

from lavaghost.datasets import Dataset
from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.exporters.base import Carried
from lavaghost.exporters.floats import float_expected, raw_samples
from lavaghost.model.model import Model
from lavaghost.numbers.arithmetic import Array

RELU = Carried("activation", "faithful", "Relu, or Clip where rates saturate")
MEASURED = 250
"""Samples on which an approximation is measured."""


def feedforward_carries(
    trained: Model,
    calibration: Dataset | None,
    weights: Carried,
    activation: Carried = RELU,
) -> tuple[Carried, ...]:
    """What a file of the feedforward pass carries; what learned ghosts leave of the feedback is measured."""
    if trained.network.mechanism == "learned":
        gap = ghost_gap(trained, calibration)
        ghosts = f"left out; learned ghosts cancel the feedback nearly: outputs differ by up to {gap}"
        feedback = f"left out; what learned ghosts do not cancel of it moves outputs by up to {gap}"
        effect = "approximate"
    else:
        ghosts = "left out; they cancel the feedback exactly, so the free phase is the feedforward pass"
        feedback = "left out; its effect in the free phase is zero"
        effect = "faithful"
    return (
        weights,
        activation,
        Carried("ghosts", effect, ghosts),
        Carried("feedback", effect, feedback),
        Carried("learning rule", "unsupported", "ONNX has no plasticity; exporter 'yaml' keeps the rule"),
        Carried("input scaling", "faithful", f"inside the graph; raw samples x {trained.input_scale:g}"),
    )


def ghost_gap(trained: Model, calibration: Dataset | None) -> str:
    """Largest difference between free phase and feedforward pass, as text: on calibration data, or on noise."""
    x, what = measured_on(trained, calibration)
    engine = Equilibrium(trained.network, len(x), free_sweeps=trained.learning.free_sweeps)
    raw = raw_samples(x, trained.input_scale)
    gap = np.abs(engine.output(trained.params, x) - float_expected(trained, raw).logits).max()
    return f"{gap:.2g} on {what}"


def measured_on(trained: Model, calibration: Dataset | None) -> tuple[Array, str]:
    """Rates r_0 `(samples, n_0)` float32 on which to measure an approximation, and what they are."""
    if calibration is not None:
        x = calibration.x_train[:MEASURED]
        return x, f"{len(x)} training samples of {calibration.name}"
    draw = np.random.default_rng(0).random((MEASURED, trained.network.layers[0]))
    return draw.astype(np.float32), f"{MEASURED} samples of noise in 0..1"


def quantization_gap(trained: Model, logits: Array, raw: Array) -> str:
    """How far `logits`, in the network's units, are from the float pass, as text."""
    exact = float_expected(trained, raw)
    gap = np.abs(logits - exact.logits).max()
    same = np.mean(logits.argmax(axis=1) == exact.labels)
    return f"outputs differ by up to {gap:.2g} of {np.abs(exact.logits).max():.2g}, {100 * same:.4g} % equal labels"
