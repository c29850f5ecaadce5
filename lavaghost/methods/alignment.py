"""Feedback that is not the transpose of the weights: the family of feedback alignment.

    fa              B_k is drawn once                                           Lillicrap et al. 2016
    dfa             e_k = rho'(u_k) (B_k e_L), from the output to every layer   Nokland 2016
    sign-symmetric  B_k has the signs of W_{k+1}^T                              Liao et al. 2016, Moskovitz et al. 2018
    kolen-pollack   B_k moves as W_{k+1}^T does                                 Kolen and Pollack 1994

All else is that of backprop (`methods.carried`). Names and comparisons: BioTorch (Sanfiz and Akrout 2021).
"""

from typing import Any, ClassVar, Literal

import numpy as np

from lavaghost.base.names import Feedback
from lavaghost.dynamics.neuron import nudge, slope
from lavaghost.methods import footprint
from lavaghost.methods.backprop import FLOAT32
from lavaghost.methods.base import Batch, Changes, Method, Needs, OwnState
from lavaghost.methods.carried import ForwardWork, along_weights, carried, forward_work, with_errors
from lavaghost.methods.footprint import Footprint
from lavaghost.net.graph import Graph
from lavaghost.net.network import Network
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array


class Aligned(Method):
    """What the family has in common: errors come down by feedback of its own. Not registered."""

    why: ClassVar[str]
    """See `Needs`."""

    @property
    def back(self) -> Feedback:
        """The feedback of its graph."""
        raise NotImplementedError

    @property
    def needs(self) -> Needs:
        """See `Method`."""
        return Needs(feedback=self.back, why=self.why)

    def graph(self, network: Network) -> Graph:
        """See `Method`."""
        return with_errors(network, self.back)

    def prepare(self, graph: Graph, learning: Any) -> ForwardWork:
        """See `Method`."""
        return forward_work(graph, learning)

    def update(
        self, work: ForwardWork, params: Parameters, state: OwnState, batch: Batch
    ) -> tuple[Changes, OwnState]:
        """See `Method`."""
        graph, rates = work.graph, work.rates(params, batch.x)
        top = nudge(rates[-1], batch.target, graph.loss, FLOAT32)
        return Changes(along_weights(graph, rates, self.errors(graph, params, rates, top, batch))), state

    def errors(
        self, graph: Graph, params: Parameters, rates: list[Array], top: Array, batch: Batch
    ) -> dict[int, Array]:
        """e_1..e_L by layer."""
        return carried(graph, params, rates, top)

    def footprint(self, graph: Graph) -> Footprint:
        """See `Method`."""
        return footprint.carried_down(graph)

    def operations(self, graph: Graph, learning: Any) -> int:
        """See `Method`: up, down, and the change, that of learned feedback too."""
        return footprint.forward(graph) + footprint.weights(graph, graph.back) + footprint.learning(graph)


class FeedbackAlignment(Aligned):
    """Backprop with random feedback (Lillicrap et al. 2016).

    e_k = rho'(u_k) (B_k e_{k+1}),  B_k drawn once with the scale of W_{k+1}

    Example: `train(network, digits, method="fa")`.
    """

    name: ClassVar[str] = "fa"
    why: ClassVar[str] = "method 'relaxation' with feedback random makes the same changes there"
    feedback: Feedback = "random"

    @property
    def back(self) -> Feedback:
        """See `Aligned`."""
        return self.feedback

    def faults(self, graph: Graph) -> list[str]:
        """See `Method`."""
        other = {"tied": "backprop", "learned": "kolen-pollack"}.get(self.feedback)
        if other is None:
            return []
        return [
            f"method 'fa' with {self.feedback} feedback is {other!r}; use --method {other}, or feedback random"
        ]


