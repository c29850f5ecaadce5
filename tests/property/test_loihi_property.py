"""Integers stay within the derived bound of real numbers, at every state of every step."""

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lavaghost.dynamics import Parameters
from lavaghost.engines.stepped import Stepped
from lavaghost.methods.ghost.method import Ghost
from lavaghost.net.network import Schedule
from lavaghost.net.parameters import shapes
from lavaghost.numbers.bound import RoundingBound
from lavaghost.numbers.loihi import Loihi, shifted_by
from lavaghost.numbers.widths import Formats, LoihiWidths
from tests.networks import ghost_graph

REAL = 1e-10
"""Rounding of the reference itself: some hundred additions of numbers below 10^5 in double precision."""


@st.composite
def integer_networks(draw):
    """A network of any kind, its formats, and weights among them the largest and smallest that fit."""
    layers = tuple(draw(st.lists(st.integers(1, 5), min_size=3, max_size=5)))
    tau = draw(st.sampled_from([1.0, 2.0, 4.0, 8.0]))
    network = ghost_graph(
        layers=layers,
        mechanism=draw(st.sampled_from(["duplicate", "learned", "online"])),
        feedback=draw(st.sampled_from(["tied", "random"])),
        loss="squared_error",
        saturation=draw(st.sampled_from([1.0, 254 / 64])),
        lam=draw(st.sampled_from([1 / 32, 0.25, 1.0])),
        beta=draw(st.sampled_from([1 / 8, 1.0])),
        schedule=Schedule(tau_steps=tau, tau_ghost_steps=tau, t_free_steps=9, t_nudge_steps=7),
    )
    depth = network.depth
    fractions = tuple(draw(st.integers(7, 12)) for _ in range(depth))
    hidden = fractions[1:]
    formats = Formats(
        (draw(st.integers(5, 7)), *[6] * (depth - 1), draw(st.integers(5, 12))),
        fractions,
        hidden,
        hidden,
        hidden,
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    extreme = draw(st.booleans())
    arrays = {}
    for name, shape in shapes(network).items():
        group, k = name.split(".")
        if "biases" in group:
            arrays[name] = rng.integers(-(2**14), 2**14, shape) * 2.0**-12
            continue
        w = rng.choice([-256, 255, 0], shape) if extreme else rng.integers(-256, 256, shape)
        arrays[name] = w * 2.0 ** -getattr(formats, group)[int(k) - 1]
    full = draw(st.sampled_from([0.0, 0.5, 1.0]))
    x = np.array(
        [np.zeros(layers[0]), np.full(layers[0], 254 / 2 ** formats.messages[0]), rng.random(layers[0])]
    )
    target = rng.random((3, layers[-1])) * 2 - full
    return network, formats, Parameters.from_named(network, arrays), x, target


@given(integer_networks(), st.booleans())
@settings(max_examples=150)
def test_fixed_against_float_is_within_the_derived_bound(case, nearest):
    network, formats, params, x, target = case
    arith = Loihi(formats, LoihiWidths(round_messages=nearest))
    real = list(Stepped(network).states(params, x, target))
    # the bound's premise: the real trajectory is in the range of states and of the output's messages
    largest = max(np.abs(a).max() for _, state in real for group in state for a in group if a.size)
    assume(largest < arith.widths.state_limit * 2.0**-12)
    outputs = max(np.abs(state.v_mem[-1]).max() for _, state in real)
    ghosts = max(np.abs(state.v_ghost[-1]).max() for _, state in real)
    assume(max(outputs, ghosts) < arith.widths.output_limit * 2.0 ** -formats.messages[-1])
    fixed = Stepped(network, arith).states(params, x, target)
    bound = Stepped(network, RoundingBound(arith)).states(params, x, target)  # type: ignore[arg-type]
    for (_, wanted), (_, found), (_, allowed) in zip(real, fixed, bound, strict=True):
        for field in wanted._fields:
            for a, b, e in zip(
                getattr(wanted, field), getattr(found, field), getattr(allowed, field), strict=True
            ):
                excess = np.abs(arith.real(b) - a) - e
                assert excess.max(initial=0.0) <= REAL, field


@given(integer_networks())
@settings(max_examples=60)
def test_duplicate_ghosts_have_the_state_of_their_partners(case):
    """Exactly, at every step of the free phase, whatever saturates; so nothing is left of the feedback."""
    given, formats, params, x, _ = case
    back = "tied" if given.tied else "random"
    network = Ghost(mechanism="duplicate", feedback=back, **dict(given.relaxation)).graph(given.network)
    params = params._replace(ghost_weights=(), ghost_biases=(), ghost_inhibition=())
    for _, state in Stepped(network, Loihi(formats)).states(params, x):
        for ghost, partner in zip(state.v_ghost, state.v_mem[1:], strict=True):
            np.testing.assert_array_equal(ghost, partner)
        for feedback, inhibition in zip(state.feedback, state.inhibition, strict=True):
            np.testing.assert_array_equal(feedback, inhibition)


@given(st.integers(-(2**40), 2**40), st.floats(1, 4096))
def test_a_state_never_leaves_its_bits(drive, tau):
    arith = Loihi(Formats((7, 6, 6), (8, 8)))
    limit = arith.widths.state_limit
    for v in (-limit, -1, 0, 1, limit):
        new = arith.integrate(np.array([v]), np.array([drive]), tau)
        assert -limit <= new[0] <= limit
        # cut towards zero, so that positive and negative states behave alike
        assert arith.integrate(np.array([-v]), np.array([-drive]), tau)[0] == -new[0]


@given(st.integers(-(2**30), 2**30), st.integers(-12, 12))
def test_a_shift_is_a_floor(a, exponent):
    assert shifted_by(np.array([a]), exponent)[0] == np.floor(a * 2.0**exponent)


@given(st.lists(st.integers(0, 254), min_size=1, max_size=40), st.integers(0, 2**32 - 1))
def test_products_are_exact(rates, seed):
    arith = Loihi(Formats((7, 6, 6), (9, 9)))
    w = np.random.default_rng(seed).integers(-256, 256, (3, len(rates)))
    synapses = arith.connection(w * 2.0**-9, "weights", 1)
    found = arith.synapse(synapses, np.array([rates]))
    np.testing.assert_array_equal(found[0], (w @ np.array(rates)) >> 4)
    assert synapses.exponent == -4


@given(st.integers(1, 8))
def test_steps_of_weights_follow_their_bits(bits):
    widths = LoihiWidths(weight_bits=bits)
    low, high = widths.weight_limits
    assert (low, high % widths.weight_step) == (-256, 0)
    assert len(range(low, high + 1, widths.weight_step)) == 2 ** (bits + 1)
    assert len(range(low, 256, widths.static_step)) == 2**bits
