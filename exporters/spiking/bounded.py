"""Rates that saturate, for neurons that only rectify: a second unit takes off what is above the bound.

    clip(u, 0, top) = relu(u) - relu(u - top)

The second unit has the weights of the first, a bias lower by the bound, and outgoing weights of the other sign. Only
units that reach the bound on calibration data get one.
"""

from collections.abc import Sequence

import numpy as np

from lavaghost.datasets import Dataset
from lavaghost.engines.calibration import calibrations
from lavaghost.exporters.chain import Chain
from lavaghost.exporters.held_integers import held
from lavaghost.model.model import Model
from lavaghost.numbers.arithmetic import Array


def tops_of(trained: Model, net: Chain) -> list[float]:
    """The bound of each hidden layer's rates; of a network in integers that of its messages, if it is lower."""
    if trained.integers is None:
        return [net.r_max] * (len(net.layers) - 1)
    fractions = trained.integers.formats.messages[1:]
    layers = held(trained).layers[:-1]
    return [min(net.r_max, layer.top * 2.0**-f) for layer, f in zip(layers, fractions, strict=False)]


def saturating(net: Chain, tops: Sequence[float], x: Array) -> list[list[int]]:
    """Units of each hidden layer that reach its bound on rates `x (samples, n_0)`; empty if there is no bound."""
    if all(top == np.inf for top in tops):
        return []
    found = []
    for layer, top in zip(net.layers, tops, strict=False):
        x = next(calibrations([layer], top, x)).rates
        found.append(np.flatnonzero((x >= top).any(axis=0)).tolist())
    return found


def bounded(net: Chain, tops: Sequence[float], units: Sequence[Sequence[int]]) -> Chain:
    """`net` of plain relus, with second units behind these of each hidden layer."""
    weights, biases = [], []
    before: list[int] = []
    every = [*(list(which) for which in units), *([[]] * (len(net.layers) - len(units)))]
    for (w, b), which, top in zip(net.layers, every, [*tops, np.inf], strict=True):
        own = np.concatenate([w, -w[:, before]], axis=1)
        weights.append(np.concatenate([own, own[which]]))
        biases.append(np.concatenate([b, b[which] - np.float32(top)]) if which else b)
        before = which
    return Chain(net.scale, tuple(weights), tuple(biases), np.inf)


def second(units: Sequence[Sequence[int]], data: Dataset) -> str:
    """What a report says of them."""
    if not units:
        return ""
    return (
        f"; {sum(map(len, units))} units have a second one that takes off what is above the bound, which the others "
        f"never reached on {len(data.x_train)} samples"
    )
