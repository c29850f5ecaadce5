"""Diagnostics: gradient cosine, ghost residual, loop gain and norms, each against its definition."""

import numpy as np
import pytest

from lavaghost.dynamics import Parameters
from lavaghost.methods.ghost.rules import TEMPORAL
from lavaghost.methods.methods import make_engine
from lavaghost.methods.optimiser import Factors
from lavaghost.net.spec import Learning, Network
from lavaghost.train.diagnostics import (
    backprop_gradient,
    cosine,
    cosines,
    dense,
    diagnose,
    loop_gain,
    norms,
    residuals,
)
from tests import tolerances
from tests.strategies import Problem, descent, distance, fast, problem


def single(p: Problem) -> Problem:
    return p._replace(
        params=p.params.astype(np.float32), x=p.x.astype(np.float32), target=p.target.astype(np.float32)
    )


def test_cosine_of_arrays():
    a = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert cosine(a, 5 * a) == pytest.approx(1)
    assert cosine(a, -a) == pytest.approx(-1)
    assert cosine(a, np.array([[0.0, 1.0], [-1.0, 0.0]])) == 0
    assert cosine(a, 0 * a) == 0


def test_dense_multiplies_factors_out():
    post, pre = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 0.0, 1.0], [0.0, 2.0, 0.0]])
    np.testing.assert_array_equal(dense(Factors(post, pre, 10.0), (2, 3)), 5 * np.array([[1, 6, 1], [2, 8, 2]]))
    assert not dense(None, (2, 3)).any()


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
def test_the_reference_gradient_is_the_chain_rule(loss):
    p = problem((6, 9, 8, 4), 12, loss=loss)
    q = single(p)
    exact = q._replace(params=q.params.astype(np.float64), x=q.x.astype(np.float64))
    found = backprop_gradient(q.graph, q.params, q.x, q.target)
    for a, b in zip(found, descent(p.graph, exact.params, exact.x, exact.target), strict=True):
        assert distance(a, b) < tolerances.GRADIENT32


def test_cosines_compare_with_the_gradient_of_the_same_batch():
    p = single(problem((6, 9, 8, 4), 12))
    gradient = backprop_gradient(p.graph, p.params, p.x, p.target)
    rows = [Factors(np.eye(len(g)), g, float(len(g))) for g in gradient]
    assert cosines(p.graph, p.params, [*rows], p.x, p.target) == pytest.approx([1, 1, 1])
    assert cosines(p.graph, p.params, [None, rows[1]._replace(gain=-1.0), None], p.x, p.target) == (
        pytest.approx([0, -1, 0])
    )


@pytest.mark.parametrize("feedback", ["tied", "random"])
def test_loop_gain_is_lam_times_two_spectral_norms(feedback):
    p = problem((6, 9, 8, 4), 1, lam=0.3, feedback=feedback)
    found = loop_gain(p.graph, p.params)
    for k in (1, 2):
        b, w = fed_back(p.params, k), p.params.weights[k]
        top = np.sqrt(np.linalg.eigvalsh(b.T @ b)[-1] * np.linalg.eigvalsh(w.T @ w)[-1])
        assert found[k - 1] == pytest.approx(0.3 * top)


def test_norms_are_frobenius():
    params = Parameters((np.array([[3.0, 4.0]]), np.array([[2.0]])), (np.zeros(1), np.zeros(1)))
    assert norms(params) == (5.0, 2.0)


@pytest.mark.parametrize("engine", ["equilibrium", "stepped"])
@pytest.mark.parametrize("mechanism", ["duplicate", "online", "learned"])
def test_residuals_of_exact_ghosts_are_zero(engine, mechanism):
    p = problem(
        (6, 9, 8, 4), 5, mechanism=mechanism, lam=0.01, schedule=fast(t_free_steps=200, tau_ghost_steps=2.0)
    )
    learning = Learning(rule="temporal", engine=engine, batch_size=5)
    params = p.params if engine == "stepped" else p.params.astype(np.float32)
    trial = make_engine(p.graph, learning).trial(params, p.x.astype(params.weights[0].dtype), p.target)
    assert max(residuals(p.graph, params, trial)) < 1e-5


