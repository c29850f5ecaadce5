"""Least action: its fixed point against backprop and by its own equations, and presentations in time."""

from typing import Any

import numpy as np
import pytest

from lavaghost.base.errors import SpecError
from lavaghost.datasets import Dataset
from lavaghost.engines.latent import passage_steps, presentation
from lavaghost.methods.base import Factors
from lavaghost.methods.by_name import check_together
from lavaghost.methods.carried import multiplied
from lavaghost.methods.learning import Learning
from lavaghost.methods.least_action import LeastAction, settled
from lavaghost.net.graph import Graph
from lavaghost.net.kinds.dense import DenseProducts
from lavaghost.net.network import Network
from lavaghost.net.parameters import Parameters, initial_parameters
from lavaghost.numbers.arithmetic import Array
from lavaghost.training.float_learner import FloatLearner, probe_of
from lavaghost.training.loop import run
from tests import tolerances
from tests.networks import asked
from tests.strategies import Problem, descent, distance, forward, problem, slope

LOSSES = ["squared_error", "cross_entropy"]
RATES: list[dict[str, Any]] = [{}, {"saturation": 1.0}, {"activation": "hard_sigmoid"}]
SOLVED: dict[str, Any] = {"sweeps": 500, "tolerance": tolerances.SOLVED}
both = pytest.mark.parametrize("loss", LOSSES)
rated = pytest.mark.parametrize("rates", RATES)


def changes(method: LeastAction, p: Problem, **learning: Any) -> list[Array]:
    """What W_1..W_L change by, for eta 1."""
    graph = method.graph(p.network)
    params = own(graph, p.params)
    return multiplied(graph, params, asked(method, graph, params, p.x, p.target, **learning).factors)


def own(graph: Graph, params: Parameters) -> Parameters:
    """Weights and biases of `params`, and feedback where the graph has its own."""
    plain = Parameters(params.weights, params.biases)
    return initial_parameters(graph, 1, np.float64, plain)


# ---- the fixed point


@both
@rated
def test_the_error_to_backprop_is_of_first_order_in_beta(loss: str, rates: dict[str, Any]):
    p = problem((8, 14, 12, 5), 30, seed=2, margin=0.05, loss=loss, **rates)
    wanted = descent(p.network, p.params, p.x, p.target)
    betas = [1e-2, 3e-3, 1e-3, 3e-4]
    off = [
        [distance(a, b) for a, b in zip(changes(LeastAction(beta=beta, **SOLVED), p), wanted, strict=True)]
        for beta in betas
    ]
    for layer in zip(*off, strict=True):
        assert slope(betas, list(layer)) == pytest.approx(1.0, abs=tolerances.SLOPE)
    tiny = changes(LeastAction(beta=1e-9, **SOLVED), p)
    assert max(distance(a, b) for a, b in zip(tiny, wanted, strict=True)) < 1e-7


@both
def test_so_it_is_on_the_weights_of_trained_digits(loss: str, digits: Dataset):
    """On the samples farthest from kinks, with steps of beta that cross none of them; 0.1 does."""
    network = Network.model_validate({"layers": (64, 64, 32, 10), "loss": loss, "activation": "hard_sigmoid"})
    learner = FloatLearner(network, LeastAction(), Learning(epochs=3, eta=0.02), digits, diagnostics=False)
    params = run(learner, identity="{}").params.astype(np.float64)
    x, target = (a.astype(np.float64) for a in probe_of(digits))
    membranes, _ = forward(network, params, x)
    clear = np.argsort(
        np.min([np.minimum(np.abs(v), np.abs(v - 1)).min(axis=1) for v in membranes[:-1]], axis=0)
    )[-20:]
    x, target = x[clear], target[clear]
    wanted = descent(network, params, x, target)
    betas, off = [1e-2, 1e-3, 1e-4], []
    for beta in betas:
        found = asked(LeastAction(beta=beta, **SOLVED), learner.graph, params, x, target).factors
        found = multiplied(learner.graph, params, found)
        off.append([distance(a, b) for a, b in zip(found, wanted, strict=True)])
    for layer in zip(*off, strict=True):
        assert slope(betas, list(layer)) == pytest.approx(1.0, abs=tolerances.SLOPE)


