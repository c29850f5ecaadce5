"""Integers of a chip: every rounding and saturation, what is refused, and the compiled steps against the step."""

import hashlib

import numpy as np
import pytest

from lavaghost.base.errors import SpecError
from lavaghost.dynamics import Parameters, initial_parameters, network_step, start_trial, wire
from lavaghost.engines.stepped import Stepped
from lavaghost.net.graph import Graph
from lavaghost.net.network import Schedule
from lavaghost.numbers.bound import RoundingBound
from lavaghost.numbers.integers import Integers
from lavaghost.numbers.loihi import Loihi
from lavaghost.numbers.widths import DEFAULT, Formats, LoihiWidths
from lavaghost.online.integers.compiled_network import CompiledNetwork, initial_integers
from lavaghost.online.integers.formats import default_formats
from tests.networks import ghost_graph

FORMATS = Formats((7, 6, 6, 10), (8, 8, 8))
ARITH = Loihi(FORMATS)
MECHANISMS = ("duplicate", "learned", "online")


def network(layers=(6, 5, 3), **physics) -> Graph:
    values = {"loss": "squared_error", "lam": 0.25, "beta": 0.5, "schedule": Schedule(t_free_steps=20)}
    return ghost_graph(layers=layers, **(values | physics))


# ---- each word


def test_states_are_rounded_to_even_and_saturate():
    one = 4096
    assert ARITH.array([0.5 / one, 1.5 / one, -0.5 / one, 1.0]).tolist() == [0, 2, 0, one]
    assert ARITH.array([1e9, -1e9, np.inf]).tolist() == [2**23 - 1, -(2**23) + 1, 2**23 - 1]
    assert ARITH.real(ARITH.array([0.25]))[0] == 0.25


def test_inputs_are_graded_spikes():
    assert ARITH.input([0.0, 0.5, 1.0, 1.99, 5.0]).tolist() == [0, 64, 128, 254, 254]


def test_messages_are_rounded_or_floored_and_saturate():
    u = np.array([-5, 0, 31, 32, 63, 64, 127, 2**14, 2**22])
    signed = np.array([-6, -5, -4, 2, 4, -(2**22), 2**22])
    assert ARITH.message(np.maximum(u, 0), 1).tolist() == [0, 0, 0, 1, 1, 1, 2, 254, 254]
    assert ARITH.message(signed, 3).tolist() == [-1, -1, -1, 1, 1, -32767, 32767]
    floored = Loihi(FORMATS, LoihiWidths(round_messages=False))
    assert floored.message(np.maximum(u, 0), 1).tolist() == [0, 0, 0, 0, 0, 1, 1, 254, 254]
    # >> floors negative ones
    assert floored.message(signed, 3).tolist() == [-2, -2, -1, 0, 1, -32767, 32767]


def test_synapses_floor_after_the_product():
    synapses = ARITH.connection([[-1 / 256, 255 / 256, -1.0]], "weights", 1)
    assert synapses.integers().tolist() == [[-1, 255, -256]]
    assert synapses.exponent == -3
    assert ARITH.synapse(synapses, np.array([[1, 0, 0], [0, 1, 0], [3, 5, 7]])).tolist() == [[-1], [31], [-65]]


def test_decay_cuts_towards_zero_and_gains_floor():
    assert ARITH.integrate(np.array([5, -5, 3]), np.array([0, 0, 3]), 2.0).tolist() == [2, -2, 2]
    assert ARITH.integrate(np.array([7, 7]), np.array([100, -100]), 1.0).tolist() == [100, -100]
    assert ARITH.scale(np.array([5, -5]), 0.5).tolist() == [2, -3]
    assert ARITH.scale(np.array([5]), 4.0).tolist() == [20]


def test_rates_are_clipped_in_states():
    assert ARITH.clip(np.array([-3, 4096, 9000]), 0.0, 2.0).tolist() == [0, 4096, 8192]
    assert ARITH.clip(np.array([2**25]), 0.0, np.inf).tolist() == [2**23 - 1]


def test_widths_are_data():
    small = Loihi(FORMATS, LoihiWidths(state_bits=12, state_fraction=6, message_bits=4, weight_bits=3))
    assert small.array([100.0]).tolist() == [2047]
    assert small.widths.message_limit == 14
    assert small.widths.weight_limits == (-256, 224)
    assert LoihiWidths.parse({"weight_bits": 4}) == LoihiWidths(weight_bits=4)


