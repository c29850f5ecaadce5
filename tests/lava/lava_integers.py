"""Small networks in integers that learn, for the tests of the fixed-point models."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from lava_leaks import HANGING_S

from lavaghost.lava.phases import Clock
from lavaghost.lava.processes.ghost.ghost_network import ghost_network
from lavaghost.lava.processes.io.sources import TeachingSource
from lavaghost.lava.quiet import quiet
from lavaghost.lava.session import Session, configuration
from lavaghost.methods.ghost.rules import RULES
from lavaghost.net.graph import Graph
from lavaghost.net.network import Schedule
from lavaghost.numbers.integers import Integers
from lavaghost.numbers.widths import DEFAULT
from lavaghost.online.integers.compiled_network import CompiledNetwork, initial_integers
from lavaghost.online.integers.formats import default_formats
from lavaghost.online.integers.integer_course import IntegerCourse
from lavaghost.online.integers.settings import IntegerLearning
from tests.networks import ghost_graph

SAMPLES = np.random.default_rng(0).random((4, 12))
LABELS = np.array([2, 0, 3, 1])
PER_EPOCH = 2
"""Trials of an epoch, so that the learning rate falls within four."""


def network(hidden: int = 1, **fields: Any) -> Graph:
    """As `lava_networks.network`, with physics that integers can do."""
    schedule = Schedule(t_free_steps=5, t_nudge_steps=3, tau_steps=2, tau_ghost_steps=1.25)
    physics = {"loss": "squared_error", "lam": 0.25, "beta": 1.0, "saturation": 1.5, "schedule": schedule}
    return ghost_graph(layers=(12, *(9, 7)[:hidden], 4), **{**physics, **fields})


def course_of(net: Graph, rule: Any, rounding: Any = "independent") -> IntegerCourse:
    """Large steps; the first of four trials is pre-training where ghosts learn."""
    learning = IntegerLearning(
        epochs=2, eta_exponent=-1, halve_at=(0.5,), pretrain_samples=1, seed=7, rounding=rounding,
        mu_exponent=-4, mu_inhibition_exponent=-4,
    )  # fmt: skip
    return IntegerCourse(net, RULES[rule], learning, default_formats(net), DEFAULT, PER_EPOCH)


def integers_of(course: IntegerCourse) -> CompiledNetwork:
    """Initial integers, with biases and weights near their limits, so that edges are met."""
    net, formats = course.graph, course.formats
    arrays = dict(initial_integers(net, 1, formats, DEFAULT).arrays)
    draw = np.random.default_rng(2)
    for k, s in enumerate(formats.weights, start=1):
        bias = arrays[f"biases.{k}"]
        arrays[f"biases.{k}"] = draw.integers(-60, 60, bias.shape) << DEFAULT.state_fraction - s
    for k in range(1, net.depth + 1):
        w = arrays[f"weights.{k}"] = arrays[f"weights.{k}"].copy()
        w[0, :3], w[1, :3] = 254, -256
    return CompiledNetwork(net, Integers(arrays, formats, DEFAULT), 7)


@contextmanager
def taught(
    integers: CompiledNetwork, course: IntegerCourse | None, model: str, **fields: Any
) -> Iterator[tuple[Session, Any]]:
    """A session in which the network is taught the four samples, one trial each, and its process."""
    net, arith = integers.graph, integers.arith
    with quiet():
        ghosts = ghost_network(net, integers.integers, course, **fields)
        source = TeachingSource(
            samples=arith.input(SAMPLES).astype(np.int32),
            targets=arith.array(np.eye(4)[LABELS]).astype(np.int32),
            order=lambda trial: trial % 4,
            clock=Clock(net, course),
        )
    source.x_out.connect(ghosts.x_in)
    source.y_out.connect(ghosts.y_in)
    source.nudge_out.connect(ghosts.nudge_in)
    with Session(ghosts, configuration(model, fixed=True), timeout_s=HANGING_S) as session:
        yield session, ghosts
