"""BrainProp: what it follows in the mean, by differences; its choices; and what one factor and one unit can teach."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

from lavaghost.base.errors import SpecError
from lavaghost.dynamics import Parameters
from lavaghost.methods.base import PROBE_EPOCH, Batch, Moment
from lavaghost.methods.brainprop import BrainProp, choice
from lavaghost.methods.by_name import check_together
from lavaghost.methods.carried import multiplied
from lavaghost.methods.learning import Learning
from lavaghost.methods.optimiser import Momentum
from lavaghost.net.graph import Graph
from lavaghost.net.network import Network
from lavaghost.numbers.arithmetic import Array
from lavaghost.training.diagnostics import backprop_gradient, cosine, diagnose
from tests import tolerances
from tests.strategies import forward, parameters, samples

LAYERS, BATCH = (5, 8, 7, 4), 16
FIRST = Moment(0, 0, 0)


class Case:
    """A small network with the method, in float32 numbers, off the kinks."""

    def __init__(self, method: BrainProp, seed: int = 0, batch: int = BATCH, layers: Any = LAYERS) -> None:
        self.method = method
        self.network = Network(layers=layers, loss="squared_error")
        self.graph: Graph = method.graph(self.network)
        self.params = parameters(self.graph, seed).astype(np.float32)
        x, _ = samples(self.network, 20 * batch, seed)
        membranes, _ = forward(self.network, self.params, x)
        clear = np.flatnonzero(np.min([np.abs(v).min(axis=1) for v in membranes[:-1]], axis=0) > 1e-3)[:batch]
        assert len(clear) == batch
        self.x = x[clear].astype(np.float32)
        labels = np.random.default_rng([seed, 3]).integers(0, layers[-1], batch)
        self.target = np.eye(layers[-1], dtype=np.float32)[labels]
        self.work = method.prepare(self.graph, Learning(batch_size=batch))

    def factors(self, moment: Moment = FIRST):
        batch = Batch(self.x, self.target, moment)
        return self.method.update(self.work, self.params, {}, batch)[0].factors

    def changes(self, moment: Moment = FIRST) -> list[Array]:
        return multiplied(self.graph, self.params, self.factors(moment))

    def outputs(self) -> Array:
        return forward(self.network, self.params, self.x)[1][-1]

    def chosen(self, moment: Moment = FIRST) -> Array:
        return self.method.chosen(self.outputs().astype(np.float32), moment)


def policy(q: Array, epsilon: float, temperature: float) -> Array:
    """The probability of each choice: 1 - epsilon for the largest, and epsilon times a softmax."""
    z = np.exp((q - q.max(axis=1, keepdims=True)) / temperature)
    found = epsilon * z / z.sum(axis=1, keepdims=True)
    found[np.arange(len(q)), q.argmax(axis=1)] += 1 - epsilon
    return found


def expected(case: Case, params: Parameters, pi: Array) -> float:
    """J = mean over the batch of sum_s pi(s) (R_s - q_s)^2 / 2, with the policy held."""
    q = forward(case.network, params, case.x)[1][-1]
    return float((pi * np.square(case.target - q)).sum(axis=1).mean() / 2)


# ---- what it follows


@pytest.mark.parametrize(("epsilon", "temperature"), [(0.02, 1.0), (0.3, 0.5), (1.0, 1000.0), (0.0, 1.0)])
def test_its_reference_is_the_difference_quotient_of_the_expected_objective(epsilon, temperature):
    """Every weight, central differences in double precision: of the expected objective, the policy held fixed."""
    case = Case(BrainProp(epsilon=epsilon, temperature=temperature), seed=3)
    found = case.method.reference(case.graph, case.params, case.x, case.target)
    exact, h = case.params.astype(np.float64), tolerances.DIFFERENCE
    pi = policy(forward(case.network, exact, case.x)[1][-1], epsilon, temperature)
    for k, change in enumerate(found, start=1):
        wanted = np.empty(change.shape)
        for index in np.ndindex(change.shape):
            ends = []
            for sign in (1, -1):
                named = {name: a.copy() for name, a in exact.named().items()}
                named[f"weights.{k}"][index] += sign * h
                ends.append(expected(case, Parameters.from_named(case.graph, named), pi))
            wanted[index] = -(ends[0] - ends[1]) / (2 * h)
        np.testing.assert_allclose(
            change, wanted, rtol=0, atol=tolerances.GRADIENT32 * np.abs(wanted).max() + 1e-9
        )


@pytest.mark.parametrize("feedback", ["tied", "random"])
def test_the_mean_of_many_draws_is_the_reference(feedback):
    """Of every layer where feedback is tied; of the output's where it is not."""
    case = Case(BrainProp(epsilon=0.4, feedback=feedback), seed=1, batch=48)
    draws = 3000
    total = [np.zeros(w.shape) for w in case.params.weights]
    first: list[Array] = []
    for batch in range(draws):
        found = case.changes(Moment(5, 0, batch))
        first = first or found
        total = [a + b for a, b in zip(total, found, strict=True)]
    reference = case.method.reference(case.graph, case.params, case.x, case.target)
    for k, (mean, one, wanted) in enumerate(zip(total, first, reference, strict=True), start=1):
        if feedback == "random" and k < len(reference):
            assert cosine(mean, wanted) < 0.9
            continue
        assert cosine(mean, wanted) > 0.999
        assert np.linalg.norm(mean / draws) == pytest.approx(np.linalg.norm(wanted), rel=0.05)
        assert cosine(one, wanted) < cosine(mean, wanted)


