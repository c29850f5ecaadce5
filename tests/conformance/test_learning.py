"""One suite over every rule, mechanism, feedback, loss and activation that go together.

A rule added to `RULES`, or a mechanism added to the names, is taken in by itself. Learned ghosts are at their end
point, exact copies, unless a test says otherwise: what is checked is what every pair owes at rest.
"""

from itertools import product
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest

from lavaghost.base import names
from lavaghost.base.errors import SpecError
from lavaghost.dynamics.fixed_point import restoring_gain
from lavaghost.engines import Trial
from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.engines.stepped import Stepped
from lavaghost.methods.by_name import check_together
from lavaghost.methods.ghost.plasticity import GhostSteps
from lavaghost.methods.ghost.rules import RULES, Rule
from lavaghost.methods.learning import Learning
from lavaghost.methods.optimiser import Momentum
from lavaghost.numbers.arithmetic import Array
from lavaghost.training.diagnostics import cosine
from tests import tolerances
from tests.networks import asked, parts
from tests.strategies import Problem, descent, fast, loss, problem

LAYERS, BATCH = (5, 9, 8, 4), 12


class Case(NamedTuple):
    """One combination; `problem` builds it."""

    mechanism: str
    rule: Rule
    feedback: str
    loss: str
    activation: str

    def problem(self, **fields: Any) -> Problem:
        kind = self._asdict() | {"rule": self.rule.name}
        chosen: dict[str, Any] = {"lam": 0.05, "beta": 0.1, "margin": 1e-3} | kind | fields
        return problem(LAYERS, BATCH, seed=1, **chosen)


def predicts(mechanism: str) -> bool:
    """Whether a mechanism has ghosts that predict, as its engine tells."""
    p = problem((2, 2, 2), 1, mechanism=mechanism)
    return Equilibrium(p.graph, 1).trial(p.params, p.x, p.target).local(2).unpredicted is not None


MECHANISMS = get_args(names.Mechanism)
PREDICTING = {mechanism: predicts(mechanism) for mechanism in MECHANISMS}
CASES = [
    Case(mechanism, rule, *kind)
    for mechanism, rule in product(MECHANISMS, RULES.values())
    if PREDICTING[mechanism] or not rule.needs_prediction
    for kind in product(get_args(names.Feedback), get_args(names.Loss), get_args(names.Activation))
]


def name(case: Case) -> str:
    return "-".join([case.mechanism, case.rule.name, case.feedback, case.loss, case.activation])


every = pytest.mark.parametrize("case", CASES, ids=name)


def solved(p: Problem, dtype: type = np.float64, rows: slice | Array = slice(None)) -> Trial:
    engine = Equilibrium(p.graph.having(free_sweeps=20), len(p.x), sweeps=40, push=True, dtype=dtype)
    params = p.params.astype(dtype)
    x, target = (np.ascontiguousarray(a[rows], dtype) for a in (p.x, p.target))
    return engine.trial(params, x, target)


def updates(p: Problem, rule: Rule, trial: Trial) -> list[Array]:
    """Weight changes per layer, multiplied out in double precision."""
    return [
        restoring_gain(p.graph, k)
        / len(trial.x)
        * np.einsum("bj,bi->ji", rule.post(trial.local(k)).astype(np.float64), trial.pre[k - 1])
        for k in range(1, p.graph.depth + 1)
    ]


def test_there_is_a_case_for_every_mechanism_and_rule():
    assert {case.mechanism for case in CASES} == set(MECHANISMS)
    assert {case.rule.name for case in CASES} == set(RULES) == set(get_args(names.RuleName))


@pytest.mark.parametrize(("mechanism", "rule"), list(product(MECHANISMS, RULES.values())))
def test_a_rule_that_needs_predictions_is_refused_where_there_are_none(mechanism: str, rule: Rule):
    network, method = parts(layers=(2, 2, 2), mechanism=mechanism, rule=rule.name)
    graph = method.graph(network)
    if PREDICTING[mechanism] or not rule.needs_prediction:
        check_together(method, graph, Learning())
    else:
        with pytest.raises(SpecError, match=rf"{rule.name}.*{mechanism}.*use rule") as caught:
            check_together(method, graph, Learning())
        assert "\n" not in str(caught.value)