@both
@rated
def test_the_first_sweep_carries_the_errors_of_backprop_itself(loss: str, rates: dict[str, Any]):
    p = problem((8, 14, 12, 5), 30, loss=loss, margin=0.05, **rates)
    graph, beta = LeastAction().graph(p.network), 1e-3
    _, errors = settled(graph, own(graph, p.params), p.x, p.target, beta, 1, 1.0)
    _, rates_free = forward(p.network, p.params, p.x)
    pre = [p.x, *rates_free[:-1]]
    for k, wanted in enumerate(descent(p.network, p.params, p.x, p.target), start=1):
        found = errors[k].T @ pre[k - 1] / len(p.x) / beta
        assert distance(found, wanted) < tolerances.BATCH


@both
@rated
@pytest.mark.parametrize("feedback", ["tied", "random"])
def test_it_solves_its_own_equations_kinks_included(loss: str, rates: dict[str, Any], feedback: Any):
    p = problem((8, 14, 12, 5), 40, seed=5, loss=loss, **rates)
    method = LeastAction(beta=0.1, feedback=feedback)
    graph = method.graph(p.network)
    params = own(graph, p.params)
    r, errors = settled(graph, params, p.x, p.target, 0.1, 500, tolerances.SOLVED)
    _, again = settled(graph, params, p.x, p.target, 0.1, 501, tolerances.SOLVED)
    # a unit beyond an end that its own error would bring back jumps to and fro, and has no fixed point
    still = np.all([np.abs(errors[k] - again[k]).max(axis=1) < 1e-13 for k in errors], axis=0)
    assert still.mean() > 0.9
    r, errors = [a[still] for a in r], {k: e[still] for k, e in errors.items()}
    target = p.target[still]
    r_max, resting = p.network.r_max, 0
    for k in (1, 2, 3):
        v = r[k - 1] @ params.weights[k - 1].T + params.biases[k - 1]
        u = v + errors[k]
        if k == 3:
            np.testing.assert_allclose(r[3], u, atol=1e-12)
            e = np.exp(u - u.max(axis=1, keepdims=True))
            answer = u if loss == "squared_error" else e / e.sum(axis=1, keepdims=True)
            np.testing.assert_allclose(errors[3], 0.1 * (target - answer), atol=1e-12)
            continue
        back = params.feedback[k - 1] if params.feedback else params.weights[k].T
        wanted = errors[k + 1] @ back.T
        np.testing.assert_allclose(r[k], np.clip(u, 0, r_max), atol=1e-12)
        inside, within = (v > 0) & (v < r_max), (v + wanted > 0) & (v + wanted < r_max)
        np.testing.assert_allclose(errors[k][inside & within], wanted[inside & within], atol=1e-12)
        assert (errors[k][~inside] == 0).all()
        rests = u[inside & ~within]
        assert (
            np.minimum(np.abs(rests), np.abs(rests - r_max) if r_max < np.inf else np.inf).max(initial=0)
            < 1e-12
        )
        resting += len(rests)
    assert resting > 0


# ---- in time


