"""Activation relaxation (Millidge, Tschantz, Seth and Buckley 2020), as the authors' code has it.

    x_L = -(y - p(r_L)), held;   x_k <- x_k - a (x_k - B_k (x_{k+1} rho'(u_{k+1})))   T times, the top layer first
    dW_k = -(x_k rho'(u_k)) r_{k-1}^T

Rates and slopes are those of the forward pass, which the relaxation does not move, so that it is linear. T steps are
then sums of what T = 0 carries down, with weights that only a and T say (`weights_of`): L (L - 1) / 2 products with a
start other than zero and L - 1 without, instead of T (L - 1).

In time every layer takes a step at once, and errors arrive a step later: with rate 1, started at zero, x_k is then
minus the error that comes down (`dynamics.errors`), which is how the engines that step learn it.

Started at zero the direction is that of backprop for every a and T, and T only scales layers; a = 1 for L - 1 steps is
backprop. Published, x_k starts at r_k, of which (1 - a)^T is left; as errors shrink in training, that residue wins.
"""

import math
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from lavaghost.base.names import Feedback
from lavaghost.dynamics.neuron import nudge, slope
from lavaghost.methods import footprint
from lavaghost.methods.backprop import FLOAT32
from lavaghost.methods.base import Batch, Changes, Method, Needs, OwnState, Teacher
from lavaghost.methods.carried import (
    IN_TIME,
    ForwardWork,
    OwnError,
    along_weights,
    down,
    taught_in_time,
    with_errors,
    work_in_time,
)
from lavaghost.methods.footprint import Footprint, Stretch
from lavaghost.net.graph import Graph
from lavaghost.net.network import Network
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array

RESIDUE = 0.5
"""The authors' x_L is 2 (r_L - y) and their x_k starts at r_k; here x_L is r_L - y, so x_k starts at half of r_k."""


