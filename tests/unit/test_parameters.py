"""Parameters: shapes, names, scale and seeds of the initial numbers."""

from typing import Any

import numpy as np
import pytest

from lavaghost.dynamics import Parameters, initial_parameters, wire
from lavaghost.methods.backprop import Backprop, Frozen
from lavaghost.net.graph import feedforward
from lavaghost.net.network import Network
from lavaghost.net.parameters import shapes
from lavaghost.numbers.arithmetic import Float
from tests.networks import ghost_graph
from tests.strategies import fed_back

LAYERS = (7, 6, 5, 4)
KINDS: list[dict[str, Any]] = [
    {"mechanism": m, "feedback": f} for m in ("duplicate", "learned", "online") for f in ("tied", "random")
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_array_has_the_documented_shape(kind):
    params = initial_parameters(ghost_graph(layers=LAYERS, **kind), 0)
    assert [a.shape for a in params.weights] == [(6, 7), (5, 6), (4, 5)]
    assert [a.shape for a in params.biases] == [(6,), (5,), (4,)]
    assert [a.shape for a in params.feedback] == ([(6, 5), (5, 4)] if kind["feedback"] == "random" else [])
    learned = kind["mechanism"] == "learned"
    assert [a.shape for a in params.ghost_weights] == ([(5, 6), (4, 5)] if learned else [])
    assert [a.shape for a in params.ghost_biases] == ([(5,), (4,)] if learned else [])
    assert [a.shape for a in params.ghost_inhibition] == ([(6, 5), (5, 4)] if learned else [])
    for k in (1, 2):
        assert fed_back(params, k).shape == (LAYERS[k], LAYERS[k + 1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_names_shapes_and_dtypes_agree(kind, dtype):
    graph = ghost_graph(layers=LAYERS, **kind)
    named = initial_parameters(graph, 3, dtype).named()
    assert {name: a.shape for name, a in named.items()} == shapes(graph)
    assert {a.dtype for a in named.values()} == {np.dtype(dtype)}
    assert all(a.flags.c_contiguous for a in named.values())
    again = Parameters.from_named(graph, named)
    assert all(again.named()[name] is a for name, a in named.items())


@pytest.mark.parametrize("method", [Backprop(), Frozen()])
def test_a_network_without_ghosts_has_weights_and_biases_alone(method):
    network = Network(layers=LAYERS)
    for graph in (method.graph(network), feedforward(network)):
        names = initial_parameters(graph, 0).named()
        assert (
            list(names) == list(shapes(graph)) == [f"{f}.{k}" for f in ("weights", "biases") for k in (1, 2, 3)]
        )


@pytest.mark.parametrize("mechanism", ["duplicate", "learned", "online"])
def test_tied_feedback_is_the_transpose_and_follows_the_weights(mechanism):
    """It has no tensor of its own: the graph turns W_{k+1} round, in every place where it delivers."""
    graph = ghost_graph(layers=LAYERS, mechanism=mechanism)
    params = initial_parameters(graph, 0, np.float64)
    for weight in (None, 9.0):
        if weight is not None:
            params.weights[1][0, 0] = weight
        delivered = wire(graph, params, Float()).feedback[0]
        np.testing.assert_array_equal(Float().synapse(delivered, np.eye(5)).T, params.weights[1].T)
    assert delivered[0, 0] == 9.0
    for link in graph.along("feedback"):
        assert (link.own, link.transposed, link.plastic) == (False, True, True)


def test_random_feedback_is_not_the_transpose():
    params = initial_parameters(ghost_graph(layers=LAYERS, feedback="random"), 0)
    a, b = fed_back(params, 1).ravel(), params.weights[1].T.ravel()
    assert abs(a @ b) < 0.5 * np.linalg.norm(a) * np.linalg.norm(b)


def test_a_seed_gives_the_same_numbers_and_another_seed_others():
    graph = ghost_graph(layers=LAYERS, mechanism="learned", feedback="random")
    first, again, other = (initial_parameters(graph, seed).named() for seed in (1, 1, 2))
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])
        assert "biases" in name or not np.array_equal(array, other[name])


def test_weights_of_a_seed_are_the_same_for_every_mechanism_and_feedback_and_without_any():
    wanted = initial_parameters(ghost_graph(layers=LAYERS), 5).weights
    graphs = [ghost_graph(layers=LAYERS, **kind) for kind in KINDS]
    for graph in (*graphs, feedforward(Network(layers=LAYERS))):
        for a, b in zip(initial_parameters(graph, 5).weights, wanted, strict=True):
            np.testing.assert_array_equal(a, b)


def test_weights_have_he_scale_and_feedback_that_of_the_weights_it_stands_for():
    """Standard deviation sqrt(2 / fan-in): a sample of 40000 is within 3 % of it (its own error is 0.35 %)."""
    graph = ghost_graph(layers=(100, 400, 200, 300), mechanism="learned", feedback="random")
    params = initial_parameters(graph, 0, np.float64)
    for k, fan_in in ((1, 100), (2, 400), (3, 200)):
        assert params.weights[k - 1].std() == pytest.approx(np.sqrt(2 / fan_in), rel=0.03)
        assert not params.biases[k - 1].any()
    for k, fan_in in ((1, 400), (2, 200)):
        assert params.feedback[k - 1].std() == pytest.approx(np.sqrt(2 / fan_in), rel=0.03)
        assert params.ghost_weights[k - 1].std() == pytest.approx(0.1 * np.sqrt(2 / fan_in), rel=0.03)
        assert params.ghost_inhibition[k - 1].std() == pytest.approx(0.1 * np.sqrt(2 / fan_in), rel=0.03)
        assert not params.ghost_biases[k - 1].any()


def test_he_scale_keeps_the_size_of_rates_through_depth():
    """What the scale is for (He et al. 2015): the mean square of relu rates neither grows nor fades."""
    graph = ghost_graph(layers=(400,) * 8)
    params = initial_parameters(graph, 0, np.float64)
    rate = np.abs(np.random.default_rng(0).normal(size=(200, 400)))
    start = np.square(rate).mean()
    for w in params.weights:
        rate = np.maximum(rate @ w.T, 0)
    assert 0.4 < np.square(rate).mean() / start < 2.5


def test_astype_copies():
    params = initial_parameters(ghost_graph(layers=LAYERS, feedback="random"), 0, np.float64)
    for dtype in (np.float32, np.float64):
        other = params.astype(dtype)
        for name, array in other.named().items():
            assert array.dtype == dtype
            assert not np.shares_memory(array, params.named()[name])
            np.testing.assert_array_equal(array, params.named()[name].astype(dtype))
