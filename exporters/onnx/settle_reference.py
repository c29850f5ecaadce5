"""The free phase in time as a reference for files that step, and how far rounding can carry two walks apart.

The reference is the stepped engine in double precision. A bound by absolute values would grow with every step,
since it cannot see that ghosts cancel the feedback. So the rounding of a float32 walk is sampled (J. Vignes, A
stochastic arithmetic for reliable scientific computation, Math. Comput. Simul. 35, 233, 1993): the same engine
walks in an arithmetic whose products are off by

    z sqrt(n + 8) u (|W| |r|)        z normal, drawn once for each unit and walk, u = 2^-24

which is the deviation of `floats.rounding`, and worse than rounding in that it does not average out over time.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from lavaghost.engines.stepped import Stepped
from lavaghost.exporters.base import Expected
from lavaghost.exporters.floats import LAMBDA, UNIT, model_rates
from lavaghost.model.model import Model
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Array, Float

WALKS = 8
"""Sampled walks; with the samples of a batch they estimate a deviation to a few per cent."""
BATCH = 250


@dataclass(frozen=True)
class Sampled(Float):
    """Double precision with errors of the size of float32's; equal operands have equal errors."""

    seed: int = 0
    draws: dict[tuple[int, ...], Array] = field(default_factory=dict, compare=False)

    def connection(self, weights: Any, group: str, k: int, products: Any = None) -> Any:
        """See `Arithmetic`; the exact matrix of any kind."""
        values = self.array(weights)
        return values if products is None else products.matrix(values)

    def synapse(self, weights: Array, rate: Array) -> Array:
        """See `Arithmetic`."""
        size = math.sqrt(weights.shape[1] + 8) * UNIT * (np.abs(rate) @ np.abs(weights).T)
        exact = rate @ weights.T
        return exact + size * self._draw(id(weights), exact.shape)

    def integrate(self, v_mem: Array, drive: Array, tau_steps: float) -> Array:
        """See `Arithmetic`."""
        exact = super().integrate(v_mem, drive, tau_steps)
        return exact + 2.0 * UNIT * (np.abs(v_mem) + np.abs(drive)) / tau_steps * self._draw(0, exact.shape)

    def _draw(self, key: int, shape: tuple[int, ...]) -> Array:
        place = (key, *shape)
        if place not in self.draws:
            rng = np.random.default_rng((self.seed, len(self.draws)))
            self.draws[place] = rng.standard_normal(shape)
        return self.draws[place]


def with_steps(graph: Graph, steps: int) -> Graph:
    """`graph` with a free phase of `steps` steps, the reset included; one that does not relax has no other time."""
    return graph.having(schedule=graph.schedule.model_copy(update={"t_free_steps": steps}))


def settled_in_time(trained: Model, steps: int, x: Array, arith: Float | None = None) -> Array:
    """r_L of the stepped engine after `steps` steps, the reset included, for `x (samples, n_0)`: `(samples, n_L)`.

    A network that does not relax is at its end point when its schedule is over, and stays there.
    """
    engine = Stepped(with_steps(trained.graph, steps), arith)
    ((_, state),) = deque(islice(engine.states(trained.params, x), steps), maxlen=1)
    return engine.rates(state)[-1]


def settle_expected(trained: Model, steps: int, raw: Array) -> Expected:
    """What a float32 walk must answer for `raw (samples, n_0)`."""
    x = model_rates(raw, trained.input_scale)
    parts = [_walks(trained, steps, x[i : i + BATCH]) for i in range(0, len(x), BATCH)]
    logits, tolerance = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Expected(logits, tolerance, exact=False, labels=logits.argmax(axis=1))


def _walks(trained: Model, steps: int, x: Array) -> tuple[Array, Array]:
    exact = settled_in_time(trained, steps, x)
    off = [settled_in_time(trained, steps, x, Sampled(seed=seed)) - exact for seed in range(WALKS)]
    variance = np.mean(np.square(off), axis=0)
    # one sample's own estimate has few draws, so it is at least that of all
    deviation = np.sqrt(np.maximum(variance, variance.mean(axis=0)))
    return exact, LAMBDA * math.sqrt(2.0) * deviation + 2.0 * UNIT * np.abs(exact)
