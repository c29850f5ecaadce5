"""What a file of the feedforward pass carries of a network, and how far an approximation is off, as text."""

from collections.abc import Callable

import numpy as np

from lavaghost.datasets import Dataset
from lavaghost.exporters.base import Carried
from lavaghost.exporters.floats import float_expected, raw_samples
from lavaghost.model.answers import in_steps, settled
from lavaghost.model.model import Model
from lavaghost.net.graph import Graph
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array

RELU = Carried("activation", "faithful", "Relu, or Clip where rates saturate")
NONE = "none: the network has none"
ERRORS = "left out; it carries errors, which no membrane feels"
MEASURED = 250
"""Samples on which an approximation is measured."""


def feedforward_carries(
    trained: Model,
    calibration: Dataset | None,
    weights: Carried,
    activation: Carried = RELU,
) -> tuple[Carried, ...]:
    """What a file of the feedforward pass carries; what is left over of the feedback is measured."""
    return (
        weights,
        activation,
        *left_out(trained, calibration),
        Carried("learning rule", "unsupported", "ONNX has no plasticity; exporter 'yaml' keeps the rule"),
        Carried("input scaling", "faithful", f"inside the graph; raw samples x {trained.input_scale:g}"),
    )


def unfelt(graph: Graph) -> str:
    """What a file has of feedback that no membrane feels, as text."""
    return ERRORS if graph.carries_errors else NONE


def left_out(trained: Model, calibration: Dataset | None) -> tuple[Carried, Carried]:
    """Ghosts and feedback, which a file of the feedforward pass has not."""
    graph = trained.graph
    ghosts, feedback = NONE, unfelt(graph)
    effect = "faithful"
    if graph.ghosts_learn:
        gap, effect = free_gap(trained, calibration, settled), "approximate"
        ghosts = f"left out; learned ghosts cancel the feedback nearly: outputs differ by up to {gap}"
        feedback = f"left out; what learned ghosts do not cancel of it moves outputs by up to {gap}"
    elif graph.has_ghosts:
        ghosts = "left out; they cancel the feedback exactly, so the free phase is the feedforward pass"
        feedback = "left out; its effect in the free phase is zero"
    elif graph.has_feedback and graph.lam:
        gap = free_gap(trained, calibration, in_steps)
        return Carried("ghosts", effect, NONE), Carried(
            "feedback", "approximate", f"left out; nothing cancels it: outputs differ by up to {gap}"
        )
    elif graph.has_feedback:
        feedback = "left out; it has no gain in the free phase"
    return Carried("ghosts", effect, ghosts), Carried("feedback", effect, feedback)


def float_weights(trained: Model, calibration: Dataset | None) -> Carried:
    """The weights of a file in float32: those that were trained, or what the integers of a network stand for."""
    gap = integer_gap(trained, calibration)
    if gap is None:
        return Carried("weights", "faithful", "float32, as trained")
    return Carried("weights", "approximate", f"float32, the real numbers that the integers stand for; {gap}")


def quantised_weights(trained: Model, calibration: Dataset | None, note: str) -> Carried:
    """The weights of a file whose own integers `note` describes; never those of a network in integers."""
    gap = integer_gap(trained, calibration)
    made = "" if gap is None else f"; made of the real numbers that the network's integers stand for; {gap}"
    return Carried("weights", "approximate", f"{note}{made}")


def integer_gap(trained: Model, calibration: Dataset | None) -> str | None:
    """How far a network in integers, as it ran, is from its real numbers, as text; None for one in real numbers."""
    if trained.integers is None:
        return None
    x, what = measured_on(trained, calibration)
    gap = furthest(trained, x, trained.outputs(x))
    return f"the function that ran was in integers: its outputs differ by up to {gap:.2g} on {what}"


def free_gap(
    trained: Model, calibration: Dataset | None, run: Callable[[Graph, Parameters, Array], Array]
) -> str:
    """Largest difference between free phase and feedforward pass, as text: on calibration data, or on noise."""
    x, what = measured_on(trained, calibration)
    return f"{furthest(trained, x, run(trained.graph, trained.params, x)):.2g} on {what}"


def furthest(trained: Model, x: Array, outputs: Array) -> float:
    """Largest difference of `outputs (samples, n_L)` from the feedforward pass of rates `x (samples, n_0)`."""
    exact = float_expected(trained, raw_samples(x, trained.input_scale)).logits
    return float(np.abs(outputs - exact).max())


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
