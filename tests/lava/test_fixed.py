"""Integers: fused = decomposed = stepped engine = compiled loops, every state, every step, every weight."""

import itertools

import numpy as np
import pytest
from lava_integers import LABELS, SAMPLES, course_of, integers_of, network, taught
from lava_leaks import HANGING_S
from lava_networks import KINDS, PAIRS, same_state

from lavaghost.base.errors import SpecError
from lavaghost.datasets import Dataset
from lavaghost.engines.stepped import Stepped
from lavaghost.lava import run_lava
from lavaghost.lava.learner import train_on_lava
from lavaghost.lava.vectors import read_record, unflat
from lavaghost.methods.backprop import Backprop
from lavaghost.methods.ghost.method import Ghost
from lavaghost.net.network import Network
from lavaghost.numbers.integers import Integers
from lavaghost.numbers.widths import LoihiWidths
from lavaghost.online.integers.settings import (
    IntegerLearning,
    suited,
)
from lavaghost.training.integer_learner import IntegerLearner
from lavaghost.training.loop import run

pytestmark = [pytest.mark.lava, pytest.mark.usefixtures("nothing_left")]

MODELS = ("fused", "decomposed")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("hidden", "mechanism", "feedback"), KINDS)
def test_inference(hidden, mechanism, feedback, model):
    net = network(hidden, mechanism=mechanism, feedback=feedback)
    integers = integers_of(course_of(net, "temporal"))
    edges = [0, 0]
    with taught(integers, None, model) as (session, ghosts):
        for i in range(2):
            for step, (_, state) in enumerate(
                Stepped(net, integers.arith).states(integers.integers, SAMPLES[i : i + 1])
            ):
                session.run(1, timeout_s=HANGING_S)
                same_state(session, ghosts, state, f"step {step} of trial {i}")
                edges = [min(edges[0], state.v_mem[0].min()), max(edges[1], state.v_mem[0].max())]
                if mechanism == "duplicate" and net.schedule.tau_steps == net.schedule.tau_ghost_steps:
                    for ghost, partner in zip(state.v_ghost, state.v_mem[1:], strict=True):
                        np.testing.assert_array_equal(ghost, partner)
    assert edges[0] < 0  # both edges of the rate function were met
    assert edges[1] > net.r_max * 2**12


@pytest.mark.parametrize("feedback", ["tied", "random"])
@pytest.mark.parametrize(("mechanism", "rule"), PAIRS)
@pytest.mark.parametrize("hidden", [1, 2])
def test_learning(hidden, mechanism, rule, feedback):
    net = network(hidden, mechanism=mechanism, feedback=feedback)
    # one number for all synapses of a connection, as Lava draws it, or one for each
    course = course_of(net, rule, "shared" if hidden == 1 else "independent")
    arith = integers_of(course).arith
    engine, states, records = Stepped(net, arith), [], []
    for model in MODELS:
        integers = integers_of(course)
        start = integers.integers
        with taught(integers, course, model, export_after=range(4), record=(1, net.depth)) as (session, ghosts):
            for i in range(4):
                goal = np.eye(4)[LABELS[i : i + 1]]
                states = [s for _, s in engine.states(integers.integers, SAMPLES[i : i + 1], goal)]
                if i == 1:
                    for step, state in enumerate(states):
                        session.run(1, timeout_s=HANGING_S)
                        same_state(session, ghosts, state, f"step {step} of trial {i}, {model}")
                else:
                    session.run(len(states), timeout_s=HANGING_S)
                    same_state(session, ghosts, states[-1], f"the end of trial {i}, {model}")
                messages = arith.input(SAMPLES[i : i + 1])
                integers.learn(course.rule, course.learning, messages, LABELS[i : i + 1], *course.lesson(i))
                found = unflat(net, session.receive(ghosts.params_out), start)
                assert isinstance(found, Integers)
                for name, array in integers.arrays.items():
                    where = f"{name} after trial {i}, {model}"
                    np.testing.assert_array_equal(found.arrays[name], array, err_msg=where)
                records.append(session.receive(ghosts.record_out))
            if model == "decomposed":
                # a mirrored connection learns its second part in the reset that follows
                session.run(1, timeout_s=HANGING_S)
                for k in range(1, net.depth):
                    b = integers.mantissas.back[k - 1].T
                    np.testing.assert_array_equal(session.get(getattr(ghosts, f"B{k}")), b)
                    if mechanism == "duplicate":
                        np.testing.assert_array_equal(session.get(getattr(ghosts, f"I{k}")), b)
        for name, array in integers.integers.arrays.items():
            moved = bool((array != start.arrays[name]).any())
            assert moved != name.startswith("feedback"), f"{name} moved, or did not"
    np.testing.assert_array_equal(records[:4], records[4:])
    first, last = read_record(net, (1, net.depth), records[-1])
    rates = engine.rates(states[-1])
    np.testing.assert_array_equal(first.nudged, arith.real(rates[0][0]))
    np.testing.assert_array_equal(last.nudged, arith.real(rates[-1][0]))
    assert np.isnan(last.residual)


