"""What to do about a violation, worked out: a remedy that is named makes its rule hold.

Sizes are found by bisection: the largest layer, or number of inputs, with which the rule holds, all else as it is.
"""

import math
from collections.abc import Callable, Mapping

from lavaghost.base.errors import SpecError
from lavaghost.hardware.demand import Demand, resized
from lavaghost.hardware.findings import Case
from lavaghost.hardware.partition import fan_out, part_usage, partition
from lavaghost.hardware.schema import Hardware
from lavaghost.hardware.usage import layer_words
from lavaghost.net.graph import Population

Holds = Callable[[Demand], bool]


def most(demand: Demand, name: str, holds: Holds) -> int:
    """The most neurons of a population with which `holds`; 0 if there are none."""
    low, high = 0, demand.size(name)
    while low < high:
        middle = (low + high + 1) // 2
        try:
            good = holds(resized(demand, name, middle))
        except SpecError:  # a kind cannot connect so many
            good = False
        if good:
            low = middle
        else:
            high = middle - 1
    return low


def at_most(demand: Demand, names: tuple[str, ...], holds: Holds) -> str:
    """The first population that mends it, and how large it may be."""
    for name in names:
        if n := most(demand, name, holds):
            kinds = {"input": "inputs", "output": "classes"}
            return f"use at most {n:,} {kinds.get(name, f'neurons in {name}')}"
    return f"use smaller layers around {' and '.join(names)}, or a chip with more"


def sources(demand: Demand, name: str) -> tuple[str, ...]:
    """The populations that reach another one, the largest first; not those that do so one to one."""
    found = [c for c in demand.into(name) if not c.aligned]
    return tuple(c.source for c in sorted(found, key=lambda c: -c.n_pre))


def targets(demand: Demand, name: str, parts: Mapping[str, int]) -> tuple[str, ...]:
    """The populations that another one reaches, the most spread first; of relays, what they are for."""
    found = {c.target.partition(":")[0]: parts[c.target] for c in demand.out_of(name) if not c.aligned}
    return tuple(sorted(found, key=lambda target: -found[target]))


def core(case: Case, p: Population, resource: str, limit: float) -> str:
    """What makes a layer that is too much for one core fit: fewer bits, more cores, or inputs in parts."""
    one = {q.name: 1 for q in case.demand.populations}

    def used(n: int, bits: int) -> float:
        return getattr(part_usage(case.demand, p, n, case.hardware, bits, one), resource) or 0

    if (stuck := case.partition.stuck.get(p.name)) is not None:
        if resource in stuck:
            return _single(case, p, resource, limit)
        return f"use {math.ceil(used(p.size, case.plan.weight_bits) / limit)} cores{_how(case)}"
    options = []
    if resource == "synapse_bits" and not (case.crowded and case.narrower is None):
        # with other layers beside it, a core may need weights narrower still
        widest = case.narrower if case.crowded and case.narrower is not None else case.plan.weight_bits - 1
        choices = case.hardware.limits.weight_bits.values
        for fewer in sorted((b for b in choices if b <= widest), reverse=True):
            if used(p.size, fewer) <= limit:
                options.append(f"{fewer}-bit weights")
                break
    relays = case.partition.demand.relays_of(p.name)
    if relays and used(1, case.plan.weight_bits) > limit:
        options.append(f"{len(relays)} groups of its inputs, added up by relay neurons{_how(case)}")
    else:
        options.append(f"{case.partition.parts[p.name]} cores{_how(case)}")
    return "use " + " or ".join(options)


def _single(case: Case, p: Population, resource: str, limit: float) -> str:
    """For a layer of which not even one neuron fits a core."""
    hardware, bits = case.hardware, case.plan.weight_bits

    def holds(demand: Demand) -> bool:
        parts = dict(partition(demand, hardware, bits).parts) if resource == "output_axons" else {}
        one = {q.name: 1 for q in demand.populations} | parts
        return (getattr(part_usage(demand, p, 1, hardware, bits, one), resource) or 0) <= limit

    if resource == "output_axons":
        return at_most(case.demand, targets(case.partition.demand, p.name, case.partition.parts), holds)
    return at_most(case.demand, sources(case.demand, p.name), holds)


def _how(case: Case) -> str:
    """What keeps the mapper from spreading a layer by itself."""
    options = [] if case.plan.split else ["without --no-split"]
    if case.crowded and case.needed <= (case.hardware.limits.cores.limit or 0):
        options.append(f"with --cores {case.needed}")
    return f" ({', '.join(options)})" if options else ""


def without_relays(case: Case, name: str) -> str:
    """How many inputs a layer may have whose neurons need no relays."""

    def holds(demand: Demand) -> bool:
        return not partition(demand, case.hardware, case.plan.weight_bits).demand.relays_of(name)

    return at_most(case.demand, sources(case.demand, name), holds)


def reaching(case: Case, p: Population, limit: float) -> str:
    """How large the targets of a layer may be, for its neurons to reach no more cores."""

    def holds(demand: Demand) -> bool:
        cut = partition(demand, case.hardware, case.plan.weight_bits)
        return fan_out(cut.demand, p, cut.parts) <= limit

    return at_most(case.demand, targets(case.partition.demand, p.name, case.partition.parts), holds)


def fewer_cores(case: Case, allowed: float, layers: bool) -> str:
    """For a network that needs more cores than may be used; with `layers`, each layer takes one."""
    there = case.hardware.limits.cores.limit or 0
    options = [f"{case.needed} cores (--cores {case.needed})"] if case.needed <= there else []
    if case.narrower is not None:
        options.append(f"{case.narrower}-bit weights (--weight-bits {case.narrower})")
    if layers and not options:
        options = [f"at most {allowed:,.0f} layers behind the input"]
    # rounded down, or what it says would still be too much
    share = f"hidden layers of about {math.floor(100 * allowed / case.needed)} % of their size"
    return "use " + " or ".join(options or [share, "a larger system"])


def words_per_core(demand: Demand, hardware: Hardware, p: Population, resource: str, largest: int) -> str:
    """How large a layer may be that a core must hold whole."""

    def holds(changed: Demand) -> bool:
        layer = next(q for q in changed.populations if q.name == p.name)
        return layer_words(changed, hardware, layer)[resource] <= largest

    return at_most(demand, (p.name, *sources(demand, p.name)), holds)
