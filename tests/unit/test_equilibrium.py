"""Guarantees 1 to 4 of docs/theory.md as measured slopes, and what the solver promises."""

from itertools import pairwise

import numpy as np
import pytest

from lavaghost.dynamics.fixed_point import restoring_gain
from lavaghost.engines import Trial
from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.methods.ghost.residuals import loop_gain
from lavaghost.methods.ghost.rules import RULES
from lavaghost.numbers.arithmetic import Array
from tests import tolerances
from tests.strategies import Problem, descent, distance, fed_back, forward, parameters, problem, samples, slope

LAYERS = (8, 16, 12, 10, 5)
LOSSES = ["squared_error", "cross_entropy"]
RATES = [
    {"activation": "relu"},
    {"activation": "relu", "saturation": 1.5},
    {"activation": "hard_sigmoid"},
]
BETAS = [1e-2, 3e-3, 1e-3, 3e-4, 1e-4]


def solve(p: Problem, sweeps: int = 500) -> Trial:
    """A converged trial in double precision."""
    engine = Equilibrium(
        p.graph, len(p.x), sweeps=sweeps, tolerance=tolerances.SOLVED, push=True, dtype=np.float64
    )
    trial = engine.trial(p.params, p.x, p.target)
    assert engine.sweeps_done < sweeps, "not converged"
    return trial


def update(p: Problem, rule: str) -> list[Array]:
    """The rule's weight change, multiplied out and restored to the scale of the gradient."""
    trial = solve(p)
    return [
        restoring_gain(p.graph, k)
        / len(p.x)
        * np.einsum("bj,bi->ji", RULES[rule].post(trial.local(k)), trial.pre[k - 1])
        for k in range(1, p.graph.depth + 1)
    ]


def errors(p: Problem, rule: str) -> list[float]:
    """Per weight layer: relative distance of the update to the backprop gradient."""
    found, wanted = update(p, rule), descent(p.graph, p.params, p.x, p.target)
    return [distance(a, b) for a, b in zip(found, wanted, strict=True)]


def kept_from_kinks(mechanism: str, loss: str) -> Problem:
    """Every hidden membrane is at least 0.02 from the kink of its relu: the error is smooth in lam and beta."""
    return problem(LAYERS, 32, margin=0.02, mechanism=mechanism, loss=loss)


def slopes(variable: list[float], rows: list[list[float]]) -> list[float]:
    """One slope per weight layer."""
    return [slope(variable, [row[k] for row in rows]) for k in range(len(rows[0]))]


# ---- 1: the free phase is the feedforward pass


@pytest.mark.parametrize("mechanism", ["duplicate", "online", "learned"])
@pytest.mark.parametrize("feedback", ["tied", "random"])
@pytest.mark.parametrize("rates", RATES)
@pytest.mark.parametrize("lam", [0.03, 1.0])
def test_free_phase_is_the_feedforward_pass(mechanism, feedback, rates, lam):
    p = problem(LAYERS, 16, mechanism=mechanism, feedback=feedback, lam=lam, **rates)
    free = Equilibrium(p.graph, 16, dtype=np.float64).free(p.params, p.x)
    for found, wanted in zip(free, forward(p.graph, p.params, p.x)[1], strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerances.FREE * np.abs(wanted).max())


def test_learned_ghosts_that_do_not_cancel_change_the_free_phase_by_lam():
    """Without its premise the guarantee does not hold: the distance to the forward pass has slope 1 in lam."""
    lams = [1e-2, 1e-3, 1e-4]
    rows = []
    for lam in lams:
        p = problem(LAYERS, 16, mechanism="learned", copied=False, lam=lam)
        free = Equilibrium(p.graph.having(free_sweeps=200), 16, dtype=np.float64).free(p.params, p.x)
        rows.append(distance(free[-1], forward(p.graph, p.params, p.x)[1][-1]))
    assert slope(lams, rows) == pytest.approx(1, abs=tolerances.SLOPE)


# ---- 2: the prediction rule converges to the gradient for every lam


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("mechanism", ["duplicate", "learned"])
@pytest.mark.parametrize("lam", [1.0, 0.3, 0.03, 1e-3])
def test_prediction_error_is_first_order_in_beta_for_every_lam(loss, mechanism, lam):
    p = kept_from_kinks(mechanism, loss)
    # lam = 1 moves a membrane further, so its power series starts at a smaller beta
    betas = [b / 10 for b in BETAS] if lam >= 0.3 else BETAS
    rows = [errors(p.change(lam=lam, beta=beta), "prediction") for beta in betas]
    assert slopes(betas, rows) == pytest.approx([1] * 4, abs=tolerances.SLOPE)
    assert max(rows[-1]) < 10 * betas[-1] * max(1, lam * 10)


