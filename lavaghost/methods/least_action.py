"""Neuronal least action (Senn et al. 2024), and the same in time with prospective rates (latent equilibrium).

    u_k = W_k rho(u_{k-1}) + b_k + e_k,   e_k = rho'(u_k) (B_k e_{k+1}),   e_L = beta (y - p(u_L))
    dW_k = e_k rho(u_{k-1})^T / beta

The network of least action moves along with this fixed point. There e is beta times the error of backprop, plus
O(beta^2), since the errors that membranes feel move rates and slopes. The output's error moves by half of what it is
off in each sweep: undamped, sweeps leave the fixed point once beta |W_L|^2 is above 1.

At a kink of rho the slope is any number between those beside it, as for a slope that is smoothed a little: a unit
inside (0, r_max) that its error would push past an end rests on it, e_k = clip(B_k e_{k+1}, -v_k, r_max - v_k) with
v_k = u_k - e_k. Without that there is no fixed point for it. Units beyond an end feel nothing.

Engine `equilibrium` solves for the fixed point. Engine `stepped` shows a sample for T steps (`engines.latent`). Rate
and error take a step per layer, so changes are right after 2 L steps. Plasticity that never waits adds products of the
new target with rates that have not yet arrived. An untrained answer is in each presentation then, and a squared error
grows to balance it, which a softmax cannot: continuous plasticity is for squared errors.

Here "on our neuron", relu or hard sigmoid; published are sigmoid and hard sigmoid. The authors' repositories of latent
equilibrium (unibe-cns/le_NeurIPS_code, and its relative unibe-cns/gle-code) carry a patent protection notice for the
procedure in time. Whether that form ships is for the owner of this project to decide before a release.
"""

from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from lavaghost.base.names import Feedback
from lavaghost.base.spec import Count, Positive
from lavaghost.dynamics.neuron import nudge, slope
from lavaghost.engines.latent import passage_steps, presentation
from lavaghost.methods import footprint
from lavaghost.methods.base import Batch, Changes, Factors, Method, Needs, OwnState
from lavaghost.methods.carried import along_weights, down, driven, passed_up, returned, with_errors
from lavaghost.methods.footprint import Footprint, Stretch
from lavaghost.net.graph import Graph
from lavaghost.net.network import Network
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array, Float

DAMPING = 0.5
"""Share of the way to its end point that the output's error goes in a sweep."""
USUAL_STEPS = 10
"""Steps of a presentation where none are named, if the network is not too deep for them."""


class LeastActionWork(NamedTuple):
    """Graph, and whether it is solved or stepped."""

    graph: Graph
    steps: bool


