"""The integer network of `deploy`, without Lava."""

import itertools

import numpy as np
import pytest

from lavaghost.base.errors import SpecError
from lavaghost.dynamics import Parameters
from lavaghost.engines.sigma_delta import SigmaDelta, reference, sigma_delta_of
from lavaghost.net.graph import Graph, feedforward
from lavaghost.net.network import Network


def made(layers: tuple[int, ...], seed: int = 0) -> tuple[Graph, Parameters, np.ndarray]:
    rng = np.random.default_rng(seed)
    pairs = list(itertools.pairwise(layers))
    weights = tuple((rng.normal(size=(b, a)) / np.sqrt(a)).astype(np.float32) for a, b in pairs)
    biases = tuple((0.3 * rng.normal(size=b)).astype(np.float32) for _, b in pairs)
    return (
        feedforward(Network(layers=layers)),
        Parameters(weights, biases),
        rng.integers(0, 17, (60, layers[0])) / 16,
    )


def static(net: SigmaDelta, samples: np.ndarray) -> np.ndarray:
    """The integer network without time: exact where nothing is shifted."""
    rate = samples.astype(np.int64)
    for k, (w, b) in enumerate(zip(net.weights, net.biases, strict=True), start=1):
        rate = rate @ w.T.astype(np.int64) + b
        if k < net.depth:
            rate = np.maximum(rate, 0)
    return rate


def test_without_shifts_the_history_does_not_count() -> None:
    graph, params, x = made((8, 6, 4))
    net = sigma_delta_of(graph, params, x, 1 / 16)
    assert set(net.shifts) == {0}
    samples = net.inputs(x)
    np.testing.assert_array_equal(samples, np.rint(x * 16))
    np.testing.assert_array_equal(reference(net, samples), static(net, samples))
    order = np.random.default_rng(1).permutation(len(x))
    np.testing.assert_array_equal(reference(net, samples[order]), reference(net, samples)[order])


@pytest.mark.parametrize("layers", [(64, 128, 10), (64, 50, 40, 30, 10)])
def test_close_to_the_float_network(layers) -> None:
    graph, params, x = made(layers)
    net = sigma_delta_of(graph, params, x, 1 / 16)
    rate = x
    for k, (w, b) in enumerate(zip(params.weights, params.biases, strict=True), start=1):
        rate = rate @ w.T + b
        rate = np.maximum(rate, 0) if k < graph.depth else rate
    found = reference(net, net.inputs(x)) * net.scales[-1]
    # a weight is rounded by at most 1/254 of the largest one
    assert np.abs(found - rate).max() < 0.1
    assert all(np.abs(w).max() <= 254 for w in net.weights)
    assert all(not (w % 2).any() for w in net.weights)
    assert all(np.abs(b).max() < 2**15 for b in net.biases[:-1])


def test_other_data_are_scaled() -> None:
    graph, params, _ = made((8, 6, 4))
    x = np.random.default_rng(0).normal(size=(50, 8))
    net = sigma_delta_of(graph, params, x, 1.0)
    assert np.percentile(np.abs(net.inputs(x)), 99.9) == pytest.approx(127, abs=1)


@pytest.mark.parametrize("physics", [{"activation": "hard_sigmoid"}, {"saturation": 2.0}])
def test_what_has_no_sigma_delta_neuron_is_refused(physics) -> None:
    _, params, x = made((8, 6, 4))
    with pytest.raises(SpecError, match="no sigma-delta neuron; train with --activation relu"):
        sigma_delta_of(feedforward(Network(layers=(8, 6, 4), **physics)), params, x, 1 / 16)


def test_a_state_that_leaves_its_bits_is_refused() -> None:
    graph, params, x = made((8, 6, 4))
    net = sigma_delta_of(graph, params, x, 1 / 16)
    with pytest.raises(SpecError, match="layer 1 reaches"):
        reference(net, net.inputs(x) * 4000)


def test_a_kind_is_its_matrix() -> None:
    """Where a kind has fewer weights than its matrix, the integers are those of the matrix."""
    graph, params, x = made((6, 6, 4))
    one = feedforward(Network(layers=(6, 6, 4), kinds=("one_to_one", "dense")))
    none, eye = np.zeros(0, np.float32), np.eye(6, dtype=np.float32)
    found = sigma_delta_of(one, params._replace(weights=(none, params.weights[1])), x, 1 / 16)
    dense = sigma_delta_of(graph, params._replace(weights=(eye, params.weights[1])), x, 1 / 16)
    assert found.shifts == dense.shifts
    assert found.scales == dense.scales
    for one_w, dense_w in zip(found.weights, dense.weights, strict=True):
        np.testing.assert_array_equal(one_w, dense_w)
    np.testing.assert_array_equal(reference(found, found.inputs(x)), reference(dense, dense.inputs(x)))


def test_silent_weights() -> None:
    graph, params, x = made((8, 6, 4))
    zero = params._replace(weights=tuple(np.zeros_like(w) for w in params.weights))
    net = sigma_delta_of(graph, zero, x, 1 / 16)
    np.testing.assert_array_equal(reference(net, net.inputs(x)), np.tile(net.biases[-1], (60, 1)))