def test_it_follows_the_gradient_of_the_loss_only_as_far_as_it_explores():
    """Even draws teach all outputs alike, as squared error does; the chosen output alone is another direction."""
    found = []
    for epsilon in (1.0, 0.5, 0.0):
        case = Case(BrainProp(epsilon=epsilon), seed=2)
        own = case.method.reference(case.graph, case.params, case.x, case.target)
        loss = backprop_gradient(case.graph, case.params, case.x, case.target)
        found.append([cosine(a, b) for a, b in zip(own, loss, strict=True)])
    assert found[0] == pytest.approx([1.0] * len(found[0]), abs=1e-6)
    assert all(a > b > c for a, b, c in zip(*found, strict=True))
    assert max(found[2]) < 0.95


def test_figures_are_measured_against_its_own_reference():
    case = Case(BrainProp(epsilon=0.2), seed=2)
    found = diagnose(case.graph, case.method, Learning(seed=4), case.params, {}, case.x, case.target)
    change = case.changes(Moment(4, PROBE_EPOCH, 0))
    own = case.method.reference(case.graph, case.params, case.x, case.target)
    loss = backprop_gradient(case.graph, case.params, case.x, case.target)
    for name, others in (("cosines", own), ("backprop_cosines", loss)):
        wanted = [cosine(a, b) for a, b in zip(change, others, strict=True)]
        assert found[name] == pytest.approx(wanted, abs=1e-12)
    best = case.outputs().argmax(axis=1)
    assert found["answered"] == [float(np.mean(best == s)) for s in range(4)]


# ---- its choices


def test_choices_are_a_function_of_the_moment():
    method = BrainProp(epsilon=1.0, temperature=1000.0)
    q = np.random.default_rng(0).normal(size=(200, 10))
    first = method.chosen(q, Moment(3, 1, 2))
    np.testing.assert_array_equal(first, method.chosen(q, Moment(3, 1, 2)))
    for other in (Moment(4, 1, 2), Moment(3, 2, 2), Moment(3, 1, 3), Moment(3, PROBE_EPOCH, 2)):
        same = float(np.mean(first == method.chosen(q, other)))
        assert 0.02 < same < 0.2  # by chance one in ten


def test_without_exploration_the_best_is_chosen():
    q = np.random.default_rng(0).normal(size=(300, 7))
    np.testing.assert_array_equal(choice(q, 0.0, 1.0, Moment(0, 0, 0)), q.argmax(axis=1))


