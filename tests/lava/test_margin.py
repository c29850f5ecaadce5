"""A target is withheld where the answer is right by the margin: by the output alone, to the bit in every model."""

from dataclasses import replace
from typing import Any

import lava_integers
import lava_networks
import numpy as np
import pytest
from lava_integers import SAMPLES
from lava_leaks import HANGING_S
from lava_networks import PAIRS, same_state
from lava_streams import MODELS, same, stepped

from lavaghost.engines.stepped import Stepped
from lavaghost.lava.number_systems import AnyNumbers
from lavaghost.lava.vectors import unflat
from lavaghost.numbers.arithmetic import Float
from lavaghost.online.integers.compiled_network import CompiledNetwork

pytestmark = [pytest.mark.lava, pytest.mark.usefixtures("nothing_left")]


def case(mechanism: Any, rule: Any, fixed: bool) -> tuple[Any, AnyNumbers]:
    """A course with a margin, whose first trial is pre-training where ghosts learn, and what it begins with."""
    if fixed:
        net = lava_integers.network(2, mechanism=mechanism)
        plan = lava_integers.course_of(net, rule)
        start: AnyNumbers = lava_integers.integers_of(plan).integers
        return replace(plan, learning=plan.learning.model_copy(update={"margin": 0.05})), start
    net = lava_networks.network(2, mechanism=mechanism)
    return replace(lava_networks.plan(net, rule), margin=0.05), lava_networks.parameters(net)


def taught(course: Any, start: AnyNumbers, targets: Any, model: str) -> Any:
    if isinstance(start, lava_integers.Integers):
        net = CompiledNetwork(course.graph, start, course.learning.seed)
        return lava_integers.taught(net, course, model, export_after=range(4))
    return lava_networks.taught(course.graph, start, course, model, SAMPLES, targets, export_after=range(4))


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("mechanism", "rule"), PAIRS)
def test_every_state_and_weight_where_targets_are_withheld(mechanism, rule, model, fixed, monkeypatch):
    course, start = case(mechanism, rule, fixed)
    graph = course.graph
    engine = Stepped(graph, start.arith if isinstance(start, lava_integers.Integers) else Float())
    # the answer of the first network is right in every second trial, else as wrong as it can be
    answers = np.array([engine.arith.real(engine.output(start, x[np.newaxis]))[0] for x in SAMPLES])
    labels = np.where(np.arange(4) % 2 == 0, answers.argmax(axis=1), answers.argmin(axis=1))
    monkeypatch.setattr(lava_integers, "LABELS", labels)
    targets, numbers, withheld = np.eye(4)[labels], start, []
    with taught(course, start, targets, model) as (session, ghosts):
        for i in range(4):
            x, goal = SAMPLES[i : i + 1], targets[i : i + 1]
            states = [s for _, s in engine.states(numbers, x, goal, course.withholds)]
            for step, state in enumerate(states):
                session.run(1, timeout_s=HANGING_S)
                if step >= graph.schedule.t_free_steps:
                    same_state(session, ghosts, state, f"step {step} of trial {i}")
            before = numbers
            numbers, output = stepped(course, numbers, x, labels[i : i + 1], i)
            same(unflat(graph, session.receive(ghosts.params_out), start), numbers)
            right = output[0, labels[i]] - np.delete(output[0], labels[i]).max()
            withheld.append(right > 0.05)
            nudged = engine.ends(before, x, goal)[1].v_mem[-1]
            assert withheld[-1] != np.array_equal(states[-1].v_mem[-1], nudged), f"the nudge of trial {i}"
    assert 0 < sum(withheld) < 4
