"""BrainProp (Pozzi, Bohte and Roelfsema 2020; Q-AGREL): what a choice and its reward teach, by the
authors' code.

    q = r_L;   s = argmax q, or with probability epsilon an even draw, or one from softmax(q / temperature)
    R = 1 if s is the class, else 0;   delta = R - q_s, one number for all synapses
    a_L = onehot(s),   a_k = rho'(u_k) (B_k a_{k+1}),   dW_k = delta a_k r_{k-1}^T

Only the chosen unit sends feedback, and only the reward sees the label. The choice is a function of seed, epoch and
batch. A change is a sample of the gradient of the expected objective J = E sum_s pi(s) (R_s - q_s)^2 / 2 with the
policy pi held fixed: backprop with the output's error pi (t - q). Cosines are measured against that.

A class that is never chosen never learns, while shared layers move its q: with little exploration and large steps whole
classes are lost: draws from softmax(q) are rarest where q is lowest, so they are even here unless a temperature is
given (docs/methods.md). Recall of each class belongs to every figure.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from lavaghost.base.names import Feedback
from lavaghost.base.spec import Positive
from lavaghost.dynamics.errors import Sent
from lavaghost.dynamics.neuron import softmax
from lavaghost.methods import footprint
from lavaghost.methods.base import Batch, Changes, Method, Moment, Needs, OwnState
from lavaghost.methods.carried import (
    IN_TIME,
    ForwardWork,
    along_weights,
    carried,
    forward_work,
    multiplied,
    taught_in_time,
    with_errors,
    work_in_time,
)
from lavaghost.methods.footprint import Footprint, Stretch
from lavaghost.methods.learning import Learning
from lavaghost.net.graph import Graph
from lavaghost.net.network import Network
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array


class BrainProp(Method):
    """Attention-gated reward learning; see the module. `brainprop` of the command line.

    epsilon      probability of a draw in the place of the best output; published 0.02
    temperature  of that draw; None draws evenly, 1 is published

    Example: `train(network, digits, method=BrainProp(epsilon=0.02), momentum=0.0)`.
    """

    name: ClassVar[str] = "brainprop"
    epsilon: Annotated[float, Field(ge=0, le=1)] = 0.1
    temperature: Positive | None = None
    feedback: Feedback = "tied"

    @property
    def needs(self) -> Needs:
        """See `Method`."""
        losses = ("squared_error",)
        if self.feedback == "learned":
            why = "feedback learned has no step in time; there, use feedback tied or random"
            return Needs("learned", engines=("equilibrium",), losses=losses, why=why)
        return Needs(self.feedback, engines=IN_TIME, losses=losses)

    def graph(self, network: Network) -> Graph:
        """See `Method`."""
        return with_errors(network, self.feedback)

    def prepare(self, graph: Graph, learning: Any) -> ForwardWork:
        """See `Method`."""
        return work_in_time(graph, learning)

    def teacher(self, graph: Graph) -> "Choosing":
        """See `Method`: attention of the chosen unit, and the error of its expected reward."""
        return Choosing(self.epsilon, self.temperature)

    def chosen(self, q: Array, moment: Moment) -> Array:
        """The chosen class of each sample, `(batch,)`, from outputs `q (batch, n_L)`."""
        return choice(q, self.epsilon, self.temperature, moment)

    def update(
        self, work: ForwardWork, params: Parameters, state: OwnState, batch: Batch
    ) -> tuple[Changes, OwnState]:
        """See `Method`."""
        graph, teacher = work.graph, self.teacher(work.graph)
        if work.stepped is not None:
            return Changes(taught_in_time(graph, work.stepped, params, batch, teacher)), state
        rates = work.rates(params, batch.x)
        top, delta = teacher(rates[-1], batch.target, batch.moment)
        assert delta is not None  # of a choice
        attended = carried(graph, params, rates, top)
        return Changes(along_weights(graph, rates, {k: a * delta for k, a in attended.items()})), state

    def reference(self, graph: Graph, params: Parameters, x: Array, target: Array) -> list[Array]:
        """See `Method`: minus the gradient of J, by the chain rule down the weights themselves."""
        work = forward_work(graph.forward, Learning(batch_size=len(x)))
        rates = work.rates(params, x)
        top = self.policy(rates[-1]) * (target - rates[-1])
        errors = carried(graph.forward, params, rates, top)
        return multiplied(graph, params, along_weights(graph.forward, rates, errors))

    def policy(self, q: Array) -> Array:
        """pi, the probability of each choice, `(batch, n_L)`."""
        found = drawn(q, self.temperature).astype(q.dtype) * np.asarray(self.epsilon, q.dtype)
        found[np.arange(len(q)), q.argmax(axis=1)] += 1.0 - self.epsilon
        return found

    def figures(self, work: ForwardWork, params: Parameters, state: OwnState, batch: Batch) -> dict[str, Any]:
        """`answered`: the share of the probe's samples that get each class as an answer."""
        best = work.rates(params, batch.x)[-1].argmax(axis=1)
        counts = np.bincount(best, minlength=work.graph.layers[-1])
        return {"answered": [float(n) / len(best) for n in counts]}

    def footprint(self, graph: Graph) -> Footprint:
        """See `Method`."""
        return Footprint(
            (
                Stretch("forward", graph.depth + 1, ("feedforward",)),
                Stretch("attention", graph.depth, ("error",)),
            ),
            ("rate", "attention"),
            "the rate before it, kept from the forward phase, the attention behind it, and one global signal, the "
            "error of the expected reward",
            signed=True,
        )

    def operations(self, graph: Graph, learning: Any) -> int:
        """See `Method`: up, down, and the change."""
        return footprint.forward(graph) + footprint.weights(graph, graph.back) + footprint.learning(graph)


@dataclass(frozen=True)
class Choosing:
    """The `Teacher` of attention: onehot(s) comes down, and delta = R - q_s goes to all cells at once."""

    epsilon: float
    temperature: float | None

    def __call__(self, output: Array, target: Array, moment: Moment) -> Sent:
        """See `Teacher`."""
        rows, s = np.arange(len(output)), choice(output, self.epsilon, self.temperature, moment)
        top = np.zeros_like(output)
        top[rows, s] = 1.0
        return Sent(top, (target[rows, s] - output[rows, s])[:, np.newaxis])


def drawn(q: Array, temperature: float | None) -> Array:
    """How probable each draw is, `(batch, n_L)`."""
    if temperature is None:
        return np.full(q.shape, 1.0 / q.shape[1])
    return softmax(np.asarray(q, np.float64) / temperature)


def choice(q: Array, epsilon: float, temperature: float | None, moment: Moment) -> Array:
    """The largest of `q (batch, n_L)`, or with probability `epsilon` a draw (`drawn`); `(batch,)`."""
    rng = moment.rng()
    explores, level = rng.random(len(q)) < epsilon, rng.random(len(q))
    below = np.cumsum(drawn(q, temperature), axis=1) <= level[:, np.newaxis]
    picked = np.minimum(below.sum(axis=1), q.shape[1] - 1)
    return np.where(explores, picked, q.argmax(axis=1))