# ---- what is refused, in one line with layer, value and limit


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"state_bits": 99}, "widths.state_bits is 99; give a whole number of bits in 4..32"),
        ({"state_bits": 8, "state_fraction": 12}, "widths.state_fraction is 12"),
        ({"weight_bits": 0}, "widths.weight_bits is 0; give a whole number of bits in 1..8"),
        ({"weight_bits": 4.0}, "widths.weight_bits is 4.0"),
        ({"trace_bits": True}, "widths.trace_bits is True"),
        ({"round_messages": 1}, "widths.round_messages is 1; give true or false"),
        ({"message_bits": None}, "widths.message_bits is None"),
        ({"bits": 3}, "unknown key bits"),
    ],
)
def test_widths_that_cannot_work(values, said):
    with pytest.raises(SpecError, match=said):
        LoihiWidths.parse(values)


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (
            lambda: ARITH.connection([[1.5]], "weights", 2),
            r"weights\.2: weight mantissa 384 is outside -256\.\.255",
        ),
        (lambda: ARITH.connection([[np.nan]], "weights", 2), r"weights\.2: a weight is NaN"),
        (lambda: ARITH.array([np.nan]), "NaN"),
        (lambda: ARITH.input([[0.5, -0.5]]), "layer 0: input -0.5"),
        (lambda: ARITH.input([np.nan]), "layer 0: input nan"),
        (lambda: ARITH.scale(np.ones(1, int), 0.3), "is 0.3, .*power of two such as 0.25"),
        (lambda: ARITH.scale(np.ones(1, int), np.nan), "power of two"),
        (lambda: ARITH.take(1e6), "tau of 1000000.0 steps"),
        (
            lambda: ARITH.connection(np.zeros((1, 40_000)), "weights", 1),
            r"weights\.1: 40000 synapses with messages up to 254 can add up to 2\^31\.3, more than 2\^31",
        ),
    ],
)
def test_what_would_be_wrong_in_silence_is_refused(act, said):
    with pytest.raises(SpecError, match=said) as caught:
        act()
    assert "\n" not in str(caught.value)


def test_mantissas_are_taken_as_they_are():
    """What a wiring of integers holds is what it holds of the numbers that they stand for."""
    for mechanism in MECHANISMS:
        net = network((6, 5, 4, 3), mechanism=mechanism, feedback="random")
        integers = initial_integers(net, 4, default_formats(net), DEFAULT)
        real = wire(net, Parameters.from_named(net, integers.real()), integers.arith)
        for taken, made in zip(wire(net, integers, integers.arith)[1:], real[1:], strict=True):
            for a, b in zip(taken, made, strict=True):
                np.testing.assert_equal(a, b)


def test_cross_entropy_cannot_be_nudged():
    net = network(loss="cross_entropy")
    params = initial_integers(net, 0, FORMATS_SMALL, DEFAULT)
    with pytest.raises(SpecError, match="softmax"):
        list(Stepped(net, Loihi(FORMATS_SMALL)).states(params, np.zeros((1, 6)), np.zeros((1, 3))))


FORMATS_SMALL = default_formats(network())

GOLDEN_FORMATS = Formats((7, 6, 6, 10), (6, 6, 5), (6, 5), (6, 5), (6, 5))
GOLDEN = {
    True: "8f9915a3bfd3388264de7f715f2d94d8766825a0928f92202757ec1bf4d3e683",
    False: "a2f4fd3f2dbab17b870e202c953d3574b2014510f7060b165d09937157a90ad9",
}

