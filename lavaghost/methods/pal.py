"""Phaseless alignment learning (Max et al. 2022), from its equations: noise that every neuron makes teaches feedback.

    xi_k <- (1 - 1/tau) xi_k + sigma tau^(-1/2) w,  w ~ N(0, 1)       on the membranes of hidden layers
    h_k  <- (1 - 1/tau) h_k + r_k(t) - r_k(t-1)                       a high-pass, for which an input is a constant
    dB_k = eta_B (mean xi_k h_{k+1}^T - alpha B_k)

Its fixed point is B_k = sigma^2 / (4 alpha) E[rho'_k W_{k+1}^T rho'_{k+1}]: sigma and alpha set the scale of each
error, layer by layer. Here dB_k = eta_feedback (mean xi_k h_{k+1}^T / alpha - B_k) once per presentation, by
`Changes.add`, so that momentum and weight decay of the optimiser leave that point where it is. What a filter that
starts with the presentation has not yet passed on (`passed_share`) is divided out.

circuit   errors   errors come down beside the membranes, e_k = rho'(u_k) (B_k e_{k+1}), as in the authors' layers
          ghosts   feedback reaches the membranes, duplicate ghosts cancel it, and noise has a phase without target

Engine `stepped` shows a sample for T steps, as published; the jump of a new sample passes the high-pass and is larger
than sigma, so filters start when it has passed, and nothing is learned in the first 2 L steps. Engine `equilibrium`
takes the end points: the difference of a phase with noise N(0, sigma^2 / 2) and one without, of which a high-pass
would pass half. What the noise leaves of the ghosts' cancelling, lam B_k xi_{k+1}, is left out: it meets the noise of
another layer.

Noise is a function of seed, presentation and layer, and filters start anew with each: W and B are all that is saved.
B is dressed with slopes, and W is not: an angle to W^T stays where the angle to the fixed point has gone.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from lavaghost.base.names import Feedback
from lavaghost.base.spec import Count, Positive
from lavaghost.dynamics.neuron import nudge, slope
from lavaghost.engines.latent import passage_steps, presentation
from lavaghost.methods import footprint
from lavaghost.methods.base import Batch, Changes, Factors, Method, Needs, OwnState
from lavaghost.methods.carried import along_weights, carried, driven, passed_up, with_errors
from lavaghost.methods.footprint import Footprint, Stretch
from lavaghost.methods.ghost.method import PATHS, Ghost, GhostWork
from lavaghost.methods.learning import usual_eta
from lavaghost.net.graph import Graph
from lavaghost.net.network import Network
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array, Float

USUAL_STEPS = 20
"""Steps of a presentation where none are named, if the network is not too deep for them."""

Pair = tuple[Array, Array]
"""xi_k and h_{k+1} of samples, or of samples at several steps: `(samples, n_k)`, `(samples, n_{k+1})`."""


class PalWork(NamedTuple):
    """Graph, whether it is stepped, and the ghosts' own work, if there are any."""

    graph: Graph
    steps: bool
    ghosts: GhostWork | None


