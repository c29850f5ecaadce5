"""Methods such as third parties write, each a file's worth: learned weights of its own, learned feedback, chance,
and a reference of its own. The package has none of them.
"""

from typing import Any, ClassVar, Literal

import numpy as np

from lavaghost.base.spec import Positive
from lavaghost.dynamics.neuron import nudge
from lavaghost.methods.backprop import FLOAT32, Backprop
from lavaghost.methods.base import Batch, Changes, Factors, Method, Needs, OwnState
from lavaghost.methods.carried import ForwardWork, slope
from lavaghost.net.graph import Graph, fed_back, feedforward
from lavaghost.net.network import Network
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array
from lavaghost.training.diagnostics import backprop_gradient


def carried_down(
    work: ForwardWork, params: Parameters, batch: Batch, back: list[Array]
) -> tuple[list[Array], list[Array]]:
    """r_0..r_L, and e_1..e_L: e_L = y - p(r_L), e_k = rho'(u_k) (B_k e_{k+1}), for B_k `(n_k, n_{k+1})`."""
    graph = work.graph
    rates = [batch.x, *work.engine.free(params, batch.x)]
    errors = [nudge(rates[-1], batch.target, graph.loss, FLOAT32)]
    for k in range(graph.depth - 1, 0, -1):
        errors.insert(0, slope(graph, rates[k]) * (errors[0] @ back[k - 1].T))
    return rates, errors


def along_weights(rates: list[Array], errors: list[Array]) -> dict[str, Factors]:
    """The factors of W_1..W_L."""
    return {f"weights.{k}": Factors(e, rates[k - 1], 1.0) for k, e in enumerate(errors, start=1)}


class Mirror(Method):
    """Backward weights of its own, learned by a local rule from noise that it sends up between two layers.

        M_k <- (1 - mu) M_k + mu * mean over the batch of xi_k^T (W_{k+1} xi_k)

    They become like W_{k+1}^T, which they never see (weight mirrors, Akrout et al. 2019).
    """

    name: ClassVar[str] = "toy-mirror"
    mu: Positive = 0.05

    def shapes(self, graph: Graph) -> dict[str, tuple[int, ...]]:
        """See `Method`."""
        n = graph.layers
        return {f"mirror_{k}": (n[k], n[k + 1]) for k in range(1, graph.depth)}

    def init(self, graph: Graph, params: Parameters, rng: np.random.Generator) -> OwnState:
        """See `Method`."""
        return {
            name: rng.normal(0.0, np.sqrt(2.0 / shape[0]), shape).astype(params.weights[0].dtype)
            for name, shape in self.shapes(graph).items()
        }

    def prepare(self, graph: Graph, learning: Any) -> ForwardWork:
        """See `Method`."""
        return Backprop().prepare(graph, learning)

    def update(
        self, work: ForwardWork, params: Parameters, state: OwnState, batch: Batch
    ) -> tuple[Changes, OwnState]:
        """See `Method`."""
        mirrors = [state[f"mirror_{k}"] for k in range(1, work.graph.depth)]
        rates, errors = carried_down(work, params, batch, mirrors)
        changes = Changes(along_weights(rates, errors))
        if batch.purpose == "probe":
            return changes, state
        learned = {}
        for k, m in enumerate(mirrors, start=1):
            noise = batch.moment.rng(k).standard_normal((len(batch.x), len(m))).astype(m.dtype)
            heard = work.graph.up[k].product(params.weights[k], noise)
            learned[f"mirror_{k}"] = m + np.float32(self.mu) * (noise.T @ heard / len(noise) - m)
        return changes, learned

    def figures(self, work: ForwardWork, params: Parameters, state: OwnState, batch: Batch) -> dict[str, Any]:
        """See `Method`: how large its own weights are."""
        return {"mirrors": [float(np.linalg.norm(state[name])) for name in sorted(state)]}


class Returned(Method):
    """Feedback that is part of the network and learned by factors: B_k moves along r_k e_{k+1}^T."""

    name: ClassVar[str] = "toy-returned"
    strength: Positive = 1.0

    @property
    def needs(self) -> Needs:
        """See `Method`."""
        return Needs(feedback="learned")

    def graph(self, network: Network) -> Graph:
        """See `Method`."""
        alone = feedforward(network)
        return Graph(network, alone.populations, (*alone.projections, *fed_back(network, "learned")))

    def prepare(self, graph: Graph, learning: Any) -> ForwardWork:
        """See `Method`."""
        return Backprop().prepare(graph, learning)

    def update(
        self, work: ForwardWork, params: Parameters, state: OwnState, batch: Batch
    ) -> tuple[Changes, OwnState]:
        """See `Method`."""
        rates, errors = carried_down(work, params, batch, list(params.feedback))
        back = {
            f"feedback.{k}": Factors(np.ascontiguousarray(rates[k]), errors[k], self.strength)
            for k in range(1, work.graph.depth)
        }
        return Changes(along_weights(rates, errors) | back), state


class Chance(Backprop):
    """The gradient of a random half of each layer's errors, other ones in every batch."""

    name: ClassVar[str] = "toy-chance"
    kept: Positive = 0.5
    half: Literal["errors"] = "errors"

    def update(
        self, work: ForwardWork, params: Parameters, state: OwnState, batch: Batch
    ) -> tuple[Changes, OwnState]:
        """See `Method`."""
        changes, state = super().update(work, params, state, batch)
        found = {}
        for name, factor in changes.factors.items():
            rng = batch.moment.rng(int(name.split(".")[1]))
            found[name] = factor._replace(post=factor.post * (rng.random(factor.post.shape) < self.kept))
        return Changes(found), state


class Signed(Backprop):
    """Backprop that is compared with the sign of the gradient."""

    name: ClassVar[str] = "toy-signed"

    def reference(self, graph: Graph, params: Parameters, x: Array, target: Array) -> list[Array]:
        """See `Method`."""
        return [np.sign(g) for g in backprop_gradient(graph, params, x, target)]


TOYS: tuple[type[Method], ...] = (Mirror, Returned, Chance, Signed)
