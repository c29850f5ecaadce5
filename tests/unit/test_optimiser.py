"""Momentum on factors: against PyTorch's own trajectories, a naive reference, and its edge cases."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lavaghost.dynamics import Parameters
from lavaghost.methods.optimiser import Factors, Momentum, learning_rate
from lavaghost.numbers.arithmetic import Array
from tests import tolerances
from tests.strategies import problem

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "golden" / "sgd.json").read_text(encoding="utf-8")
)  # written by golden/make_sgd.py


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
    params = Parameters((np.array(run["start"]["weights"], dtype),), (np.array(run["start"]["bias"], dtype),))
    optimiser = Momentum(params, run["momentum"], run["weight_decay"])
    for step in run["steps"]:
        factor = factored(np.array(step["weights_grad"]), np.array(step["bias_grad"]), dtype)
        optimiser.apply(params, [factor], step["lr"])
        np.testing.assert_allclose(params.weights[0], step["weights"], rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(params.biases[0], step["bias"], rtol=tolerance, atol=tolerance)
    assert params.weights[0].dtype == dtype


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
    optimiser = Momentum(params, momentum, decay)
    for step in range(8):
        batch, eta = 6 - step // 3, 0.1 / (1 + step)
        factors: list[Factors | None] = []
        for k in range(2):
            post = rng.normal(size=(batch, w[k].shape[0]))
            pre = rng.normal(size=(batch, w[k].shape[1]))
            gain = 10.0 ** rng.uniform(-2, 2)
            factors.append(Factors(post, pre, gain))
            mean = gain / batch * np.einsum("bj,bi->ji", post, pre)
            v_w[k] = momentum * v_w[k] - decay * w[k] + mean
            v_b[k] = momentum * v_b[k] + gain / batch * post.sum(axis=0)
            w[k] = w[k] + eta * v_w[k]
            b[k] = b[k] + eta * v_b[k]
        optimiser.apply(params, factors, eta)
        for k in range(2):
            for found, wanted in (
                (params.weights[k], w[k]),
                (params.biases[k], b[k]),
                (optimiser.weights[k], v_w[k]),
                (optimiser.biases[k], v_b[k]),
            ):
                np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


def test_a_layer_without_factors_stays_to_the_bit_velocity_included():
    p = problem((4, 5, 3), 6)
    optimiser = Momentum(p.params, 0.9, 0.1)
    rng = np.random.default_rng(0)
    full: list[Factors | None] = [
        Factors(rng.normal(size=(6, n)), rng.normal(size=(6, m)), 1.0) for m, n in ((4, 5), (5, 3))
    ]
    optimiser.apply(p.params, full, 0.1)
    kept = [p.params.weights[0].copy(), optimiser.weights[0].copy(), optimiser.biases[0].copy()]
    moved = p.params.weights[1].copy()
    optimiser.apply(p.params, [None, full[1]], 0.1)
    for before, after in zip(
        kept, (p.params.weights[0], optimiser.weights[0], optimiser.biases[0]), strict=True
    ):
        np.testing.assert_array_equal(before, after)
    assert not np.array_equal(moved, p.params.weights[1])


def test_steps_are_taken_in_place_and_factors_are_left_alone():
    p = problem((4, 5, 3), 6)
    arrays = [id(a) for a in (*p.params.weights, *p.params.biases)]
    rng = np.random.default_rng(0)
    post, pre = rng.normal(size=(6, 3)), rng.normal(size=(6, 5))
    kept = post.copy(), pre.copy()
    Momentum(p.params, 0.9, 1e-4).apply(p.params, [None, Factors(post, pre, 2.0)], 0.1)
    assert [id(a) for a in (*p.params.weights, *p.params.biases)] == arrays
    np.testing.assert_array_equal(post, kept[0])
    np.testing.assert_array_equal(pre, kept[1])


def test_velocities_are_named_and_restored():
    p = problem((4, 5, 3), 6)
    one, other = Momentum(p.params, 0.9, 0.0), Momentum(p.params, 0.9, 0.0)
    rng = np.random.default_rng(0)
    factor = Factors(rng.normal(size=(6, 3)), rng.normal(size=(6, 5)), 1.0)
    one.apply(p.params, [None, factor], 0.1)
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
