"""The fused model is the stepped engine with one sample, to the bit."""

import itertools
from typing import Any

import numpy as np
import pytest
from lava_leaks import HANGING_S

from lavaghost.dynamics import Parameters, initial_parameters
from lavaghost.engines.stepped import Stepped
from lavaghost.lava import LavaRun, run_lava
from lavaghost.lava.processes.ghost.ghost_network import CLASSES, Has, ghost_network
from lavaghost.lava.processes.io.sources import SampleSource
from lavaghost.lava.quiet import quiet
from lavaghost.lava.session import Session
from lavaghost.net.graph import Graph
from lavaghost.net.network import Schedule
from tests.networks import ghost_graph

pytestmark = [pytest.mark.lava, pytest.mark.usefixtures("nothing_left")]

SAMPLES = np.random.default_rng(0).random((5, 12)).astype(np.float32)


def network(hidden: int = 2, **fields) -> Graph:
    layers = (12, 9, 7, 8)[: hidden + 1]
    schedule = Schedule(t_free_steps=9, t_nudge_steps=1, tau_steps=2.5, tau_ghost_steps=1.5)
    return ghost_graph(**{"layers": (*layers, 4), "schedule": schedule, "lam": 0.3, **fields})


def parameters(net: Graph, seed: int = 1) -> Parameters:
    """Larger than usual, with biases, so that rates saturate and ghosts do not cancel."""
    draw = np.random.default_rng(seed)
    params = initial_parameters(net, seed)
    return Parameters(
        *(
            tuple((2 * a + 0.1 * draw.standard_normal(a.shape)).astype(a.dtype) for a in group)
            for group in params
        )
    )


def stepped(net: Graph, params: Parameters, samples: np.ndarray = SAMPLES) -> np.ndarray:
    engine = Stepped(net)
    return np.concatenate([engine.output(params, x[np.newaxis]) for x in samples])


CASES = [
    (mechanism, feedback, hidden, activation)
    for (mechanism, feedback), (hidden, activation) in itertools.product(
        itertools.product(("duplicate", "learned", "online"), ("tied", "random")),
        ((1, {"saturation": 0.8}), (2, {"activation": "hard_sigmoid"})),
    )
]


@pytest.mark.parametrize(("mechanism", "feedback", "hidden", "activation"), CASES)
def test_outputs_and_membranes_equal_the_stepped_engine(mechanism, feedback, hidden, activation):
    net = network(hidden, mechanism=mechanism, feedback=feedback, **activation)
    params = parameters(net)
    trial_steps = net.schedule.t_free_steps
    with quiet():
        source = SampleSource(samples=SAMPLES.astype(np.float64), trial_steps=trial_steps)
        ghosts = ghost_network(net, params)
    source.s_out.connect(ghosts.x_in)
    highest, lowest = 0.0, 0.0
    with Session(ghosts) as session:
        for x in SAMPLES:
            session.run(trial_steps, timeout_s=HANGING_S)
            *_, (_, last) = Stepped(net).states(params, x[np.newaxis])
            for field in ("v_mem", "v_ghost"):
                for k, membrane in enumerate(getattr(last, field), start=1):
                    found = session.get(getattr(ghosts, f"{field}{k}"))
                    np.testing.assert_array_equal(found, membrane[0], err_msg=f"{field}{k}")
            highest, lowest = max(highest, last.v_mem[0].max()), min(lowest, last.v_mem[0].min())
    assert lowest < 0  # both edges of the rate function were met
    assert highest > net.r_max


@pytest.mark.parametrize("mechanism", ["duplicate", "learned", "online"])
def test_a_run_equals_the_stepped_engine(mechanism):
    net = network(3, mechanism=mechanism)
    params = parameters(net)
    run = run_lava(net, params, SAMPLES)
    assert isinstance(run, LavaRun)
    assert run.output.dtype == np.float64
    assert run.steps == len(SAMPLES) * 9
    np.testing.assert_array_equal(run.output, stepped(net, params))


def test_trials_are_independent():
    net = network(mechanism="online", feedback="random")
    params = parameters(net)
    order = np.array([3, 0, 0, 4, 2, 1])
    np.testing.assert_array_equal(
        run_lava(net, params, SAMPLES[order]).output, run_lava(net, params, SAMPLES).output[order]
    )


def test_vars_show_the_connections_and_can_be_set():
    net = network(mechanism="duplicate", feedback="tied")
    params = parameters(net)
    other = parameters(net, seed=2)
    with quiet():
        source = SampleSource(samples=SAMPLES[[0, 0]].astype(np.float64), trial_steps=9)
        ghosts = ghost_network(net, params)
    source.s_out.connect(ghosts.x_in)
    with Session(ghosts) as session:
        session.run(9, timeout_s=HANGING_S)
        np.testing.assert_array_equal(session.get(ghosts.W1), params.weights[0])
        np.testing.assert_array_equal(session.get(ghosts.B2), params.weights[2].T)
        np.testing.assert_array_equal(session.get(ghosts.G2), params.weights[2])
        np.testing.assert_array_equal(session.get(ghosts.I1), params.weights[1].T)
        np.testing.assert_array_equal(session.get(ghosts.c1), params.biases[1])
        for k, (w, b) in enumerate(zip(other.weights, other.biases, strict=True), start=1):
            session.set(getattr(ghosts, f"W{k}"), w)
            session.set(getattr(ghosts, f"b{k}"), b)
        # what is tied or a copy follows
        np.testing.assert_array_equal(session.get(ghosts.B1), other.weights[1].T)
        np.testing.assert_array_equal(session.get(ghosts.c2), other.biases[2])
        session.run(9, timeout_s=HANGING_S)
        output = session.get(ghosts.v_mem3)
    np.testing.assert_array_equal(output, stepped(net, other, SAMPLES[:1])[0])


def test_every_depth_that_the_description_allows_has_a_class():
    deepest = ghost_graph(layers=(1,) * 64)
    with quiet():
        process: Any = ghost_network(deepest, initial_parameters(deepest, 0))
    assert type(process) is CLASSES[62, Has(feedback=True, ghosts=True, predicting=True)]
    with Session(process) as session:  # nothing is connected: the input is zero
        session.run(3, timeout_s=HANGING_S)
        np.testing.assert_array_equal(session.get(process.vars.v_mem63), [0.0])
