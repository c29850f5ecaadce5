"""A network with outputs for classes that it has never seen: they wait at 0 until samples teach them."""

from dataclasses import replace
from typing import Any

import numpy as np

from lavaghost.base.errors import SpecError
from lavaghost.model.model import Model
from lavaghost.net.parameters import Parameters, initial_parameters
from lavaghost.numbers.integers import Integers

LARGEST = 10_000
"""Most outputs that are added at once."""


def widened(model: Model, classes: int = 0, labels: tuple[int | str, ...] = (), seed: int = 0) -> Model:
    """`model` with outputs for `labels`, or for `classes` more numbers, after its own.

    Their rows of W_L and b_L are 0, so all other answers are what they were, to the bit. Raises `SpecError` for labels
    that it has already. Example: `widened(model, labels=("frog",)).labels`.
    """
    if not labels:
        if not 0 <= classes <= LARGEST:
            raise SpecError(f"{classes} classes cannot be added; add 0 to {LARGEST}, or name their labels")
        numbers = [label for label in model.labels if isinstance(label, int)]
        first = max([len(model.labels) - 1, *numbers]) + 1
        labels = tuple(first + i for i in range(classes))
    if not labels:
        return model
    if not model.graph.all_dense:
        raise SpecError("classes are added to dense output layers; this network has another kind of projection")
    if model.state:
        raise SpecError(
            f"method {model.method.name!r} keeps arrays of its own, which know the present outputs only; "
            "train it anew with all classes"
        )
    network = model.network
    wide = network.model_copy(update={"layers": (*network.layers[:-1], network.layers[-1] + len(labels))})
    graph = model.method.graph(wide)
    drawn = initial_parameters(graph, seed).named()
    last = graph.depth
    for name in (f"weights.{last}", f"biases.{last}", f"ghost_weights.{last - 1}", f"ghost_biases.{last - 1}"):
        if name in drawn:
            drawn[name][...] = 0
    tensors: Any
    if model.integers is None:
        own = model.params.named()
        tensors = Parameters.from_named(graph, {name: _over(a, own[name]) for name, a in drawn.items()})
    else:
        own = model.integers
        held = Integers.nearest(drawn, own.formats, own.widths, step=own.widths.static_step).arrays
        arrays = {name: _over(a, own.arrays[name]) for name, a in held.items()}
        tensors = Integers(arrays, own.formats, own.widths)
    return replace(model, network=wide, tensors=tensors, labels=(*model.labels, *labels))


def _over(drawn: Any, own: Any) -> Any:
    """`own` in the first places of an array that is as large as `drawn`."""
    found = np.array(drawn)
    found[tuple(slice(0, n) for n in own.shape)] = own
    return found
