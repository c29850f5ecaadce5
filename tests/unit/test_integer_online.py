"""What single cells make of a trial in integers, against the compiled loops that learn all of it at once."""

from typing import Any

import numpy as np
import pytest

from lavaghost.base.errors import SpecError
from lavaghost.engines import Local
from lavaghost.engines.stepped import Stepped
from lavaghost.methods.backprop import Backprop
from lavaghost.methods.ghost.rules import RULES
from lavaghost.net.network import Network
from lavaghost.numbers.widths import DEFAULT
from lavaghost.online.integers.compiled_network import CompiledNetwork, initial_integers
from lavaghost.online.integers.formats import default_formats
from lavaghost.online.integers.integer_course import PRETRAINING, IntegerCourse, Lesson
from lavaghost.online.integers.settings import IntegerLearning
from lavaghost.online.integers.update import (
    pre_trace,
    rule_of,
    updated,
)
from tests.networks import ghost_graph

PHYSICS: Any = {"loss": "squared_error", "lam": 0.25, "beta": 1.0}


def course_of(mechanism: Any = "duplicate", plastic: tuple[int, ...] = (), **learning: Any) -> IntegerCourse:
    net = ghost_graph(layers=(6, 5, 4, 3), mechanism=mechanism, plastic=plastic, **PHYSICS)
    settings: Any = {"eta_exponent": -2, "pretrain_samples": 2, "seed": 5, "epochs": 4}
    plan = IntegerLearning(**{**settings, **learning})
    return IntegerCourse(net, RULES["temporal"], plan, default_formats(net), DEFAULT, 3)


@pytest.mark.parametrize(
    ("plastic", "rounding", "margin"),
    [
        ((), "independent", None),
        ((), "shared", None),
        ((), "nearest", 0.0),
        ((1,), "shared", None),
        ((2, 3), "independent", None),
        ((1, 3), "independent", 0.02),
    ],
)
@pytest.mark.parametrize("mechanism", ["duplicate", "learned", "online"])
def test_cells_and_synapses_learn_what_the_loops_learn(mechanism, plastic, rounding, margin):
    course = course_of(mechanism, plastic, rounding=rounding, halve_at=(0.3,), margin=margin)
    net, formats, rule = course.graph, course.formats, rule_of(course.learning, DEFAULT)
    integers = CompiledNetwork(net, initial_integers(net, 1, formats, DEFAULT), seed=5)
    arith, engine, rng = integers.arith, Stepped(net, integers.arith), np.random.default_rng(0)
    moved, withheld = 0, []
    for trial in range(8):
        x, label = rng.random((1, 6)), int(rng.integers(3))
        before = integers.integers
        old = before.arrays
        free, end = engine.ends(before, x, np.eye(3)[[label]], course.withholds)
        seen = engine.finished(x, free, end)
        found = integers.learn(
            course.rule, course.learning, arith.input(x), np.array([label]), *course.lesson(trial)
        )
        np.testing.assert_array_equal(found.outputs, free.v_mem[-1])
        others = np.delete(free.v_mem[-1][0], label).max()
        right = margin is not None and free.v_mem[-1][0, label] - others > arith.array(margin)
        assert found.withheld == int(right)
        withheld.append(right)
        new = integers.integers.arrays
        sent = [arith.input(x), *(arith.message(r, k) for k, r in enumerate(engine.rates(end), start=1))]
        y = [course.signal(k, trial, seen.local(k)) for k in range(1, 4)]
        for k in range(1, 4):
            w = old[f"weights.{k}"]
            q = course.synapses("weights", k, trial, w.shape)
            wanted = updated(w, pre_trace(sent[k - 1][0], DEFAULT), [y[k - 1][0]], q, rule)
            np.testing.assert_array_equal(new[f"weights.{k}"], wanted)
            if not net.learns(k):
                np.testing.assert_array_equal(wanted, w)
            moved += int((wanted != w).sum())
            np.testing.assert_array_equal(
                new[f"biases.{k}"], course.bias(k, trial, old[f"biases.{k}"], y[k - 1])
            )
        for k in range(1, 3) if course.ghosts_learn else ():
            error = course.ghost_error(seen.free[k], seen.ghost_rate[k - 1])
            own, follow = course.ghost_signals(k, trial, error, y[k])
            assert follow is not None
            g = old[f"ghost_weights.{k}"]
            q = course.synapses("ghost_weights", k, trial, g.shape)
            wanted = updated(g, pre_trace(sent[k][0], DEFAULT), [own[0], follow[0]], q, rule)
            np.testing.assert_array_equal(new[f"ghost_weights.{k}"], wanted)
            wanted = course.ghost_bias(k, trial, old[f"ghost_biases.{k}"], (own, follow))
            np.testing.assert_array_equal(new[f"ghost_biases.{k}"], wanted)
            i = old[f"ghost_inhibition.{k}"]
            q = course.synapses("ghost_inhibition", k, trial, i.shape)
            heard = course.heard(arith.message(seen.ghost_pre[k - 1], k + 1))
            left = course.cancelling(k, trial, seen.left_over[k - 1])
            wanted = updated(i, pre_trace(heard[0], DEFAULT), [left[0]], q, rule)
            np.testing.assert_array_equal(new[f"ghost_inhibition.{k}"], wanted)
    assert moved > (20 if margin is None and not plastic else 2)
    assert margin is None or 0 < sum(withheld) < 8


