"""What the stepped engine makes of a stream, as `learn_stream` gives it, and equality to the bit."""

from typing import Any

import numpy as np

from lavaghost.dynamics import Parameters
from lavaghost.engines.stepped import Stepped
from lavaghost.lava.number_systems import AnyNumbers, arrays_of
from lavaghost.lava.stream import Streamed
from lavaghost.numbers.integers import Integers
from lavaghost.online.course import online_epoch
from lavaghost.online.integers.compiled_network import CompiledNetwork

MODELS = ("fused", "decomposed")


def stepped(course: Any, numbers: AnyNumbers, x: Any, labels: Any, first: int) -> Streamed:
    """The rows of `x` as the trials `first`.. of `course`: the online loop, or the compiled loops of integers."""
    learn = _in_integers if isinstance(numbers, Integers) else _in_float
    return learn(course, numbers, x, labels, first)


def _in_float(course: Any, params: Any, x: Any, labels: Any, first: int) -> Streamed:
    graph, outputs = course.graph, []
    own: Parameters = params.astype(np.float64)
    for i, (row, label) in enumerate(zip(x, labels, strict=True)):
        outputs.append(Stepped(graph).output(own, row[np.newaxis])[0])
        online_epoch(course, own, [(row, np.eye(graph.layers[-1])[label])], first + i)
    return Streamed(own, np.array(outputs))


def _in_integers(course: Any, integers: Any, x: Any, labels: Any, first: int) -> Streamed:
    net, outputs = CompiledNetwork(course.graph, integers, course.learning.seed), []
    for i in range(len(x)):
        messages = net.arith.input(x[i : i + 1])
        outputs.append(net.arith.real(net.outputs(messages)[0]))
        net.learn(course.rule, course.learning, messages, labels[i : i + 1], *course.lesson(first + i))
    return Streamed(net.integers, np.array(outputs))


def same(found: AnyNumbers, wanted: AnyNumbers) -> None:
    """Every array, to the bit."""
    assert type(found) is type(wanted)
    for name, array in arrays_of(wanted).items():
        np.testing.assert_array_equal(arrays_of(found)[name], array, err_msg=name)
