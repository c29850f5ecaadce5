"""The mapper: asks the rules, cuts populations into parts, and packs the parts into as few cores as it can.

    graph -> demand_of -> partition -> pack -> rules -> Mapping

Parts of full size get a core each; what is left over shares cores, largest first (first-fit decreasing). All of
it is arithmetic on shapes: no weight is ever in memory, and the work grows with cores, not with synapses.
"""

from collections.abc import Sequence
from dataclasses import replace

from lavaghost.base.names import Phase
from lavaghost.hardware.capabilities import learning, payload, weight_choices, widths_to_try
from lavaghost.hardware.demand import demand_of
from lavaghost.hardware.design_rules import RULES, DesignRule
from lavaghost.hardware.findings import Case, Plan, Unknown, Violation
from lavaghost.hardware.layers import assign, unassigned
from lavaghost.hardware.partition import (
    RESOURCES,
    Partition,
    core_limit,
    exceeded,
    lower_bound,
    part_usage,
    partition,
)
from lavaghost.hardware.placement import Core, Mapping, Slice
from lavaghost.hardware.schema import Hardware
from lavaghost.hardware.usage import Usage
from lavaghost.net.graph import Graph

MOST_CORES = 1_000_000
"""Parts beyond this are counted, not made; larger than any system."""


def map_network(
    graph: Graph,
    hardware: Hardware,
    phase: Phase = "inference",
    plan: Plan | None = None,
    rules: Sequence[DesignRule] = RULES,
) -> Mapping:
    """Where `graph` goes on `hardware` for `phase`, or every reason why it does not fit."""
    plan = Plan() if plan is None else plan
    whole, bits = demand_of(graph, phase), plan.weight_bits
    never = whole.plastic_synapses > 0 and hardware.plasticity.supported.value is False
    # ghosts and feedback take no room where nothing learns; what else is wrong is wrong without them
    demand = demand_of(graph, "inference") if never else whole
    cut = partition(demand, hardware, bits)
    cores: tuple[Core, ...] = ()
    needed = sum(cut.parts[p.name] for p in cut.demand.on_chip)
    if hardware.layout == "shared" and needed <= MOST_CORES and not cut.stuck:
        cores = _pack(cut, hardware, bits)
        needed = len(cores)
    case = Case(demand, hardware, plan, cut, needed)
    if case.crowded:
        case = replace(case, narrower=_narrower(case))
    findings = [finding for rule in rules if not (never and rule is payload) for finding in rule(case)]
    if never:
        asked = replace(case, demand=whole, partition=replace(cut, demand=whole))
        findings += [*learning(asked), *payload(asked)]
    if hardware.layout == "layer_per_core":
        cores = assign(case)
        if not cores and not any(isinstance(f, Violation) for f in findings):
            findings.append(unassigned(case))
    violations = [f for f in findings if isinstance(f, Violation)]
    crowded = any(v.cure == "cores" for v in violations)
    if plan.split and not crowded:
        # spreading layers over cores is what the placement has just done
        violations = [v for v in violations if v.cure != "split"]
    unknown = tuple(dict.fromkeys(f.text for f in findings if isinstance(f, Unknown)))
    return Mapping(
        hardware=hardware,
        plan=plan,
        demand=cut.demand,
        cores=() if violations else cores,
        needed=needed,
        lower_bound=lower_bound(demand, hardware, bits),
        violations=tuple(violations),
        unknown=unknown,
    )


def remedied(graph: Graph, hardware: Hardware, phase: Phase, plan: Plan) -> Mapping:
    """`map_network` with the remedies applied that the mapper has: split layers, more cores, other bits, counts.

    Weights lose no more bits than needed. What is left in `violations` is for the user to decide.
    """
    found = map_network(graph, hardware, phase, plan)
    if not found.violations:
        return found
    plan = replace(plan, split=True, cores=None)
    if any(v.cure == "messages" for v in found.violations):
        plan = replace(plan, messages="counts")
    for bits in widths_to_try(hardware, plan.weight_bits):
        found = map_network(graph, hardware, phase, replace(plan, weight_bits=bits))
        if not any(v.cure in ("split", "cores", "weights") for v in found.violations):
            return found
    return found


def _narrower(case: Case) -> int | None:
    """The widest weights, narrower than planned, with which the network takes no more cores than allowed."""
    for bits in sorted((b for b in weight_choices(case.hardware) if b < case.plan.weight_bits), reverse=True):
        cut = partition(case.demand, case.hardware, bits)
        parts = sum(cut.parts[p.name] for p in cut.demand.on_chip)
        if case.allowed is None or cut.stuck or parts > MOST_CORES:
            continue
        if len(_pack(cut, case.hardware, bits)) <= case.allowed:
            return bits
    return None


def _pack(cut: Partition, hardware: Hardware, weight_bits: int) -> tuple[Core, ...]:
    """Full parts alone, the rest first-fit decreasing into whatever has room."""
    full: list[Core] = []
    rest: list[Core] = []
    candidates: list[int] = []
    for p in cut.demand.on_chip:
        step = cut.largest[p.name]
        whole = part_usage(cut.demand, p, step, hardware, weight_bits, cut.parts)
        if p.size >= step:
            candidates.append(len(full))  # one full part of each population may still have room for a small one
        full += [Core((Slice(p.name, i * step, (i + 1) * step),), whole) for i in range(p.size // step)]
        if n := p.size % step:
            small = part_usage(cut.demand, p, n, hardware, weight_bits, cut.parts)
            rest.append(Core((Slice(p.name, p.size - n, p.size),), small))
    # whole layers that happen to fill their part exactly are as movable as the leftovers
    single = [i for i in candidates if cut.parts[full[i].slices[0].population] == 1]
    rest += [full[i] for i in single]
    fixed = [core for i, core in enumerate(full) if i not in set(single)]
    open_bins = [fixed.index(full[i]) for i in candidates if i not in set(single)]
    bins: list[Core | None] = list(fixed)
    for part in sorted(rest, key=lambda core: (-_share(core.usage, hardware), core.slices[0].population)):
        for i in open_bins:
            held = bins[i]
            assert held is not None
            together = held.usage + part.usage
            if not exceeded(together, hardware):
                bins[i] = Core((*held.slices, *part.slices), together)
                break
        else:
            open_bins.append(len(bins))
            bins.append(part)
    return tuple(core for core in bins if core is not None)


def _share(used: Usage, hardware: Hardware) -> float:
    """The largest share of a core that is used of any resource."""
    shares = [0.0]
    for resource in RESOURCES:
        amount, limit = getattr(used, resource), core_limit(hardware, resource)
        if amount is not None and limit:
            shares.append(amount / limit)
    return max(shares)