@every
@pytest.mark.parametrize("engine", ["equilibrium", "stepped"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shapes_dtypes_and_finite_numbers(case: Case, engine: str, dtype: type):
    p = case.problem(schedule=fast(), copied=False, plasticity=GhostSteps(gate=100.0))
    params = p.params.astype(dtype)
    changes = asked(p.method, p.graph, params, p.x.astype(dtype), p.target.astype(dtype), engine=engine)
    n = p.graph.layers
    learned = [f"feedback.{k}" for k in range(1, p.graph.depth)] if p.method.feedback == "learned" else []
    assert set(changes.factors) == {*(f"weights.{k}" for k in range(1, p.graph.depth + 1)), *learned}
    for name in learned:  # B_k moves as W_{k+1} does, turned round
        above = changes.factors[f"weights.{int(name[-1]) + 1}"]
        assert changes.factors[name].post is above.pre
        assert changes.factors[name].pre is above.post
    for k in range(1, p.graph.depth + 1):
        factor = changes.factors[f"weights.{k}"]
        assert factor.post.shape == (BATCH, n[k])
        assert factor.pre.shape == (BATCH, n[k - 1])
        assert factor.post.dtype == factor.pre.dtype == dtype
        assert np.isfinite(factor.post).all()
        assert np.isfinite(factor.pre).all()
        assert np.isfinite(factor.gain)
        assert factor.post.any()


@every
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_error_no_change(case: Case, dtype: type):
    """The target equal to the prediction (squared error), or as near as a softmax comes, leaves weights alone."""
    p = case.problem()
    free = solved(p, dtype).free[-1]
    if case.loss == "squared_error":
        target = free.copy()
    else:
        z = np.exp(free - free.max(axis=1, keepdims=True))
        target = z / z.sum(axis=1, keepdims=True)
    trial = solved(p._replace(target=target), dtype)
    usual = updates(p, case.rule, solved(p, dtype))
    for k, (found, wanted) in enumerate(zip(updates(p, case.rule, trial), usual, strict=True), start=1):
        if case.mechanism == "learned" and case.rule.needs_prediction:
            # copies cancel to rounding, which the gain multiplies as if it were error
            rounding = np.finfo(dtype).eps * restoring_gain(p.graph, k) * 100
            assert np.abs(found).max() <= rounding
        else:
            assert np.abs(found).max() <= 1e-12 * np.abs(wanted).max()


@every
def test_an_update_is_a_descent_direction(case: Case):
    """Tied feedback: a positive cosine in every layer, and a small step that lowers the loss."""
    p = case.problem(lam=0.01, beta=0.01)
    found = updates(p, case.rule, solved(p))
    if case.feedback == "tied":
        for a, b in zip(found, descent(p.graph, p.params, p.x, p.target), strict=True):
            assert cosine(a, b) > 0.95
    else:
        # hidden layers take any direction that random feedback gives; the output layer does not
        found = [*(np.zeros_like(a) for a in found[:-1]), found[-1]]
    moved = p.params._replace(weights=tuple(w + 1e-4 * a for w, a in zip(p.params.weights, found, strict=True)))
    before = loss(p.graph, p.params, p.x, p.target)
    predicted = sum(
        1e-4 * float(np.sum(a * b))
        for a, b in zip(found, descent(p.graph, p.params, p.x, p.target), strict=True)
    )
    fall = before - loss(p.graph, moved, p.x, p.target)
    assert fall > 0
    # first order: the loss falls by step times gradient, up to the curvature
    assert fall == pytest.approx(predicted, rel=0.05)


@every
def test_the_order_of_samples_in_a_batch_does_not_matter(case: Case):
    p = case.problem(copied=False)
    order = np.random.default_rng(0).permutation(BATCH)
    trial, shuffled = solved(p), solved(p, rows=order)
    # both live in buffers of their own engine
    for k in range(1, p.graph.depth + 1):
        a, b = case.rule.post(trial.local(k))[order], case.rule.post(shuffled.local(k))
        scale = max(np.abs(a).max(), np.abs(trial.free[k - 1]).max() * p.graph.beta)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerances.BATCH * scale)
    for a, b in zip(updates(p, case.rule, trial), updates(p, case.rule, shuffled), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9 * np.abs(a).max())


@every
def test_float32_agrees_with_double_precision(case: Case):
    p = case.problem()
    for k in range(1, p.graph.depth + 1):
        exact = case.rule.post(solved(p).local(k))
        found = case.rule.post(solved(p, np.float32).local(k))
        atol = tolerances.FLOAT32_FACTOR * np.abs(exact).max()
        if case.mechanism == "learned" and case.rule.needs_prediction:
            # r - g is a difference of two rates: what float32 leaves of them
            atol += 50 * float(np.finfo(np.float32).eps) * np.abs(solved(p).free[k - 1]).max()
        np.testing.assert_allclose(found, exact, rtol=0, atol=atol)


@every
def test_both_engines_agree(case: Case):
    p = case.problem(schedule=fast(t_free_steps=300, t_nudge_steps=300), lam=0.01, copied=False)
    wanted = updates(p, case.rule, solved(p))
    found = updates(p, case.rule, Stepped(p.graph).trial(p.params, p.x, p.target))
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6 * np.abs(b).max())


@every
def test_a_few_steps_of_training_lower_the_loss(case: Case):
    """Through method and optimiser, as training does, with momentum and decay: also under random feedback."""
    p = case.problem(lam=0.01)
    params, x, target = p.params.astype(np.float32), p.x.astype(np.float32), p.target.astype(np.float32)
    optimiser = Momentum(p.graph, params, 0.5, 1e-4)
    before = loss(p.graph, params.astype(np.float64), p.x, p.target)
    for _ in range(20):
        optimiser.apply(params, asked(p.method, p.graph, params, x, target), 0.01)
    assert loss(p.graph, params.astype(np.float64), p.x, p.target) < 0.98 * before
