"""Design rules: named functions in a list. Limits are data, all rules are asked, and every answer is reported.

A rule takes a `Case` and yields violations, and `Unknown` where the configuration lacks a figure. To add one,
write a function and pass `rules=(*RULES, mine)` to `mapper.map_network`.
"""

from collections.abc import Callable, Iterator
from typing import Any

from lavaghost.hardware.findings import Case, Finding, Unknown, Violation
from lavaghost.hardware.nodes import Dense, Population
from lavaghost.hardware.partition import RESOURCES, core_limit, part_usage
from lavaghost.hardware.schema import Hardware

Rule = Callable[[Case], Iterator[Finding]]
UNITS = {
    "neurons": "neurons",
    "input_axons": "axons",
    "output_axons": "axons",
    "synapses": "synapses",
    "synapse_bits": "bits",
}


def core_resources(case: Case) -> Iterator[Finding]:
    """Each layer, whole, against what one core has."""
    if case.hardware.layout == "layer_per_core":
        return
    graph, hardware, bits = case.graph, case.hardware, case.plan.weight_bits
    whole = {p.name: 1 for p in graph.populations}
    for resource in RESOURCES:
        limit = core_limit(hardware, resource)
        known = getattr(hardware.limits, f"{resource}_per_core")
        if limit is None and resource == "synapses" and core_limit(hardware, "synapse_bits") is not None:
            continue  # synapses are limited by their memory
        if limit is None:
            detail = (
                f" ({known.value:,.0f} is {known.confidence}: {known.note})" if known.value is not None else ""
            )
            yield Unknown(f"{resource} per core on {hardware.name}: no figure to hold against{detail}")
            continue
        for p in graph.on_chip:
            used = getattr(part_usage(graph, p, p.size, hardware, bits, whole), resource)
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
                    _core_remedy(case, p, resource, limit),
                    "network" if p.name in case.partition.stuck else "split",
                )


def _core_remedy(case: Case, p: Population, resource: str, limit: float) -> str:
    """What makes this layer fit: fewer bits, more cores, or inputs in parts."""
    name, hardware = p.name, case.hardware
    whole = {q.name: 1 for q in case.graph.populations}
    options = []
    if resource == "synapse_bits" and not (case.crowded and case.narrower is None):
        # with other layers beside it, a core may need weights narrower still
        widest = case.narrower if case.crowded and case.narrower is not None else case.plan.weight_bits - 1
        for fewer in sorted((b for b in weight_choices(hardware) if b <= widest), reverse=True):
            if (part_usage(case.graph, p, p.size, hardware, fewer, whole).synapse_bits or 0) <= limit:
                options.append(f"{fewer}-bit weights")
                break
    relays = [q for q in case.partition.graph.populations if q.name.startswith(f"{name}:")]
    if name in case.partition.stuck:
        return f"use fewer connections of {name}: a core cannot hold a single neuron of it"
    if relays:
        options.append(f"{len(relays)} groups of its inputs, added up by relay neurons{_how(case)}")
    else:
        options.append(f"{case.partition.parts[name]} cores{_how(case)}")
    return "use " + " or ".join(options)


def _how(case: Case) -> str:
    """What keeps the mapper from spreading a layer by itself."""
    options = [] if case.plan.split else ["without --no-split"]
    if case.crowded and case.needed <= (case.hardware.limits.cores.limit or 0):
        options.append(f"with --cores {case.needed}")
    return f" ({', '.join(options)})" if options else ""


def layer_per_core(case: Case) -> Iterator[Finding]:
    """Where a core holds one whole layer: its kernel against the largest kernel memory, its neurons likewise."""
    if case.hardware.layout != "layer_per_core":
        return
    limits = case.hardware.limits
    for resource, figures in (
        ("kernel_words_per_core", limits.kernel_words_per_core),
        ("neuron_words_per_core", limits.neuron_words_per_core),
    ):
        if not figures.values:
            yield Unknown(f"{resource} on {case.hardware.name}: no figure to hold against")
            continue
        largest = max(figures.values)
        for p in case.graph.on_chip:
            used, inputs = layer_words(case, p)[resource], sum(_n_pre(c) for c in case.graph.into(p.name))
            if used > largest:
                per_neuron = inputs if resource.startswith("kernel") else 1
                most = largest // max(1, per_neuron)
                remedy = (
                    f"use at most {most} neurons in {p.name}"
                    if most
                    else f"use at most {largest} inputs of {p.name}"
                )
                yield Violation(p.name, resource, used, largest, "words", remedy, "network")


