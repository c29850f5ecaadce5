"""Activation relaxation: its closed form against the steps, backprop as a limit, the rest of the published start."""

from fractions import Fraction
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavaghost.base.errors import SpecError
from lavaghost.dynamics import Parameters
from lavaghost.methods.backprop import Backprop
from lavaghost.methods.by_name import check_together
from lavaghost.methods.carried import multiplied
from lavaghost.methods.learning import Learning
from lavaghost.methods.relaxation import ActivationRelaxation, weights_of
from lavaghost.net.graph import Graph
from lavaghost.net.network import Network
from lavaghost.numbers.arithmetic import Array
from lavaghost.training.diagnostics import cosine
from tests.networks import asked
from tests.strategies import distance, fed_back, forward, parameters, samples, seeds

Sweep = Literal["sequential", "parallel"]
SWEEPS: tuple[Sweep, ...] = ("sequential", "parallel")
STARTS = ("zero", "rates")
FEEDBACKS = ("tied", "random", "learned")

CLOSED = 1e-12
"""Double precision: some roundings for each of 200 steps, relative to what the same steps do without their signs."""
CLOSED32 = 4e-7
"""The same in float32, for the sums; measured by prototypes."""
STEPS32 = 2e-6
"""And for 200 steps, whose roundings add up."""


class Passed(NamedTuple):
    """A forward pass, in double precision: r_0..r_L, and x_L = r_L - y."""

    graph: Graph
    params: Parameters
    rates: list[Array]
    top: Array
    x: Array
    target: Array


def passed(
    method: ActivationRelaxation, layers: tuple[int, ...], batch: int, seed: int, **physics: Any
) -> Passed:
    network = Network.model_validate({"layers": layers, "loss": "squared_error", **physics})
    graph = method.graph(network)
    params = parameters(graph, seed)
    x, target = samples(network, batch, seed)
    rates = forward(network, params, x)[1]
    return Passed(graph, params, [x, *rates], rates[-1] - target, x, target)


def relaxed(method: ActivationRelaxation, p: Passed, dtype: type = np.float64) -> list[Array]:
    """x_1..x_L by the method, in `dtype`."""
    rates = [r.astype(dtype) for r in p.rates]
    return method.relaxed(p.graph, p.params.astype(dtype), rates, p.top.astype(dtype))


def stepped(method: ActivationRelaxation, p: Passed, steps: int, without_signs: bool = False) -> list[Array]:
    """x_1..x_L by the equation, a loop over steps and layers; `without_signs` all terms add up, a bound of rounding."""
    sizes = np.abs if without_signs else np.asarray
    a, depth = method.rate, p.graph.depth
    back = [sizes(fed_back(p.params, k)) for k in range(1, depth)]
    high = p.graph.r_max
    slopes = [((r > 0) & (r < high)).astype(float) for r in p.rates[1:-1]] + [np.ones_like(p.top)]
    if not method.derivative:
        slopes = [np.ones_like(s) for s in slopes]
    begin = [0.0 * r if method.start == "zero" else 0.5 * r for r in p.rates[1:-1]]
    x = [*(sizes(one) for one in begin), sizes(p.top)]
    for _ in range(steps):
        seen = x if method.sweep == "sequential" else list(x)
        for k in range(depth - 1, 0, -1):
            arrives = np.einsum("bj,ij->bi", seen[k] * slopes[k], back[k - 1])
            x[k - 1] = (
                (1 - a) * x[k - 1] + a * arrives if without_signs else x[k - 1] - a * (x[k - 1] - arrives)
            )
    return x


def changes(method: Any, p: Passed) -> list[Array]:
    """The changes of W_1..W_L in float32, multiplied out."""
    graph, single = method.graph(p.graph.network), p.params.astype(np.float32)
    found = asked(method, graph, single, p.x.astype(np.float32), p.target.astype(np.float32))
    return multiplied(graph, single, found.factors)


# ---- the closed form


