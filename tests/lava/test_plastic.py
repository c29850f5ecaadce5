"""Layers that do not learn: on Lava stock connections, and the numbers of the stepped loop, to the bit."""

from typing import Any

import lava_integers
import lava_networks
import numpy as np
import pytest
from lava.proc.dense.process import Dense, LearningDense
from lava_integers import LABELS, SAMPLES
from lava_leaks import HANGING_S
from lava_streams import MODELS, same, stepped

from lavaghost.lava.number_systems import AnyNumbers, arrays_of
from lavaghost.lava.stream import learn_stream

pytestmark = [pytest.mark.lava, pytest.mark.usefixtures("nothing_left")]

SUBSETS = [(1, (1,)), (1, (2,)), (2, (1,)), (2, (2,)), (2, (3,)), (2, (1, 2)), (2, (1, 3)), (2, (2, 3))]
"""Hidden layers, and each choice of some layers that learn, of depth two and three."""
KINDS = [
    ("duplicate", "prediction", "tied"),
    ("learned", "temporal", "tied"),
    ("online", "temporal", "tied"),
    ("duplicate", "temporal", "random"),
    ("learned", "prediction", "random"),
]


def case(hidden: int, plastic: tuple[int, ...], kind: tuple[str, str, str], fixed: bool) -> Any:
    """Graph, course, and what it begins with."""
    mechanism, rule, feedback = kind
    fields: Any = {"mechanism": mechanism, "feedback": feedback, "plastic": plastic}
    if fixed:
        net = lava_integers.network(hidden, **fields)
        plan = lava_integers.course_of(net, rule)
        return net, plan, lava_integers.integers_of(plan).integers
    net = lava_networks.network(hidden, **fields)
    return net, lava_networks.plan(net, rule, eta_decay="constant"), lava_networks.parameters(net)


CASES = [
    (*subset, KINDS[(i + 2 * fixed) % 5], bool(fixed)) for fixed in range(2) for i, subset in enumerate(SUBSETS)
]
"""Each choice of layers in both arithmetics; kinds of ghosts and feedback take turns."""


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("hidden", "plastic", "kind", "fixed"), CASES)
def test_frozen_layers_stay_and_the_others_learn(hidden, plastic, kind, fixed, model):
    net, course, start = case(hidden, plastic, kind, fixed)
    wanted = stepped(course, start, SAMPLES, LABELS, 0)
    found = learn_stream(net, course, start, SAMPLES, LABELS, processes=model)
    same(found.numbers, wanted.numbers)
    np.testing.assert_array_equal(found.outputs, wanted.outputs)
    _only(plastic, start, found.numbers)


def _only(plastic: tuple[int, ...], start: AnyNumbers, found: AnyNumbers) -> None:
    """Weights of these layers moved, and those of the ghosts, which must go on cancelling; nothing else did."""
    for name, array in arrays_of(start).items():
        field, k = name.split(".")
        learns = field.startswith("ghost") or (int(k) in plastic and field != "feedback")
        moved = bool((arrays_of(found)[name] != array).any())
        assert moved == learns, f"{name} moved, or did not"


@pytest.mark.parametrize("fixed", [False, True])
def test_what_does_not_learn_is_a_dense_of_lava(fixed):
    """Of W_2 alone learning: its copies do too, and nothing else; ghosts with weights of their own always."""
    found = {}
    for kind in KINDS[:4]:
        net, course, start = case(2, (2,), kind, fixed)
        if fixed:
            integers = lava_integers.CompiledNetwork(net, start, 7)
            inside = lava_integers.taught(integers, course, "decomposed")
        else:
            inside = lava_networks.taught(net, start, course, "decomposed")
        with inside as (session, ghosts):
            session.run(1, timeout_s=HANGING_S)
            parts = {name: part for name, part in vars(ghosts.procs).items() if isinstance(part, Dense)}
        assert all(type(part) in (Dense, LearningDense) for part in parts.values())
        found[kind[0], kind[2]] = {name for name, part in parts.items() if type(part) is LearningDense}
    own = {"copy1", "inhibit1", "copy2", "inhibit2"}
    assert found == {
        ("duplicate", "tied"): {"up2", "down1", "copy1", "inhibit1"},
        ("learned", "tied"): {"up2", "down1"} | own,
        ("online", "tied"): {"up2", "down1"},
        ("duplicate", "random"): {"up2", "copy1"},
    }
