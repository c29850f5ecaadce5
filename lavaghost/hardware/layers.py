"""Whole layers to cores of different sizes, one each: a matching that takes the smallest cores that hold them."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from lavaghost.hardware import remedies
from lavaghost.hardware.demand import Demand
from lavaghost.hardware.findings import Case, Violation
from lavaghost.hardware.partition import part_usage
from lavaghost.hardware.placement import Core, Slice
from lavaghost.hardware.schema import WORDS, Hardware
from lavaghost.hardware.usage import layer_words

NO_CORE = 1e15
"""The price of a core that does not hold a layer; more than any number of words."""


def matched(demand: Demand, hardware: Hardware) -> dict[str, int]:
    """The physical core of each layer; a layer that finds none is left out."""
    memories = {key: values for key in WORDS if (values := getattr(hardware.limits, key).values)}
    count = min((len(values) for values in memories.values()), default=0)
    layers = demand.on_chip
    price = np.full((len(layers), count), NO_CORE)
    for i, p in enumerate(layers):
        words = layer_words(demand, hardware, p)
        for j in range(count):
            if all(words[key] <= values[j] for key, values in memories.items()):
                price[i, j] = sum(values[j] for values in memories.values())
    rows, columns = linear_sum_assignment(price)
    return {layers[i].name: int(j) for i, j in zip(rows, columns, strict=True) if price[i, j] < NO_CORE}


def assign(case: Case) -> tuple[Core, ...]:
    """A core for each layer, or nothing if one of them finds none."""
    found = matched(case.demand, case.hardware)
    if len(found) < len(case.demand.on_chip):
        return ()
    one = {p.name: 1 for p in case.demand.populations}
    return tuple(
        Core(
            (Slice(p.name, 0, p.size),),
            part_usage(case.demand, p, p.size, case.hardware, case.plan.weight_bits, one),
            found[p.name],
        )
        for p in case.demand.on_chip
    )


def unassigned(case: Case) -> Violation:
    """For layers that each fit some core, but not each a core of its own."""
    demand, hardware = case.demand, case.hardware
    layers = sorted(demand.on_chip, key=lambda p: -layer_words(demand, hardware, p)["kernel_words_per_core"])
    remedy = remedies.at_most(
        demand,
        tuple(p.name for p in layers if p.role != "output"),
        lambda changed: len(matched(changed, hardware)) == len(layers),
    )
    why = "each layer fits some core, but not each a core of its own"
    placed = len(matched(demand, hardware))
    return Violation("network", "cores", len(layers), placed, "cores", remedy, "network", why)
