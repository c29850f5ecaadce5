"""One answer to "does it fit, where does it go, what does it cost": the mapping, its traffic and its price."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from lavaghost.base.names import Phase
from lavaghost.hardware.activity import Activity, assumed
from lavaghost.hardware.cost import Cost, cost, cost_of_phases
from lavaghost.hardware.demand import Demand, demand_of
from lavaghost.hardware.figures import Figure, Figures, Flag
from lavaghost.hardware.findings import Plan
from lavaghost.hardware.mapper import map_network, remedied
from lavaghost.hardware.placement import Mapping
from lavaghost.hardware.schema import Hardware
from lavaghost.hardware.traffic import Traffic, traffic
from lavaghost.methods.footprint import Footprint
from lavaghost.net.graph import Graph


@dataclass(frozen=True)
class Report:
    """Everything that `lavaghost map` knows. `traffic` and `cost` are None where there is no placement."""

    graph: Graph
    phase: Phase
    mapping: Mapping
    activity: Activity
    traffic: Traffic | None
    cost: Cost | None

    @property
    def unknown(self) -> tuple[str, ...]:
        """Every question without an answer."""
        found = list(self.mapping.unknown) + list(self.cost.unknown if self.cost else ())
        if self.mapping.cores and self.traffic is None:
            found.append("traffic, energy and time: not worked out for so many cores")
        if self.mapping.demand.relays:
            name = self.mapping.hardware.name
            found.append(f"relays on {name}: the loss of precision in partial sums is not measured")
        return tuple(dict.fromkeys(found))

    def as_json(self) -> dict[str, Any]:
        """The published keys, and details below them."""
        m, price = self.mapping, self.cost
        return {
            "hardware": m.hardware.name,
            "phase": self.phase,
            "layers": list(self.graph.layers),
            "fits": m.fits,
            "status": m.status,
            "headline": m.headline,
            "undecided": list(m.unknown),
            "messages": m.messages,
            "violations": [v.as_json() for v in m.violations],
            "cores": m.needed,
            "cores_lower_bound": m.lower_bound,
            "utilization": m.utilization,
            "energy_j": None if price is None else price.energy_j,
            "latency_s": None if price is None else price.latency_s,
            "overhead_learning": overhead(self.graph),
            "unknown": list(self.unknown),
            "weight_bits": m.plan.weight_bits,
            "energy": None if price is None else price.as_json(),
            "constants": constants(m.hardware),
            "activity": {
                "origin": self.activity.origin,
                "messages_per_neuron_and_step": dict(self.activity.rates(m.hardware)),
            },
            "messages_per_step": None if self.traffic is None else float(self.traffic.messages.sum()),
            "hops_per_step": None if self.traffic is None else self.traffic.hops_per_step,
            "placement": [
                {
                    "core": position,
                    "slices": [{"layer": s.population, "start": s.start, "stop": s.stop} for s in core.slices],
                    **core.usage.as_json(),
                }
                for core, position in zip(m.cores, self.positions(), strict=True)
            ],
            "published": [row.model_dump(mode="json") for row in m.hardware.published],
            "tested_on_hardware": False,
        }

    def kept(self) -> dict[str, Any]:
        """What a saved network keeps of it: which units lie on which core."""
        slices = [[[s.population, s.start, s.stop] for s in core.slices] for core in self.mapping.cores]
        cores = [{"core": n, "slices": found} for n, found in zip(self.positions(), slices, strict=True)]
        m = self.mapping
        return {
            "phase": self.phase,
            "status": m.status,
            "undecided": list(m.unknown),
            "messages": m.messages,
            "weight_bits": m.plan.weight_bits,
            "cores": cores,
        }

    def positions(self) -> list[int]:
        """The physical core of each placed one; in order where the chip's mesh is not known."""
        if self.traffic is None or self.traffic.position is None:
            return [i if core.place is None else core.place for i, core in enumerate(self.mapping.cores)]
        return [int(p) for p in self.traffic.position]


