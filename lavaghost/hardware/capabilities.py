"""Design rules about what a chip can do: the width of weights, what a spike carries and where it goes, learning."""

from collections.abc import Iterator

from lavaghost.hardware import messages, remedies
from lavaghost.hardware.findings import Case, Finding, Unknown, Violation
from lavaghost.hardware.partition import fan_out
from lavaghost.hardware.schema import Hardware

ELSEWHERE = "learn on another chip (loihi2_oheo_gulch) or on this computer, and map it with --phase inference"


def weight_choices(hardware: Hardware) -> tuple[int, ...]:
    """Widths of a weight that the chip has; empty is unknown."""
    return hardware.limits.weight_bits.values


def widths_to_try(hardware: Hardware, bits: int) -> tuple[int, ...]:
    """`bits`, or the next wider width that the chip has, which holds them; then narrower ones, widest first."""
    choices = weight_choices(hardware)
    wider = min((b for b in choices if b >= bits), default=bits)
    return (wider, *sorted((b for b in choices if b < bits), reverse=True))


def bit_widths(case: Case) -> Iterator[Finding]:
    """The widths of weights and membranes."""
    hardware, bits = case.hardware, case.plan.weight_bits
    choices = weight_choices(hardware)
    if not choices:
        yield Unknown(f"weight_bits on {hardware.name}: no figure to hold {bits} against")
    elif bits not in choices:
        wider, *narrower = widths_to_try(hardware, bits)
        options = [f"{wider}-bit weights, which hold them (--weight-bits {wider})"] if wider in choices else []
        if narrower:
            options.append(
                f"{narrower[0]}-bit weights (--weight-bits {narrower[0]}) and measure the accuracy again"
            )
        limit = narrower[0] if narrower else wider
        remedy = "use " + ", or ".join(options)
        yield Violation("network", "weight_bits", bits, limit, "bits", remedy, "weights")
    if hardware.limits.state_bits.value is None:
        yield Unknown(f"state_bits on {hardware.name}: the range of a membrane is not known")


def payload(case: Case) -> Iterator[Finding]:
    """What a message must carry, against what a spike can."""
    hardware, demand, wish = case.hardware, case.partition.demand, case.plan.messages
    sent = messages.code(demand, hardware, wish)
    needed = messages.bits_needed(demand, hardware, sent)
    bits = hardware.limits.payload_bits.limit
    if bits is None:
        if needed or wish is None:
            taken = "" if needed else "; spike counts are taken, which need none"
            yield Unknown(
                f"payload_bits on {hardware.name}: whether spikes carry {needed or 24} bits is not known{taken}"
            )
        return
    if bits >= needed:
        return
    if sent == "counts":
        for p in case.demand.on_chip:
            if demand.relays_of(p.name):
                why = "its inputs are more than a core takes, and the sums of a part of them are numbers with a sign"
                remedy = remedies.without_relays(case, p.name)
                yield Violation(p.name, "payload_bits", needed, bits, "bits", remedy, "network", why)
    elif demand.phase == "learning":
        why = "learning sends rates and errors as numbers"
        yield Violation(
            "network", "payload_bits", needed, bits, "bits", f"{ELSEWHERE}: {COUNTED}", "phase", why
        )
    else:
        why = "rates are sent as numbers"
        remedy = f"use --messages counts: {COUNTED}"
        yield Violation("network", "payload_bits", needed, bits, "bits", remedy, "messages", why)


COUNTED = f"its rates can be {messages.COUNTS}, which need no payload"


def reach(case: Case) -> Iterator[Finding]:
    """How far the spikes of one neuron go: to how many cores, and hidden neurons to how many others."""
    limits, demand, parts = case.hardware.limits, case.partition.demand, case.partition.parts
    learning = ELSEWHERE if demand.phase == "learning" else None
    sent = messages.code(demand, case.hardware, case.plan.messages)
    needed = messages.bits_needed(demand, case.hardware, sent)
    # relays that cannot send their sums are a fault of their own, and the cause of what they reach
    if limits.cores_reached.limit is not None and (limits.payload_bits.limit or 0) >= needed:
        for p in case.demand.on_chip:
            if (used := fan_out(demand, p, parts)) > limits.cores_reached.limit:
                remedy = learning or remedies.reaching(case, p, limits.cores_reached.limit)
                yield Violation(
                    p.name, "cores_reached", used, limits.cores_reached.limit, "cores", remedy, "network"
                )
    most = limits.hidden_neurons_reached.limit
    if most is None:
        return
    inner = {p.name for p in case.demand.populations if p.role in ("hidden", "ghost")}
    for name in sorted(inner):
        reached = [c for c in case.demand.out_of(name) if c.target in inner]
        used = sum(-(-c.synapses // c.n_pre) for c in reached)
        if used > most:
            remedy = learning or f"use at most {most:,.0f} neurons in {reached[0].target}"
            yield Violation(name, "hidden_neurons_reached", used, most, "neurons", remedy, "network")


def learning(case: Case) -> Iterator[Finding]:
    """What the local rules need: plastic weights, a third factor, and sums that it reaches."""
    if case.demand.phase != "learning":
        return
    offered, name = case.hardware.plasticity, case.hardware.name
    plastic = sum(c.synapses for c in case.demand.shares if c.plastic)
    if offered.supported.value is None:
        yield Unknown(f"learning on {name}: whether the chip learns is not known")
    elif not offered.supported.value:
        why = f"it does not learn ({_said_by(case.hardware)})"
        yield Violation("network", "plastic_synapses", plastic, 0, "synapses", ELSEWHERE, "phase", why)
        return
    if offered.third_factor.value is None:
        yield Unknown(
            f"third_factor on {name}: the rules multiply three factors; whether the chip can is not known"
        )
    elif not offered.third_factor.value:
        yield Violation("network", "third_factor", 3, 2, "factors", ELSEWHERE, "phase")
    widest = offered.weight_bits.limit
    if widest is not None and case.plan.weight_bits > widest:
        remedy = f"use {widest:,.0f}-bit weights (--weight-bits {widest:.0f}) where they learn"
        yield Violation(
            "network", "plastic_weight_bits", case.plan.weight_bits, widest, "bits", remedy, "weights"
        )
    if case.partition.demand.relays:
        yield Unknown(f"relays on {name}: the learning rule's postsynaptic factor must reach them as well")


def _said_by(hardware: Hardware) -> str:
    said = hardware.plasticity.supported
    return said.note or hardware.sources[said.source or ""]
