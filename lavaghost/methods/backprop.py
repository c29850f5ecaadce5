"""The controls: the exact gradient by the chain rule, and an output that learns over random hidden layers."""

from typing import Any, ClassVar, NamedTuple

import numpy as np

from lavaghost.dynamics.neuron import nudge
from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.methods.base import Batch, Changes, Factors, Method, OwnState
from lavaghost.net.graph import Graph
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array, Float

FLOAT32 = Float(np.float32)


class ForwardWork(NamedTuple):
    """Graph and forward pass."""

    graph: Graph
    engine: Equilibrium


class Backprop(Method):
    """The exact gradient by the chain rule: the control that ghost learning is measured against.

    delta_L = y - p(r_L),   delta_k = rho'(u_k) (W_{k+1}^T delta_{k+1}),   dW_k = delta_k r_{k-1}^T

    Example: `train(network, digits, method=Backprop())`.
    """

    name: ClassVar[str] = "backprop"

    def prepare(self, graph: Graph, learning: Any) -> ForwardWork:
        """See `Method`."""
        return ForwardWork(graph, Equilibrium(graph.forward, learning.batch_size, push=False))

    def first_layer(self, graph: Graph) -> int:
        """The first layer that learns."""
        return 1

    def update(
        self, work: ForwardWork, params: Parameters, state: OwnState, batch: Batch
    ) -> tuple[Changes, OwnState]:
        """See `Method`."""
        graph = work.graph
        rates = work.engine.free(params, batch.x)
        delta = nudge(rates[-1], batch.target, graph.loss, FLOAT32)
        found: dict[str, Factors] = {}
        first = self.first_layer(graph)
        for k in range(graph.depth, first - 1, -1):
            found[f"weights.{k}"] = Factors(delta, batch.x if k == 1 else rates[k - 2], 1.0)
            if k > first:
                below = np.empty_like(rates[k - 2])
                graph.up[k - 1].apply_transposed(params.weights[k - 1], delta, below)
                below *= slope(graph, rates[k - 2])
                delta = below
        return Changes(factors=found), state


class Frozen(Backprop):
    """The output layer learns by its gradient, hidden layers stay random: what a useless hidden layer gives.

    Example: `train(network, digits, method=Frozen())`.
    """

    name: ClassVar[str] = "frozen"

    def first_layer(self, graph: Graph) -> int:
        """The output alone."""
        return graph.depth


def slope(graph: Graph, rate: Array) -> Array:
    """Rho' at the free state, 1 strictly inside (0, r_max) and 0 elsewhere."""
    return (rate > 0) & (rate < graph.r_max) if graph.r_max < np.inf else rate > 0
