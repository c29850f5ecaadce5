"""Fused = decomposed = stepped engine, to the bit: every state in every step, and every weight after every trial."""

import itertools
from typing import Any

import numpy as np
import pytest
from lava.proc.dense.process import Dense, LearningDense
from lava_leaks import HANGING_S
from lava_networks import KINDS, PAIRS, SAMPLES, TARGETS, network, parameters, plan, same_state, taught

from lavaghost.dynamics import Parameters
from lavaghost.engines.stepped import Stepped
from lavaghost.lava.session import Session
from lavaghost.lava.vectors import read_record, unflat
from lavaghost.methods.ghost.rules import Rule
from lavaghost.online.course import online_epoch

pytestmark = [pytest.mark.lava, pytest.mark.usefixtures("nothing_left")]

MODELS = ("fused", "decomposed")


def same_parameters(found: Any, expected: Parameters, where: str) -> None:
    assert isinstance(found, Parameters)
    for name, array in expected.named().items():
        np.testing.assert_array_equal(found.named()[name], array, err_msg=f"{name} {where}")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("hidden", "mechanism", "feedback"), KINDS)
def test_inference(hidden, mechanism, feedback, model):
    net = network(hidden, mechanism=mechanism, feedback=feedback, lam=0.3, activation="relu")
    params = parameters(net)
    edges = [0.0, 0.0]
    with taught(net, params, None, model) as (session, ghosts):
        for i in range(2):
            for step, (_, state) in enumerate(Stepped(net).states(params, SAMPLES[i : i + 1])):
                session.run(1, timeout_s=HANGING_S)
                same_state(session, ghosts, state, f"step {step} of trial {i}")
                edges = [min(edges[0], state.v_mem[0].min()), max(edges[1], state.v_mem[0].max())]
    assert edges[0] < 0  # both edges of the rate function were met
    assert edges[1] > net.r_max


@pytest.mark.parametrize("feedback", ["tied", "random"])
@pytest.mark.parametrize(("mechanism", "rule"), PAIRS)
@pytest.mark.parametrize("hidden", [1, 2])
def test_learning(hidden, mechanism, rule, feedback):
    # one hidden layer with powers of two, two with any numbers; nothing is rounded differently in either
    gains: dict[str, Any] = {} if hidden == 1 else {"lam": 0.3, "beta": 0.2, "loss": "squared_error"}
    net = network(hidden, mechanism=mechanism, feedback=feedback, **gains)
    start = parameters(net)
    eta, decay = (2.0**-6, "constant") if hidden == 1 else (0.0013, "linear")
    course = plan(net, rule, eta, eta_decay=decay)
    engine, states, records = Stepped(net), [], []
    for model in MODELS:
        expected = start.astype(np.float64)
        with taught(net, start, course, model, export_after=range(4), record=(1, net.depth)) as (
            session,
            ghosts,
        ):
            for i in range(4):
                states = [s for _, s in engine.states(expected, SAMPLES[i : i + 1], TARGETS[i : i + 1])]
                if i == 1:
                    for step, state in enumerate(states):
                        session.run(1, timeout_s=HANGING_S)
                        same_state(session, ghosts, state, f"step {step} of trial {i}, {model}")
                else:
                    session.run(len(states), timeout_s=HANGING_S)
                    same_state(session, ghosts, states[-1], f"the end of trial {i}, {model}")
                online_epoch(course, expected, [(SAMPLES[i], TARGETS[i])], i)
                found = unflat(net, session.receive(ghosts.params_out), start)
                same_parameters(found, expected, f"after trial {i}, {model}")
                records.append(session.receive(ghosts.record_out))
            if model == "decomposed" and hidden == 1:
                _shown(session, ghosts, expected)
        for name, array in expected.named().items():
            fixed = name.startswith("feedback")
            assert (np.abs(array - start.named()[name]).max() > 0) != fixed, f"{name} moved, or did not"
    np.testing.assert_array_equal(records[:4], records[4:])
    rates = engine.rates(states[-1])
    first, last = read_record(net, (1, net.depth), records[-1])
    np.testing.assert_array_equal(first.nudged, rates[0][0])
    np.testing.assert_array_equal(last.nudged, rates[-1][0])
    assert np.isnan(last.residual)
    assert first.residual >= 0


def _shown(session: Session, ghosts: Any, expected: Parameters) -> None:
    """The Vars of the network are those of its parts; tied feedback and duplicates were mirrored, not copied."""
    back = expected.feedback[0] if expected.feedback else expected.weights[1].T
    np.testing.assert_array_equal(session.get(ghosts.W2), expected.weights[1])
    np.testing.assert_array_equal(session.get(ghosts.b1), expected.biases[0])
    np.testing.assert_array_equal(session.get(ghosts.B1), back)
    if ghosts.proc_params["graph"].copies:
        np.testing.assert_array_equal(session.get(ghosts.G1), expected.weights[1])
        np.testing.assert_array_equal(session.get(ghosts.c1), expected.biases[1])
        np.testing.assert_array_equal(session.get(ghosts.I1), back)


def test_what_learns_is_a_learning_dense_of_lava():
    kinds = {}
    for mechanism, feedback in itertools.product(("duplicate", "online"), ("tied", "random")):
        net = network(1, mechanism=mechanism, feedback=feedback)
        with taught(net, parameters(net), plan(net, "temporal"), "decomposed") as (session, ghosts):
            session.run(1, timeout_s=HANGING_S)
            parts = {n: p for n, p in vars(ghosts.procs).items() if isinstance(p, Dense)}
        kinds[mechanism, feedback] = {name for name, part in parts.items() if type(part) is LearningDense}
        assert all(type(part) in (Dense, LearningDense) for part in parts.values())
    assert kinds["duplicate", "tied"] == {"up1", "up2", "down1", "copy1", "inhibit1"}
    assert kinds["duplicate", "random"] == {"up1", "up2", "copy1"}
    assert kinds["online", "tied"] == {"up1", "up2", "down1"}
    assert kinds["online", "random"] == {"up1", "up2"}


def test_mnist_size_and_a_rule_of_the_users_own():
    # as large as BLAS makes of it what it will; the sign of the change, scaled
    net = network(layers=(784, 256, 10), saturation=None)
    rule = Rule("sign", lambda local: np.sign(local.change) * 2.0**-8)
    params = parameters(net)
    course = plan(net, rule)
    x = np.random.default_rng(2).random((4, 784))
    y = np.eye(10)[[1, 2, 3, 4]]
    expected = params.astype(np.float64)
    online_epoch(course, expected, zip(x[:2], y[:2], strict=True))
    for model in MODELS:
        with taught(net, params, course, model, x, y, export_after=[1]) as (session, ghosts):
            session.run(2 * 7, timeout_s=HANGING_S)
            same_parameters(unflat(net, session.receive(ghosts.params_out), params), expected, model)
