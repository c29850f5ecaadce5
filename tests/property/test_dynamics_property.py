"""Properties of the dynamics: `respond` against exact rational arithmetic, cancelling and bounds for any network."""

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lavaghost.dynamics import Parameters
from lavaghost.dynamics.fixed_point import respond, split
from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.engines.stepped import Stepped
from lavaghost.numbers.arithmetic import Array
from tests.strategies import fast, fed_back, forward, graphs, parameters, samples, seeds

DTYPES = st.sampled_from([np.float32, np.float64])
BOUNDS = st.sampled_from([np.inf, 1.0, 0.5, 0.1, 3.7])
"""0.1 and 3.7 are not binary fractions: the bound itself is rounded, once."""


@st.composite
def membranes(draw: st.DrawFn) -> tuple[Array, Array, float]:
    """Membranes and changes, with both sides of each kink, the kinks themselves and their neighbours."""
    dtype, r_max = draw(DTYPES), draw(BOUNDS)
    top = dtype(min(r_max, 10.0))
    edges = [0.0, -0.0, top, np.nextafter(top, dtype(np.inf)), np.nextafter(top, dtype(0))]
    edges += [np.nextafter(dtype(0), dtype(1)), np.nextafter(dtype(0), dtype(-1))]
    width = 32 if dtype == np.float32 else 64
    value = st.sampled_from([float(e) for e in edges]) | st.floats(-8, 8, width=width)
    small = st.floats(-(2**-10), 2**-10, width=width) | st.floats(-20, 20, width=width)
    n = draw(st.integers(1, 8))
    v = draw(st.lists(value, min_size=n, max_size=n))
    change = draw(st.lists(small | st.sampled_from([0.0, -float(top), float(top)]), min_size=n, max_size=n))
    return np.array([v], dtype), np.array([change], dtype), r_max


def answered(v: Array, change: Array, r_max: float) -> tuple[Array, Array, Array]:
    """`respond` for a membrane, with the rate and the excess that it is given."""
    rate, excess = np.empty_like(v), v.copy()
    split(excess, r_max, rate)
    out, scratch = np.empty_like(v), np.empty_like(v)
    assert respond(change, excess, rate, r_max, out, scratch) is out
    return out, rate, excess


def exact(v: Array, change: Array, r_max: float) -> list[Fraction]:
    """rho(v + change) - rho(v) without any rounding, for the numbers as they are stored."""
    top = Fraction(float(v.dtype.type(r_max))) if r_max < np.inf else None

    def rho(u: Fraction) -> Fraction:
        u = max(u, Fraction(0))
        return u if top is None else min(u, top)

    pairs = zip(v.ravel().tolist(), change.ravel().tolist(), strict=True)
    return [rho(Fraction(a) + Fraction(b)) - rho(Fraction(a)) for a, b in pairs]


@given(membranes())
@settings(max_examples=500)
def test_respond_is_the_exact_difference_up_to_its_three_roundings(values):
    """Roundings: of the excess, of change + excess, and of r_max - rate; each at most half a unit in the last place."""
    v, change, r_max = values
    out, rate, excess = answered(v, change, r_max)
    half_ulp = Fraction(float(np.finfo(v.dtype).eps)) / 2
    # the smallest numbers of a dtype are added and subtracted without rounding
    for found, wanted, e, d, r in zip(
        out.ravel().tolist(),
        exact(v, change, r_max),
        excess.ravel().tolist(),
        change.ravel().tolist(),
        rate.ravel().tolist(),
        strict=True,
    ):
        room = abs(Fraction(r_max) - Fraction(r)) if r_max < np.inf else Fraction(0)
        bound = half_ulp * (abs(Fraction(e)) + abs(Fraction(e) + Fraction(d)) + room) * (1 + 4 * half_ulp)
        if r_max < np.inf:
            bound += abs(Fraction(float(v.dtype.type(r_max))) - Fraction(r_max))
        assert abs(Fraction(found) - wanted) <= bound