class LeastAction(Method):
    """Neuronal least action; see the module. `least-action` of the command line.

    beta        strength of the nudge
    feedback    B_k: tied, random, or learned as the weights are
    sweeps      of engine equilibrium, the most allowed
    tolerance   at which they end: the change of each layer's errors, by its norm
    t_steps     of engine stepped, of a presentation; 10, or 2 L + 4 where that is more, unless given
    plasticity  of engine stepped: waiting, nothing is learned in the first 2 L steps; or continuous

    Example: `train(network, digits, method=LeastAction(beta=0.01))`.
    """

    name: ClassVar[str] = "least-action"
    beta: Positive = 0.1
    feedback: Feedback = "tied"
    sweeps: Annotated[int, Field(ge=1, le=10_000)] = 20
    tolerance: Positive = 1e-3
    t_steps: Count | None = None
    plasticity: Literal["waiting", "continuous"] = "waiting"

    @property
    def needs(self) -> Needs:
        """See `Method`."""
        if self.plasticity == "continuous":
            return Needs(feedback=self.feedback, losses=("squared_error",))
        return Needs(feedback=self.feedback)

    def graph(self, network: Network) -> Graph:
        """See `Method`."""
        return with_errors(network, self.feedback)

    def steps_in(self, graph: Graph) -> int:
        """T."""
        return max(USUAL_STEPS, passage_steps(graph) + 4) if self.t_steps is None else self.t_steps

    def waits(self, graph: Graph) -> int:
        """Steps at the beginning of a presentation in which nothing is learned."""
        return passage_steps(graph) if self.plasticity == "waiting" else 0

    def faults(self, graph: Graph) -> list[str]:
        """See `Method`: presentations in which no error reaches layer 1, or in which nothing is learned."""
        passage, steps = passage_steps(graph), self.steps_in(graph)
        if self.plasticity == "waiting" and steps <= passage:
            return [
                f"method.t_steps {steps}: plasticity waits for 2 L = {passage} steps; use {passage + 1} or more, or "
                "plasticity continuous"
            ]
        if steps < passage:
            return [
                f"method.t_steps {steps}: an error is in layer 1 after 2 L = {passage} steps; use {passage} or more"
            ]
        return []

    def prepare(self, graph: Graph, learning: Any) -> LeastActionWork:
        """See `Method`."""
        return LeastActionWork(graph, learning.engine == "stepped")

    def update(
        self, work: LeastActionWork, params: Parameters, state: OwnState, batch: Batch
    ) -> tuple[Changes, OwnState]:
        """See `Method`."""
        found = self._presented if work.steps else self._settled
        return Changes(found(work.graph, params, batch)), state

    def _settled(self, graph: Graph, params: Parameters, batch: Batch) -> dict[str, Factors]:
        rates, errors = settled(graph, params, batch.x, batch.target, self.beta, self.sweeps, self.tolerance)
        return along_weights(graph, rates, errors, 1.0 / self.beta)

    def _presented(self, graph: Graph, params: Parameters, batch: Batch) -> dict[str, Factors]:
        """The mean over the steps in which something is learned: their factors, one after the other."""
        shown = presentation(graph, params, batch.x, batch.target, beta=self.beta, t_steps=self.steps_in(graph))
        learned = [moment for step, moment in enumerate(shown) if step >= self.waits(graph)]
        found = {
            f"weights.{k}": Factors(
                np.concatenate([state.errors[k - 1] for _, state in learned]),
                np.concatenate([pre[k - 1] for pre, _ in learned]),
                1.0 / self.beta,
            )
            for k in range(graph.depth, 0, -1)
        }
        return found | returned(graph, found)

    def footprint(self, graph: Graph) -> Footprint:
        """See `Method`: in time, errors and rates at once."""
        return Footprint(
            (Stretch("presentation", self.steps_in(graph) + 1, ("feedforward", "error")),),
            ("prospective rate", "error"),
            "the rate before it and the error behind it, in every step"
            + (" after the first 2 L" if self.plasticity == "waiting" else ""),
            signed=True,
        )

    def operations(self, graph: Graph, learning: Any) -> int:
        """See `Method`: as many sweeps as are allowed, or each step; what the input delivers is computed once."""
        up, changed = footprint.forward(graph), footprint.learning(graph)
        above = up - footprint.weights(graph, graph.along("feedforward")[:1])
        swept = above + footprint.weights(graph, graph.back)
        if learning.engine != "stepped":
            return up + self.sweeps * swept + changed
        steps = self.steps_in(graph)
        return up - above + steps * swept + (steps - self.waits(graph)) * changed


def settled(
    graph: Graph, params: Parameters, x: Array, target: Array, beta: float, sweeps: int, tolerance: float
) -> tuple[list[Array], dict[int, Array]]:
    """r_0..r_L and e_1..e_L at the fixed point, from the forward pass, in the precision of `params`."""
    arith = Float(params.weights[0].dtype)
    x, target = arith.input(x), arith.array(target)
    errors: dict[int, Array] = {}
    drive = driven(graph, params, 1, x)
    for _ in range(sweeps):
        v, rates = passed_up(graph, params, x, drive, errors, arith)
        top = arith.scale(nudge(rates[-1], target, graph.loss, arith), beta)
        if errors:
            top = errors[graph.depth] + arith.scale(top - errors[graph.depth], DAMPING)
        before, errors = errors, passed_down(graph, params, v, top)
        if before and all(moved(before[k], e) <= tolerance for k, e in errors.items()):
            break
    _, rates = passed_up(graph, params, x, drive, errors, arith)
    return rates, errors


def passed_down(graph: Graph, params: Parameters, v: list[Array], top: Array) -> dict[int, Array]:
    """e_L = `top` and the errors below it, none of which takes a unit past an end of its range."""
    errors = {graph.depth: top}
    for k in range(graph.depth - 1, 0, -1):
        own, e = v[k - 1], down(graph, params, k, errors[k + 1])
        np.maximum(e, -own, out=e)
        if graph.r_max < np.inf:
            np.minimum(e, np.asarray(graph.r_max, e.dtype) - own, out=e)
        e *= slope(graph, own)
        errors[k] = e
    return errors


def moved(before: Array, now: Array) -> float:
    """|now - before| / |now|."""
    return float(np.linalg.norm(now - before) / max(np.linalg.norm(now), np.finfo(now.dtype).tiny))