@pytest.mark.parametrize("rounding", ["independent", "shared"])
def test_feedback_mirrors_the_weights_in_two_parts(rounding):
    """Positive errors first, then negative ones with the other sign behind: the transpose of W's update, to the bit."""
    course = course_of(rounding=rounding)
    rng, rule = np.random.default_rng(1), rule_of(course.learning, DEFAULT)
    for trial in range(20):
        w = rng.choice([-256, -255, -3, 0, 7, 254, 255], (4, 5))
        message, y = rng.integers(0, 255, (1, 5)), rng.integers(-15, 16, (1, 4)) * 8
        r = course.behind(message, message)
        wanted = updated(
            w, pre_trace(message[0], DEFAULT), [y[0]], course.synapses("weights", 2, trial, w.shape), rule
        )
        q, b = course.synapses("feedback", 1, trial, (5, 4)), w.T
        for negative in (False, True):
            x1 = pre_trace(course.ahead(y, negative)[0], DEFAULT)
            b = updated(b, x1, [(-r if negative else r)[0]], q, rule)
        np.testing.assert_array_equal(b, wanted.T)
        assert course.ahead(y).max() <= DEFAULT.message_limit


def test_a_lesson_counts_samples_and_halvings():
    course = course_of("learned", halve_at=(0.5,))
    assert course.pretrain == 2
    assert course.lesson(1) == Lesson(PRETRAINING + 1, 0, False)
    assert course.lesson(2) == Lesson(0, 0, True)
    assert course.lesson(2 + 6) == Lesson(6, 1, True)
    assert course_of("duplicate").pretrain == 0
    seen = Local(*(np.full((1, 5), 99) for _ in range(3)))
    assert not course.signal(1, 0, seen).any()  # while only ghosts learn
    assert course.signal(1, 2, seen).any()


def test_what_integers_cannot_learn_is_refused():
    net = ghost_graph(layers=(6, 5, 3))
    with pytest.raises(SpecError, match="softmax"):
        IntegerCourse(net, RULES["prediction"], IntegerLearning(), default_formats(net), DEFAULT, 3)
    alone = Backprop().graph(Network(layers=(6, 5, 3), loss="squared_error"))
    with pytest.raises(SpecError, match="feedback carries down, and this graph has none"):
        IntegerCourse(alone, RULES["temporal"], IntegerLearning(), default_formats(alone), DEFAULT, 3)
