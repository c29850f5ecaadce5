"""What a network sends to the host while it runs: all parameters, and a record of single layers, as vectors."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lavaghost.dynamics import Parameters
from lavaghost.dynamics.neuron import residual
from lavaghost.lava.number_systems import AnyNumbers
from lavaghost.net.graph import Graph
from lavaghost.net.parameters import shapes
from lavaghost.numbers.arithmetic import Arithmetic, Array
from lavaghost.numbers.integers import Integers


def flat_size(graph: Graph) -> int:
    """Length of `flat`."""
    return sum(int(np.prod(shape)) for shape in shapes(graph).values())


def flat(graph: Graph, arrays: Mapping[str, Array]) -> Array:
    """Every array, by name, in the order of `shapes`, in one vector."""
    return np.concatenate([arrays[name].reshape(-1) for name in shapes(graph)])


def unflat(graph: Graph, vector: Array, like: AnyNumbers) -> AnyNumbers:
    """The inverse of `flat`, in the number system of `like`; a copy."""
    arrays, start = {}, 0
    for name, shape in shapes(graph).items():
        size = int(np.prod(shape))
        arrays[name] = vector[start : start + size].reshape(shape).copy()
        start += size
    if isinstance(like, Integers):
        return Integers(arrays, like.formats, like.widths)
    return Parameters.from_named(graph, arrays)


class LayerRecord(NamedTuple):
    """One layer in one trial; arrays `(n_k,)`. `residual` is that of its ghosts, NaN at the output."""

    free: Array
    nudged: Array
    residual: float


def record_size(graph: Graph, layers: Sequence[int]) -> int:
    """Length of the vector that a record of `layers` (from 1) takes in each trial."""
    return sum(2 * graph.layers[k] + 1 for k in layers)


def layer_record(
    arith: Arithmetic, free: Array, nudged: Array, feedback: Array | None, inhibition: Array | None
) -> Array:
    """The vector of one layer, in real numbers: its free rates, its nudged rates, its residual. Arrays `(1, n_k)`."""
    left = np.nan
    if feedback is not None and inhibition is not None:
        left = residual(arith.real(feedback), arith.real(inhibition))
    return np.concatenate([arith.real(free)[0], arith.real(nudged)[0], [left]])


def read_record(graph: Graph, layers: Sequence[int], vector: Array) -> Iterator[LayerRecord]:
    """What `vector` holds, layer by layer."""
    start = 0
    for k in layers:
        n = graph.layers[k]
        yield LayerRecord(vector[start : start + n], vector[start + n : start + 2 * n], vector[start + 2 * n])
        start += 2 * n + 1
