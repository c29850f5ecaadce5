"""Errors that come down beside the membranes: fused = decomposed = stepped engine, to the bit."""

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from lava.proc.dense.process import Dense, LearningDense
from lava_leaks import HANGING_S
from lava_networks import SAMPLES, TARGETS, parameters, same_state, taught

from lavaghost.engines.stepped import Stepped
from lavaghost.lava.learner import train_on_lava
from lavaghost.lava.vectors import unflat
from lavaghost.methods.base import Method
from lavaghost.methods.brainprop import BrainProp
from lavaghost.methods.learning import Learning
from lavaghost.methods.relaxation import ActivationRelaxation
from lavaghost.net.network import Network
from lavaghost.net.parameters import Parameters, initial_parameters
from lavaghost.online.course import Course, course, online_epoch
from lavaghost.training.order import shuffled

pytestmark = [pytest.mark.lava, pytest.mark.usefixtures("nothing_left")]

MODELS = ("fused", "decomposed")
CASES: list[tuple[Method, int, dict[str, Any]]] = [
    (ActivationRelaxation(), 1, {}),
    (ActivationRelaxation(feedback="random"), 2, {"activation": "hard_sigmoid"}),
    (ActivationRelaxation(), 2, {"loss": "squared_error", "saturation": 0.8, "plastic": (1, 3)}),
    (BrainProp(epsilon=0.5), 1, {"activation": "hard_sigmoid"}),
    (BrainProp(epsilon=0.5, temperature=1.0), 2, {"saturation": 0.8}),
    (BrainProp(feedback="random", epsilon=0.5), 2, {}),
]
ONLINE: dict[str, Any] = {"batch_size": 1, "momentum": 0.0, "weight_decay": 0.0}


def case(method: Method, hidden: int, fields: dict[str, Any], **settings: Any) -> tuple[Course, Parameters]:
    """A course of three samples with a step that is no power of two, and what it begins with."""
    loss = {"loss": "squared_error"} if isinstance(method, BrainProp) else {}
    graph = method.graph(Network(**{"layers": (*(12, 9, 7)[: hidden + 1], 4), **loss, **fields}))
    learning = Learning(engine="lava", eta=0.0013, seed=5, **ONLINE, **settings)
    return course(graph, method, learning, 3), parameters(graph)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("method", "hidden", "fields"), CASES)
def test_every_state_and_weight(method, hidden, fields, model):
    plan, start = case(method, hidden, fields)
    graph, engine = plan.graph, Stepped(plan.graph)
    expected, told = start.astype(np.float64), []
    with taught(graph, start, plan, model, export_after=range(4), record=(1, graph.depth)) as (
        session,
        network,
    ):
        for i in range(4):
            x, goal = SAMPLES[i : i + 1], TARGETS[i : i + 1]
            steps = engine.states(expected, x, goal, sends=lambda q, t, i=i: plan.sends(i, q, t))
            states = [state for _, state in steps]
            for step, state in enumerate(states):
                session.run(1, timeout_s=HANGING_S)
                same_state(session, network, state, f"step {step} of trial {i}")
            assert len(states) == 2 * graph.depth + 1
            told.append(states[-1].error[0])
            online_epoch(plan, expected, [(SAMPLES[i], TARGETS[i])], i)
            found = unflat(graph, session.receive(network.params_out), start)
            assert isinstance(found, Parameters)
            for name, array in expected.named().items():
                np.testing.assert_array_equal(found.named()[name], array, err_msg=f"{name} after trial {i}")
            session.receive(network.record_out)
        back = expected.feedback or [w.T for w in expected.weights[1:]]
        for k, b in enumerate(back, start=1):
            np.testing.assert_array_equal(session.get(getattr(network, f"B{k}")), b)
    assert sum(error.any() for error in told) >= 2
    for name, array in expected.named().items():
        field, k = name.split(".")
        learns = field != "feedback" and graph.learns(int(k))
        assert bool((array != start.named()[name]).any()) == learns, f"{name} moved, or did not"


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("method", [ActivationRelaxation(), BrainProp(epsilon=0.5)])
def test_a_withheld_target_teaches_nothing(method, model):
    plan, start = case(method, 1, {}, margin=1e-9)
    output = Stepped(plan.graph).output(start, SAMPLES)
    targets = np.eye(4)[[output[0].argmax(), output[1].argmin(), output[2].argmax(), output[3].argmin()]]
    expected = start.astype(np.float64)
    with taught(plan.graph, start, plan, model, SAMPLES, targets, export_after=range(4)) as (session, network):
        for i in range(2):
            before = expected.astype(np.float64)
            session.run(2 * plan.graph.depth + 1, timeout_s=HANGING_S)
            online_epoch(plan, expected, [(SAMPLES[i], targets[i])], i)
            found = unflat(plan.graph, session.receive(network.params_out), start)
            assert isinstance(found, Parameters)
            moved = False
            for name, array in expected.named().items():
                np.testing.assert_array_equal(found.named()[name], array, err_msg=name)
                moved = moved or bool((array != before.named()[name]).any())
            assert moved == (i == 1)


