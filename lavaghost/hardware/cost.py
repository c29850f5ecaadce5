"""Energy and time of one inference, or of one training sample, from events and the chip's constants.

    dynamic  steps * sum over populations and cores of
             neurons (access + update) + spikes e_spike + synaptic events e_synapse + messages e_message
             + hops e_hop;  and once per training sample that teaches, plastic synapses * e_weight_update
    io       the messages of the input and their hops, and what the link to the host adds
    static   static power * time
    time     steps * (barrier + the slowest core, which is busy with its neurons or with what it receives);
             and once per training sample that teaches, the plastic synapses of the core that has most

This is the event model of SANA-FE with its simple timing (scripts/sanafe_check.py compares the two). A part for
which the configuration lacks a constant is None and named in `unknown`; nothing is filled in.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lavaghost.hardware.activity import Activity
from lavaghost.hardware.placement import Mapping
from lavaghost.hardware.schema import Energy, Hardware, Latency
from lavaghost.hardware.traffic import Traffic, during
from lavaghost.methods.footprint import Stretch


@dataclass(frozen=True)
class Events:
    """What happens in one step, on average over a trial; arrays have one entry per core.

    weight_updates   in a whole trial that teaches
    """

    neurons: np.ndarray
    spikes: np.ndarray
    synaptic: np.ndarray
    received: np.ndarray
    sent: np.ndarray
    input_messages: float
    input_hops: tuple[float, float]
    hops: tuple[float, float]
    input_events: float
    weight_updates: int


@dataclass(frozen=True)
class Cost:
    """J and s of one trial; None is unknown. `parts` splits the dynamic energy."""

    steps: int
    static_j: float | None
    dynamic_j: float | None
    io_j: float | None
    latency_s: float | None
    parts: dict[str, float | None] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()

    @property
    def energy_j(self) -> float | None:
        """The parts that are known, added up; None if the dynamic part is not known."""
        if self.dynamic_j is None:
            return None
        return self.dynamic_j + (self.io_j or 0.0) + (self.static_j or 0.0)

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        return {
            "steps": self.steps,
            "static_j": self.static_j,
            "dynamic_j": self.dynamic_j,
            "io_j": self.io_j,
            "parts": self.parts,
        }


def events(mapping: Mapping, activity: Activity, traffic: Traffic) -> Events:
    """Count what happens in a step."""
    demand, hardware, count = mapping.demand, mapping.hardware, len(mapping.cores)
    neurons, spikes, synaptic = np.zeros(count), np.zeros(count), np.zeros(count)
    for p in demand.on_chip:
        rate = activity.rate_of(p.name, hardware)
        for i, part in mapping.parts[p.name]:
            neurons[i] += part.size
            spikes[i] += part.size * rate
            for c in demand.into(p.name):
                sending = activity.rate_of(c.source, hardware)
                synaptic[i] += sending * c.onto(part.size)[1]
    messages = traffic.messages
    hops = (0.0, 0.0) if traffic.hops is None else _hops(messages[:-1], traffic.hops[:-1])
    input_hops = (0.0, 0.0) if traffic.hops is None else _hops(messages[-1:], traffic.hops[-1:])
    source = next(p for p in demand.populations if p.role == "input")
    return Events(
        neurons=neurons,
        spikes=spikes,
        synaptic=synaptic,
        received=messages.sum(axis=0),
        sent=messages[:-1].sum(axis=1),
        input_messages=float(messages[-1].sum()),
        input_hops=input_hops,
        hops=hops,
        input_events=source.size * activity.rate_of(source.name, hardware) * bool(demand.out_of(source.name)),
        weight_updates=demand.plastic_synapses,
    )


def cost_of_phases(
    mapping: Mapping, activity: Activity, whole: Traffic, phases: Sequence[Stretch], taught: float = 1.0
) -> Cost:
    """Energy and time of one training sample, phase by phase; what learns does so at the end of the last one.

    In each phase only the projections of its paths carry messages, and all neurons are updated in every step.
    """
    found = []
    for phase in phases:
        part = replace(mapping, demand=mapping.demand.during(phase.paths))
        here = replace(activity, steps=phase.steps)
        last = phase is phases[-1]
        updates = mapping.demand.plastic_synapses if last else 0
        found.append(_cost(part, here, during(whole, part, here), taught if last else 0.0, updates))
    return _added(found)


def _added(found: Sequence[Cost]) -> Cost:
    def total(values: Iterable[float | None]) -> float | None:
        known = list(values)
        return None if None in known else sum(v for v in known if v is not None)

    return Cost(
        steps=sum(c.steps for c in found),
        static_j=total(c.static_j for c in found),
        dynamic_j=total(c.dynamic_j for c in found),
        io_j=total(c.io_j for c in found),
        latency_s=total(c.latency_s for c in found),
        parts={name: total(c.parts[name] for c in found) for name in found[0].parts},
        unknown=tuple(dict.fromkeys(text for c in found for text in c.unknown)),
    )


def _hops(messages: np.ndarray, hops: np.ndarray) -> tuple[float, float]:
    return float((messages * hops[..., 0]).sum()), float((messages * hops[..., 1]).sum())


def cost(mapping: Mapping, activity: Activity, traffic: Traffic, taught: float = 1.0) -> Cost:
    """Energy and time of one trial of a placed network; the mean of many, of which the share `taught` teaches."""
    return _cost(mapping, activity, traffic, taught, mapping.demand.plastic_synapses)


def _cost(mapping: Mapping, activity: Activity, traffic: Traffic, taught: float, plastic: int) -> Cost:
    found, hardware, steps = events(mapping, activity, traffic), mapping.hardware, activity.steps
    updates, there = taught * plastic, hardware.latency.weight_update.value
    unknown: list[str] = []
    energy = _Constants(hardware, hardware.energy, unknown)
    placed = traffic.hops is not None
    parts: dict[str, float | None] = {
        "neurons": energy.times(steps * float(found.neurons.sum()), "neuron_access", "neuron_update"),
        "spikes": energy.times(steps * float(found.spikes.sum()), "spike"),
        "synapses": energy.times(steps * float(found.synaptic.sum()), "synapse"),
        "messages": energy.times(steps * float(found.sent.sum()), "message"),
        "hops": energy.travel(steps, found.hops) if placed or len(mapping.cores) == 1 else None,
        "weight_updates": energy.times(updates, "weight_update"),
    }
    if not placed and len(mapping.cores) > 1:
        unknown.append(f"energy of hops on {hardware.name}: the place of the cores is not known")
    messages = energy.times(steps * found.input_messages, "message")
    journey = energy.travel(steps, found.input_hops)
    link = energy.times(steps * found.input_events, "input_event")
    latency = _latency(found, hardware, steps, _tiles_in_use(traffic, hardware), unknown)
    if latency is not None and updates:
        if there is None:
            unknown.append(f"time of weight_update on {hardware.name}: latency_s leaves it out")
        else:
            latency += taught * there * max(core.usage.plastic_synapses for core in mapping.cores)
    power = hardware.energy.static_power.limit
    if power is None:
        unknown.append(f"static power of {hardware.name}: energy_j leaves it out")
    return Cost(
        steps=steps,
        static_j=None if power is None or latency is None else power * latency,
        dynamic_j=None if None in parts.values() else sum(v for v in parts.values() if v is not None),
        io_j=None if messages is None or journey is None else messages + journey + (link or 0.0),
        latency_s=latency,
        parts=parts,
        unknown=tuple(dict.fromkeys(unknown)),
    )


class _Constants:
    """Products with a configuration's constants; what is missing is noted once and makes None."""

    def __init__(self, hardware: Hardware, section: Energy | Latency, unknown: list[str]) -> None:
        self._name, self._section, self._unknown = hardware.name, section, unknown

    def times(self, amount: float, *keys: str) -> float | None:
        """amount * (sum of constants); nothing of an unknown price costs nothing."""
        total = 0.0
        for key in keys if amount else ():
            value = getattr(self._section, key).limit
            if value is None:
                kind = "energy" if isinstance(self._section, Energy) else "time"
                self._unknown.append(f"{kind} of {key} on {self._name}: no figure")
                return None
            total += value
        return amount * total

    def travel(self, steps: int, hops: tuple[float, float]) -> float | None:
        """Hops along x and y."""
        x, y = self.times(steps * hops[0], "hop_x"), self.times(steps * hops[1], "hop_y")
        return None if x is None or y is None else x + y


