"""Momentum on factors: against PyTorch's own trajectories, a naive reference, and its edge cases."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lavaghost.dynamics import Parameters, initial_parameters
from lavaghost.methods.base import Changes, Factors
from lavaghost.methods.optimiser import Momentum, learned_tensors, learning_rate
from lavaghost.net.graph import Graph, fed_back, feedforward
from lavaghost.net.network import Network
from lavaghost.numbers.arithmetic import Array
from tests import tolerances
from tests.networks import ghost_graph
from tests.strategies import problem

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "golden" / "sgd.json").read_text(encoding="utf-8")
)  # written by golden/make_sgd.py


def layer(n_pre: int, n_post: int) -> Graph:
    """A graph of which only the first weights matter."""
    return feedforward(Network(layers=(n_pre, n_post, 1)))


def factored(weights_grad: Array, bias_grad: Array, dtype: type = np.float64) -> Factors:
    """Factors of three samples whose mean outer product is `-weights_grad`, and whose mean is `-bias_grad`.

    One sample per postsynaptic neuron carries a row of the gradient; the last one, without input, the bias.
    """
    n = len(bias_grad)
    post = np.vstack([-np.eye(n), 1 - bias_grad]) * (n + 1)
    pre = np.vstack([weights_grad, np.zeros(weights_grad.shape[1])])
    return Factors((post / 4).astype(dtype), pre.astype(dtype), 4.0)


@pytest.mark.parametrize("run", GOLDEN["runs"], ids=lambda r: f"{r['momentum']}-{r['weight_decay']}")
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, tolerances.SGD), (np.float32, tolerances.SGD32)])
def test_every_step_is_that_of_torch(run: dict[str, Any], dtype: type, tolerance: float):
    weights = np.array(run["start"]["weights"], dtype)
    # a second layer, which has no factors and stays
    above = np.ones((1, len(weights)), dtype)
    params = Parameters((weights, above), (np.array(run["start"]["bias"], dtype), np.ones(1, dtype)))
    graph = layer(weights.shape[1], len(weights))
    optimiser = Momentum(graph, params, run["momentum"], run["weight_decay"])
    for step in run["steps"]:
        factor = factored(np.array(step["weights_grad"]), np.array(step["bias_grad"]), dtype)
        optimiser.apply(params, Changes({"weights.1": factor}), step["lr"])
        np.testing.assert_allclose(params.weights[0], step["weights"], rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(params.biases[0], step["bias"], rtol=tolerance, atol=tolerance)
    assert params.weights[0].dtype == dtype
    assert (params.weights[1] == 1).all()
    assert (params.biases[1] == 1).all()


@pytest.mark.parametrize("decay", ["constant", "linear", "cosine"])
def test_learning_rates_are_those_of_torch(decay):
    found = [learning_rate(0.1, decay, step / 10) for step in range(11)]
    np.testing.assert_allclose(found, GOLDEN["rates"][decay], rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize(("momentum", "decay"), [(0.0, 0.0), (0.9, 0.0), (0.0, 0.1), (0.9, 0.1)])
def test_a_network_of_layers_equals_the_documented_equations(momentum, decay):
    p = problem((4, 5, 3), 6)
    rng = np.random.default_rng(0)
    params = p.params
    w, b = [a.copy() for a in params.weights], [a.copy() for a in params.biases]
    v_w, v_b = [np.zeros_like(a) for a in w], [np.zeros_like(a) for a in b]
    optimiser = Momentum(p.graph, params, momentum, decay)
    for step in range(8):
        batch, eta = 6 - step // 3, 0.1 / (1 + step)
        factors: dict[str, Factors] = {}
        for k in range(2):
            post = rng.normal(size=(batch, w[k].shape[0]))
            pre = rng.normal(size=(batch, w[k].shape[1]))
            gain = 10.0 ** rng.uniform(-2, 2)
            factors[f"weights.{k + 1}"] = Factors(post, pre, gain)
            mean = gain / batch * np.einsum("bj,bi->ji", post, pre)
            v_w[k] = momentum * v_w[k] - decay * w[k] + mean
            v_b[k] = momentum * v_b[k] + gain / batch * post.sum(axis=0)
            w[k] = w[k] + eta * v_w[k]
            b[k] = b[k] + eta * v_b[k]
        optimiser.apply(params, Changes(factors), eta)
        for k in range(2):
            for found, wanted in (
                (params.weights[k], w[k]),
                (params.biases[k], b[k]),
                (optimiser.named()[f"weights.{k + 1}"], v_w[k]),
                (optimiser.named()[f"biases.{k + 1}"], v_b[k]),
            ):
                np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


def test_a_layer_without_factors_stays_to_the_bit_velocity_included():
    p = problem((4, 5, 3), 6)
    optimiser = Momentum(p.graph, p.params, 0.9, 0.1)
    rng = np.random.default_rng(0)
    full = {
        f"weights.{k}": Factors(rng.normal(size=(6, n)), rng.normal(size=(6, m)), 1.0)
        for k, (m, n) in enumerate(((4, 5), (5, 3)), start=1)
    }
    optimiser.apply(p.params, Changes(full), 0.1)
    velocities = optimiser.named()
    stays = (p.params.weights[0], p.params.biases[0], velocities["weights.1"], velocities["biases.1"])
    kept = [a.copy() for a in stays]
    moved = p.params.weights[1].copy()
    optimiser.apply(p.params, Changes({"weights.2": full["weights.2"]}), 0.1)
    for before, after in zip(kept, stays, strict=True):
        np.testing.assert_array_equal(before, after)
    assert not np.array_equal(moved, p.params.weights[1])


def test_steps_are_taken_in_place_and_factors_are_left_alone():
    p = problem((4, 5, 3), 6)
    arrays = [id(a) for a in (*p.params.weights, *p.params.biases)]
    rng = np.random.default_rng(0)
    post, pre = rng.normal(size=(6, 3)), rng.normal(size=(6, 5))
    kept = post.copy(), pre.copy()
    optimiser = Momentum(p.graph, p.params, 0.9, 1e-4)
    optimiser.apply(p.params, Changes({"weights.2": Factors(post, pre, 2.0)}), 0.1)
    assert [id(a) for a in (*p.params.weights, *p.params.biases)] == arrays
    np.testing.assert_array_equal(post, kept[0])
    np.testing.assert_array_equal(pre, kept[1])


def test_velocities_are_named_and_restored():
    p = problem((4, 5, 3), 6)
    one, other = Momentum(p.graph, p.params, 0.9, 0.0), Momentum(p.graph, p.params, 0.9, 0.0)
    rng = np.random.default_rng(0)
    factor = Factors(rng.normal(size=(6, 3)), rng.normal(size=(6, 5)), 1.0)
    one.apply(p.params, Changes({"weights.2": factor}), 0.1)
    assert sorted(one.named()) == ["biases.1", "biases.2", "weights.1", "weights.2"]
    saved = {name: a.copy() for name, a in one.named().items()}
    other.restore(saved)
    for name, a in other.named().items():
        np.testing.assert_array_equal(a, saved[name])
        assert a is not saved[name]


@pytest.mark.parametrize("decay", ["constant", "linear", "cosine"])
def test_learning_rates_start_at_eta_and_never_rise(decay):
    rates = [learning_rate(0.3, decay, progress) for progress in np.linspace(0, 1, 50)]
    assert rates[0] == 0.3
    assert all(later <= earlier for earlier, later in pairwise(rates))
    assert rates[-1] == (0.3 if decay == "constant" else pytest.approx(0, abs=1e-15))


# ---- tensors beside weights and biases


@pytest.mark.parametrize("mechanism", ["duplicate", "learned", "online"])
@pytest.mark.parametrize("feedback", ["tied", "random"])
def test_weights_and_biases_have_velocities_and_fixed_feedback_or_ghosts_have_none(mechanism, feedback):
    graph = ghost_graph(layers=(4, 5, 6, 3), mechanism=mechanism, feedback=feedback)
    wanted = [f"{field}.{k}" for field in ("weights", "biases") for k in (1, 2, 3)]
    assert list(learned_tensors(graph)) == wanted == list(learned_tensors(graph.forward))


def test_learned_feedback_has_a_velocity_and_no_bias():
    """V <- m V - decay B + gain / batch post^T pre, and B <- B + eta V: as weights do, two steps of it."""
    network = Network(layers=(4, 5, 3))
    back = fed_back(network, "learned")
    graph = Graph(network, feedforward(network).populations, (*feedforward(network).projections, *back))
    params = initial_parameters(graph, 0, np.float64)
    assert params.feedback[0].shape == (5, 3)
    optimiser = Momentum(graph, params, 0.9, 0.1)
    assert list(optimiser.named())[-1] == "feedback.1"
    kept = {name: a.copy() for name, a in params.named().items()}
    rng = np.random.default_rng(0)
    wanted, velocity = kept["feedback.1"].copy(), np.zeros((5, 3))
    for eta in (0.1, 0.05):
        post, pre = rng.normal(size=(6, 5)), rng.normal(size=(6, 3))
        optimiser.apply(params, Changes({"feedback.1": Factors(post, pre, 2.0)}), eta)
        velocity = 0.9 * velocity - 0.1 * wanted + 2.0 / 6 * np.einsum("bj,bi->ji", post, pre)
        wanted = wanted + eta * velocity
    np.testing.assert_allclose(params.feedback[0], wanted, rtol=1e-13)
    for name, array in params.named().items():
        assert np.array_equal(array, kept[name]) == (name != "feedback.1"), name


def test_what_is_added_and_what_follows_comes_after_the_step():
    """`add` as it is, in the tensor's precision; `follow` the velocity of another tensor, as it now is."""
    graph = ghost_graph(layers=(4, 5, 6, 3), mechanism="learned")
    params = initial_parameters(graph, 0, np.float64)
    optimiser = Momentum(graph, params, 0.9, 0.0)
    kept = {name: a.copy() for name, a in params.named().items()}
    rng = np.random.default_rng(0)
    factor = Factors(rng.normal(size=(6, 6)), rng.normal(size=(6, 5)), 1.0)
    add = {"ghost_weights.1": rng.normal(size=(6, 5)).astype(np.float32)}
    optimiser.apply(params, Changes({"weights.2": factor}, add, {"ghost_weights.1": "weights.2"}), 0.1)
    step = params.weights[1] - kept["weights.2"]
    np.testing.assert_allclose(
        params.ghost_weights[0], kept["ghost_weights.1"] + add["ghost_weights.1"] + step, rtol=0, atol=1e-14
    )
    moved = {name for name, a in params.named().items() if not np.array_equal(a, kept[name])}
    assert moved == {"weights.2", "biases.2", "ghost_weights.1"}
    # without factors a tensor's velocity stays, and what follows it takes no step
    before = params.ghost_weights[0].copy()
    optimiser.apply(params, Changes(add=add), 0.1)
    np.testing.assert_array_equal(params.ghost_weights[0], before + add["ghost_weights.1"])