class KolenPollack(Aligned):
    """Feedback that takes the steps of the weights that it stands for (Kolen and Pollack 1994, Akrout et al. 2019).

        dB_k = dW_{k+1}^T, with the same weight decay

    B_k - W_{k+1}^T decays with learning.weight_decay; without any it stays as it was drawn.
    Example: `train(network, digits, method="kolen-pollack", weight_decay=1e-3)`.
    """

    name: ClassVar[str] = "kolen-pollack"
    why: ClassVar[str] = "its feedback needs weight decay, and cells that learn from single samples have none"
    feedback: Feedback = "learned"

    @property
    def back(self) -> Feedback:
        """See `Aligned`."""
        return self.feedback

    def faults(self, graph: Graph) -> list[str]:
        """See `Method`."""
        other = {"tied": "backprop", "random": "fa"}.get(self.feedback)
        if other is None:
            return []
        return [
            f"method 'kolen-pollack' with {self.feedback} feedback is {other!r}; use --method {other}, or feedback "
            "learned"
        ]


class DirectFeedbackAlignment(Aligned):
    """The output's error goes straight to every layer (Nokland 2016).

    e_k = rho'(u_k) (B_k e_L),  B_k `(n_k, n_L)` drawn once

    Example: `train(network, digits, method="dfa")`.
    """

    name: ClassVar[str] = "dfa"
    why: ClassVar[str] = "its errors skip layers, and cells hand them to the next one"
    feedback: Feedback = "random"

    @property
    def back(self) -> Feedback:
        """See `Aligned`."""
        return "random"

    def graph(self, network: Network) -> Graph:
        """See `Method`."""
        return with_errors(network, "random", direct=True)

    def faults(self, graph: Graph) -> list[str]:
        """See `Method`."""
        if self.feedback == "random":
            return []
        return [
            f"method 'dfa' with {self.feedback} feedback: there is no weight from a hidden layer straight to the "
            "output that it could be tied to or learn from; use feedback random, or --method backprop"
        ]

    def errors(
        self, graph: Graph, params: Parameters, rates: list[Array], top: Array, batch: Batch
    ) -> dict[int, Array]:
        """See `Aligned`."""
        found = {graph.depth: top}
        for k, link in enumerate(graph.back, start=1):
            below = np.empty((len(top), graph.layers[k]), top.dtype)
            graph.products(link).apply(params.feedback[k - 1], top, below)
            below *= slope(graph, rates[k])
            found[k] = below
        return found


class SignSymmetric(Aligned):
    """Feedback with the signs of the weights (Liao et al. 2016; uSF, frSF and brSF of BioTorch).

    B_k = |M_k| sign(W_{k+1}^T)

    magnitudes   uniform: |M_k| is sqrt(2 / n_k), the scale of the first weights; fixed: drawn once; fresh: drawn anew
                 for every batch, a function of seed, epoch, batch and layer

    Example: `train(network, digits, method=SignSymmetric(magnitudes="fixed"))`.
    """

    name: ClassVar[str] = "sign-symmetric"
    why: ClassVar[str] = "its feedback takes the signs of weights anew, which no synapse does"
    magnitudes: Literal["uniform", "fixed", "fresh"] = "uniform"

    @property
    def back(self) -> Feedback:
        """See `Aligned`: signs come from the weights; fixed magnitudes are numbers of its own."""
        return "random" if self.magnitudes == "fixed" else "tied"

    def faults(self, graph: Graph) -> list[str]:
        """See `Method`."""
        if all(p.kind == "dense" for p in graph.along("feedforward")[1:]):
            return []
        return [
            "method 'sign-symmetric' takes signs of a weight matrix, and a projection of network.kinds is not dense; "
            "use dense, or --method backprop"
        ]

    def errors(
        self, graph: Graph, params: Parameters, rates: list[Array], top: Array, batch: Batch
    ) -> dict[int, Array]:
        """See `Aligned`."""
        back = [self._signed(params, k, batch) for k in range(1, graph.depth)]
        return carried(graph, params, rates, top, back=back)

    def _signed(self, params: Parameters, k: int, batch: Batch) -> Array:
        signs = np.sign(params.weights[k].T)
        scale = np.asarray(np.sqrt(2.0 / len(signs)), signs.dtype)
        if self.magnitudes == "uniform":
            return signs * scale
        if self.magnitudes == "fixed":
            return signs * np.abs(params.feedback[k - 1])
        drawn = batch.moment.rng(k).standard_normal(signs.shape).astype(signs.dtype)
        return signs * np.abs(drawn) * scale
