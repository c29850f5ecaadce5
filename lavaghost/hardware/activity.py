"""How active a network is: what the stepped engine sends in every step of a trial, measured on data.

Two ways of sending a rate are counted, because chips differ:

    graded   a spike carries a number; a neuron sends in a step in which its rate is not zero
    spikes   spikes are binary; a neuron sends min(|r| / r_99.9, 1) of a spike per step on average, as an
             integrate-and-fire neuron does, where r_99.9 is the 99.9th percentile of its population's rates
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lavaghost.base.names import Code, Phase
from lavaghost.dynamics import Parameters, State
from lavaghost.engines.stepped import Stepped
from lavaghost.hardware.demand import Demand
from lavaghost.hardware.schema import Hardware
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Array

PERCENTILE = 99.9


@dataclass(frozen=True)
class Activity:
    """Messages per neuron and step, by population; `steps` of one trial; where the figures are from.

    code  how rates are sent; None is as numbers wherever a chip can
    """

    steps: int
    graded: Mapping[str, float]
    spikes: Mapping[str, float]
    origin: str
    code: Code | None = None

    def rates(self, hardware: Hardware) -> Mapping[str, float]:
        """Messages per neuron and step in the way of `code`, or of `hardware`."""
        usual: Code = "numbers" if (hardware.limits.payload_bits.limit or 0) > 0 else "counts"
        return self.graded if (self.code or usual) == "numbers" else self.spikes

    def rate_of(self, population: str, hardware: Hardware) -> float:
        """The same for one population; a relay sends whenever it can."""
        return self.rates(hardware).get(population, 1.0)


def assumed(demand: Demand) -> Activity:
    """Every neuron sends in every step: an upper bound, for when there is no data."""
    rates = {p.name: 1.0 for p in demand.populations}
    return Activity(
        sample_steps(demand.graph, demand.phase), rates, rates, "assumed: every neuron in every step"
    )


def sample_steps(graph: Graph, phase: Phase) -> int:
    """Steps of one inference, or of one training sample."""
    schedule = graph.schedule
    return schedule.t_free_steps + (schedule.t_nudge_steps if phase == "learning" else 0)


def measured_activity(graph: Graph, params: Parameters, x: Array, target: Array | None) -> Activity:
    """Run `x (samples, n_0)` through the stepped engine, nudged towards `target (samples, n_L)` if it is given."""
    engine = Stepped(graph)
    phase: Phase = "inference" if target is None else "learning"
    traces: dict[str, list[Array]] = {}
    for _, state in engine.states(params, x, target):
        for name, rate in _named(engine, state, phase):
            traces.setdefault(name, []).append(np.asarray(rate))
    steps = sample_steps(graph, phase)
    graded = {"input": float(np.count_nonzero(x)) / x.size}
    spikes = {"input": _spikes(np.asarray(x)[None])}
    for name, values in traces.items():
        whole = np.stack(values)
        graded[name] = float(np.count_nonzero(whole)) / whole.size
        spikes[name] = _spikes(whole)
    return Activity(steps, graded, spikes, f"measured by the stepped engine on {len(x)} samples")


def _named(engine: Stepped, state: State, phase: Phase) -> list[tuple[str, Array]]:
    rates = engine.rates(state)
    names = [f"hidden.{k}" for k in range(1, len(rates))] + ["output"]
    found = list(zip(names, rates, strict=True))
    if phase == "learning" and engine.graph.has_ghosts:
        ghosts = engine.ghost_rates(state)
        found += [(f"ghost.{k}", g) for k, g in enumerate(ghosts, start=1)]
    return found


def _spikes(rates: Array) -> float:
    """Mean number of spikes per neuron and step, at most one each."""
    size = np.abs(rates)
    top = float(np.percentile(size, PERCENTILE))
    return float(np.minimum(size / top, 1.0).mean()) if top > 0 else 0.0
