"""Errors that come down beside the membranes, a layer a step: backprop and its relatives in time.

    e_L = what the output sends, held while a target is given
    e_k = rho'(u_k) (B_k e_{k+1}),    where B_k e_{k+1} was sent in the step before

Membranes do not feel them. After the L + 1 steps of a forward phase (the reset and a step for each layer) they need L
steps to be in every layer: the output has its own at once. Without a target there are none.
"""

from typing import NamedTuple

from lavaghost.dynamics.neuron import slope
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Array


class Sent(NamedTuple):
    """What the output sends down while a target is given: `top (batch, n_L)`, which is e_L.

    `factor (batch, 1)`, if there is one, goes to all cells at once: a change is that times its error.
    """

    top: Array
    factor: Array | None = None


def hidden_error(arriving: Array, rate: Array, spec: Graph) -> Array:
    """e_k of a hidden layer, `(batch, n_k)`, from B_k e_{k+1} and its present rate."""
    return arriving * slope(spec, rate)


def heard_from(graph: Graph, k: int) -> int:
    """The layer whose error B_k carries down to hidden layer k: the next one, or the output."""
    source = graph.back[k - 1].source
    return next(j for j in range(k + 1, graph.depth + 1) if graph.layer(j) == source)
