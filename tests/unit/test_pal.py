"""Phaseless alignment: what its noise is, what it teaches, and how far that goes."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from lavaghost.base.errors import SpecError
from lavaghost.datasets import Dataset
from lavaghost.methods.alignment import FeedbackAlignment
from lavaghost.methods.base import Batch, Method, Moment
from lavaghost.methods.by_name import check_together
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.learning import Learning
from lavaghost.methods.optimiser import Momentum
from lavaghost.methods.pal import Pal, passed_share
from lavaghost.net.kinds.dense import DenseProducts
from lavaghost.net.network import Network
from lavaghost.net.parameters import Parameters, initial_parameters
from lavaghost.numbers.arithmetic import Array, Float
from lavaghost.run.spec import resolved
from lavaghost.training.float_learner import FloatLearner
from lavaghost.training.loop import Trained, run
from tests.networks import asked
from tests.strategies import Problem, descent, distance, problem

WAYS: list[tuple[Any, Any]] = [("errors", "equilibrium"), ("errors", "stepped"), ("ghosts", "equilibrium")]
ways = pytest.mark.parametrize(("circuit", "engine"), WAYS)


def with_feedback(method: Method, p: Problem, seed: int = 1) -> Parameters:
    """Weights and biases of `p` with drawn feedback, in double precision unless ghosts need a single one."""
    plain = Parameters(p.params.weights, p.params.biases)
    return initial_parameters(method.graph(p.network), seed, p.params.weights[0].dtype, plain)


def shown(p: Problem, circuit: str) -> Problem:
    """The problem in the precision of its engine: ghosts are solved in float32."""
    return p.single() if circuit == "ghosts" else p


# ---- what the noise teaches


@ways
@pytest.mark.parametrize("physics", [{}, {"activation": "hard_sigmoid"}])
def test_feedback_goes_to_the_fixed_point_that_sigma_alpha_and_slopes_set(circuit, engine, physics):
    """The mean of what many presentations would have B be, for weights that stay; kinks are farther than noise."""
    p = shown(problem((6, 7, 6, 4), 40, margin=0.05, lam=1e-3, **physics), circuit)
    method = Pal(circuit=circuit, sigma=0.01, alpha=1e-4, eta_feedback=1.0, lam=1e-3)
    graph, params = method.graph(p.network), with_feedback(method, p)
    work = method.prepare(graph, Learning(batch_size=40, engine=engine))
    found = [np.zeros(b.shape) for b in params.feedback]
    times = 400 if engine == "stepped" else 2000
    for i in range(times):
        changes, _ = method.update(work, params, {}, Batch(p.x, p.target, Moment(0, 0, i)))
        for k in (1, 2):
            found[k - 1] += (params.feedback[k - 1] + changes.add[f"feedback.{k}"]) / times
    for mean, wanted in zip(found, method.expected(graph, params, p.x), strict=True):
        assert distance(mean, wanted) < 0.12
        scale = np.vdot(mean, wanted) / np.vdot(wanted, wanted)
        assert scale == pytest.approx(1.0, abs=0.06)


def test_the_expected_fixed_point_is_that_of_the_equation():
    p = problem((6, 7, 6, 4), 40)
    method = Pal(sigma=0.2, alpha=0.005)
    graph = method.graph(p.network)
    slopes, below = [], p.x
    for w, b in zip(p.params.weights[:-1], p.params.biases[:-1], strict=True):
        v = below @ w.T + b
        below = np.maximum(v, 0)
        slopes.append((v > 0).astype(float))
    slopes.append(np.ones((40, 4)))
    for k, found in enumerate(method.expected(graph, p.params, p.x)):
        mean = np.einsum("bi,bj->ij", slopes[k], slopes[k + 1]) / 40
        np.testing.assert_allclose(found, 0.2**2 / (4 * 0.005) * mean * p.params.weights[k + 1].T)


@pytest.mark.parametrize(("tau", "steps"), [(10.0, 20), (2.0, 9), (30.0, 50)])
def test_the_share_that_a_short_filter_has_passed_is_that_of_its_recursion(tau: float, steps: int):
    """E[xi(t) h(t)] of a linear unit one step above, from the covariances of the recursion itself."""
    method = Pal(tau_xi_steps=tau, t_steps=steps)
    graph = method.graph(Network(layers=(5, 4, 4, 3)))
    a, depth = 1 - 1 / tau, 3
    size = steps + 2
    variance = (1 / tau) / (1 - a**2)  # of xi, for sigma 1
    covariance = np.array([[variance * a ** abs(s - t) for t in range(size)] for s in range(size)])
    shares = []
    for t in range(2 * depth + 1, steps + 1):
        h = np.zeros(size)  # weights of xi(0..) in h(t), with r(t) = xi(t - 1)
        for s in range(depth + 1, t + 1):
            h *= a
            h[s - 1] += 1
            h[s - 2] -= 1
        shares.append(4 * covariance[t] @ h)
    assert passed_share(method, graph) == pytest.approx(np.mean(shares), rel=1e-12)


def test_noise_has_the_variance_and_the_memory_that_it_should():
    method = Pal(sigma=0.3, tau_xi_steps=5.0, t_steps=40)
    batch = Batch(np.zeros((500, 3)), np.zeros((500, 2)), Moment(1, 2, 3))
    xi = np.array(method.coloured(batch, 1, 40, 20, Float()))
    assert xi.shape == (40, 500, 20)
    keep = 0.8
    # stationary from the first step: sigma^2 / tau / (1 - a^2), near sigma^2 / 2 for long tau
    wanted = 0.09 / 5 / (1 - keep**2)
    for step in (0, 1, 20, 39):
        assert xi[step].var() == pytest.approx(wanted, rel=0.06)
    for lag in (1, 3):
        assert (xi[lag:] * xi[:-lag]).mean() / wanted == pytest.approx(keep**lag, abs=0.03)


@ways
def test_noise_is_a_function_of_seed_presentation_and_layer(circuit, engine):
    p = shown(problem((6, 7, 6, 4), 5), circuit)
    method = Pal(circuit=circuit)
    graph, params = method.graph(p.network), with_feedback(method, p)
    work = method.prepare(graph, Learning(batch_size=5, engine=engine))

    def taught(moment: Moment) -> dict[str, Array]:
        return dict(method.update(work, params, {}, Batch(p.x, p.target, moment))[0].add)

    first, again = taught(Moment(3, 1, 2)), taught(Moment(3, 1, 2))
    assert set(first) == {"feedback.1", "feedback.2"}
    for moment in (Moment(4, 1, 2), Moment(3, 2, 2), Moment(3, 1, 3)):
        other = taught(moment)
        for name in first:
            assert np.array_equal(first[name], again[name])
            assert not np.array_equal(first[name], other[name])


# ---- what the network learns by it


@ways
def test_weights_change_by_errors_that_come_down_its_feedback(circuit, engine):
    """With B = W^T and little noise and nudge, as backprop."""
    p = shown(problem((6, 9, 8, 4), 12, margin=0.02, lam=1e-3), circuit)
    method = Pal(circuit=circuit, sigma=1e-6, beta=1e-4, lam=1e-3)
    graph = method.graph(p.network)
    tied = Parameters(p.params.weights, p.params.biases, tuple(w.T.copy() for w in p.params.weights[1:]))
    found = asked(method, graph, tied, p.x, p.target, engine=engine).factors
    assert set(found) == {"weights.1", "weights.2", "weights.3"}
    exact = p.double()
    for k, wanted in enumerate(descent(p.network, exact.params, exact.x, exact.target), start=1):
        post, pre, gain = found[f"weights.{k}"]
        assert distance(gain / len(post) * post.T.astype(float) @ pre, wanted) < 1e-3


@pytest.mark.parametrize(
    ("settings", "learning", "other"),
    [
        ({"circuit": "errors"}, {"engine": "equilibrium", "epochs": 6}, FeedbackAlignment()),
        ({"circuit": "errors"}, {"engine": "stepped", "epochs": 6}, FeedbackAlignment()),
        ({"circuit": "ghosts"}, {"eta": 0.03, "epochs": 15}, Ghost(feedback="random")),
    ],
)
def test_on_digits_feedback_turns_and_the_network_passes_the_one_with_random_feedback(
    settings, learning, other, digits: Dataset
):
    """Three seeds; hidden cosines above .95, and 1.5 points more than the same circuit whose feedback stays."""
    network = Network(layers=(64, 64, 32, 10))
    found, random = [], []
    for seed in (0, 1, 2):
        spent = Learning.model_validate({"eta": 0.05, "seed": seed} | learning)
        history = trained(network, Pal(**settings), spent, digits).history
        found.append(100 * history[-1]["accuracy"])
        assert min(history[-1]["cosines"]) > 0.95
        for before, after in pairwise([row["angles"] for row in history]):
            assert all(b < a + 2 for a, b in zip(before, after, strict=True))
        assert max(history[-1]["angles"]) < 50
        assert min(history[0]["angles"]) > 80
        measured, predicted = history[-1]["feedback_scales"], history[-1]["predicted_scales"]
        np.testing.assert_allclose(measured, predicted, rtol=0.15)
        assert max(history[-1]["predicted_angles"]) < 25
        reference = spent.model_copy(update={"engine": "equilibrium"})
        random.append(100 * trained(network, other, reference, digits).history[-1]["accuracy"])
    assert np.mean(found) > np.mean(random) + 1.5


def trained(network: Network, method: Method, learning: Learning, data: Dataset) -> Trained:
    return run(FloatLearner(network, method, learning, data), identity="{}")


# ---- what it leaves alone


@ways
def test_momentum_and_decay_leave_feedback_at_its_fixed_point(circuit, engine):
    p = shown(problem((6, 7, 6, 4), 5), circuit)
    method = Pal(circuit=circuit)
    graph, params = method.graph(p.network), with_feedback(method, p)
    before = [b.copy() for b in params.feedback]
    changes = asked(method, graph, params, p.x, p.target, engine=engine)
    optimiser = Momentum(graph, params, 0.9, 0.5)
    optimiser.apply(params, changes, 0.1)
    for k, (b, was) in enumerate(zip(params.feedback, before, strict=True), start=1):
        np.testing.assert_array_equal(b, was + changes.add[f"feedback.{k}"])
        assert not optimiser.named()[f"feedback.{k}"].any()


@ways
def test_feedback_of_a_frozen_layer_stays(circuit, engine):
    p = shown(problem((6, 7, 6, 4), 5, plastic=(1, 2)), circuit)
    method = Pal(circuit=circuit)
    changes = asked(method, method.graph(p.network), with_feedback(method, p), p.x, p.target, engine=engine)
    assert set(changes.add) == {"feedback.1"}


def test_in_time_a_resumed_run_goes_on_to_the_bit(digits: Dataset):
    network = Network(layers=(64, 12, 8, 10))
    learning = Learning(epochs=2, engine="stepped")
    whole, first, resumed = (FloatLearner(network, Pal(), learning, digits) for _ in range(3))
    for epoch in (0, 1):
        whole.epoch(epoch, lambda done: None)
    first.epoch(0, lambda done: None)
    resumed.restore(first.tensors())
    resumed.epoch(1, lambda done: None)
    assert first.state == {}
    for name, array in resumed.tensors().items():
        assert np.array_equal(array, whole.tensors()[name]), name


# ---- settings, and what it costs


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        (
            {"feedback": "tied"},
            "method.feedback tied: noise teaches the feedback of 'pal'; use feedback learned, or",
        ),
        ({"feedback": "random"}, "--method fa"),
        ({"feedback": "random", "circuit": "ghosts"}, "--method ghost with random feedback"),
        ({"t_steps": 6}, "method.t_steps 6: plasticity waits for 2 L = 6 steps; use 7 or more"),
    ],
)
def test_what_it_cannot_do_is_refused(settings: Any, part: str):
    method = Pal(**settings)
    with pytest.raises(SpecError) as caught:
        check_together(method, method.graph(Network(layers=(64, 20, 16, 10))), Learning())
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("circuit", ["errors", "ghosts"])
@pytest.mark.parametrize("layers", [(8, 9, 5), (8, 14, 12, 5)])
def test_operations_are_those_of_its_products(monkeypatch, layers, circuit: Any):
    done = []

    def counted(name: str):
        plain = getattr(DenseProducts, name)

        def product(self, *args: Any, **kwargs: Any) -> Array:
            done.append(self.n_pre * self.n_post)
            return plain(self, *args, **kwargs)

        monkeypatch.setattr(DenseProducts, name, product)

    for name in ("apply", "apply_transposed", "correlate"):
        counted(name)
    p = problem(layers, 6).single()
    method = Pal(circuit=circuit)
    graph = method.graph(p.network)
    found = asked(method, graph, with_feedback(method, p), p.x, p.target).factors
    changed = sum(post.shape[1] * pre.shape[1] for post, pre, _ in found.values())
    assert method.operations(graph, Learning()) == sum(done) + changed


@pytest.mark.parametrize(("hidden", "eta"), [((64,), 0.1), ((64, 32), 0.02), ((48, 32, 24), 0.004)])
def test_its_usual_step_falls_with_depth_and_a_named_one_stands(hidden, eta):
    """Errors grow by the scale of B in each layer; docs/methods.md tells what diverged."""

    def step(method, **learning):
        found = resolved({"hidden": hidden, "method": method, "learning": learning}).learning
        assert isinstance(found, Learning)
        return found.eta

    assert step("pal") == step({"name": "modulated", "method": {"name": "pal"}}) == eta
    assert step("pal", eta=0.2) == 0.2
    assert step("fa") == 0.1