@pytest.mark.parametrize("loss", LOSSES)
def test_prediction_limit_does_not_depend_on_lam(loss):
    """What is left at beta -> 0 is the gradient itself, over four decades of lam."""
    p = kept_from_kinks("duplicate", loss)
    for lam in (1e-3, 1e-2, 0.1, 1.0, 3.0):
        assert max(errors(p.change(lam=lam, beta=1e-8), "prediction")) < 1e-5


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("lam", [1.0, 0.1])
def test_prediction_of_one_sweep_is_first_order_in_beta_kinks_included(loss, lam):
    """As in training: one sweep, any sample. A sample changes sides of a kink with probability O(beta), which is
    too coarse for a slope but not for a bound (measured: at most 3.8 times beta, at lam = 1)."""
    p = problem(LAYERS, 500, mechanism="duplicate", loss=loss, lam=lam)
    wanted = descent(p.graph, p.params, p.x, p.target)
    for beta in (1e-2, 3e-3, 1e-3, 3e-4, 1e-4):
        graph = p.graph.having(beta=beta)
        engine = Equilibrium(graph, 500, sweeps=1, push=False, dtype=np.float64)
        trial = engine.trial(p.params, p.x, p.target)
        for k in range(1, graph.depth + 1):
            summed = trial.unpredicted[k - 1].T @ trial.pre[k - 1]
            assert distance(restoring_gain(graph, k) / 500 * summed, wanted[k - 1]) < 6 * beta


# ---- 3 and 4: the temporal rule, and online ghosts, are first order in lam as well


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("mechanism", ["duplicate", "learned", "online"])
def test_temporal_error_is_first_order_in_lam(loss, mechanism):
    p = kept_from_kinks(mechanism, loss)
    lams = [1e-3, 3e-4, 1e-4, 3e-5]
    rows = [errors(p.change(lam=lam, beta=1e-8), "temporal") for lam in lams]
    found = slopes(lams, rows)
    if mechanism != "online":
        # nothing pushes into layer 1, and what it gets from above is what the prediction rule sees
        assert max(row[0] for row in rows) < 1e-6
        found = found[1:]
    assert found == pytest.approx([1] * len(found), abs=tolerances.SLOPE)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("mechanism", ["duplicate", "online"])
def test_temporal_error_is_first_order_in_beta_about_its_limit(loss, mechanism):
    """At fixed small lam: the distance to the limit of beta -> 0, which is itself O(lam) from the gradient."""
    p = kept_from_kinks(mechanism, loss).change(lam=1e-3)
    limit = update(p.change(beta=1e-9), "temporal")
    rows = [
        [distance(a, b) for a, b in zip(update(p.change(beta=beta), "temporal"), limit, strict=True)]
        for beta in BETAS
    ]
    assert slopes(BETAS, rows) == pytest.approx([1] * 4, abs=tolerances.SLOPE)


@pytest.mark.parametrize("mechanism", ["duplicate", "online"])
def test_temporal_error_is_first_order_in_beta_at_tiny_lam(mechanism):
    """Cross-entropy, whose own nudge is O(beta) from the gradient; with squared error that part is exact."""
    p = kept_from_kinks(mechanism, "cross_entropy").change(lam=1e-7)
    rows = [errors(p.change(beta=beta), "temporal") for beta in BETAS]
    assert slopes(BETAS, rows) == pytest.approx([1] * 4, abs=tolerances.SLOPE)


@pytest.mark.parametrize("loss", LOSSES)
def test_temporal_limit_depends_on_lam_where_prediction_does_not(loss):
    p = kept_from_kinks("duplicate", loss)
    rows = [errors(p.change(lam=0.03, beta=beta), "temporal") for beta in (1e-6, 1e-8)]
    assert slopes([1e-6, 1e-8], rows)[1:] == pytest.approx([0] * 3, abs=tolerances.FLAT)
    assert min(rows[-1][1:]) > 1e-3


# ---- 4: the loop of online ghosts


