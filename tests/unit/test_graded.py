"""The feedforward pass as graded vectors: equal to the integers of the network, to the bit."""

from typing import Any

import numpy as np
import pytest

from lavaghost.base.errors import SpecError
from lavaghost.engines.forward_integers import ForwardIntegers, forward_integers
from lavaghost.engines.graded import Graded, graded_of, graded_reference
from lavaghost.net.network import Schedule
from lavaghost.numbers.widths import LoihiWidths
from tests.integer_networks import SCHEDULE, integer_network


def net_of(**physics: Any) -> ForwardIntegers:
    values: dict[str, Any] = {"layers": (12, 30, 5)} | physics
    trained = integer_network(**values)
    assert trained.integers is not None
    return forward_integers(trained.graph, trained.integers)


def inputs(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (count, 12))


@pytest.mark.parametrize(
    "physics",
    [
        {},
        {"layers": (12, 30, 20, 5)},
        {"schedule": Schedule(tau_steps=4.0, tau_ghost_steps=4.0)},
        {"schedule": Schedule(tau_steps=3.0), "layers": (12, 3, 5), "refused": True},
        {"formats": {"weights": (4, 2)}},
        {"formats": {"weights": (9, 8)}},
        {"widths": LoihiWidths(state_fraction=14)},
        {"widths": LoihiWidths(round_messages=False)},
        {"saturation": None, "activation": "hard_sigmoid"},
    ],
)
def test_it_gives_the_states_of_the_network(physics):
    physics = dict(physics)
    refused = physics.pop("refused", False)
    net, p = net_of(**physics), inputs(200)
    if refused:
        with pytest.raises(SpecError, match="sends what is no shift of its sums, for tau_steps 3"):
            graded_of(net, p)
        return
    graded = graded_of(net, p)
    np.testing.assert_array_equal(graded_reference(graded, p), net.outputs(p))
    reached = [
        (m == layer.top).any(axis=0).sum() for m, layer in zip(net.messages(p), net.layers, strict=False)
    ]
    assert graded.saturating == tuple(reached)
    assert graded.depth == 2 * net.depth - 1


def test_lava_holds_its_weights_as_they_are():
    """Even ones in -256..254, or 0..255; -256 turned round is 254 and 2."""
    net = net_of()
    net.layers[1].mantissas[0, :] = -256
    graded = graded_of(net, inputs(300))
    assert graded.saturating[0] > 0
    for stage in graded.stages:
        for link in stage.links:
            assert link.weights.dtype == np.int32
            if link.even:
                assert not (link.weights & 1).any()
                assert link.weights.min() >= -256
                assert link.weights.max() <= 254
            else:
                assert link.weights.min() >= 0
                assert link.weights.max() <= 255
                assert link.shift == 0
    p = inputs(300)
    np.testing.assert_array_equal(graded_reference(graded, p), net.outputs(p))


def test_a_unit_that_never_saturated_is_not_held():
    """It costs no second unit, and is off where it saturates nevertheless: the reference counts it."""
    net, p = net_of(), inputs(200)
    free = graded_of(net, p[:0])
    assert (free.saturating, free.samples) == ((0,), 0)
    units = [stage.links[0].weights.shape[0] for stage in free.stages]
    held = graded_of(net, p)
    more = [stage.links[0].weights.shape[0] for stage in held.stages]
    assert [b - a for a, b in zip(units, more, strict=True)] == [0, held.saturating[0], 0]
    saturates = (net.messages(p)[0] == net.layers[0].top).any(axis=1)
    different = (graded_reference(free, p) != net.outputs(p)).any(axis=1)
    assert different.any()
    assert not different[~saturates].any()


def test_no_sample_takes_part_in_another():
    graded, p = graded_of(net_of(), inputs(100)), inputs(20)
    whole = graded_reference(graded, p)
    np.testing.assert_array_equal(whole[::-1], graded_reference(graded, p[::-1]))


def test_what_leaves_its_bits_is_refused():
    graded, p = graded_of(net_of(), inputs(100)), inputs(20)
    with pytest.raises(SpecError, match=r"stage 1 reaches \d+, and a state has 17 bits; use fewer inputs"):
        graded_reference(graded, p, state_bits=17)
    net = net_of(widths=LoihiWidths(state_bits=32), schedule=SCHEDULE)
    net.layers[0].biases[0] = 2**29
    with pytest.raises(SpecError, match="3 constants make 24 bits"):
        graded_of(net, p)
    assert isinstance(graded, Graded)