def _tiles_in_use(traffic: Traffic, hardware: Hardware) -> int:
    if traffic.position is None or hardware.mesh is None:
        return 1
    # the input enters at the first tile, so that one takes part in every barrier
    return len({0, *(int(p) // hardware.mesh.shape[2] for p in traffic.position)})


def _latency(found: Events, hardware: Hardware, steps: int, tiles: int, unknown: list[str]) -> float | None:
    """Time of a trial: every step waits for its slowest core, and then for the barrier."""
    latency = hardware.latency
    time = _Constants(hardware, latency, unknown)
    slowest = 0.0
    for i in range(len(found.neurons)):
        working = [
            time.times(float(found.neurons[i]), "neuron_access", "neuron_update"),
            time.times(float(found.spikes[i]), "spike"),
            time.times(float(found.sent[i]), "message_out"),
        ]
        receiving = [
            time.times(float(found.received[i]), "message_in"),
            time.times(float(found.synaptic[i]), "synapse"),
        ]
        if None in working or None in receiving:
            return None
        slowest = max(slowest, sum(filter(None, working)), sum(filter(None, receiving)))
    if not latency.barrier:
        unknown.append(f"time of a barrier on {hardware.name}: no figure")
        return None
    reached = [i for i, limit in enumerate(latency.barrier_tiles.values) if limit <= tiles]
    barrier = latency.barrier[reached[-1] if reached else 0].value
    return None if barrier is None else steps * (slowest + barrier)