@given(data=st.data(), seed=seeds)
@settings(max_examples=150)
def test_the_sums_are_the_steps(data, seed):
    steps = data.draw(st.integers(1, 200), "steps")
    method = ActivationRelaxation(
        steps=steps,
        rate=data.draw(st.sampled_from([0.005, 0.05, 0.1, 0.3, 0.5, 0.9, 0.995, 1.0]), "rate"),
        start=data.draw(st.sampled_from(STARTS), "start"),
        sweep=data.draw(st.sampled_from(SWEEPS), "sweep"),
        derivative=data.draw(st.booleans(), "derivative"),
        feedback=data.draw(st.sampled_from(FEEDBACKS), "feedback"),
    )
    layers = data.draw(st.lists(st.integers(1, 6), min_size=3, max_size=7), "layers")
    saturation = data.draw(st.sampled_from([None, 0.5]), "saturation")
    p = passed(method, tuple(layers), 3, seed, saturation=saturation)
    wanted, bound = stepped(method, p, steps), stepped(method, p, steps, without_signs=True)
    # the last step is rounded as what it takes from is, which with a rate near 1 is far above what is left
    before = stepped(method, p, steps - 1, without_signs=True)
    stepping = method.model_copy(update={"solve": "steps"})
    for dtype, loop, closed in ((np.float64, CLOSED, CLOSED), (np.float32, STEPS32, CLOSED32)):
        for solve, tolerance in ((stepping, loop), (method, closed)):
            for k, found in enumerate(relaxed(solve, p, dtype), start=1):
                assert found.dtype == dtype
                sizes = (bound, before) if solve is stepping else (bound,)
                size = max(np.finfo(np.float32).tiny, *(one[k - 1].max() for one in sizes))
                assert np.abs(found - wanted[k - 1]).max() <= tolerance * size, (solve.solve, dtype, k)


@given(
    depth=st.integers(1, 7),
    steps=st.integers(1, 60),
    rate=st.integers(1, 256).map(lambda n: n / 256),
    sweep=st.sampled_from(SWEEPS),
)
def test_the_weights_of_the_sums_are_the_recursion_in_fractions(depth, steps, rate, sweep):
    """A chain of units with weights of one, in exact numbers: each start alone, then the held source alone."""

    def chain(source: int) -> list[Fraction]:
        """What T steps make of a one in layer `source`; the last of layers 0..depth is held, and lowest layer 0."""
        a = Fraction(rate)
        x = [Fraction(int(k == source)) for k in range(depth + 1)]
        for _ in range(steps):
            seen = x if sweep == "sequential" else list(x)
            for k in range(depth - 1, -1, -1):
                x[k] = x[k] - a * (x[k] - seen[k + 1])
        return x

    given_, held = weights_of(depth, steps, rate, sweep)
    assert len(given_) == len(held) == depth
    started, from_top = chain(depth - 1), chain(depth)
    for d in range(depth):
        assert given_[d] == pytest.approx(float(started[depth - 1 - d]), rel=1e-11, abs=1e-290)
        assert held[d] == pytest.approx(float(from_top[depth - d]), rel=1e-11, abs=1e-290)


def test_a_share_too_small_for_a_difference_from_one_is_right():
    """P(Bin(8, .005) >= 8) = a^8: far below the rounding of 1, of which it must not be what is left."""
    assert weights_of(9, 8, 0.005, "parallel")[1][8] == pytest.approx(0.005**8, rel=1e-12)
    assert weights_of(9, 9, 0.005, "parallel")[1][8] == pytest.approx(0.005**8 * (9 - 8 * 0.005), rel=1e-12)


def test_what_steps_leave_of_each_layer_is_what_was_published():
    """T 20, a 0.1 scales two hidden layers by .88 and .64, as prototypes measured."""
    held = weights_of(3, 20, 0.1, "sequential")[1]
    assert held[1:] == pytest.approx([0.88, 0.64], abs=0.005)
    assert held[1] == pytest.approx(1 - 0.9**20, rel=1e-12)