# ---- one step function, compiled loops equal to it


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("feedback", ["tied", "random"])
@pytest.mark.parametrize("layers", [(6, 5, 3), (6, 5, 4, 3)])
def test_compiled_trials_equal_the_step_in_every_state(mechanism, feedback, layers):
    widths = LoihiWidths(round_messages=feedback == "tied")
    net = network(layers, mechanism=mechanism, feedback=feedback)
    formats = default_formats(net)
    rng = np.random.default_rng(0)
    given = dict(initial_integers(net, 1, formats, widths).arrays)
    given |= {
        name: rng.integers(-99, 99, b.shape) * 16 for name, b in given.items() if name.startswith("biases")
    }
    params = Integers(given, formats, widths)
    integers = CompiledNetwork(net, params)
    engine = Stepped(net, integers.arith)
    x, target = rng.random((4, 6)), np.eye(3)[[0, 1, 2, 0]]
    free, nudged = engine.ends(params, x, target)
    outputs = integers.outputs(integers.arith.input(x))
    np.testing.assert_array_equal(outputs, free.v_mem[-1])
    for t in range(4):
        integers.trial(integers.arith.input(x)[t], integers.arith.array(target)[t])
        states = integers.states
        pairs = [(states.u_free, free.v_mem), (states.v_free, free.v_ghost), (states.u, nudged.v_mem)]
        pairs += [(states.v, nudged.v_ghost), (states.drive, nudged.drive), (states.fb, nudged.feedback)]
        pairs += [(states.inh, nudged.inhibition)]
        for found, wanted in pairs:
            for a, b in zip(found, wanted, strict=True):
                np.testing.assert_array_equal(a, b[t])


@pytest.mark.parametrize("mechanism", ["duplicate", "online"])
def test_a_phase_that_ends_early_has_not_changed_anything(mechanism):
    """Compiled loops stop once a step changes nothing: twice the free time gives the same states."""
    found = []
    for steps in (60, 120):
        net = network(mechanism=mechanism, schedule=Schedule(t_free_steps=steps, t_nudge_steps=5))
        formats = default_formats(net)
        integers = CompiledNetwork(net, initial_integers(net, 1, formats, DEFAULT))
        computed = integers.trial(np.arange(6) * 20, ARITH.array([1.0, 0.0, 0.0]))
        found.append((computed, [a.tolist() for a in (*integers.states.u, *integers.states.v)]))
    assert found[0] == found[1]
    assert found[0][0] < 60


def test_a_batch_is_its_samples_one_by_one():
    net = network()
    params = initial_integers(net, 3, FORMATS_SMALL, DEFAULT)
    engine = Stepped(net, Loihi(FORMATS_SMALL))
    x = np.random.default_rng(1).random((5, 6))
    whole = engine.output(params, x)
    np.testing.assert_array_equal(whole, np.concatenate([engine.output(params, row[None]) for row in x]))
    assert whole.dtype == np.int64


def test_the_bound_says_something():
    """On a network of sensible size it is far below the largest rate, for weak feedback (measured: 0.34)."""
    net = network((64, 32, 10), saturation=254 / 64, lam=1 / 128)
    formats = default_formats(net)
    params = Parameters.from_named(net, initial_integers(net, 0, formats, DEFAULT).real())
    x = np.random.default_rng(0).random((3, 64))
    bound = RoundingBound(Loihi(formats))
    *_, (_, last) = Stepped(net, bound).states(params, x)  # type: ignore[arg-type]
    assert 0 < last.v_mem[-1].max() < 0.5


@pytest.mark.parametrize("nearest", [True, False])
def test_golden_states(nearest):
    """Every state of a trial of all mechanisms, as a hash: integers are the same on every machine."""
    digest = hashlib.sha256()
    for mechanism in MECHANISMS:
        net = network((6, 5, 4, 3), mechanism=mechanism, feedback="random")
        params = initial_parameters(net, 0)
        # not drawn: a generator's normal numbers may differ in their last bits elsewhere
        params = type(params)(
            *(
                tuple((np.arange(a.size).reshape(a.shape) * 37 % 101 - 50) / 512 for a in group)
                for group in params
            )
        )
        arith = Loihi(GOLDEN_FORMATS, LoihiWidths(round_messages=nearest))
        wiring = wire(net, params, arith)
        x = (np.arange(12).reshape(2, 6) * 29 % 97) / 97
        drive = arith.synapse(wiring.weights[0], arith.input(x))
        state = start_trial(wiring, drive, arith)
        for t in range(24):
            target = arith.array(np.eye(3)[:2]) if t > 11 else None
            state = network_step(wiring, state, drive, target, arith)
            for group in state:
                for array in group:
                    digest.update(array.astype("<i8").tobytes())
    assert digest.hexdigest() == GOLDEN[nearest]