@pytest.mark.parametrize(("epsilon", "temperature"), [(1.0, 1e6), (1.0, 1.0), (0.3, 0.7), (0.02, 1.0)])
def test_choices_have_the_probabilities_of_the_policy(epsilon, temperature):
    """A chi-square of 60000 draws of one output; evenly where the temperature is large."""
    one, n = np.array([[0.4, -1.2, 1.1, 0.0, 0.9]]), 60_000
    drawn = choice(np.repeat(one, n, axis=0), epsilon, temperature, Moment(1, 2, 3))
    wanted = policy(one, epsilon, temperature)[0]
    np.testing.assert_allclose(BrainProp(epsilon=epsilon, temperature=temperature).policy(one)[0], wanted)
    if temperature == 1e6:
        np.testing.assert_allclose(wanted, 0.2, rtol=1e-5)
    counts = np.bincount(drawn, minlength=5)
    statistic = float(np.sum(np.square(counts - n * wanted) / (n * wanted)))
    assert statistic < chi2.isf(1e-6, 4)


@pytest.mark.parametrize("scale", [1e4, 1e30])
def test_outputs_of_any_size_leave_a_choice(scale):
    q = np.random.default_rng(0).normal(size=(50, 6)) * scale
    found = choice(q, 0.5, 1.0, Moment(0, 0, 0))
    assert ((found >= 0) & (found < 6)).all()


# ---- what one number and one unit can teach


@pytest.mark.parametrize("feedback", ["tied", "random", "learned"])
def test_one_factor_for_all_layers_and_one_unit_that_sends_feedback(feedback):
    """Attention comes down from the chosen unit alone, and every synapse has the same delta of its sample."""
    case = Case(BrainProp(epsilon=0.5, feedback=feedback), seed=6)
    moment = Moment(2, 3, 4)
    s, found = case.chosen(moment), case.factors(moment)
    exact = case.params.astype(np.float64)
    rates = [case.x.astype(np.float64), *forward(case.network, exact, case.x)[1]]
    back = [case.params.feedback[k] if case.params.feedback else case.params.weights[k + 1].T for k in (0, 1)]
    attention = {3: np.eye(4)[s]}
    for k in (2, 1):
        attention[k] = np.einsum("bj,ij->bi", attention[k + 1], back[k - 1]) * (rates[k] > 0)
    reward = case.target[np.arange(BATCH), s]
    delta = reward - rates[3][np.arange(BATCH), s]
    assert {0.0, 1.0} == set(reward)
    for k in (1, 2, 3):
        factor = found[f"weights.{k}"]
        wanted = delta[:, None] * attention[k]
        np.testing.assert_allclose(factor.post, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
        np.testing.assert_allclose(factor.pre, rates[k - 1], rtol=0, atol=1e-5 * np.abs(rates[k - 1]).max())
        assert factor.gain == 1.0
    assert {name for name in found if name.startswith("feedback")} == (
        {"feedback.1", "feedback.2"} if feedback == "learned" else set()
    )


def test_only_the_row_of_the_chosen_unit_moves():
    """A batch of one: the other outputs' weights and biases stay to the bit."""
    for batch in range(8):
        case = Case(BrainProp(epsilon=1.0, temperature=1e6), seed=7, batch=1)
        moment = Moment(0, 0, batch)
        (s,) = case.chosen(moment)
        w, b = case.params.weights[-1].copy(), case.params.biases[-1].copy()
        from_method = case.method.update(case.work, case.params, {}, Batch(case.x, case.target, moment))[0]
        Momentum(case.graph, case.params, 0.0, 0.0).apply(case.params, from_method, 0.1)
        rows = (case.params.weights[-1] != w).any(axis=1)
        assert np.flatnonzero(rows).tolist() == [s]
        assert np.flatnonzero(case.params.biases[-1] != b).tolist() == [s]


def test_an_answer_as_expected_teaches_nothing():
    """R = q_s: no error of the reward, no change anywhere."""
    case = Case(BrainProp(epsilon=0.0), seed=8)
    case.target = np.repeat(case.outputs().max(axis=1, keepdims=True), 4, axis=1).astype(np.float32)
    usual = Case(BrainProp(epsilon=0.0), seed=8).changes()
    for change, wanted in zip(case.changes(), usual, strict=True):
        assert np.abs(change).max() <= 1e-6 * np.abs(wanted).max()


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_a_softmax_has_no_expected_reward(epsilon):
    method = BrainProp(epsilon=epsilon)
    graph = method.graph(Network(layers=LAYERS, loss="cross_entropy"))
    with pytest.raises(SpecError, match="'brainprop' has no loss 'cross_entropy'; use squared_error") as caught:
        check_together(method, graph, Learning())
    assert "\n" not in str(caught.value)