@given(membranes())
@settings(max_examples=300)
def test_respond_is_one_lipschitz_and_monotone(values):
    v, change, r_max = values
    out, rate, _ = answered(v, change, r_max)
    assert (np.abs(out) <= np.abs(change)).all()
    assert ((out == 0) | (np.sign(out) == np.sign(change))).all()
    assert (rate + out >= 0).all()
    zero, _, _ = answered(v, np.zeros_like(v), r_max)
    assert not zero.any()
    less, _, _ = answered(v, np.minimum(change, 0), r_max)
    assert (less <= out).all()


@given(seeds, DTYPES, BOUNDS)
def test_respond_is_exact_in_the_linear_range(seed, dtype, r_max):
    """To the last bit of a change a billion times smaller than the rate, where the plain difference has none."""
    rng = np.random.default_rng(seed)
    top = min(r_max, 1.0)
    v = rng.uniform(0.25 * top, 0.75 * top, (1, 20)).astype(dtype)
    change = (rng.normal(size=(1, 20)) * 10.0 ** rng.uniform(-30, -2, (1, 20)) * top).astype(dtype)
    out, _, excess = answered(v, change, r_max)
    assert not excess.any()
    np.testing.assert_array_equal(out, change)


@given(membranes())
def test_split_gives_rate_and_excess_of_a_membrane(values):
    v, _, r_max = values
    rate, excess = np.empty_like(v), v.copy()
    split(excess, r_max, rate)
    bound = v.dtype.type(r_max)
    np.testing.assert_array_equal(rate, np.minimum(np.maximum(v, 0), bound))
    assert (excess[(v >= 0) & (v <= bound)] == 0).all()
    assert (excess[v < 0] == v[v < 0]).all()
    assert (excess[v > bound] > 0).all()


# ---- any network


@given(graphs(mechanism="duplicate"), seeds, st.sampled_from([1, 3]))
@settings(max_examples=60)
def test_duplicate_ghosts_cancel_to_the_bit_in_any_network(graph, seed, batch):
    graph = graph.having(schedule=fast())
    params = parameters(graph, seed)
    x, _ = samples(graph, batch, seed)
    for _, state in Stepped(graph).states(params, x):
        for b, i in zip(state.feedback, state.inhibition, strict=True):
            np.testing.assert_array_equal(b, i)


@given(graphs(), seeds)
@settings(max_examples=60)
def test_with_exact_ghosts_the_free_phase_is_the_forward_pass_in_any_network(graph, seed):
    params = parameters(graph, seed)
    x, _ = samples(graph, 3, seed)
    free = Equilibrium(graph.having(free_sweeps=20), 3, dtype=np.float64).free(params, x)
    for found, wanted in zip(free, forward(graph, params, x)[1], strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


@given(graphs(mechanism="duplicate"), seeds)
@settings(max_examples=60)
def test_one_sweep_is_bounded_by_nudge_and_norms(graph, seed):
    """|delta_L| <= beta |y - p|, and each layer down multiplies by lam |B_k| at most: rates are 1-Lipschitz."""
    params = parameters(graph, seed)
    x, target = samples(graph, 3, seed)
    trial = Equilibrium(graph, 3, sweeps=1, push=False, dtype=np.float64).trial(params, x, target)
    bound = np.linalg.norm(trial.change[-1], axis=1)
    reach = np.linalg.norm(target, axis=1) + np.linalg.norm(trial.free[-1], axis=1) + 1
    assert (bound <= graph.beta * reach).all()
    for k in range(graph.depth - 1, 0, -1):
        bound = graph.lam * np.linalg.norm(fed_back(params, k), 2) * bound
        assert (np.linalg.norm(trial.change[k - 1], axis=1) <= bound * (1 + 1e-12) + 1e-300).all()


@given(graphs(), seeds)
@settings(max_examples=40)
def test_names_of_parameters_are_a_bijection(graph, seed):
    params = parameters(graph, seed, copied=False)
    again = Parameters.from_named(graph, params.named())
    assert again.named().keys() == params.named().keys()
    for name, array in params.named().items():
        assert again.named()[name] is array