def by_hand(p: Problem, params: Parameters, back: list[Array], beta: float, steps: int, tau: float, dt: float):
    """Euler steps of latent equilibrium with a membrane of its own; rates and errors after each."""
    L, r_max = p.network.depth, p.network.r_max
    zeros = [np.zeros((len(p.x), n)) for n in p.network.layers[1:]]
    u, r, e, d = list(zeros), list(zeros), list(zeros), [np.zeros_like(z) for z in zeros]
    for _ in range(steps):
        pre, new, slopes, moved = [p.x, *r[:-1]], [], [], []
        for k in range(L):
            du = (pre[k] @ params.weights[k].T + params.biases[k] + e[k] - u[k]) / tau
            ahead = u[k] + tau * du
            moved.append(u[k] + dt * du)
            new.append(ahead if k == L - 1 else np.clip(ahead, 0, r_max))
            slopes.append(((ahead > 0) & (ahead < r_max)).astype(float))
        z = np.exp(r[-1] - r[-1].max(axis=1, keepdims=True))
        answer = r[-1] if p.network.loss == "squared_error" else z / z.sum(axis=1, keepdims=True)
        below = [d[k] * (e[k + 1] @ back[k].T) for k in range(L - 1)]
        u, r, e, d = moved, new, [*below, beta * (p.target - answer)], slopes
        yield pre, r, e


@both
@rated
@pytest.mark.parametrize("feedback", ["tied", "random"])
@pytest.mark.parametrize(("tau", "dt"), [(1.0, 1.0), (10.0, 0.1)])
def test_a_presentation_is_latent_equilibrium_whatever_tau_is(loss, rates, feedback, tau, dt):
    p = problem((8, 14, 12, 5), 20, loss=loss, **rates)
    graph = LeastAction(feedback=feedback).graph(p.network)
    params = own(graph, p.params)
    back = [params.feedback[k] if params.feedback else params.weights[k + 1].T for k in (0, 1)]
    shown = presentation(graph, params, p.x, p.target, beta=0.1, t_steps=12)
    wanted = by_hand(p, params, back, 0.1, 12, tau, dt)
    for (pre, state), (pre_, r, e) in zip(shown, wanted, strict=True):
        for a, b in zip((*pre, *state.rates, *state.errors), (*pre_, *r, *e), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)


@both
@rated
@pytest.mark.parametrize("layers", [(8, 9, 5), (8, 14, 12, 5), (8, 9, 9, 9, 5)])
def test_a_change_is_right_after_twice_as_many_steps_as_layers_and_not_before(loss, rates, layers):
    p = problem(layers, 20, loss=loss, margin=0.01, **rates)
    graph, beta = LeastAction().graph(p.network), 1e-9
    wanted = descent(p.network, p.params, p.x, p.target)
    shown = [*presentation(graph, p.params, p.x, p.target, beta=beta, t_steps=passage_steps(graph) + 3)]
    off = [
        max(distance(state.errors[k].T @ pre[k] / len(p.x) / beta, wanted[k]) for k in range(graph.depth))
        for pre, state in shown
    ]
    first = passage_steps(graph) - 1
    assert max(off[first:]) < 1e-6
    assert min(off[:first]) > 1e-2


@both
@rated
def test_waiting_changes_by_what_backprop_does_and_continuous_by_the_mean_of_all_steps(loss, rates):
    p = problem((8, 14, 12, 5), 20, loss=loss, margin=0.01, **rates)
    waiting = changes(LeastAction(beta=1e-9, t_steps=11), p, engine="stepped")
    wanted = descent(p.network, p.params, p.x, p.target)
    assert max(distance(a, b) for a, b in zip(waiting, wanted, strict=True)) < 1e-6
    method = LeastAction(beta=0.05, t_steps=11, plasticity="continuous")
    shown = [*presentation(method.graph(p.network), p.params, p.x, p.target, beta=0.05, t_steps=11)]
    for k, found in enumerate(changes(method, p, engine="stepped")):
        mean = np.mean([state.errors[k].T @ pre[k] for pre, state in shown], axis=0) / len(p.x) / 0.05
        assert distance(found, mean) < tolerances.BATCH