def test_online_loop_settles_below_a_gain_of_one_and_grows_above():
    """One hidden layer of active units: the deviation is `e <- lam B (delta + W_2 e)`, a geometric series.

    Its ratio is the loop gain where every unit takes part: biases of 5 keep the relu in its linear range. For
    a small beta the output adds nothing. So the last sweeps grow, or shrink, by that very ratio.
    """
    base = problem((6, 10, 4), 8, mechanism="online", loss="squared_error", beta=1e-30)
    base = base._replace(params=base.params._replace(biases=(np.full(10, 5.0), np.zeros(4))))
    unit = loop_gain(base.graph.having(lam=1.0), base.params)[0]
    for gain in (0.3, 0.9, 1.1, 3.0):
        p = base.change(lam=gain / unit)
        assert loop_gain(p.graph, p.params) == pytest.approx((gain,))
        sizes = []
        for sweeps in (38, 39, 40):
            engine = Equilibrium(p.graph, 8, sweeps=sweeps, dtype=np.float64)
            sizes.append(engine.trial(p.params, p.x, p.target).change[0].copy())
        steps = [np.linalg.norm(b - a) for a, b in pairwise(sizes)]
        settled = steps[1] <= 1e-12 * np.linalg.norm(sizes[-1])
        if gain < 0.5:
            assert settled
        else:
            assert steps[1] / steps[0] == pytest.approx(gain, rel=1e-2)


@pytest.mark.parametrize("feedback", ["tied", "random"])
def test_online_solve_reports_whether_it_settled(feedback):
    base = problem((6, 20, 20, 4), 16, mechanism="online", feedback=feedback, beta=1e-3)
    unit = max(loop_gain(base.graph.having(lam=1.0), base.params))
    for gain, settles in ((0.25, True), (20.0, False)):
        p = base.change(lam=gain / unit)
        engine = Equilibrium(p.graph, 16, sweeps=60, tolerance=1e-9, dtype=np.float64)
        trial = engine.trial(p.params, p.x, p.target)
        assert (engine.sweeps_done < 60) == settles
        drive = np.abs(trial.free[0]).max()
        assert (np.abs(trial.change[0]).max() < drive) == settles


def test_duplicate_ghosts_have_no_loop_at_the_same_gain():
    base = problem((6, 20, 20, 4), 16, mechanism="duplicate", beta=1e-3)
    unit = max(loop_gain(base.graph.having(lam=1.0), base.params))
    solve(base.change(lam=20.0 / unit))


# ---- the solver


