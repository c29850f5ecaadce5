"""The controls: the exact gradient by the chain rule, and an output that learns over random hidden layers."""

from typing import Any, ClassVar

import numpy as np

from lavaghost.dynamics.neuron import nudge
from lavaghost.methods import footprint
from lavaghost.methods.base import Batch, Changes, Method, Needs, OwnState
from lavaghost.methods.carried import ForwardWork, along_weights, carried, forward_work, with_errors
from lavaghost.methods.footprint import Footprint, Stretch
from lavaghost.net.graph import Graph, feedforward
from lavaghost.net.network import Network
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Float

FLOAT32 = Float(np.float32)


class Backprop(Method):
    """The exact gradient by the chain rule: the control that ghost learning is measured against.

    delta_L = y - p(r_L),   delta_k = rho'(u_k) (W_{k+1}^T delta_{k+1}),   dW_k = delta_k r_{k-1}^T

    Example: `train(network, digits, method=Backprop())`.
    """

    name: ClassVar[str] = "backprop"

    @property
    def needs(self) -> Needs:
        """See `Method`."""
        return Needs(feedback="tied", why="method 'relaxation' makes the same changes there")

    def graph(self, network: Network) -> Graph:
        """See `Method`."""
        return with_errors(network, "tied")

    def prepare(self, graph: Graph, learning: Any) -> ForwardWork:
        """See `Method`."""
        return forward_work(graph, learning)

    def first_layer(self, graph: Graph) -> int:
        """The first layer that learns."""
        return 1

    def update(
        self, work: ForwardWork, params: Parameters, state: OwnState, batch: Batch
    ) -> tuple[Changes, OwnState]:
        """See `Method`."""
        graph, rates = work.graph, work.rates(params, batch.x)
        top = nudge(rates[-1], batch.target, graph.loss, FLOAT32)
        errors = carried(graph, params, rates, top, lowest=self.first_layer(graph))
        return Changes(along_weights(graph, rates, errors)), state

    def footprint(self, graph: Graph) -> Footprint:
        """See `Method`."""
        return footprint.carried_down(graph)

    def operations(self, graph: Graph, learning: Any) -> int:
        """See `Method`: up, down, and the change."""
        return footprint.forward(graph) + footprint.weights(graph, graph.back) + footprint.learning(graph)


class Frozen(Backprop):
    """The output layer learns by its gradient, hidden layers stay random: what a useless hidden layer gives.

    Example: `train(network, digits, method=Frozen())`.
    """

    name: ClassVar[str] = "frozen"

    @property
    def needs(self) -> Needs:
        """See `Method`."""
        return Needs(
            why="method 'relaxation' with network.plastic the output alone makes the same changes there"
        )

    def graph(self, network: Network) -> Graph:
        """See `Method`."""
        return feedforward(network)

    def first_layer(self, graph: Graph) -> int:
        """The output alone."""
        return graph.depth

    def footprint(self, graph: Graph) -> Footprint:
        """See `Method`."""
        phases = (Stretch("forward", graph.depth + 1, ("feedforward",)),)
        return Footprint(phases, ("rate",), "the rate before it, and the error of its output", signed=False)

    def operations(self, graph: Graph, learning: Any) -> int:
        """See `Method`: up, and the change of the output."""
        links = graph.along("feedforward")
        return footprint.weights(graph, links) + footprint.weights(graph, links[-1:])
