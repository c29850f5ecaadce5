"""Every placement respects every limit, loses and doubles nothing, and grows with the network and the chip."""

import itertools
import math
from collections import Counter

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lavaghost.hardware.catalogue import load_chip
from lavaghost.hardware.demand import Share, demand_of
from lavaghost.hardware.findings import Plan
from lavaghost.hardware.mapper import map_network, remedied
from lavaghost.hardware.placement import Mapping
from lavaghost.hardware.schema import Hardware
from lavaghost.hardware.usage import Usage, usage
from tests.chips import learning_loihi1, share
from tests.networks import ghost_graph

LOIHI1 = load_chip("loihi1")
FEW = settings(max_examples=40, deadline=None)

networks = st.builds(
    lambda layers, mechanism, feedback: ghost_graph(
        layers=tuple(layers), mechanism=mechanism, feedback=feedback
    ),
    st.lists(st.integers(1, 400), min_size=3, max_size=5),
    st.sampled_from(["duplicate", "learned", "online"]),
    st.sampled_from(["tied", "random"]),
)
phases = st.sampled_from(["inference", "learning"])
LIMITS = {
    "neurons": st.integers(16, 2000),
    "input_axons": st.integers(32, 5000),
    "output_axons": st.integers(256, 5000),
    "synapses": st.integers(2000, 10**6),
    "synapse_bits": st.integers(20_000, 10**7),
}


def chip(limits: dict[str, int | None], cores: float) -> Hardware:
    """Loihi 1 with other limits, and with room for all that learning needs."""
    return learning_loihi1(cores=cores, **{f"{k}_per_core": v for k, v in limits.items()})


limits = st.fixed_dictionaries({k: st.none() | v for k, v in LIMITS.items()})


def bits(n: int) -> int:
    """Bits of an axon with n synapses of 8 bits on Loihi 1, block by block."""
    return sum(math.ceil((8 * min(64, n - i) + 10) / 64) * 64 for i in range(0, n, 64))


def recount(mapping: Mapping, core: int) -> Counter[str]:
    """What a core holds, counted synapse list by synapse list, without the mapper's formulas."""
    found: Counter[str] = Counter()
    for part in mapping.cores[core].slices:
        found["neurons"] += part.size
        for c in mapping.demand.into(part.population):
            axons, each = (part.size, 1) if c.aligned else (c.n_pre, part.size)
            found["input_axons"] += axons * (2 if c.plastic else 1)
            found["synapses"] += axons * each
            found["synapse_bits"] += axons * bits(each)
        for c in mapping.demand.out_of(part.population):
            for _, target in mapping.parts[c.target]:
                found["output_axons"] += overlap(c, part.start, part.stop, target.start, target.stop)
    return found


def overlap(c: Share, start: int, stop: int, target_start: int, target_stop: int) -> int:
    """Neurons of a part that reach a part of the target."""
    low, high = (target_start, target_stop) if c.aligned else (c.first, c.first + c.n_pre)
    return max(0, min(stop, high) - max(start, low))


@FEW
@given(networks, phases, limits)
def test_every_limit_is_respected(network, phase, made):
    mapping = map_network(network, chip(made, math.inf), phase)
    assume(mapping.needed < 120)
    for i, core in enumerate(mapping.cores):
        counted = recount(mapping, i)
        for resource in LIMITS:
            limit = made[resource]
            assert counted[resource] <= getattr(core.usage, resource)
            assert limit is None or getattr(core.usage, resource) <= limit
        exact = ("neurons", "input_axons", "synapses", "synapse_bits")
        assert {r: counted[r] for r in exact} == {r: getattr(core.usage, r) for r in exact}


@FEW
@given(networks, phases, limits)
def test_nothing_is_lost_or_doubled(network, phase, made):
    mapping = map_network(network, chip(made, math.inf), phase)
    assume(mapping.cores and mapping.needed < 120)
    for p in mapping.demand.on_chip:
        slices = sorted((s.start, s.stop) for _, s in mapping.parts[p.name])
        assert slices[0][0] == 0
        assert slices[-1][1] == p.size
        assert all(a[1] == b[0] for a, b in itertools.pairwise(slices))
    # relays apart, every synapse is there once, whatever pieces it was cut into
    wanted, found = Counter(), Counter()
    for c in demand_of(network, phase).shares:
        wanted[c.source, c.target, c.path] += c.synapses
    for c in mapping.demand.shares:
        if c.path != "partial_sum":
            found[c.source, c.target.partition(":")[0], c.path] += c.synapses
    assert found == wanted
    assert sum(core.usage.synapses for core in mapping.cores) == mapping.demand.synapses
    assert sum(core.usage.neurons for core in mapping.cores) == mapping.demand.neurons
    assert mapping.lower_bound <= mapping.needed


@FEW
@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from([1, 2, 3, 4, 5, 6, 8]), st.booleans())
def test_a_synapse_more_never_takes_less(n_pre, n_post, width, plastic):
    def used(a: int, b: int) -> Usage:
        return usage(share("dense", a, b, plastic), LOIHI1, width, b)

    small, names = used(n_pre, n_post), Usage.__dataclass_fields__
    for larger in (used(n_pre + 1, n_post), used(n_pre, n_post + 1)):
        assert all(getattr(larger, r) >= getattr(small, r) for r in names)
        assert larger.synapses > small.synapses
    one = share("one_to_one", n_post, n_post)
    more = usage(one, LOIHI1, width, n_post + 1)
    assert all(getattr(more, r) >= getattr(usage(one, LOIHI1, width, n_post), r) for r in names)


@FEW
@given(
    networks, phases, limits, st.dictionaries(st.sampled_from(sorted(LIMITS)), st.floats(1, 3)), st.floats(1, 2)
)
def test_what_fits_still_fits_on_a_larger_chip(network, phase, made, factors, more):
    small = map_network(network, chip(made, math.inf), phase)
    assume(small.cores and small.needed < 120)
    exact = map_network(network, chip(made, small.needed), phase)
    assert not exact.violations
    grown = {k: None if v is None else math.floor(v * factors.get(k, 1.0)) for k, v in made.items()}
    large = map_network(network, chip(grown, math.ceil(small.needed * more)), phase)
    assert not large.violations, (small.needed, large.needed)


@FEW
@given(networks, phases, limits, st.integers(1, 40))
def test_remedies_work_or_say_what_the_user_must_change(network, phase, made, cores):
    hardware = chip(made, cores)
    mended = remedied(network, hardware, phase, Plan(cores=1, split=False))
    if not mended.violations:
        assert len(mended.cores) <= cores
    else:
        assert all(v.remedy and v.used > v.limit for v in mended.violations)
        # a wider chip without these limits takes it
        assert not map_network(network, chip(dict.fromkeys(LIMITS), cores), phase).violations
