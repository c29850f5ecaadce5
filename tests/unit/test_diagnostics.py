"""Diagnostics: gradient cosine, ghost residual, loop gain and norms, each against its definition."""

import numpy as np
import pytest

from lavaghost.dynamics import Parameters
from lavaghost.methods.backprop import Backprop, Frozen
from lavaghost.methods.base import Batch, Changes, Factors, Method
from lavaghost.methods.carried import multiplied
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.ghost.residuals import loop_gain, residuals
from lavaghost.methods.ghost.rules import TEMPORAL
from lavaghost.methods.learning import Learning
from lavaghost.training.diagnostics import backprop_gradient, cosine, diagnose, norms
from tests import tolerances
from tests.strategies import Problem, descent, distance, fast, fed_back, problem


def measured(p: Problem, method: Method | None = None, **learning):
    """The figures of a method, that of `p` unless another is given, on the samples of `p`."""
    method = method or p.method
    graph = method.graph(p.network)
    return diagnose(graph, method, Learning(**learning), p.params, {}, p.x, p.target)


def trial_of(p: Problem, engine: str = "equilibrium"):
    learning = Learning.model_validate({"engine": engine, "batch_size": len(p.x)})
    return p.method.prepare(p.graph, learning).engine.trial(p.params, p.x, p.target)


def test_cosine_of_arrays():
    a = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert cosine(a, 5 * a) == pytest.approx(1)
    assert cosine(a, -a) == pytest.approx(-1)
    assert cosine(a, np.array([[0.0, 1.0], [-1.0, 0.0]])) == 0
    assert cosine(a, 0 * a) == 0


def test_factors_are_multiplied_out_and_a_layer_without_any_is_zero():
    p = problem((3, 2, 1), 2)
    post, pre = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 0.0, 1.0], [0.0, 2.0, 0.0]])
    found = multiplied(p.graph, p.params, {"weights.1": Factors(post, pre, 10.0)})
    np.testing.assert_array_equal(found[0], 5 * np.array([[1, 6, 1], [2, 8, 2]]))
    assert found[1].shape == (1, 2)
    assert not found[1].any()


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
def test_the_reference_gradient_is_the_chain_rule(loss):
    p = problem((6, 9, 8, 4), 12, loss=loss)
    q = p.single()
    exact = q.double()
    found = backprop_gradient(q.graph, q.params, q.x, q.target)
    for a, b in zip(found, descent(p.graph, exact.params, exact.x, exact.target), strict=True):
        assert distance(a, b) < tolerances.GRADIENT32


class Turned(Backprop):
    """Backprop whose changes of a layer are multiplied with a number of its own."""

    by: tuple[float, ...]

    def update(self, work, params, state, batch: Batch):
        changes, state = super().update(work, params, state, batch)
        factors = {
            name: factor._replace(gain=factor.gain * self.by[int(name[-1]) - 1])
            for name, factor in changes.factors.items()
            if self.by[int(name[-1]) - 1]
        }
        return Changes(factors), state


def test_cosines_compare_with_the_gradient_of_the_same_batch():
    p = problem((6, 9, 8, 4), 12).single()
    for by, wanted in (((1.0, 2.0, 9.0), [1, 1, 1]), ((0.0, -1.0, 0.0), [0, -1, 0])):
        assert measured(p, Turned(by=by))["cosines"] == pytest.approx(wanted)
    found, backprop = measured(p)["cosines"], Backprop().graph(p.network)
    other = p._replace(x=p.x[::-1].copy())
    gradient = backprop_gradient(backprop, other.params, other.x, other.target)
    wrong = [cosine(a, b) for a, b in zip(gradient, descent(p.graph, *p[2:]), strict=True)]
    assert max(wrong) < 0.99 < min(found)


class Elsewhere(Backprop):
    """Measured against a reference of its own: the gradient turned round in layer 2."""

    def reference(self, graph, params, x, target):
        found = backprop_gradient(graph, params, x, target)
        return [found[0], -found[1], found[2]]


def test_a_method_may_name_its_own_reference():
    p = problem((6, 9, 8, 4), 12).single()
    found = measured(p, Elsewhere())
    assert found["cosines"] == pytest.approx([1, -1, 1])
    assert found["backprop_cosines"] == pytest.approx([1, 1, 1])


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
    assert norms(params) == [5.0, 2.0]