class Pal(Method):
    """Phaseless alignment learning; see the module. `pal` of the command line.

    circuit       errors, or ghosts
    feedback      learned, by noise; there is no other
    sigma, alpha  of the noise, of the decay of B
    eta_feedback  share of the way to what it measures that B goes in a presentation
    tau_xi_steps  tau, of the noise and of the high-pass; of engine stepped. Published 10; a presentation holds more
                  that is independent of a shorter one
    t_steps       of a presentation in engine stepped; 20, or 2 L + 14 where that is more, unless given
    beta          strength of the nudge
    lam           feedback gain of circuit ghosts

    Example: `train(network, digits, method=Pal(circuit="ghosts"))`.
    """

    name: ClassVar[str] = "pal"
    circuit: Literal["errors", "ghosts"] = "errors"
    feedback: Feedback = "learned"
    sigma: Positive = 0.05
    alpha: Positive = 4e-4
    eta_feedback: Annotated[float, Field(gt=0, le=1)] = 0.02
    tau_xi_steps: Annotated[float, Field(gt=1, le=1e6)] = 5.0
    t_steps: Count | None = None
    beta: Positive = 0.1
    lam: Positive = 0.03

    def usual_eta(self, depth: int) -> float:
        """See `Method`: B_k grows with W_{k+1} and with how many units are active, and so do errors, layer upon layer.

        Measured on digits, three seeds each: 0.1 for L = 2, 0.02 for L = 3 and 0.01 for L = 4 learn; 0.03 for L = 3 and
        for L = 4 diverges for some seed.
        """
        return float(f"{0.1 * 0.2 ** (depth - 2):.0g}") if depth > 1 else usual_eta(depth)

    @property
    def ghost(self) -> Ghost:
        """The ghosts of circuit ghosts."""
        return Ghost(feedback="learned", lam=self.lam, beta=self.beta)

    @property
    def needs(self) -> Needs:
        """See `Method`."""
        if self.circuit == "ghosts":
            return Needs(feedback="learned", ghosts=True, engines=("equilibrium",))
        return Needs(feedback="learned")

    @property
    def scale(self) -> float:
        """sigma^2 / (4 alpha)."""
        return self.sigma**2 / (4.0 * self.alpha)

    def graph(self, network: Network) -> Graph:
        """See `Method`."""
        return self.ghost.graph(network) if self.circuit == "ghosts" else with_errors(network, "learned")

    def steps_in(self, graph: Graph) -> int:
        """T."""
        return max(USUAL_STEPS, passage_steps(graph) + 14) if self.t_steps is None else self.t_steps

    def faults(self, graph: Graph) -> list[str]:
        """See `Method`: feedback that noise does not teach, and presentations in which nothing is learned."""
        found, passage, steps = [], passage_steps(graph), self.steps_in(graph)
        if self.feedback != "learned":
            other = {"tied": "backprop", "random": "fa"}[self.feedback]
            found.append(
                f"method.feedback {self.feedback}: noise teaches the feedback of 'pal'; use feedback learned, or "
                + (
                    f"--method {other}"
                    if self.circuit == "errors"
                    else f"--method ghost with {self.feedback} feedback"
                )
            )
        if steps <= passage:
            found.append(
                f"method.t_steps {steps}: plasticity waits for 2 L = {passage} steps; use {passage + 1} or more"
            )
        return found

    def prepare(self, graph: Graph, learning: Any) -> PalWork:
        """See `Method`."""
        ghosts = self.ghost.prepare(graph, learning) if graph.has_ghosts else None
        return PalWork(graph, learning.engine == "stepped", ghosts)

    def update(
        self, work: PalWork, params: Parameters, state: OwnState, batch: Batch
    ) -> tuple[Changes, OwnState]:
        """See `Method`."""
        measure = self._presented if work.steps else self._ghosts if work.ghosts else self._errors
        factors, noisy = measure(work, params, batch)
        if batch.purpose == "probe":
            return Changes(factors), state
        taught = self.taught(work, params, noisy)
        return Changes({} if batch.purpose == "pretrain" else factors, taught), state

    def taught(self, work: PalWork, params: Parameters, noisy: Sequence[Pair]) -> dict[str, Array]:
        """dB_k, by tensor, of the pairs of all hidden layers."""
        found = {}
        passed = passed_share(self, work.graph) if work.steps else 1.0
        for k, (link, (xi, h)) in enumerate(zip(work.graph.back, noisy, strict=True), start=1):
            if not link.plastic or link.tensor is None:
                continue
            own = params.feedback[k - 1]
            gain = 1.0 / (passed * self.alpha * len(xi))
            change = work.graph.products(link).correlate(xi, h, np.empty_like(own), gain)
            change -= own
            found[link.tensor] = change * np.asarray(self.eta_feedback, own.dtype)
        return found

    # ---- what a batch shows

    def _errors(self, work: PalWork, params: Parameters, batch: Batch) -> tuple[dict[str, Factors], list[Pair]]:
        """By end points: errors down B at the forward pass, and the forward pass with noise."""
        graph, arith = work.graph, Float(params.weights[0].dtype)
        x, target = arith.input(batch.x), arith.array(batch.target)
        drive = driven(graph, params, 1, x)
        _, rates = passed_up(graph, params, x, drive, {}, arith)
        top = nudge(rates[-1], target, graph.loss, arith)
        found = along_weights(graph, rates, carried(graph, params, rates, top))
        return of_weights(found), self._differences(graph, params, x, drive, rates, batch, arith)

    def _ghosts(self, work: PalWork, params: Parameters, batch: Batch) -> tuple[dict[str, Factors], list[Pair]]:
        """Ghost learning, and another free phase with noise."""
        assert work.ghosts is not None
        graph, arith = work.graph, Float(params.weights[0].dtype)
        trial = work.ghosts.engine.trial(params, batch.x, batch.target)
        found = of_weights(self.ghost.factors(work.ghosts, params, trial))
        x = arith.input(batch.x)
        drive, rates = driven(graph, params, 1, x), [x, *trial.free]
        return found, self._differences(graph, params, x, drive, rates, batch, arith)

    def _differences(
        self,
        graph: Graph,
        params: Parameters,
        x: Array,
        drive: Array,
        rates: Sequence[Array],
        batch: Batch,
        arith: Float,
    ) -> list[Pair]:
        """Noise, and half of what it does to the rates `rates` = r_0..r_L."""
        spread = self.sigma / math.sqrt(2.0)
        xi = {
            k: arith.array(batch.moment.rng(k).standard_normal(rates[k].shape) * spread)
            for k in range(1, graph.depth)
        }
        _, noisy = passed_up(graph, params, x, drive, xi, arith)
        return [(xi[k], arith.scale(noisy[k + 1] - rates[k + 1], 0.5)) for k in range(1, graph.depth)]

    def _presented(
        self, work: PalWork, params: Parameters, batch: Batch
    ) -> tuple[dict[str, Factors], list[Pair]]:
        """In time: factors and pairs of each step after 2 L, one after the other."""
        graph, depth = work.graph, work.graph.depth
        steps, passage, keep = self.steps_in(graph), passage_steps(graph), 1.0 - 1.0 / self.tau_xi_steps
        arith = Float(params.weights[0].dtype)
        xi = [self.coloured(batch, k, steps, graph.layers[k], arith) for k in range(1, depth)]
        shown = presentation(
            graph,
            params,
            batch.x,
            batch.target,
            beta=self.beta,
            t_steps=steps,
            felt=False,
            noise=lambda step: [own[step - 1] for own in xi],
        )
        post: list[list[Array]] = [[] for _ in range(depth)]
        pre: list[list[Array]] = [[] for _ in range(depth)]
        passed: list[list[Array]] = [[] for _ in range(depth)]
        before: Sequence[Array] = ()
        h = [arith.zeros(1, 1)] * depth
        for step, (below, state) in enumerate(shown, start=1):
            if step > depth:  # the input has arrived everywhere
                h = [arith.scale(a, keep) + (r - old) for a, r, old in zip(h, state.rates, before, strict=True)]
            before = state.rates
            if step <= passage:
                continue
            for k in range(depth):
                post[k].append(state.errors[k])
                pre[k].append(below[k])
                passed[k].append(h[k])
        joined = np.concatenate
        found = {
            f"weights.{k}": Factors(joined(post[k - 1]), joined(pre[k - 1]), 1.0 / self.beta)
            for k in range(depth, 0, -1)
        }
        return found, [(joined(xi[k - 1][passage:]), joined(passed[k])) for k in range(1, depth)]

    def coloured(self, batch: Batch, k: int, steps: int, size: int, arith: Float) -> list[Array]:
        """xi_k of each step of a presentation, `(batch, n_k)`, from its stationary distribution."""
        drawn = batch.moment.rng(k).standard_normal((steps, len(batch.x), size))
        keep, fresh = 1.0 - 1.0 / self.tau_xi_steps, self.sigma / math.sqrt(self.tau_xi_steps)
        found = [drawn[0] * (fresh / math.sqrt(1.0 - keep**2))]
        for w in drawn[1:]:
            found.append(keep * found[-1] + fresh * w)
        return [arith.array(xi) for xi in found]

    # ---- what it shows of itself

    def expected(self, graph: Graph, params: Parameters, x: Array) -> list[Array]:
        """The fixed points of B_1..B_{L-1} for samples `x`, `(n_k, n_{k+1})`."""
        arith = Float(np.float64)
        wide = params.astype(np.float64)
        x = arith.input(x)
        _, rates = passed_up(graph, wide, x, driven(graph, wide, 1, x), {}, arith)
        slopes = [slope(graph, r).astype(np.float64) for r in rates[1:-1]] + [np.ones_like(rates[-1])]
        return [
            self.scale * (own.T @ above / len(x)) * graph.up[k].matrix(wide.weights[k]).T
            for k, (own, above) in enumerate(pairwise(slopes), start=1)
        ]

    def figures(self, work: PalWork, params: Parameters, state: OwnState, batch: Batch) -> dict[str, Any]:
        """Of each hidden layer: `predicted_scales`, |B_k| / |W_{k+1}| at the fixed point, beside `feedback_scales`;
        `predicted_angles`, in degrees, from B_k to it; and what ghosts leave.
        """
        norm, expected = np.linalg.norm, self.expected(work.graph, params, batch.x)
        own = [b.astype(np.float64) for b in params.feedback]
        cosines = [np.vdot(b, e) / max(norm(b) * norm(e), 1e-300) for b, e in zip(own, expected, strict=True)]
        found = {} if work.ghosts is None else self.ghost.figures(work.ghosts, params, state, batch)
        return found | {
            "predicted_scales": [
                float(norm(e) / max(norm(w), 1e-300)) for e, w in zip(expected, params.weights[1:], strict=True)
            ],
            "predicted_angles": [math.degrees(math.acos(min(1.0, max(-1.0, c)))) for c in cosines],
        }

    def footprint(self, graph: Graph) -> Footprint:
        """See `Method`."""
        taught = "; feedback, the noise of its neuron and the high-passed rate above"
        if self.circuit == "ghosts":
            ghost = self.ghost.footprint(graph)
            noisy = Stretch("noise", graph.schedule.t_free_steps, PATHS)
            return ghost._replace(
                phases=(noisy, *ghost.phases),
                states=(*ghost.states, "noise", "change by noise"),
                reads=ghost.reads + taught,
                signed=True,
            )
        return Footprint(
            (Stretch("presentation", self.steps_in(graph) + 1, ("feedforward", "error")),),
            ("prospective rate", "error", "noise", "high-passed rate"),
            "the rate before it and the error behind it, in every step after the first 2 L" + taught,
            signed=True,
        )

    def operations(self, graph: Graph, learning: Any) -> int:
        """See `Method`: as it learns without feedback's own change, a forward pass with noise, and that change."""
        up, back, changed = (
            footprint.forward(graph),
            footprint.weights(graph, graph.back),
            footprint.learning(graph),
        )
        above = up - footprint.weights(graph, graph.along("feedforward")[:1])
        if self.circuit == "ghosts":
            return self.ghost.operations(graph, learning) + up
        if learning.engine != "stepped":
            return up + above + back + changed
        steps = self.steps_in(graph)
        return up - above + steps * (above + back) + (steps - passage_steps(graph)) * changed


def of_weights(found: dict[str, Factors]) -> dict[str, Factors]:
    """Without the factors of feedback."""
    return {name: factors for name, factors in found.items() if name.startswith("weights.")}


def passed_share(method: Pal, graph: Graph) -> float:
    """E[xi_k h_{k+1}] of a presentation over sigma^2 / 4 of its slope: a filter that has run m steps has passed

    4 a / (1 + a)^2 (1 - a^(2 m)),   a = 1 - 1 / tau

    of it; the mean over the steps in which something is learned. The a is for the step that a product takes.
    """
    a = 1.0 - 1.0 / method.tau_xi_steps
    ran = range(passage_steps(graph) + 1 - graph.depth, method.steps_in(graph) + 1 - graph.depth)
    return 4.0 * a / (1.0 + a) ** 2 * (1.0 - sum(a ** (2 * m) for m in ran) / len(ran))
