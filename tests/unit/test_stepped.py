"""The stepped engine walks to the equilibrium engine's fixed points, within a bound from the simulated time.

The bound compares norms. Let a_k(t) bound |u_k(t) - u_k*| and g_k(t) bound |v_k(t) - v_k*|, per sample. Rates
are 1-Lipschitz, and every product arrives one step late, so docs/theory.md's equations give

    a_k(t+1) <= (1 - 1/tau) a_k(t) + 1/tau (|W_k| a_{k-1}(t) + lam |B_k| a_{k+1}(t) + lam |I_k| g_k(t))
    a_L(t+1) <= (1 - 1/tau) a_L(t) + 1/tau |W_L| a_{L-1}(t)                                 free
    a_L(t+1) <= |1 - (1 + beta)/tau| a_L(t) + ...                                           nudged, squared error
    a_L(t+1) <= (1 - 1/tau + beta/(2 tau)) a_L(t) + ...                                     nudged, cross-entropy
    g_k(t+1) <= (1 - 1/tau_g) g_k(t) + 1/tau_g |G_k| a_k(t)                                 duplicate, learned
    g_k(t+1) <= (1 - 1/tau_g) g_k(t) + 1/tau_g |B_k| a_{k+1}(t)                             online, free; held later

with spectral norms, a_0 = 0 for the clamped input and 1/2 for the Lipschitz constant of softmax. An online
ghost acts in the same step, so g_k(t+1) stands in a_k(t+1), with |I_k| = 1. It starts at a_k(0) = |u_k*|, as
membranes start at zero.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest

from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.engines.stepped import Stepped
from lavaghost.net.network import Schedule
from lavaghost.numbers.arithmetic import Array
from tests import tolerances
from tests.strategies import Problem, fed_back, forward, problem, slope

MECHANISMS = ["duplicate", "learned", "online"]
LOSSES = ["squared_error", "cross_entropy"]
TIMES = [2, 5, 10, 20, 40, 80, 160]


class Rest(NamedTuple):
    """A fixed point: rates r_1..r_L, membranes u_1..u_L, and ghost membranes (ghosts themselves, if online)."""

    rates: list[Array]
    membranes: list[Array]
    ghosts: list[Array]


def norm(a: Array) -> Array:
    """|a| of every sample."""
    return np.linalg.norm(a, axis=1)


def spectral(a: Array) -> float:
    return float(np.linalg.norm(a, 2))


def wires(p: Problem) -> tuple[list[Array], list[Array], list[Array]]:
    """G_k, c_k and I_k of every hidden layer; empty for online ghosts."""
    params, hidden = p.params, range(1, p.graph.depth)
    if p.method.mechanism == "duplicate":
        return (
            list(params.weights[1:]),
            list(params.biases[1:]),
            [fed_back(params, k) for k in hidden],
        )
    return list(params.ghost_weights), list(params.ghost_biases), list(params.ghost_inhibition)


def fixed_points(p: Problem) -> tuple[Rest, Rest]:
    """Free and nudged, from the equilibrium engine's rates and the equations of the membranes."""
    graph, params = p.graph.having(free_sweeps=300), p.params
    engine = Equilibrium(graph, len(p.x), sweeps=1000, tolerance=1e-14, push=True, dtype=np.float64)
    trial = engine.trial(params, p.x, p.target)
    assert engine.sweeps_done < 1000
    free = [p.x, *trial.free]
    nudged = [p.x, *(a + b for a, b in zip(trial.free, trial.change, strict=True))]
    found = []
    for r, is_nudged in ((free, False), (nudged, True)):
        ghosts, membranes = [], []
        for k in range(1, graph.depth + 1):
            u = r[k - 1] @ params.weights[k - 1].T + params.biases[k - 1]
            if k < graph.depth:
                if p.method.mechanism == "online":
                    ghost = inhibition = free[k + 1] @ fed_back(params, k).T
                else:
                    g_w, g_b, out = (group[k - 1] for group in wires(p))
                    ghost = r[k] @ g_w.T + g_b
                    rate = ghost if k + 1 == graph.depth else np.clip(ghost, 0, graph.r_max)
                    inhibition = rate @ out.T
                ghosts.append(ghost)
                u = u + graph.lam * (r[k + 1] @ fed_back(params, k).T - inhibition)
            elif is_nudged:
                u = r[k]
            membranes.append(u)
        found.append(Rest(r[1:], membranes, ghosts))
    return found[0], found[1]


