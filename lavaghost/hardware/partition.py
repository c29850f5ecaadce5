"""Cut populations into parts that fit a core: by output neurons, and where one neuron has too many inputs, by those.

A core that holds neurons also holds all synapses into them. A neuron whose inputs exceed a core gets relays:
populations as large as its own that add up a part of the inputs and pass the sum on one to one, which costs
their neurons and one time step.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from lavaghost.hardware.demand import Demand, Share
from lavaghost.hardware.schema import Hardware
from lavaghost.hardware.usage import Usage, axon_bits, least_axon_bits, slots, spread, usage
from lavaghost.net.graph import Population

RESOURCES = ("neurons", "input_axons", "output_axons", "synapses", "synapse_bits", "trace_bits")
"""What a core has, in the order of messages; each is a field of `Usage` and a limit `..._per_core`."""


def core_limit(hardware: Hardware, resource: str) -> float | None:
    """What a core has of a resource; None is unknown, and not enforced."""
    figure = getattr(hardware.limits, f"{resource}_per_core")
    return figure.limit


def fan_out(demand: Demand, population: Population, parts: Mapping[str, int]) -> int:
    """Output axons of one neuron: one for each projection and core that it reaches."""
    found: dict[tuple[str, str], int] = {}
    for c in demand.out_of(population.name):
        # pieces of one projection lie side by side, so a neuron belongs to one of them
        key = (c.path, c.target.partition(":")[0])
        found[key] = max(found.get(key, 0), 1 if c.aligned else parts[c.target])
    return sum(found.values())


def part_usage(
    demand: Demand,
    population: Population,
    n: int,
    hardware: Hardware,
    weight_bits: int,
    parts: Mapping[str, int],
) -> Usage:
    """What `n` neurons of a population take, with all their inputs."""
    total = Usage(neurons=n, output_axons=n * fan_out(demand, population, parts))
    for c in demand.into(population.name):
        total += usage(c, hardware, weight_bits, n)
    return total


def exceeded(used: Usage, hardware: Hardware) -> tuple[str, ...]:
    """Resources of which a core has less than is used; unknown limits are not exceeded."""
    found = []
    for resource in RESOURCES:
        amount, limit = getattr(used, resource), core_limit(hardware, resource)
        if amount is not None and limit is not None and amount > limit:
            found.append(resource)
    return tuple(found)


@dataclass(frozen=True)
class Partition:
    """How many parts each population has, and of how many neurons (the last part may be smaller).

    `stuck` names populations of which not even one neuron fits, with the resources that are in the way.
    """

    demand: Demand
    parts: Mapping[str, int]
    largest: Mapping[str, int]
    stuck: Mapping[str, tuple[str, ...]]


def partition(demand: Demand, hardware: Hardware, weight_bits: int) -> Partition:
    """Cut every population into the fewest parts, with relays where they are needed."""
    found = _by_outputs(demand, hardware, weight_bits)
    for _ in demand.populations:
        # relays of one population can free the output axons of another, so look again
        after = demand
        for name in [n for n, resources in found.stuck.items() if set(resources) != {"output_axons"}]:
            after = _with_relays(after, name, hardware, weight_bits)
        if after is demand:
            break
        demand = after
        found = _by_outputs(demand, hardware, weight_bits)
    return found


def _by_outputs(demand: Demand, hardware: Hardware, weight_bits: int) -> Partition:
    parts = {p.name: 1 for p in demand.populations}
    while True:
        largest, stuck = {}, {}
        for p in demand.on_chip:
            largest[p.name] = n = _largest(demand, p, hardware, weight_bits, parts)
            if n == 0:
                stuck[p.name] = exceeded(part_usage(demand, p, 1, hardware, weight_bits, parts), hardware)
        after = dict(parts)
        for p in demand.on_chip:
            # parts only grow, and with them the output axons of others, until nothing changes
            after[p.name] = max(parts[p.name], -(-p.size // max(1, largest[p.name])))
        if after == parts:
            return Partition(demand, parts, {n: max(1, size) for n, size in largest.items()}, stuck)
        parts = after


def _largest(
    demand: Demand, population: Population, hardware: Hardware, weight_bits: int, parts: Mapping[str, int]
) -> int:
    """The most neurons of a population that fit a core; usage grows with them, so bisection finds it."""
    low, high = 0, population.size
    while low < high:
        middle = (low + high + 1) // 2
        if exceeded(part_usage(demand, population, middle, hardware, weight_bits, parts), hardware):
            high = middle - 1
        else:
            low = middle
    return low


def _with_relays(demand: Demand, name: str, hardware: Hardware, weight_bits: int) -> Demand:
    """`demand` with the inputs of a population spread over as few relays as hold one neuron each."""
    population = next(p for p in demand.populations if p.name == name)
    room = _axons_for_one(hardware, weight_bits)
    kept: list[Share] = [c for c in demand.shares if c.target != name or c.aligned]
    relays: list[Population] = []
    free = 0.0
    for c in demand.into(name):
        if c.aligned:
            continue
        each = slots(c, hardware)
        if room < each:
            return demand
        first = c.first
        while first < c.first + c.n_pre:
            if free < each:
                relay = f"{name}:sum{len(relays) + 1}"
                relays.append(Population(name=relay, role="hidden", size=population.size, activation="linear"))
                free = room
            n = int(min(c.first + c.n_pre - first, free // each))
            kept.append(c.cut(relays[-1].name, first, n))
            first, free = first + n, free - n * each
    if len(relays) < 2:
        return demand
    n = population.size
    kept += [Share(relay.name, name, "partial_sum", n, n, n, 1, aligned=True) for relay in relays]
    return replace(demand, shares=tuple(kept), relays=(*demand.relays, *relays))


def _axons_for_one(hardware: Hardware, weight_bits: int) -> float:
    """Input axons that a core with a single neuron can take."""
    axons = core_limit(hardware, "input_axons")
    synapses = core_limit(hardware, "synapses")
    bits = core_limit(hardware, "synapse_bits")
    limits = [x for x in (axons, synapses) if x is not None]
    if bits is not None and bits < math.inf and hardware.memory is not None:
        limits.append(bits // axon_bits(hardware.memory, 1, weight_bits))
    return min(limits, default=math.inf)


def lower_bound(demand: Demand, hardware: Hardware, weight_bits: int) -> int:
    """Cores that no placement can do without: the total of each resource over what a core has of it.

    Totals leave out what cutting adds: repeated input axons, and blocks of memory that are not full.
    """
    one = {p.name: 1 for p in demand.populations}
    total = Usage()
    bits, memory = 0, hardware.memory
    for p in demand.on_chip:
        total += part_usage(demand, p, p.size, hardware, weight_bits, one)
        if memory is not None:
            for c in demand.into(p.name):
                bits += spread(*c.onto(p.size), lambda n: least_axon_bits(memory, n, weight_bits))
    if hardware.layout == "layer_per_core":
        return len(demand.on_chip)
    totals = {r: getattr(total, r) for r in RESOURCES} | {"synapse_bits": bits}
    needs = [
        math.ceil(totals[r] / limit)
        for r in RESOURCES
        if (limit := core_limit(hardware, r)) and limit < math.inf and totals[r] is not None
    ]
    return max([1, *needs])