# ---- backprop as a limit


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
@pytest.mark.parametrize("layers", [(5, 4, 3), (6, 9, 8, 4), (6, 9, 8, 7, 6, 4)])
@pytest.mark.parametrize("solve", ["closed", "steps"])
@pytest.mark.parametrize("sweep", SWEEPS)
def test_whole_steps_to_layer_one_are_backprop_to_the_bit(loss, layers, solve, sweep):
    """A = 1: L - 1 steps at once, or one from the top down; more change nothing. They are the default."""
    p = passed(ActivationRelaxation(), layers, 12, 1, loss=loss)
    graph, single = p.graph, p.params.astype(np.float32)
    x, target = p.x.astype(np.float32), p.target.astype(np.float32)
    wanted = asked(Backprop(), graph, single, x, target).factors
    enough = 1 if sweep == "sequential" else graph.depth - 1
    for steps in (None, enough, graph.depth + 5):
        method = ActivationRelaxation(steps=steps, sweep=sweep, solve=solve)
        assert (method.rate, method.start, method.feedback) == (1.0, "zero", "tied")
        found = asked(method, graph, single, x, target).factors
        assert found.keys() == wanted.keys()
        for name, factor in found.items():
            np.testing.assert_array_equal(factor.post, wanted[name].post, err_msg=name)
            np.testing.assert_array_equal(factor.pre, wanted[name].pre, err_msg=name)


@pytest.mark.parametrize("solve", ["closed", "steps"])
def test_of_the_published_start_whole_steps_leave_nothing(solve):
    p = passed(ActivationRelaxation(), (6, 9, 8, 4), 12, 1)
    found = changes(ActivationRelaxation(start="rates", solve=solve), p)
    for a, b in zip(found, changes(Backprop(), p), strict=True):
        # x0 - (x0 - e) rounds
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())


@pytest.mark.parametrize("sweep", SWEEPS)
@pytest.mark.parametrize(("steps", "rate"), [(100, 0.1), (20, 0.1), (7, 0.3), (3, 0.005)])
def test_from_zero_the_direction_is_that_of_backprop_and_steps_only_scale(steps, rate, sweep):
    p = passed(ActivationRelaxation(), (8, 16, 12, 10, 4), 24, 2)
    found = changes(ActivationRelaxation(steps=steps, rate=rate, sweep=sweep), p)
    held = weights_of(4, steps, rate, sweep)[1]
    for k, (a, b) in enumerate(zip(found, changes(Backprop(), p), strict=True), start=1):
        assert cosine(a, b) > 1 - 1e-9
        assert distance(a, held[4 - k] * b) < 1e-6


# ---- the published start, and the units of the authors


def test_it_is_the_authors_recursion_in_their_units():
    """x_L = 2 (r_L - y), x_k(0) = r_k, and a change without the half that the loss here has: twice ours."""
    method = ActivationRelaxation(steps=9, rate=0.1, start="rates", sweep="sequential")
    p = passed(method, (5, 7, 6, 3), 8, 4)
    slopes = [(r > 0).astype(float) for r in p.rates[1:-1]] + [np.ones_like(p.top)]
    x = [*(r.copy() for r in p.rates[1:-1]), 2 * (p.rates[-1] - p.target)]
    for _ in range(9):
        for k in (1, 0):
            x[k] = x[k] - 0.1 * (x[k] - (x[k + 1] * slopes[k + 1]) @ p.params.weights[k + 1])
    for found, theirs, slope, below in zip(changes(method, p), x, slopes, p.rates, strict=False):
        assert distance(2 * found, -np.einsum("bj,bi->ji", theirs * slope, below) / 8) < 1e-5


def test_as_errors_shrink_the_residue_of_the_published_start_wins():
    """(1 - a)^T of r_k stays however small the error is; from zero nothing stays."""
    method = ActivationRelaxation(steps=50, rate=0.1, start="rates", sweep="sequential")
    p = passed(method, (8, 16, 12, 4), 24, 3)
    out, rng = p.rates[-1], np.random.default_rng(0)
    away = rng.normal(size=out.shape)
    published, zero = [], []
    for error in (3.0, 1.0, 0.3, 0.1, 0.03):
        near = p._replace(target=out + error * away)
        gradient = changes(Backprop(), near)
        published.append([cosine(a, b) for a, b in zip(changes(method, near), gradient, strict=True)])
        from_zero = changes(method.model_copy(update={"start": "zero"}), near)
        zero.append([cosine(a, b) for a, b in zip(from_zero, gradient, strict=True)])
    first, last = np.array(published).T[0], np.array(published).T[-1]
    assert (np.diff(first) < 0).all()
    assert first[0] > 0.99
    assert first[-1] < 0.6
    assert last.min() > 1 - 1e-6  # the output has its error itself
    assert np.min(zero) > 1 - 1e-6


