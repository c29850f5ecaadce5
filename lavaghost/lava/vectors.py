"""What a network sends to the host while it runs: all parameters, and a record of single layers, as vectors."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from lavaghost.dynamics import Parameters
from lavaghost.dynamics.neuron import residual
from lavaghost.net.parameters import shapes
from lavaghost.net.spec import Network
from lavaghost.numbers.arithmetic import Arithmetic, Array


def flat_size(network: Network) -> int:
    """Length of `flat`."""
    return sum(int(np.prod(shape)) for shape in shapes(network).values())


def flat(params: Parameters) -> Array:
    """Every parameter in the order of `shapes`, in one vector."""
    return np.concatenate([array.reshape(-1) for array in params.named().values()])


def unflat(network: Network, vector: Array) -> Parameters:
    """The inverse of `flat`; a copy."""
    arrays, start = {}, 0
    for name, shape in shapes(network).items():
        size = int(np.prod(shape))
        arrays[name] = vector[start : start + size].reshape(shape).copy()
        start += size
    return Parameters.from_named(network, arrays)


class LayerRecord(NamedTuple):
    """One layer in one trial; arrays `(n_k,)`. `residual` is that of its ghosts, NaN at the output."""

    free: Array
    nudged: Array
    residual: float


def record_size(network: Network, layers: Sequence[int]) -> int:
    """Length of the vector that a record of `layers` (from 1) takes in each trial."""
    return sum(2 * network.layers[k] + 1 for k in layers)


def layer_record(
    arith: Arithmetic, free: Array, nudged: Array, feedback: Array | None, inhibition: Array | None
) -> Array:
    """The vector of one layer, in real numbers: its free rates, its nudged rates, its residual. Arrays `(1, n_k)`."""
    left = np.nan
    if feedback is not None and inhibition is not None:
        left = residual(arith.real(feedback), arith.real(inhibition))
    return np.concatenate([arith.real(free)[0], arith.real(nudged)[0], [left]])


def read_record(network: Network, layers: Sequence[int], vector: Array) -> Iterator[LayerRecord]:
    """What `vector` holds, layer by layer."""
    start = 0
    for k in layers:
        n = network.layers[k]
        yield LayerRecord(vector[start : start + n], vector[start + n : start + 2 * n], vector[start + 2 * n])
        start += 2 * n + 1
