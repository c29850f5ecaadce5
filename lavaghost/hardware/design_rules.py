"""Design rules: named functions in a list. Limits are data, all rules are asked, and every answer is reported.

A rule takes a `Case` and yields violations, and `Unknown` where the configuration lacks a figure. To add one,
write a function and pass `rules=(*RULES, mine)` to `mapper.map_network`.
"""

import math
from collections.abc import Callable, Iterator

from lavaghost.hardware import remedies
from lavaghost.hardware.capabilities import bit_widths, learning, payload, reach
from lavaghost.hardware.findings import Case, Finding, Unknown, Violation
from lavaghost.hardware.partition import RESOURCES, core_limit, part_usage
from lavaghost.hardware.schema import WORDS
from lavaghost.hardware.usage import layer_words

DesignRule = Callable[[Case], Iterator[Finding]]
UNITS = {
    "neurons": "neurons",
    "input_axons": "axons",
    "output_axons": "axons",
    "synapses": "synapses",
    "synapse_bits": "bits",
    "trace_bits": "bits",
}


def core_resources(case: Case) -> Iterator[Finding]:
    """Each layer, whole, against what one core has."""
    if case.hardware.layout == "layer_per_core":
        return
    demand, hardware, bits = case.demand, case.hardware, case.plan.weight_bits
    whole = {p.name: 1 for p in demand.populations}
    for resource in RESOURCES:
        limit = core_limit(hardware, resource)
        known = getattr(hardware.limits, f"{resource}_per_core")
        if limit is None and resource == "synapses" and core_limit(hardware, "synapse_bits") is not None:
            continue  # synapses are limited by their memory
        if resource == "trace_bits" and demand.phase == "inference":
            continue
        if limit is None:
            detail = (
                f" ({known.value:,.0f} is {known.confidence}: {known.note})" if known.value is not None else ""
            )
            yield Unknown(f"{resource} per core on {hardware.name}: no figure to hold against{detail}")
            continue
        for p in demand.on_chip if limit < math.inf else ():
            used = getattr(part_usage(demand, p, p.size, hardware, bits, whole), resource)
            if used is None:
                yield Unknown(
                    f"{p.name}: {resource} on {hardware.name}: no formula of the synapse memory is known"
                )
            elif used > limit:
                yield Violation(
                    p.name,
                    f"{resource}_per_core",
                    used,
                    limit,
                    UNITS[resource],
                    remedies.core(case, p, resource, limit),
                    "network" if resource in case.partition.stuck.get(p.name, ()) else "split",
                )


def layer_per_core(case: Case) -> Iterator[Finding]:
    """Where a core holds one whole layer: its kernel against the largest kernel memory, its neurons likewise."""
    if case.hardware.layout != "layer_per_core":
        return
    for resource in WORDS:
        there = getattr(case.hardware.limits, resource).values
        if not there:
            yield Unknown(f"{resource} on {case.hardware.name}: no figure to hold against")
            continue
        largest = max(there)
        for p in case.demand.on_chip:
            if (used := layer_words(case.demand, case.hardware, p)[resource]) > largest:
                remedy = remedies.words_per_core(case.demand, case.hardware, p, resource, largest)
                yield Violation(p.name, resource, used, largest, "words", remedy, "network")


def roles(case: Case) -> Iterator[Finding]:
    """Inputs, hidden neurons (ghosts too) and outputs of the whole system."""
    limits, name = case.hardware.limits, case.hardware.name
    per_core_known = limits.neurons_per_core.value is not None or case.hardware.layout == "layer_per_core"
    for resource, members in (
        ("inputs", ("input",)),
        ("hidden", ("hidden", "ghost")),
        ("outputs", ("output",)),
    ):
        limit = getattr(limits, resource).limit
        layers = [p for p in case.demand.populations if p.role in members]
        used = sum(p.size for p in layers)
        if limit is None:
            if not per_core_known:
                yield Unknown(f"{resource} on {name}: no figure to hold {used} against")
        elif used > limit:
            what = {"outputs": "classes", "hidden": "hidden neurons"}.get(resource, resource)
            yield Violation(
                "+".join(p.name for p in layers),
                resource,
                used,
                limit,
                "neurons",
                f"use at most {limit:,.0f} {what}, or a chip with more",
                "network",
            )


def totals(case: Case) -> Iterator[Finding]:
    """Neurons, synapses and memory of the whole system."""
    demand, limits = case.demand, case.hardware.limits
    weights = demand.synapses * case.plan.weight_bits
    for resource, used, unit in (
        ("neurons", demand.neurons, "neurons"),
        ("synapses", demand.synapses, "synapses"),
        ("weight_memory_bits", weights, "bits"),
    ):
        limit = getattr(limits, resource).limit
        if limit is not None and used > limit:
            yield Violation(
                "network",
                resource,
                used,
                limit,
                unit,
                # rounded down, or what it says would still be too much
                f"use at most {math.floor(100 * limit / used)} % of the {unit if unit != 'bits' else 'weights'}, "
                "or a larger system",
                "network",
            )


def cores(case: Case) -> Iterator[Finding]:
    """The cores that all parts take together, if every neuron fits one."""
    allowed = case.allowed
    if allowed is None:
        yield Unknown(f"cores on {case.hardware.name}: no figure to hold {case.needed} against")
    elif case.crowded and not case.partition.stuck:
        remedy = remedies.fewer_cores(case, allowed, case.hardware.layout == "layer_per_core")
        yield Violation("network", "cores", case.needed, allowed, "cores", remedy, "cores")


RULES: tuple[DesignRule, ...] = (
    core_resources,
    layer_per_core,
    roles,
    totals,
    bit_widths,
    learning,
    payload,
    reach,
    cores,
)