@pytest.mark.parametrize("engine", ["equilibrium", "stepped"])
def test_residuals_of_learned_ghosts_are_what_is_left_of_the_feedback(engine):
    p = problem((6, 9, 8, 4), 5, mechanism="learned", copied=False, lam=0.01, schedule=fast(t_free_steps=300))
    learning = Learning(rule="temporal", engine=engine, batch_size=5, free_sweeps=50)
    trial = make_engine(p.graph, learning).trial(p.params, p.x, p.target)
    found = residuals(p.graph, p.params, trial)
    r = trial.free
    for k in (1, 2):
        v = r[k - 1] @ p.params.ghost_weights[k - 1].T + p.params.ghost_biases[k - 1]
        g = v if k == 2 else np.maximum(v, 0)
        whole = r[k] @ fed_back(p.params, k).T
        left = whole - g @ p.params.ghost_inhibition[k - 1].T
        assert found[k - 1] == pytest.approx(np.linalg.norm(left) / np.linalg.norm(whole), rel=1e-4)
        assert 0.3 < found[k - 1] < 3


def test_residuals_are_computed_where_the_engine_carries_none():
    """A trial without `left_over`, by the ghosts' own equations: as large as a wrong inhibition makes it."""
    p = problem((6, 9, 8, 4), 5, mechanism="learned", lam=1e-6)
    trial = make_engine(p.graph, Learning(rule="temporal", batch_size=5)).trial(p.params, p.x, p.target)
    bare = trial._replace(left_over=(), whole=())
    assert residuals(p.graph, p.params, bare) == pytest.approx([0, 0], abs=1e-5)
    p.params.ghost_inhibition[1][:] *= 0.75
    assert residuals(p.graph, p.params, bare) == pytest.approx([0, 0.25], abs=1e-5)


@pytest.mark.parametrize("engine", ["equilibrium", "stepped"])
def test_diagnose_measures_ghost_learning_with_the_engine_that_trains(engine):
    p = problem((6, 9, 8, 4), 30, lam=0.03, beta=0.01, schedule=fast(t_free_steps=150, t_nudge_steps=150))
    q = p if engine == "stepped" else single(p)
    found = diagnose(q.graph, Learning(engine=engine, batch_size=7), q.params, q.x, q.target)
    assert found.cosines == pytest.approx([1, 1, 1], abs=1e-3)
    assert found.residuals == pytest.approx([0, 0], abs=1e-5)
    assert len(found.loop_gain) == 2
    assert found.norms == pytest.approx([np.linalg.norm(w) for w in q.params.weights], rel=1e-6)


def test_diagnose_tells_a_useless_hidden_layer():
    p = single(problem((6, 9, 8, 4), 30, loss="squared_error"))
    frozen = diagnose(p.graph, Learning(method="frozen"), p.params, p.x, p.target)
    backprop = diagnose(p.graph, Learning(method="backprop"), p.params, p.x, p.target)
    assert frozen.cosines == pytest.approx([0, 0, 1])
    assert backprop.cosines == pytest.approx([1, 1, 1])


def test_diagnose_shows_a_loop_gain_that_is_too_high():
    """The measured table of docs/theory.md, in small: online cosines fall as lam grows, duplicate ones do not."""
    found = {}
    for mechanism, rule in (("online", "temporal"), ("duplicate", "prediction")):
        for lam in (0.003, 0.1):
            p = single(problem((20, 40, 40, 40, 10), 60, mechanism=mechanism, lam=lam, beta=0.01))
            learning = Learning.model_validate({"rule": rule, "sweeps": 30})
            found[mechanism, lam] = min(diagnose(p.graph, learning, p.params, p.x, p.target).cosines)
    assert found["online", 0.003] > 0.99
    assert found["online", 0.1] < 0.95
    assert found["duplicate", 0.003] > 0.99
    assert found["duplicate", 0.1] > 0.99


def test_diagnose_takes_a_rule_of_your_own():
    p = single(problem((6, 9, 4), 30))
    against = TEMPORAL._replace(name="against", post=lambda local: -local.change)
    found = diagnose(p.graph, Learning(), p.params, p.x, p.target, against)
    assert max(found.cosines) < -0.9


def test_diagnose_leaves_parameters_alone_also_learned_ghosts():
    p = single(problem((6, 9, 4), 30, mechanism="learned", copied=False))
    before = [a.copy() for a in p.params.named().values()]
    diagnose(p.graph, Learning(rule="temporal"), p.params, p.x, p.target)
    for a, b in zip(before, p.params.named().values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_cosines_are_reported_although_the_gate_is_closed():
    network = Network(layers=(6, 9, 4), mechanism="learned", lam=0.01)
    p = single(problem((6, 9, 4), 30, mechanism="learned", copied=False)._replace(network=network))
    found = diagnose(network, Learning(rule="temporal"), p.params, p.x, p.target)
    assert max(found.residuals) > Learning().ghosts.gate
    assert min(found.cosines) > 0.9