def test_at_the_target_only_the_residue_is_left():
    """No error, no gradient; the published start teaches its rates all the same."""
    method = ActivationRelaxation(steps=10, rate=0.1, start="rates", sweep="parallel")
    p = passed(method, (5, 7, 3), 8, 5)
    p = p._replace(target=p.rates[-1], top=np.zeros_like(p.top))
    x = relaxed(method, p)
    np.testing.assert_allclose(x[0], 0.5 * 0.9**10 * p.rates[1], rtol=1e-12, atol=0)
    assert not relaxed(method.model_copy(update={"start": "zero"}), p)[0].any()


# ---- variants


def test_without_the_derivative_it_goes_from_the_relaxation_and_stays_in_the_change():
    method = ActivationRelaxation(steps=30, rate=0.2, derivative=False)
    p = passed(method, (6, 9, 8, 7, 4), 12, 6)
    for k, (change, x) in enumerate(zip(changes(method, p), stepped(method, p, 30), strict=True), start=1):
        slope = p.rates[k] > 0 if k < 4 else np.ones_like(p.top)
        wanted = -np.einsum("bj,bi->ji", x * slope, p.rates[k - 1]) / 12
        assert distance(change, wanted) < 1e-5
    whole = changes(method.model_copy(update={"derivative": True}), p)
    apart = [distance(a, b) for a, b in zip(changes(method, p), whole, strict=True)]
    assert min(apart[:2]) > 0.1  # a slope stands between x_k and x_{k+1}, but not above the last hidden layer
    assert max(apart[2:]) == 0


def test_learned_feedback_takes_the_change_of_the_weights_turned_round():
    method = ActivationRelaxation(steps=30, rate=0.2, feedback="learned")
    p = passed(method, (6, 9, 8, 4), 12, 7)
    single = p.params.astype(np.float32)
    found = asked(method, p.graph, single, p.x.astype(np.float32), p.target.astype(np.float32)).factors
    assert {name for name in found if name.startswith("feedback")} == {"feedback.1", "feedback.2"}
    for k in (1, 2):
        back, up = found[f"feedback.{k}"], found[f"weights.{k + 1}"]
        np.testing.assert_array_equal(back.post, up.pre)
        np.testing.assert_array_equal(back.pre, up.post)
        assert back.gain == up.gain
    fixed = method.model_copy(update={"feedback": "random"})
    same = asked(fixed, fixed.graph(p.graph.network), single, p.x.astype("f4"), p.target.astype("f4")).factors
    assert set(same) == {"weights.1", "weights.2", "weights.3"}
    for name, factor in same.items():
        np.testing.assert_array_equal(factor.post, found[name].post)


# ---- what is refused


@pytest.mark.parametrize("hidden", [2, 3, 5])
def test_steps_in_which_nothing_reaches_layer_one_are_refused(hidden):
    layers = (4, *(5,) * hidden, 3)
    for steps in range(1, hidden + 2):
        method = ActivationRelaxation(steps=steps, rate=0.5)
        p = passed(method, layers, 6, 8)
        assert relaxed(method, p)[0].any() == (steps >= hidden)
        check_together(ActivationRelaxation(steps=steps, rate=0.5, sweep="sequential"), p.graph, Learning())
        if steps >= hidden:
            check_together(method, p.graph, Learning())
            continue
        with pytest.raises(
            SpecError, match=rf"steps {steps}:.*{hidden} hidden layers; use {hidden} or more"
        ) as caught:
            check_together(method, p.graph, Learning())
        assert "\n" not in str(caught.value)
