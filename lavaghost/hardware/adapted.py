"""What a sample costs that a network adapts to on a chip, and what others measured of learning on chips.

    energy, time  of an adapted sample = trials per sample * those of one trial of phase "learning", in which weights
                  are updated where it teaches: the other trials withhold the target

Trials per sample are 1, and more where stored samples are replayed; a trial answers in its free phase, so testing a
sample before it is learned costs nothing besides. What a configuration does not know stays None (`cost`).
"""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from lavaghost.base.errors import SpecError, join_faults
from lavaghost.hardware.activity import Activity
from lavaghost.hardware.capabilities import payload
from lavaghost.hardware.catalogue import OURS, load_chip
from lavaghost.hardware.cost import Cost
from lavaghost.hardware.design_rules import RULES
from lavaghost.hardware.findings import Plan
from lavaghost.hardware.mapper import map_network
from lavaghost.hardware.placement import Mapping, Status
from lavaghost.hardware.report import constants, priced
from lavaghost.hardware.schema import Hardware
from lavaghost.net.graph import Graph

CARRIED = "worked out as if its spikes carried numbers"
"""The assumption of `SampleCost.as_if`."""


@dataclass(frozen=True)
class SampleCost:
    """J and s of one adapted sample on `hardware`; None is unknown, and why is in `violations` and `unknown`.

    parts       J by what it is for, `static` and `io` too
    violations  why it does not fit, a line each; then there is no price
    sources     the constants that it was worked out from, each with unit, source and confidence
    assumption  what was taken for granted that is not so
    as_if       where bare spikes are all that is in the way: the price if they carried numbers
    """

    hardware: str
    status: Status
    trials_per_sample: float
    taught_share: float
    energy_j: float | None
    latency_s: float | None
    parts: dict[str, float | None]
    violations: tuple[str, ...]
    unknown: tuple[str, ...]
    sources: tuple[dict[str, Any], ...]
    activity: str
    assumption: str | None = None
    as_if: "SampleCost | None" = None

    def as_json(self) -> dict[str, Any]:
        """All fields under their names."""
        return asdict(self)


def sample_cost(
    graph: Graph,
    hardware: Hardware,
    activity: Activity | None = None,
    *,
    trials_per_sample: float = 1.0,
    taught_share: float = 1.0,
    plan: Plan | None = None,
) -> SampleCost:
    """The price of an adapted sample; without `activity`, if every neuron sends in every step.

    `taught_share` is the share of trials with a target. Raises `SpecError` for one that is none, and for fewer trials
    than samples.
    Example: `sample_cost(graph, load_chip("loihi1"), trials_per_sample=2, taught_share=0.2)`.
    """
    faults = []
    if not (math.isfinite(trials_per_sample) and trials_per_sample >= 1):
        faults.append(f"trials_per_sample {trials_per_sample:g}: a sample takes at least 1 trial")
    if not 0 <= taught_share <= 1:
        faults.append(f"taught_share {taught_share:g}: a share is a number from 0 to 1")
    if faults:
        raise SpecError(join_faults(faults))
    found = map_network(graph, hardware, "learning", plan)
    price = _price(found, activity, trials_per_sample, taught_share)
    if (carried := as_if_carried(found)) is not None:
        assumed = replace(_price(carried, activity, trials_per_sample, taught_share), assumption=CARRIED)
        return replace(price, as_if=assumed)
    return price


def as_if_carried(found: Mapping) -> Mapping | None:
    """Where bare spikes are all that is in the way: the placement if they carried numbers."""
    if not found.violations or any(v.resource != "payload_bits" for v in found.violations):
        return None
    others = [rule for rule in RULES if rule is not payload]
    return map_network(found.demand.graph, found.hardware, found.demand.phase, found.plan, rules=others)


def _price(mapping: Mapping, activity: Activity | None, trials: float, taught: float) -> SampleCost:
    report = priced(mapping, activity, taught)
    trial = report.cost
    return SampleCost(
        hardware=mapping.hardware.name,
        status=mapping.status,
        trials_per_sample=trials,
        taught_share=taught,
        energy_j=_times(trials, trial and trial.energy_j),
        latency_s=_times(trials, trial and trial.latency_s),
        parts={name: _times(trials, value) for name, value in _parts(trial).items()},
        violations=tuple(v.line(mapping.hardware.name) for v in mapping.violations),
        unknown=report.unknown,
        sources=()
        if trial is None
        else tuple(row for row in constants(mapping.hardware) if row["value"] is not None),
        activity=report.activity.origin,
    )


def _times(trials: float, value: float | None) -> float | None:
    return None if value is None else trials * value


def _parts(trial: Cost | None) -> dict[str, float | None]:
    return {} if trial is None else {**trial.parts, "io": trial.io_j, "static": trial.static_j}


def published(hardware: Hardware | None = None) -> tuple[dict[str, Any], ...]:
    """What others measured of learning, a row each: that of `hardware` first, then that of our configurations.

    Keys are `hardware` (its title), `what`, `layers`, `energy_j`, `latency_s`, `source`, `confidence` and `note`. They
    are other algorithms than ours, so that a row says what a sample costs on a chip, and not which is better.
    """
    chips = {chip.name: chip for chip in (*filter(None, [hardware]), *map(load_chip, OURS))}
    return tuple(
        {
            "hardware": chip.title,
            **row.model_dump(mode="json", exclude={"phase"}),
            "source": chip.sources[row.source or ""],
        }
        for chip in chips.values()
        for row in chip.published
        if row.phase == "learning"
    )