def test_only_weights_and_what_is_tied_to_them_learn_and_nothing_of_ghosts_is_there():
    kinds, names = {}, set()
    for feedback in ("tied", "random"):
        plan, start = case(ActivationRelaxation(feedback=feedback), 2, {})
        with taught(plan.graph, start, plan, "decomposed") as (session, network):
            session.run(1, timeout_s=HANGING_S)
            parts = vars(network.procs)
            kinds[feedback] = {n for n, p in parts.items() if type(p) is LearningDense}
            names |= {n for n, p in parts.items() if isinstance(p, Dense)}
            assert {var.name.rstrip("123") for var in network.vars.members} == {"W", "b", "B", "v_mem", "error"}
    assert kinds == {"tied": {"up1", "up2", "up3", "down1", "down2"}, "random": {"up1", "up2", "up3"}}
    assert names == {"up1", "up2", "up3", "down1", "down2"}


def test_a_choice_is_a_function_of_seed_and_trial_and_a_course_can_be_pickled():
    plan, _ = case(BrainProp(epsilon=1.0), 1, {})

    def chosen(own: Course) -> list[int]:
        found = [own.sends(i, np.zeros((1, 4)), TARGETS[:1]) for i in range(30)]
        return [int(sent.top.argmax()) for sent in found if sent is not None]

    tops = chosen(plan)
    assert tops == chosen(pickle.loads(pickle.dumps(plan)))
    assert tops != chosen(replace(plan, seed=6))
    assert set(tops) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("method", "loss"), [(ActivationRelaxation(), "cross_entropy"), (BrainProp(epsilon=0.2), "squared_error")]
)
def test_digits_on_lava_are_those_of_the_loop_and_a_killed_run_resumes(method, loss, digits, tmp_path):
    network = Network(layers=(64, 24, 10), loss=loss)
    learning = Learning(epochs=2, eta=0.02, seed=3, init_std=0.1, **ONLINE)
    graph = method.graph(network)
    expected = initial_parameters(graph, 3, np.float64, std=0.1)
    plan = course(graph, method, learning, 80)
    for epoch in range(2):
        samples = [(x[0].copy(), y[0]) for x, y in shuffled(digits, 1, 3, epoch)][:40]
        online_epoch(plan, expected, samples, 40 * epoch)

    def stop(done: int, total: int, row: Any) -> None:
        if row is not None and row["epoch"] == 1:
            raise KeyboardInterrupt

    options: dict[str, Any] = {"limit": 40, "out": tmp_path, "looks": 0}
    with pytest.raises(KeyboardInterrupt):
        train_on_lava(network, method, learning, digits, report=stop, **options)
    done = train_on_lava(network, method, learning, digits, resume=True, processes="decomposed", **options)
    for name, array in expected.named().items():
        np.testing.assert_array_equal(done.params.named()[name], array, err_msg=name)
    assert len(done.history[-1]["cosines"]) == 2