@pytest.mark.parametrize("engine", ["equilibrium", "stepped"])
@pytest.mark.parametrize("mechanism", ["duplicate", "online", "learned"])
def test_residuals_of_exact_ghosts_are_zero(engine, mechanism):
    p = problem(
        (6, 9, 8, 4), 5, mechanism=mechanism, lam=0.01, schedule=fast(t_free_steps=200, tau_ghost_steps=2.0)
    )
    q = p if engine == "stepped" else p.single()
    assert max(residuals(q.graph, q.params, trial_of(q, engine))) < 1e-5


@pytest.mark.parametrize("engine", ["equilibrium", "stepped"])
def test_residuals_of_learned_ghosts_are_what_is_left_of_the_feedback(engine):
    p = problem(
        (6, 9, 8, 4),
        5,
        mechanism="learned",
        copied=False,
        lam=0.01,
        schedule=fast(t_free_steps=300),
        free_sweeps=50,
    )
    trial = trial_of(p, engine)
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
    trial = trial_of(p)
    bare = trial._replace(left_over=(), whole=())
    assert residuals(p.graph, p.params, bare) == pytest.approx([0, 0], abs=1e-5)
    p.params.ghost_inhibition[1][:] *= 0.75
    assert residuals(p.graph, p.params, bare) == pytest.approx([0, 0.25], abs=1e-5)


@pytest.mark.parametrize("engine", ["equilibrium", "stepped"])
def test_diagnose_measures_ghost_learning_with_the_engine_that_trains(engine):
    p = problem((6, 9, 8, 4), 30, lam=0.03, beta=0.01, schedule=fast(t_free_steps=150, t_nudge_steps=150))
    q = p if engine == "stepped" else p.single()
    found = measured(q, engine=engine, batch_size=7)
    assert found["cosines"] == pytest.approx([1, 1, 1], abs=1e-3)
    assert found["residuals"] == pytest.approx([0, 0], abs=1e-5)
    assert found["loop_gain"] == list(loop_gain(q.graph, q.params))
    assert len(found["loop_gain"]) == 2
    assert found["norms"] == pytest.approx([np.linalg.norm(w) for w in q.params.weights], rel=1e-6)


def test_diagnose_tells_a_useless_hidden_layer():
    p = problem((6, 9, 8, 4), 30, loss="squared_error").single()
    frozen, backprop = measured(p, Frozen()), measured(p, Backprop())
    assert frozen["cosines"] == pytest.approx([0, 0, 1])
    assert backprop["cosines"] == pytest.approx([1, 1, 1])
    # a network without ghosts has no figures of ghosts
    assert list(frozen) == list(backprop) == ["cosines", "backprop_cosines", "step_norms", "norms"]


def test_diagnose_shows_a_loop_gain_that_is_too_high():
    """The measured table of docs/theory.md, in small: online cosines fall as lam grows, duplicate ones do not."""
    found = {}
    for mechanism, rule in (("online", "temporal"), ("duplicate", "prediction")):
        for lam in (0.003, 0.1):
            p = problem((20, 40, 40, 40, 10), 60, mechanism=mechanism, rule=rule, lam=lam, beta=0.01)
            found[mechanism, lam] = min(measured(p.single(), sweeps=30)["cosines"])
    assert found["online", 0.003] > 0.99
    assert found["online", 0.1] < 0.95
    assert found["duplicate", 0.003] > 0.99
    assert found["duplicate", 0.1] > 0.99


def test_diagnose_takes_a_rule_of_your_own():
    p = problem((6, 9, 4), 30).single()
    against = TEMPORAL._replace(name="against", post=lambda local: -local.change)
    assert max(measured(p, Ghost(rule=against))["cosines"]) < -0.9


def test_diagnose_leaves_parameters_alone_also_learned_ghosts():
    p = problem((6, 9, 4), 30, mechanism="learned", copied=False).single()
    before = [a.copy() for a in p.params.named().values()]
    measured(p)
    for a, b in zip(before, p.params.named().values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_cosines_are_reported_although_the_gate_is_closed():
    p = problem((6, 9, 4), 30, mechanism="learned", copied=False, lam=0.01).single()
    found = measured(p)
    assert max(found["residuals"]) > p.method.plasticity.gate
    assert min(found["cosines"]) > 0.9