def layer_words(case: Case, p: Population) -> dict[str, int]:
    """Kernel and neuron words of a whole layer."""
    return {
        "kernel_words_per_core": sum(c.synapses for c in case.graph.into(p.name)),
        "neuron_words_per_core": p.size,
    }


def _n_pre(c: Any) -> int:
    return c.n_pre if isinstance(c, Dense) else 1


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
        layers = [p for p in case.graph.populations if p.role in members]
        used = sum(p.size for p in layers)
        if limit is None:
            if not per_core_known:
                yield Unknown(f"{resource} on {name}: no figure to hold {used} against")
        elif used > limit:
            what = "classes" if resource == "outputs" else resource
            yield Violation(
                "+".join(p.name for p in layers),
                resource,
                used,
                limit,
                "neurons",
                f"use at most {limit:,.0f} {what}, or a chip with more {resource}",
                "network",
            )


def totals(case: Case) -> Iterator[Finding]:
    """Neurons, synapses and memory of the whole system."""
    graph, limits = case.graph, case.hardware.limits
    weights = graph.synapses * case.plan.weight_bits
    for resource, used, unit in (
        ("neurons", graph.neurons, "neurons"),
        ("synapses", graph.synapses, "synapses"),
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
                f"use at most {limit / used:.0%} of the {unit if unit != 'bits' else 'weights'}, or a larger system",
                "network",
            )


def weight_choices(hardware: Hardware) -> tuple[int, ...]:
    """Widths of a weight that the chip has; empty is unknown."""
    return hardware.limits.weight_bits.values


def precision(case: Case) -> Iterator[Finding]:
    """The width of the weights, and what a message carries."""
    hardware, bits = case.hardware, case.plan.weight_bits
    choices = weight_choices(hardware)
    if not choices:
        yield Unknown(f"weight_bits on {hardware.name}: no figure to hold {bits} against")
    elif bits not in choices:
        best = max((c for c in choices if c < bits), default=min(choices))
        remedy = f"use {best}-bit weights (--weight-bits {best}) and measure the accuracy again"
        yield Violation("network", "weight_bits", bits, best, "bits", remedy, "weights")
    if hardware.limits.payload_bits.value is None:
        yield Unknown(f"payload_bits on {hardware.name}: whether spikes can carry a number is not known")
    if hardware.limits.state_bits.value is None:
        yield Unknown(f"state_bits on {hardware.name}: the range of a membrane is not known")


def learning(case: Case) -> Iterator[Finding]:
    """What the local rules need: plastic weights, a third factor, and room for traces."""
    if case.graph.phase != "learning":
        return
    offered, name = case.hardware.plasticity, case.hardware.name
    plastic = sum(c.synapses for c in case.graph.connections if c.plastic)
    if offered.supported.value is None:
        yield Unknown(f"learning on {name}: whether the chip learns is not known")
    elif not offered.supported.value:
        remedy = "map it with --phase inference, or learn on another chip"
        yield Violation("network", "plastic_synapses", plastic, 0, "synapses", remedy, "phase")
        return
    if offered.third_factor.value is None:
        yield Unknown(
            f"third_factor on {name}: the rules multiply three factors; whether the chip can is not known"
        )
    elif not offered.third_factor.value:
        remedy = "map it with --phase inference, or learn on another chip"
        yield Violation("network", "third_factor", 3, 2, "factors", remedy, "phase")
    widest = offered.weight_bits.limit
    if widest is not None and case.plan.weight_bits > widest:
        remedy = f"use {widest:,.0f}-bit weights (--weight-bits {widest:.0f}) where they learn"
        yield Violation(
            "network", "plastic_weight_bits", case.plan.weight_bits, widest, "bits", remedy, "weights"
        )
    yield Unknown(f"trace_bits on {name}: the memory for learning traces is not known")


def cores(case: Case) -> Iterator[Finding]:
    """The cores that all parts take together."""
    allowed = case.allowed
    if allowed is None:
        yield Unknown(f"cores on {case.hardware.name}: no figure to hold {case.needed} against")
    elif case.crowded:
        there = case.hardware.limits.cores.limit or 0
        options = [f"{case.needed} cores (--cores {case.needed})"] if case.needed <= there else []
        if case.narrower is not None:
            options.append(f"{case.narrower}-bit weights (--weight-bits {case.narrower})")
        options = options or [f"about {allowed / case.needed:.0%} of the synapses", "a larger system"]
        remedy = "use " + " or ".join(options)
        yield Violation("network", "cores", case.needed, allowed, "cores", remedy, "cores")


RULES: tuple[Rule, ...] = (core_resources, layer_per_core, roles, totals, precision, learning, cores)
