"""Methods side by side on one chip: what each one's populations, projections, phases and steps take of it.

The network is the same for all. A method puts its own beside it (`Method.graph`), needs so many steps of so many phases
for a training sample (`Method.footprint`), and is placed and priced by the mapper like any other graph.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lavaghost.hardware.activity import Activity
from lavaghost.hardware.adapted import CARRIED, as_if_carried
from lavaghost.hardware.findings import Plan
from lavaghost.hardware.report import Report, make, priced
from lavaghost.hardware.schema import Hardware
from lavaghost.methods.base import Method
from lavaghost.methods.footprint import Footprint
from lavaghost.net.graph import Graph
from lavaghost.net.network import Network

ALONE = 1.0
"""Messages per step of what is like no layer of the network: in every step."""


@dataclass(frozen=True)
class MethodReport:
    """A method on a chip: phase "learning" of its graph, by its footprint."""

    label: str
    method: Method
    footprint: Footprint
    report: Report
    as_if: Report | None = None
    """Where bare spikes are all that is in the way: the report if they carried numbers."""

    @property
    def priced(self) -> Report:
        """The report that has the price."""
        return self.report if self.as_if is None else self.as_if

    def as_json(self) -> dict[str, Any]:
        """Figures of one row."""
        mapping, demand = self.report.mapping, self.report.mapping.demand
        placed, price = self.priced.mapping, self.priced.cost
        return {
            "label": self.label,
            "method": self.method.settings(),
            "fits": mapping.fits,
            "status": mapping.status,
            "violations": [v.line(mapping.hardware.name) for v in mapping.violations],
            "assumption": None if self.as_if is None else CARRIED,
            "cores": placed.needed,
            "neurons": demand.neurons,
            "synapses": demand.synapses,
            "plastic_synapses": demand.plastic_synapses,
            "states_per_neuron": list(self.footprint.states),
            "signed_messages": self.footprint.signed,
            "reads": self.footprint.reads,
            "phases": [
                {"name": p.name, "steps": p.steps, "paths": list(p.paths)} for p in self.footprint.phases
            ],
            "steps_per_sample": self.footprint.steps,
            "multiplications_per_sample": self.footprint.multiplications(self.report.graph),
            "energy_j": None if price is None else price.energy_j,
            "latency_s": None if price is None else price.latency_s,
            "parts": {} if price is None else dict(price.parts),
            "unknown": list(self.priced.unknown),
        }


def side_by_side(
    network: Network,
    methods: Mapping[str, Method],
    hardware: Hardware,
    plan: Plan,
    activity: Activity | None = None,
    apply: bool = False,
) -> list[MethodReport]:
    """`methods` by their labels, on `network` and `hardware`, in their order.

    `activity` is that of the network alone (`measured_activity` of its forward graph); without it every neuron sends in
    every step. Example: `side_by_side(network, {"ghost": Ghost()}, load_chip("loihi1"), Plan())[0].as_json()`.
    """
    found = []
    for label, method in methods.items():
        graph = method.graph(network)
        footprint = method.footprint(graph)
        seen = None if activity is None else _like(graph, activity)
        report = make(graph, hardware, "learning", plan, activity=seen, apply=apply, footprint=footprint)
        carried = as_if_carried(report.mapping)
        assumed = None if carried is None else priced(carried, seen, footprint=footprint)
        found.append(MethodReport(label, method, footprint, report, assumed))
    return found


def _like(graph: Graph, activity: Activity) -> Activity:
    """Ghosts send as often as the layer which they stand for, and errors as often as rates: where rho' is not 0."""

    def filled(rates: Mapping[str, float]) -> dict[str, float]:
        return dict(rates) | {name: _of(graph, name, rates) for name in _beside(graph)}

    origin = f"{activity.origin} without learning; ghosts as the layer above, errors as rates"
    return Activity(activity.steps, filled(activity.graded), filled(activity.spikes), origin, activity.code)


def _beside(graph: Graph) -> Iterable[str]:
    return (p.name for p in graph.populations if p.role == "ghost")


def _of(graph: Graph, ghost: str, rates: Mapping[str, float]) -> float:
    if not graph.predicts:
        return ALONE
    return rates.get(graph.layer(int(ghost.partition(".")[2]) + 1), ALONE)