def walk(p: Problem, a: list[Array], g: list[Array], steps: int, nudged: bool) -> None:
    """The comparison recursion, in place."""
    graph, params = p.graph, p.params
    tau, tau_g = graph.schedule.tau_steps, graph.schedule.tau_ghost_steps
    lam, beta, depth, online = graph.lam, graph.beta, graph.depth, p.method.mechanism == "online"
    w = [spectral(m) for m in params.weights]
    b = [spectral(fed_back(params, k)) for k in range(1, depth)]
    g_w, _, out = ([spectral(m) for m in group if m.ndim == 2] for group in wires(p))
    for _ in range(steps):
        a_old, g_old = [v.copy() for v in a], [v.copy() for v in g]
        for k in range(depth - 1):
            if not online:
                g[k] = (1 - 1 / tau_g) * g_old[k] + g_w[k] * a_old[k] / tau_g
            elif not nudged:
                g[k] = (1 - 1 / tau_g) * g_old[k] + b[k] * a_old[k + 1] / tau_g
        for k in range(depth):
            keep = 1 - 1 / tau
            arriving = w[k] * a_old[k - 1] if k else np.zeros_like(a[0])
            if k < depth - 1:
                ghost = g[k] if online else out[k] * g_old[k]
                arriving = arriving + lam * (b[k] * a_old[k + 1] + ghost)
            elif nudged:
                keep = abs(keep - beta / tau) if graph.loss == "squared_error" else keep + beta / (2 * tau)
            a[k] = keep * a_old[k] + arriving / tau


def slow(steps: int, **fields: float) -> Schedule:
    return Schedule(
        **({"tau_steps": 2.0, "tau_ghost_steps": 3.0} | fields), t_free_steps=steps + 1, t_nudge_steps=steps
    )


# ---- convergence in simulated time


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("feedback", ["tied", "random"])
@pytest.mark.parametrize("rates", [{}, {"saturation": 1.0}, {"activation": "hard_sigmoid"}])
def test_both_phases_converge_within_the_derived_bound(mechanism, loss, feedback, rates):
    p = problem(
        (6, 8, 7, 4),
        5,
        seed=2,
        mechanism=mechanism,
        loss=loss,
        feedback=feedback,
        copied=False,
        lam=5e-3,
        beta=0.2,
        **rates,
    )
    free, nudged = fixed_points(p)
    bounds = {"free": [], "nudged": []}
    for steps in TIMES:
        p = p.change(schedule=slow(steps))
        engine = Stepped(p.graph)
        ends = engine.ends(p.params, p.x, p.target)
        # the bound of the free phase, then of the nudged one, which starts where the free one ended
        a = [norm(u) for u in free.membranes]
        g = [norm(v) for v in free.ghosts]
        walk(p, a, g, steps, nudged=False)
        checks = [("free", ends[0], free, [v.copy() for v in a])]
        a = [v + norm(u - n) for v, u, n in zip(a, free.membranes, nudged.membranes, strict=True)]
        g = [v + norm(u - n) for v, u, n in zip(g, free.ghosts, nudged.ghosts, strict=True)]
        walk(p, a, g, steps, nudged=True)
        checks.append(("nudged", ends[1], nudged, a))
        for phase, state, wanted, bound in checks:
            for k, (found, rest) in enumerate(zip(engine.rates(state), wanted.rates, strict=True)):
                rounding = tolerances.FREE * norm(rest).max()
                assert (norm(found - rest) <= bound[k] + rounding).all(), (phase, steps, k + 1)
            bounds[phase].append(max(float(v.max()) for v in bound))
    for found in bounds.values():
        assert found[-1] < tolerances.CONVERGED
        # geometric: each doubling of the time multiplies by a smaller factor than the one before
        factors = [later / earlier for earlier, later in pairwise(found[2:])]
        assert all(later < earlier < 1 for earlier, later in pairwise(factors))


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_change_of_rates_converges_to_the_solved_deviation(mechanism):
    """The part that learns: nudged minus free rate, relative to itself, though it is beta lam small."""
    p = problem((6, 8, 7, 4), 5, mechanism=mechanism, lam=0.01, beta=0.1)
    free, nudged = fixed_points(p)
    wanted = [n - f for f, n in zip(free.rates, nudged.rates, strict=True)]
    errors = []
    for steps in (20, 40, 80):
        trial = Stepped(p.change(schedule=slow(steps)).graph).trial(p.params, p.x, p.target)
        errors.append(max(norm(a - b).max() / norm(b).max() for a, b in zip(trial.change, wanted, strict=True)))
    assert errors[0] > errors[1] > errors[2]
    # at half a decade per tau: 40 time constants of 2 steps leave nothing but rounding over beta lam^2
    assert errors[2] < 1e-8


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("loss", LOSSES)
def test_the_fixed_point_does_not_depend_on_tau(mechanism, loss):
    p = problem((6, 8, 7, 4), 5, mechanism=mechanism, loss=loss, copied=False, lam=0.02)
    reached = []
    for tau, tau_g in ((1.5, 1.0), (2.0, 2.0), (4.0, 1.5), (2.0, 5.0)):
        schedule = slow(400, tau_steps=tau, tau_ghost_steps=tau_g)
        q = p.change(schedule=schedule)
        engine = Stepped(q.graph)
        free, nudged = engine.ends(q.params, q.x, q.target)
        reached.append([*engine.rates(free), *engine.rates(nudged)])
    for other in reached[1:]:
        for a, b in zip(reached[0], other, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerances.TAU * np.abs(a).max())