class ActivationRelaxation(Method):
    """Activation relaxation; see the module. `relaxation` of the command line.

    steps       T; as many as there are hidden layers unless given, which with rate 1 is exact
    rate        a
    start       of x_k: zero, or rates as published
    sweep       each layer from the x above that has just moved, top first (sequential, as published), or all at once
    solve       the sums that T steps are (closed), or the steps; they are equal up to rounding
    derivative  whether rho' stands in the relaxation; it stays in the weights' change
    feedback    B_k: tied, random (the authors' feedback alignment), or learned as the weights are

    Published: steps 100, rate 0.1, start rates; relaxed: feedback learned, derivative false, and both.
    Example: `ActivationRelaxation(steps=100, rate=0.1, start="rates")`.
    """

    name: ClassVar[str] = "relaxation"
    steps: Annotated[int, Field(ge=1, le=100_000)] | None = None
    rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    start: Literal["zero", "rates"] = "zero"
    sweep: Literal["sequential", "parallel"] = "parallel"
    solve: Literal["closed", "steps"] = "closed"
    derivative: bool = True
    feedback: Feedback = "tied"

    @property
    def needs(self) -> Needs:
        """See `Method`."""
        other = self._other_than_in_time()
        if not other:
            return Needs(feedback=self.feedback, engines=IN_TIME)
        why = (
            f"with {' and '.join(other)} it is no error that comes down a layer a step; there, use rate 1, sweep "
            "parallel, start zero, derivative true and feedback tied or random"
        )
        return Needs(feedback=self.feedback, engines=("equilibrium",), why=why)

    def _other_than_in_time(self) -> list[str]:
        """Settings by which it is not what the stepped engine and Lava learn."""
        in_time = {"rate": 1.0, "sweep": "parallel", "start": "zero", "derivative": True}
        found = [f"{name} {getattr(self, name)}" for name, v in in_time.items() if getattr(self, name) != v]
        return found + (["feedback learned"] if self.feedback == "learned" else [])

    def graph(self, network: Network) -> Graph:
        """See `Method`."""
        return with_errors(network, self.feedback)

    def teacher(self, graph: Graph) -> Teacher:
        """See `Method`: the output's error, held."""
        return OwnError(graph.loss)

    def faults(self, graph: Graph) -> list[str]:
        """See `Method`: steps in which nothing reaches layer 1."""
        hidden = graph.depth - 1
        if self.sweep == "sequential" or self.steps is None or self.steps >= hidden:
            return []
        return [
            f"method.steps {self.steps}: an error passes one layer a step, and there are {hidden} hidden layers; use "
            f"{hidden} or more, or sweep sequential"
        ]

    def steps_in(self, graph: Graph) -> int:
        """T."""
        return max(1, graph.depth - 1) if self.steps is None else self.steps

    def prepare(self, graph: Graph, learning: Any) -> ForwardWork:
        """See `Method`."""
        return work_in_time(graph, learning)

    def update(
        self, work: ForwardWork, params: Parameters, state: OwnState, batch: Batch
    ) -> tuple[Changes, OwnState]:
        """See `Method`."""
        graph = work.graph
        if work.stepped is not None:
            return Changes(taught_in_time(graph, work.stepped, params, batch, self.teacher(graph))), state
        rates = work.rates(params, batch.x)
        slopes = [slope(graph, r) for r in rates[1:-1]]
        x = self.relaxed(graph, params, rates, -nudge(rates[-1], batch.target, graph.loss, FLOAT32))
        errors = {k: -x[k - 1] for k in range(1, graph.depth + 1)}
        for k, own in enumerate(slopes, start=1):
            errors[k] *= own
        return Changes(along_weights(graph, rates, errors)), state

    def relaxed(self, graph: Graph, params: Parameters, rates: list[Array], top: Array) -> list[Array]:
        """x_1..x_L after T steps, `(batch, n_k)`, from `top` = x_L and r_0..r_L."""
        start = [np.zeros_like(r) for r in rates[1:-1]]
        if self.start == "rates":
            start = [r * np.asarray(RESIDUE, r.dtype) for r in rates[1:-1]]
        x = [*start, top]
        solved = self._stepped if self.solve == "steps" else self._closed
        return solved(graph, params, rates, x)

    def _down(self, graph: Graph, params: Parameters, rates: list[Array], k: int, above: Array) -> Array:
        """B_k (x_{k+1} rho'(u_{k+1})), or without the slope."""
        if self.derivative and k + 1 < graph.depth:
            above = above * slope(graph, rates[k + 1])
        return down(graph, params, k, above)

    def _stepped(self, graph: Graph, params: Parameters, rates: list[Array], x: list[Array]) -> list[Array]:
        a = np.asarray(self.rate, x[-1].dtype)
        for _ in range(self.steps_in(graph)):
            source = x if self.sweep == "sequential" else list(x)
            for k in range(graph.depth - 1, 0, -1):
                x[k - 1] = x[k - 1] - a * (x[k - 1] - self._down(graph, params, rates, k, source[k]))
        return x

    def _closed(self, graph: Graph, params: Parameters, rates: list[Array], x: list[Array]) -> list[Array]:
        depth, steps = graph.depth, self.steps_in(graph)
        given, held = weights_of(depth, steps, self.rate, self.sweep)
        found = [np.zeros_like(one) for one in x[:-1]]
        for source in range(depth, 0, -1):
            if source < depth and self.start == "zero":
                break
            share, here = (held if source == depth else given), x[source - 1]
            if source < depth:
                found[source - 1] += here * np.asarray(share[0], here.dtype)
            for k in range(source - 1, 0, -1):
                here = self._down(graph, params, rates, k, here)
                found[k - 1] += here * np.asarray(share[source - k], here.dtype)
        return [*found, x[-1]]

    def footprint(self, graph: Graph) -> Footprint:
        """See `Method`; in time all layers step at once."""
        forward = Stretch("forward", graph.depth + 1, ("feedforward",))
        return Footprint(
            (forward, Stretch("relaxation", self.steps_in(graph) + 1, ("error",))),
            ("rate", "relaxing activity"),
            "the rate before it, kept from the forward phase, and the relaxed activity behind it",
            signed=True,
        )

    def operations(self, graph: Graph, learning: Any) -> int:
        """See `Method`: up, the change, and each product with feedback."""
        back = [footprint.weights(graph, (link,)) for link in graph.back]
        if self.solve == "steps":
            carried = self.steps_in(graph) * sum(back)
        elif self.start == "zero":
            carried = sum(back)
        else:  # B_k takes down what each layer above it has
            carried = sum(size * (graph.depth - k) for k, size in enumerate(back, start=1))
        return footprint.forward(graph) + carried + footprint.learning(graph)


@lru_cache(maxsize=64)
def weights_of(
    depth: int, steps: int, rate: float, sweep: Literal["sequential", "parallel"]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What T steps leave of a start, and what they add of a held source, d = 0..depth - 1 layers below it.

    parallel     C(T, d) a^d (1 - a)^(T - d),       sum over t = 1..T - d + 1 of C(t + d - 2, d - 1) a^d (1 - a)^(t - 1)
    sequential   C(T - 1 + d, d) a^d (1 - a)^T,     the same sum over t = 1..T

    At once, a layer waits one step for each layer above it; the sum is P(Bin(T, a) >= d), of positive terms alone.
    """
    keep = 1.0 - rate

    def term(ways: int, d: int, kept: int) -> float:
        if kept and keep == 0.0:
            return 0.0
        return math.exp(math.log(ways) + d * math.log(rate) + (kept * math.log(keep) if kept else 0.0))

    at_once = sweep == "parallel"
    given, held = [], [1.0]
    for d in range(depth):
        if at_once:
            given.append(term(math.comb(steps, d), d, steps - d) if d <= steps else 0.0)
        else:
            given.append(term(math.comb(steps - 1 + d, d), d, steps))
    for d in range(1, depth):
        last = steps - d + 1 if at_once else steps
        held.append(math.fsum(term(math.comb(t + d - 2, d - 1), d, t - 1) for t in range(1, last + 1)))
    return tuple(given), tuple(held)