def small(digits, count=24):
    x, y = digits.x_train[:count], digits.y_train[:count]
    return Dataset("some digits", x, y, digits.x_test[:40], digits.y_test[:40], 10, digits.scale)


@pytest.mark.parametrize("mechanism", ["duplicate", "learned"])
def test_a_run_on_lava_is_the_run_without(digits, tmp_path, mechanism):
    """Weights and history of `integer_training`, and the same again after an interruption."""
    data, net = small(digits), suited(Network(layers=(64, 12, 10)), Ghost(mechanism=mechanism))
    learning = IntegerLearning(epochs=2, pretrain_samples=30, seed=3)
    expected = run(IntegerLearner(*net, learning, data))

    def stop(_done, _total, row):
        if row is not None and row["epoch"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_on_lava(*net, learning, data, out=tmp_path, report=stop)
    looks = []
    found = train_on_lava(
        *net, learning, data, out=tmp_path, resume=True, watch=lambda *at: looks.append(at), looks=2, record=[1]
    )
    for name, array in expected.integers.arrays.items():
        np.testing.assert_array_equal(found.integers.arrays[name], array, err_msg=name)
    for row, wanted in zip(found.history, expected.history[-len(found.history) :], strict=True):
        for key in ("epoch", "accuracy", "cosines", "residuals", "norms"):
            assert row[key] == wanted[key]
    assert len(looks) == 2
    with np.load(tmp_path / "record.npz") as record:
        assert np.isfinite(record["residual_1"]).all()


def test_the_decomposed_network_learns_what_the_fused_one_learns(digits):
    data, net = small(digits), suited(Network(layers=(64, 12, 10)), Ghost())
    learning = IntegerLearning(epochs=1)
    runs = [train_on_lava(*net, learning, data, processes=m, looks=0, diagnostics=False) for m in MODELS]
    for a, b in itertools.pairwise(runs):
        for name, array in a.integers.arrays.items():
            np.testing.assert_array_equal(b.integers.arrays[name], array, err_msg=name)
    # weights that learned may be odd, and Lava's Dense would drop their last bit
    assert any((w % 2).any() for name, w in runs[0].integers.arrays.items() if name.startswith("weights"))


def test_evaluation_on_lava_is_that_of_the_stepped_engine(digits):
    net = suited(Network(layers=(64, 12, 10)), Ghost())
    learned = run(IntegerLearner(*net, IntegerLearning(epochs=1), digits, diagnostics=False)).integers
    graph, x = net[1].graph(net[0]), digits.x_test[:6]
    wanted = learned.arith.real(Stepped(graph, learned.arith).output(learned, x))
    for model in MODELS:
        found = run_lava(graph, learned, x, model=model)
        np.testing.assert_array_equal(found.output, wanted)


def test_widths_that_lavas_engine_lacks_are_refused(digits):
    net = suited(Network(layers=(64, 12, 10)), Ghost())
    with pytest.raises(SpecError, match=r"widths\.weight_bits 4 is there always 8; use model fused"):
        train_on_lava(
            *net, IntegerLearning(), digits, processes="decomposed", widths=LoihiWidths(weight_bits=4)
        )


def test_a_method_without_a_local_rule_is_refused(digits):
    with pytest.raises(SpecError, match="method 'backprop' does not learn in integers"):
        train_on_lava(Network(layers=(64, 12, 10)), Backprop(), IntegerLearning(), digits)
