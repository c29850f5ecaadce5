"""The feedforward pass in integers: where membranes rest, and the free phase of the integer engine against it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavaghost.engines.forward_integers import ForwardIntegers, forward_integers, unsettled
from lavaghost.engines.stepped import Stepped
from lavaghost.methods.backprop import Backprop
from lavaghost.net.graph import Graph
from lavaghost.net.kinds import KINDS
from lavaghost.net.network import Network, Schedule
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.integers import Integers
from lavaghost.numbers.loihi import Loihi
from lavaghost.numbers.widths import DEFAULT, LoihiWidths
from lavaghost.online.integers.compiled_network import CompiledNetwork, initial_integers
from lavaghost.online.integers.formats import default_formats
from tests.networks import ghost_graph
from tests.toy_kind import Band

LONG = 96
SUITED = Schedule(t_free_steps=24, t_nudge_steps=12)
"""What learning in integers uses with one hidden layer."""


def graph_of(layers: tuple[int, ...], **physics: object) -> Graph:
    values = {"loss": "squared_error", "lam": 0.125, "beta": 1.0, "saturation": 3.96875}
    return ghost_graph(layers=layers, **(values | {"schedule": Schedule(t_free_steps=LONG)} | physics))


def integers_of(graph: Graph, seed: int, widths: LoihiWidths = DEFAULT) -> Integers:
    """Random mantissas of all bits, odd ones too, and random biases, so that units saturate as well."""
    formats, rng = default_formats(graph), np.random.default_rng(seed)
    low, high = widths.weight_limits
    given = {
        name: rng.integers(-4096, 4097, a.shape)
        if "biases" in name
        else np.clip(rng.normal(0, 90, a.shape), low, high).astype(np.int64)
        for name, a in initial_integers(graph, seed, formats, widths).arrays.items()
    }
    return Integers(given, formats, widths)


def inputs(count: int, n: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 255, (count, n))


def at_the_end(graph: Graph, integers: Integers, p: Array) -> tuple[list[Array], Array]:
    """Messages of hidden layers and output states when the free phase of the stepped engine ends."""
    engine = Stepped(graph, integers.arith)
    free, _ = engine.ends(integers, p * 2.0 ** -integers.formats.messages[0])
    *hidden, out = engine.rates(free)
    return [integers.arith.message(r, k) for k, r in enumerate(hidden, start=1)], out


# ---- where a membrane rests


def with_tau(tau: float) -> ForwardIntegers:
    """A network of which the neurons alone matter."""
    graph = graph_of((2, 2, 2), schedule=Schedule(tau_steps=tau))
    return forward_integers(graph, integers_of(graph, 0))


@settings(max_examples=60, deadline=None)
@given(tau=st.sampled_from([1.0, 1.5, 2.0, 3.0, 4.0, 7.3, 8.0, 20.0]), seed=st.integers(0, 999))
def test_a_membrane_rests_where_its_steps_end(tau, seed):
    """From 0 at `settled`, from beyond at `furthest`; a fixed point each, and there is none outside of the two."""
    net, rng = with_tau(tau), np.random.default_rng(seed)
    drive = np.concatenate([np.arange(-40, 41), rng.integers(-(2**23) + 1, 2**23, 300)])
    limit = DEFAULT.state_limit
    starts = {"settled": np.zeros_like(drive), "furthest": np.sign(drive) * limit}
    for name, start in starts.items():
        v, after = start, net.arith.integrate(start, drive, tau)
        while not np.array_equal(after, v):
            v, after = after, net.arith.integrate(after, drive, tau)
        np.testing.assert_array_equal(getattr(net, name)(drive), v)


def test_with_tau_2_it_is_the_drive_cut_to_even_less_one():
    d = np.array([-7, -6, -2, -1, 0, 1, 2, 3, 6, 7])
    net = with_tau(2.0)
    assert net.settled(d).tolist() == [-5, -5, -1, 0, 0, 0, 1, 1, 5, 5]
    assert net.furthest(d).tolist() == [-6, -6, -2, 0, 0, 0, 2, 2, 6, 6]


# ---- the free phase of the integer engine


@pytest.mark.parametrize("widths", [DEFAULT, LoihiWidths(round_messages=False), LoihiWidths(message_bits=6)])
@pytest.mark.parametrize("seed", range(4))
def test_one_hidden_layer_sends_these_messages_and_its_outputs_rest_beside_these(widths, seed):
    graph = graph_of((20, 30, 5))
    integers, p = integers_of(graph, seed, widths), np.minimum(inputs(60, 20, seed), widths.message_limit)
    net = forward_integers(graph, integers)
    assert net.cancels
    (hidden,), out = at_the_end(graph, integers, p)
    np.testing.assert_array_equal(net.messages(p)[0], hidden)
    assert (hidden == net.layers[0].top).any()
    assert (hidden == 0).any()
    compiled = CompiledNetwork(graph, integers)
    np.testing.assert_array_equal(compiled.outputs(p), out)
    low, high = net.resting(p)
    assert ((low <= out) & (out <= high)).all()
    assert (high - low <= 1).all()
    assert np.abs(net.outputs(p) - out).max() <= 1


@pytest.mark.parametrize("layers", [(20, 30, 5), (20, 30, 25, 5), (12, 16, 14, 12, 4)])
@pytest.mark.parametrize("steps", [24, 40, LONG])
def test_a_free_phase_of_any_length_ends_within_the_bound(layers, steps):
    graph = graph_of(layers, schedule=SUITED.model_copy(update={"t_free_steps": steps}))
    for seed in range(3):
        integers, p = integers_of(graph, seed), inputs(40, layers[0], seed)
        net = forward_integers(graph, integers)
        _, out = at_the_end(graph, integers, p)
        (low, high), left = net.resting(p), unsettled(net, p, steps)
        assert ((low - left <= out) & (out <= high + left)).all()
        assert ((low <= net.outputs(p)) & (net.outputs(p) <= high)).all()


def test_the_bound_of_a_free_phase_falls_to_nothing():
    graph = graph_of((20, 30, 5))
    net, p = forward_integers(graph, integers_of(graph, 0)), inputs(20, 20)
    bounds = [int(unsettled(net, p, steps).max()) for steps in (4, 12, 24, 30, 60)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] == 0
    assert bounds[2] <= bounds[0] // 2**8


@pytest.mark.parametrize("layers", [(12, 16, 14, 4), (12, 16, 14, 12, 4)])
def test_deeper_layers_rest_within_one_message_of_these(layers):
    """A drive that changes while a layer settles may leave it at either state of rest, so at the next message."""
    graph = graph_of(layers)
    for seed in range(3):
        integers, p = integers_of(graph, seed), inputs(50, 12, seed)
        net = forward_integers(graph, integers)
        hidden, _ = at_the_end(graph, integers, p)
        found = net.messages(p)
        np.testing.assert_array_equal(found[0], hidden[0])
        assert np.abs(found[1] - hidden[1]).max() <= 1
        assert np.mean(found[1] != hidden[1]) < 0.05


def test_without_feedback_the_pass_is_what_settles():
    graph = Backprop().graph(Network(layers=(8, 6, 3), loss="squared_error"))
    integers, p = integers_of(graph, 1), inputs(30, 8)
    net = forward_integers(graph, integers)
    assert net.cancels
    hidden, out = at_the_end(graph, integers, p)
    np.testing.assert_array_equal(net.messages(p)[0], hidden[0])
    np.testing.assert_array_equal(net.outputs(p), out)


@pytest.mark.parametrize("mechanism", ["learned", "online"])
def test_what_does_not_cancel_to_the_bit_is_known(mechanism):
    graph = graph_of((8, 6, 3), mechanism=mechanism)
    assert not forward_integers(graph, integers_of(graph, 0)).cancels


def test_a_kind_is_taken_by_its_exact_matrix(monkeypatch):
    monkeypatch.setitem(KINDS._known, "band", Band())
    graph = graph_of((6, 6, 3), kinds=("band", "dense"))
    integers, p = integers_of(graph, 0), inputs(9, 6)
    net = forward_integers(graph, integers)
    assert net.layers[0].mantissas.shape == (6, 6)
    np.testing.assert_array_equal(net.messages(p)[0], at_the_end(graph, integers, p)[0][0])


def test_layers_are_plain_numbers():
    graph = graph_of((6, 5, 3))
    integers = integers_of(graph, 0)
    net = forward_integers(graph, integers)
    first, last = net.layers
    np.testing.assert_array_equal(first.mantissas, integers.arrays["weights.1"])
    np.testing.assert_array_equal(last.biases, integers.arrays["biases.2"])
    messages, weights = integers.formats.messages, integers.formats.weights
    assert [layer.exponent for layer in net.layers] == [12 - messages[k] - weights[k] for k in range(2)]
    assert (first.shift, first.half, first.top, last.top) == (6, 32, 254, 0)
    assert (net.input_fraction, net.input_top, net.unit) == (7, 254, 2.0**-12)
    assert isinstance(net.arith, Loihi)


# ---- as one shift of the sums


@pytest.mark.parametrize("tau", [1.0, 2.0, 4.0, 3.0, 200.0])
@pytest.mark.parametrize("widths", [DEFAULT, LoihiWidths(state_fraction=14), LoihiWidths(round_messages=False)])
def test_a_hidden_layer_is_one_shift_where_tau_is_a_power_of_two(tau, widths):
    """Sums shifted once give the same messages, whatever the exponent: to the left, or to the right as a floor."""
    graph = graph_of((12, 9, 3), schedule=Schedule(tau_steps=tau, tau_ghost_steps=tau))
    for fraction in (4, 7, 11):
        given = integers_of(graph, 0, widths)
        formats = given.formats._replace(weights=(fraction, *given.formats.weights[1:]))
        net, p = forward_integers(graph, Integers(given.arrays, formats, widths)), inputs(80, 12)
        found = net.shifted_sums(1)
        if tau in (3.0, 200.0):
            assert found is None
            continue
        assert found is not None
        shifted = np.clip(net.sums(p, 1) + found.added >> found.shift, 0, found.top)
        np.testing.assert_array_equal(shifted, net.messages(p)[0])
        assert net.step == tau