def test_a_longer_presentation_loses_less_to_its_beginning():
    p = problem((8, 14, 12, 5), 60, loss="squared_error", activation="hard_sigmoid", margin=0.01)
    wanted = descent(p.network, p.params, p.x, p.target)
    off = []
    for steps in (6, 12, 60, 600):
        method = LeastAction(beta=1e-6, t_steps=steps, plasticity="continuous")
        off.append(max(map(distance, changes(method, p, engine="stepped"), wanted)))
    assert off == sorted(off, reverse=True)
    assert off[0] > 0.2
    # what the beginning adds is the same however long it lasts, and the mean over T divides it
    assert slope([60, 600], off[2:]) == pytest.approx(-1.0, abs=tolerances.SLOPE)


@pytest.mark.parametrize("engine", ["equilibrium", "stepped"])
def test_learned_feedback_takes_the_factors_of_its_weights_turned_round(engine: Any):
    p = problem((8, 14, 12, 5), 20)
    method = LeastAction(feedback="learned")
    graph = method.graph(p.network)
    found = asked(method, graph, own(graph, p.params), p.x, p.target, engine=engine).factors
    for k in (1, 2):
        up, back = found[f"weights.{k + 1}"], found[f"feedback.{k}"]
        assert back == Factors(up.pre, up.post, up.gain)


def test_in_time_a_resumed_run_goes_on_to_the_bit(digits: Dataset):
    network = Network(layers=(64, 12, 10), loss="squared_error", activation="hard_sigmoid")
    method, learning = LeastAction(plasticity="continuous"), Learning(epochs=2, engine="stepped")
    whole, first = (FloatLearner(network, method, learning, digits) for _ in range(2))
    for epoch in (0, 1):
        whole.epoch(epoch, lambda done: None)
    first.epoch(0, lambda done: None)
    resumed = FloatLearner(network, method, learning, digits)
    resumed.restore(first.tensors())
    resumed.epoch(1, lambda done: None)
    assert resumed.tensors().keys() == whole.tensors().keys()
    for name, array in resumed.tensors().items():
        assert np.array_equal(array, whole.tensors()[name]), name


# ---- settings, and what it costs


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"t_steps": 6}, "method.t_steps 6: plasticity waits for 2 L = 6 steps; use 7 or more"),
        (
            {"t_steps": 5, "plasticity": "continuous"},
            "method.t_steps 5: an error is in layer 1 after 2 L = 6 steps",
        ),
        ({"plasticity": "continuous"}, "has no loss 'cross_entropy'; use squared_error"),
    ],
)
def test_presentations_too_short_and_losses_that_do_not_balance_are_refused(settings: Any, part: str):
    method = LeastAction(**settings)
    with pytest.raises(SpecError) as caught:
        check_together(method, method.graph(Network(layers=(64, 20, 16, 10))), Learning(engine="stepped"))
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_presentations_are_long_enough_for_any_depth_unless_told():
    for hidden in range(1, 30):
        graph = LeastAction().graph(Network(layers=(8, *[4] * hidden, 3)))
        assert LeastAction().faults(graph) == []
        assert LeastAction().steps_in(graph) >= max(10, 2 * graph.depth + 4)


@pytest.mark.parametrize("feedback", ["tied", "random", "learned"])
@pytest.mark.parametrize("layers", [(8, 9, 5), (8, 14, 12, 5)])
def test_operations_are_those_of_its_products(monkeypatch, layers, feedback: Any):
    done = []

    def counted(name: str):
        plain = getattr(DenseProducts, name)

        def product(self, *args: Any, **kwargs: Any) -> Array:
            done.append(self.n_pre * self.n_post)
            return plain(self, *args, **kwargs)

        monkeypatch.setattr(DenseProducts, name, product)

    for name in ("apply", "apply_transposed"):
        counted(name)
    p = problem(layers, 6)
    method = LeastAction(feedback=feedback, sweeps=7, tolerance=1e-300)
    graph = method.graph(p.network)
    found = asked(method, graph, own(graph, p.params), p.x, p.target).factors
    changed = sum(post.shape[1] * pre.shape[1] for post, pre, _ in found.values())
    assert method.operations(graph, Learning()) == sum(done) + changed