@pytest.mark.parametrize("mechanism", ["duplicate", "online", "learned"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("rates", RATES)
def test_the_solution_satisfies_the_equations_of_the_model(mechanism, loss, rates):
    """The nudged state, put into docs/theory.md's equations as they stand, is at rest."""
    p = problem(
        (5, 9, 8, 4), 6, mechanism=mechanism, loss=loss, copied=False, lam=0.02, beta=0.3, seed=4, **rates
    )
    graph, params = p.graph.having(free_sweeps=100), p.params
    engine = Equilibrium(graph, 6, sweeps=300, tolerance=tolerances.SOLVED, dtype=np.float64)
    trial = engine.trial(params, p.x, p.target)
    free = [p.x, *trial.free]
    nudged = [p.x, *(a + b for a, b in zip(trial.free, trial.change, strict=True))]

    def inhibition(k: int, r: list[Array]) -> Array:
        if mechanism == "online":
            return free[k + 1] @ fed_back(params, k).T
        copies = mechanism == "duplicate"
        g_w = params.weights[k] if copies else params.ghost_weights[k - 1]
        g_b = params.biases[k] if copies else params.ghost_biases[k - 1]
        out = fed_back(params, k) if copies else params.ghost_inhibition[k - 1]
        v = r[k] @ g_w.T + g_b
        g = v if k + 1 == graph.depth else np.clip(v, 0, graph.r_max)
        return g @ out.T

    for r, s in ((free, 0.0), (nudged, 1.0)):
        for k in range(1, graph.depth + 1):
            u = r[k - 1] @ params.weights[k - 1].T + params.biases[k - 1]
            if k < graph.depth:
                u = u + graph.lam * (r[k + 1] @ fed_back(params, k).T - inhibition(k, r))
                u = np.clip(u, 0, graph.r_max)
            else:
                out = r[k]
                if loss == "cross_entropy":
                    z = np.exp(out)
                    out = z / z.sum(axis=1, keepdims=True)
                u = u + graph.beta * s * (p.target - out)
            np.testing.assert_allclose(r[k], u, rtol=0, atol=tolerances.TAU)


@pytest.mark.parametrize("mechanism", ["duplicate", "online", "learned"])
def test_one_sweep_is_the_top_down_pass_and_more_sweeps_approach_the_solution(mechanism):
    p = kept_from_kinks(mechanism, "cross_entropy").change(lam=0.01, beta=0.1)
    wanted = solve(p).change[0].copy()
    rows = []
    for sweeps in (1, 2, 3, 4, 6):
        engine = Equilibrium(p.graph, len(p.x), sweeps=sweeps, push=True, dtype=np.float64)
        rows.append(distance(engine.trial(p.params, p.x, p.target).change[0], wanted))
    # one sweep leaves O(beta) of the softmax, and O(lam) of an online loop
    assert rows[0] < 0.3
    assert all(later < earlier / 2 for earlier, later in pairwise(rows))


def test_without_push_the_prediction_of_one_sweep_is_the_same():
    """The fast path of training: it leaves out what the rule does not look at."""
    p = problem(LAYERS, 12, mechanism="duplicate")
    post = {}
    for push in (False, True):
        engine = Equilibrium(p.graph, 12, sweeps=1, push=push, dtype=np.float64)
        trial = engine.trial(p.params, p.x, p.target)
        post[push] = [np.array(trial.local(k).unpredicted) for k in range(1, 5)]
    for k in range(4):
        # the rounding of d - (d - delta)
        assert distance(post[False][k], post[True][k]) < (0.01 if k else 1e-15)


@pytest.mark.parametrize("mechanism", ["duplicate", "online", "learned"])
def test_buffers_carry_nothing_from_one_trial_to_the_next(mechanism):
    p = problem(LAYERS, 12, mechanism=mechanism, lam=0.01)
    other_x, other_target = samples(p.graph, 12, 99)

    def trial_after(*before: int) -> list[Array]:
        engine = Equilibrium(p.graph, 12, sweeps=3, dtype=np.float64)
        for size in before:
            engine.trial(p.params, 100 * other_x[:size], other_target[:size])
        trial = engine.trial(p.params, p.x[:7], p.target[:7])
        return [np.array(a) for group in trial[1:] for a in group] + [np.array(trial.x)]

    fresh = trial_after()
    for used in (trial_after(12), trial_after(3, 12, 7)):
        for a, b in zip(fresh, used, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_batch_is_its_samples_one_by_one():
    for mechanism in ("duplicate", "online", "learned"):
        p = problem(LAYERS, 6, mechanism=mechanism, lam=0.01, copied=False)
        whole = Equilibrium(p.graph, 6, sweeps=3, dtype=np.float64).trial(p.params, p.x, p.target)
        for i in range(6):
            one = Equilibrium(p.graph, 1, sweeps=3, dtype=np.float64).trial(
                p.params, p.x[i : i + 1], p.target[i : i + 1]
            )
            for a, b in zip(whole.change, one.change, strict=True):
                np.testing.assert_allclose(
                    a[i], b[0], rtol=0, atol=tolerances.BATCH * max(1e-3, np.abs(a).max())
                )


def test_output_splits_any_number_of_samples_into_batches():
    p = problem(LAYERS, 23)
    engine = Equilibrium(p.graph, 10, dtype=np.float64)
    wanted = forward(p.graph, p.params, p.x)[1][-1]
    np.testing.assert_allclose(engine.output(p.params, p.x), wanted, rtol=0, atol=1e-12)


def test_a_batch_beyond_the_buffers_is_refused():
    p = problem(LAYERS, 11)
    with pytest.raises(ValueError, match="batch of 11 exceeds this engine's 10"):
        Equilibrium(p.graph, 10).trial(p.params, p.x, p.target)


def test_deviations_survive_in_float32_where_a_difference_of_rates_drowns():
    """lam = 0.03, beta = 0.01: the update of layer 1 keeps a cosine of 1, and the naive difference does not."""
    graph = problem((64, 100, 100, 10), 1, lam=0.03, beta=0.01).graph
    params = parameters(graph, 0)
    x, target = samples(graph, 64, 0)
    wanted = descent(graph, params, x, target)[0].ravel()
    trial = Equilibrium(graph, 64).trial(
        params.astype(np.float32), x.astype(np.float32), target.astype(np.float32)
    )
    nudged = trial.free[0] + trial.change[0]
    found = {}
    for name, post in (("solved", trial.change[0]), ("difference", nudged - trial.free[0])):
        change = (post.astype(np.float64).T @ x).ravel()
        found[name] = change @ wanted / np.linalg.norm(change) / np.linalg.norm(wanted)
    assert 1 - found["solved"] < 1e-3
    assert 1 - found["difference"] > 2 * (1 - found["solved"])