def test_the_path_converges_in_first_order_to_the_continuous_solution():
    """Forward Euler: with tau and time scaled together, the error at a fixed time has slope 1 in the step.

    Layer 1 alone, whose delay of one step is itself a step: u(t) = (1 - exp(-t / tau)) W x.
    """
    p = problem((4, 3, 2), 1, mechanism="duplicate")
    p = p._replace(params=p.params._replace(biases=(np.zeros(3), np.zeros(2))))
    drive = p.x @ p.params.weights[0].T
    steps_of, errors = [8, 16, 32, 64], []
    for tau in steps_of:
        q = p.change(schedule=Schedule(tau_steps=tau, tau_ghost_steps=tau, t_free_steps=tau + 1))
        free, _ = Stepped(q.graph).ends(q.params, q.x)
        errors.append(norm(free.v_mem[0] - (1 - np.exp(-1.0)) * drive)[0])
    assert slope([1 / s for s in steps_of], errors) == pytest.approx(1, abs=tolerances.SLOPE)


@pytest.mark.parametrize("rates", [{}, {"activation": "hard_sigmoid"}])
@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("lam", [0.03, 0.3])
def test_free_phase_converges_to_the_feedforward_pass(mechanism, lam, rates):
    """Guarantee 1. Online ghosts cancel only what is at rest, so their loop must not feed itself: small lam."""
    if mechanism == "online":
        lam /= 10
    p = problem((6, 8, 7, 4), 5, mechanism=mechanism, lam=lam, **rates)
    q = p.change(schedule=slow(300, tau_ghost_steps=2.0))
    out = Stepped(q.graph).output(q.params, q.x)
    wanted = forward(p.graph, p.params, p.x)[1][-1]
    np.testing.assert_allclose(out, wanted, rtol=0, atol=tolerances.FREE * np.abs(wanted).max())


# ---- what a trial reports


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_trial_reports_the_states_at_the_ends_of_its_phases(mechanism):
    p = problem((4, 5, 5, 3), 3, mechanism=mechanism, copied=False, schedule=slow(9))
    engine = Stepped(p.graph)
    states = [state for _, state in engine.states(p.params, p.x, p.target)]
    assert len(states) == p.graph.schedule.t_free_steps + p.graph.schedule.t_nudge_steps
    free, end = states[9], states[-1]
    trial = engine.trial(p.params, p.x, p.target)
    np.testing.assert_array_equal(trial.pre[0], p.x)
    for k, (a, b) in enumerate(zip(engine.rates(free), engine.rates(end), strict=True)):
        np.testing.assert_array_equal(trial.free[k], a)
        np.testing.assert_array_equal(trial.change[k], b - a)
        if k < 2:
            np.testing.assert_array_equal(trial.pre[k + 1], b)
    for k in range(2):
        np.testing.assert_array_equal(trial.whole[k], free.feedback[k])
        np.testing.assert_array_equal(trial.left_over[k], free.feedback[k] - free.inhibition[k])
    if mechanism == "online":
        assert trial.unpredicted == ()
        assert trial.local(1).unpredicted is None
    else:
        np.testing.assert_array_equal(trial.unpredicted[0], trial.change[0])
        for k in (1, 2):
            missed = [
                engine.rates(state)[k]
                - (state.v_ghost[k - 1] if k == 2 else np.maximum(state.v_ghost[k - 1], 0))
                for state in (free, end)
            ]
            np.testing.assert_array_equal(trial.unpredicted[k], missed[1] - missed[0])


def test_duplicates_miss_nothing_without_a_target_so_that_what_they_miss_with_one_is_all_error():
    """With the time constant of what they copy: r_k - g_{k-1} is zero to the bit when the free phase ends."""
    p = problem((4, 5, 5, 3), 3, mechanism="duplicate")
    engine = Stepped(p.graph)
    free, end = engine.ends(p.params, p.x, p.target)
    for rates, ghosts in zip(engine.rates(free)[1:], engine.ghost_rates(free), strict=True):
        np.testing.assert_array_equal(rates, ghosts)
    trial = engine.trial(p.params, p.x, p.target)
    for k in (1, 2):
        np.testing.assert_array_equal(
            trial.unpredicted[k], engine.rates(end)[k] - engine.ghost_rates(end)[k - 1]
        )


def test_without_a_target_there_is_no_nudged_phase():
    p = problem((4, 5, 3), 3, schedule=slow(9))
    engine = Stepped(p.graph)
    assert sum(1 for _ in engine.states(p.params, p.x)) == 10
    free, end = engine.ends(p.params, p.x)
    np.testing.assert_array_equal(free.v_mem[-1], end.v_mem[-1])
    np.testing.assert_array_equal(engine.output(p.params, p.x), end.v_mem[-1])


@pytest.mark.parametrize("t_free", [2, 3])
def test_the_shortest_free_phases_are_counted_right(t_free):
    p = problem((4, 5, 3), 3, schedule=Schedule(t_free_steps=t_free, t_nudge_steps=1))
    engine = Stepped(p.graph)
    states = [state for _, state in engine.states(p.params, p.x, p.target)]
    free, end = engine.ends(p.params, p.x, p.target)
    np.testing.assert_array_equal(free.v_mem[0], states[t_free - 1].v_mem[0])
    np.testing.assert_array_equal(end.v_mem[1], states[-1].v_mem[1])
    assert len(states) == t_free + 1
