"""A network in integers for formats that take its own mantissas, and what its file says of them.

The reference is the feedforward pass in its integers (`engines.forward_integers`): what the free phase of the engine
rests at, with the same saturation and the same rounding. A file states how far the engine itself ends from it.
"""

import numpy as np

from lavaghost.base.errors import ExportError
from lavaghost.datasets import Dataset
from lavaghost.engines.forward_integers import ForwardIntegers, forward_integers, unsettled
from lavaghost.exporters.base import Carried
from lavaghost.exporters.carried import NONE, measured_on, unfelt
from lavaghost.exporters.floats import model_rates, raw_samples
from lavaghost.model.model import Model
from lavaghost.numbers.arithmetic import Array


def held(trained: Model) -> ForwardIntegers:
    """The feedforward pass of a network in integers. Raises `ExportError` for one in real numbers."""
    if trained.integers is None:
        raise ExportError("this network is in real numbers and has no integers of its own; export it again")
    return forward_integers(trained.graph, trained.integers)


def inputs_of(trained: Model, net: ForwardIntegers, raw: Array) -> Array:
    """Messages p_0 of raw samples, by the one float32 product that every runtime computes."""
    return net.arith.input(model_rates(raw, trained.input_scale))


def input_factor(trained: Model, net: ForwardIntegers) -> np.float32:
    """Raw samples times this, rounded to the nearest and held in 0..input_top, are messages."""
    return np.float32(trained.input_scale) * np.float32(2.0**net.input_fraction)


def engine_gap(trained: Model, net: ForwardIntegers, calibration: Dataset | None) -> tuple[str, bool]:
    """How far the integer engine ends from the pass, as text, and whether what is left is only its settling."""
    x, what = measured_on(trained, calibration)
    p = inputs_of(trained, net, raw_samples(x, trained.input_scale))
    ends, pass_ = trained.outputs(x), net.outputs(p) * net.unit
    gap = float(np.abs(ends - pass_).max())
    same = float(np.mean(ends.argmax(axis=1) == pass_.argmax(axis=1)))
    steps = trained.graph.schedule.t_free_steps
    text = (
        f"a free phase of {steps} steps ends up to {gap:.2g} from it, with {same:.1%} of the labels, on {what}"
    )
    if not net.cancels:
        return text, False
    low, high = net.resting(p)
    bound = float((np.maximum(high - net.outputs(p), net.outputs(p) - low) + unsettled(net, p, steps)).max())
    return f"{text}; at most {bound * net.unit:.2g} by the bound of its settling", True


def integer_carries(
    trained: Model, calibration: Dataset | None, net: ForwardIntegers, weights: Carried, activation: str
) -> tuple[Carried, ...]:
    """What a file carries that computes the feedforward pass in the network's own integers, to the bit.

    weights     of the file
    activation  how it has the bounds and the rounding of the neurons
    """
    graph, (gap, settles) = trained.graph, engine_gap(trained, net, calibration)
    ghosts, feedback = (NONE, "faithful"), (unfelt(graph), "faithful")
    if graph.has_feedback:
        left = (
            "left out; they cancel the feedback to the bit" if graph.has_ghosts else "left out; it has no gain"
        )
        feedback = (f"left out; its effect in the free phase is zero; {gap}", "faithful")
        if graph.has_ghosts:
            ghosts = (left, "faithful")
        if not settles:
            why = "they do not cancel the feedback to the bit" if graph.has_ghosts else "nothing cancels it"
            feedback = (f"left out; {why}: {gap}", "approximate")
            ghosts = (f"left out; {why}: {gap}", "approximate") if graph.has_ghosts else ghosts
    return (
        weights,
        Carried("activation", "faithful", f"{activation}; what neurons rest at: {gap}"),
        Carried("ghosts", ghosts[1], ghosts[0]),
        Carried("feedback", feedback[1], feedback[0]),
        Carried("learning rule", "unsupported", "the file holds inference; exporter 'yaml' keeps the rule"),
        Carried(
            "input scaling",
            "faithful",
            f"messages of the network: raw samples x {input_factor(trained, net):g}, to the nearest in "
            f"0..{net.input_top}",
        ),
    )