def make(
    graph: Graph,
    hardware: Hardware,
    phase: Phase,
    plan: Plan,
    *,
    activity: Activity | None = None,
    apply: bool = False,
    footprint: Footprint | None = None,
) -> Report:
    """Map `graph`; with `apply`, use the remedies that the mapper has. Without `activity` it is assumed."""
    mapping = (remedied if apply else map_network)(graph, hardware, phase, plan)
    return priced(mapping, activity, footprint=footprint)


def priced(
    mapping: Mapping,
    activity: Activity | None = None,
    taught: float = 1.0,
    footprint: Footprint | None = None,
) -> Report:
    """The price of a mapping; of a training sample, in the mean of many of which the share `taught` teaches.

    A `footprint` says the phases of a training sample; else it is a trial of the graph's schedule, in which all
    projections work all the time.
    """
    graph, phase = mapping.demand.graph, mapping.demand.phase
    activity = replace(activity or assumed(mapping.demand), code=mapping.messages)
    moved = traffic(mapping, activity)
    price = None
    if moved is not None and footprint is not None and phase == "learning":
        price = cost_of_phases(mapping, activity, moved, footprint.phases, taught)
    elif moved is not None:
        price = cost(mapping, activity, moved, taught)
    return Report(graph, phase, mapping, activity, moved, price)


def overhead(graph: Graph) -> dict[str, float]:
    """What ghosts and feedback add to the feedforward network, as a share of it; and how much of that idles.

    What is fed back teaches the layer that it reaches, and those below: below the lowest one that learns, nothing.
    It is mapped as the graph has it all the same.
    """
    without, with_ = demand_of(graph, "inference"), demand_of(graph, "learning")
    idle = _idle(graph)
    return {
        "neurons": with_.neurons / without.neurons - 1,
        "synapses": with_.synapses / without.synapses - 1,
        "ghosts": _size(with_, "ghost"),
        "feedback_synapses": _synapses(with_, "feedback", "error"),
        "ghost_synapses": _synapses(with_, "ghost", "inhibition"),
        "idle_ghosts": sum(p.size for p in with_.populations if p.name in idle and p.role == "ghost"),
        "idle_synapses": sum(c.synapses for c in with_.shares if c.path != "feedforward" and c.target in idle),
    }


def _idle(graph: Graph) -> frozenset[str]:
    """Hidden layers below the lowest one that learns, and the ghosts beside them; all of them if none learns."""
    learns = [k for k, p in enumerate(graph.along("feedforward"), start=1) if p.plastic]
    below = {graph.layer(k) for k in range(1, min(learns, default=graph.depth))}
    beside = {p.source for p in graph.along("inhibition") if p.target in below}
    return frozenset(below | beside)


def _size(demand: Demand, role: str) -> int:
    return sum(p.size for p in demand.populations if p.role == role)


def _synapses(demand: Demand, *paths: str) -> int:
    return sum(c.synapses for c in demand.shares if c.path in paths)


def constants(hardware: Hardware) -> list[dict[str, Any]]:
    """The constants of energy and time with their sources."""
    return [row for row in chip_figures(hardware) if row["figure"].startswith(("energy.", "latency."))]


def chip_figures(hardware: Hardware) -> list[dict[str, Any]]:
    """Every figure of a configuration that is known, with unit, source and confidence."""
    return list(_figures(hardware))


def _figures(hardware: Hardware) -> Iterator[dict[str, Any]]:
    for path, entry in hardware.sourced():
        if isinstance(entry, Figure):
            value, unit = entry.value, entry.unit
            value = "unlimited" if value == float("inf") else value
        elif isinstance(entry, Figures):
            value, unit = list(entry.values) or None, entry.unit
        elif isinstance(entry, Flag):
            value, unit = entry.value, ""
        else:
            continue
        yield {
            "figure": path,
            "value": value,
            "unit": unit,
            "source": hardware.sources[entry.source] if entry.source is not None else None,
            "confidence": entry.confidence,
            "note": entry.note,
        }
