"""Small networks whose numbers reach both edges of the rate function, and sessions around them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from lava_leaks import HANGING_S

from lavaghost.dynamics import Parameters, State, initial_parameters
from lavaghost.lava.phases import Clock
from lavaghost.lava.processes.ghost.ghost_network import ghost_network
from lavaghost.lava.processes.io.sources import TeachingSource
from lavaghost.lava.quiet import quiet
from lavaghost.lava.session import Session, configuration
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.ghost.plasticity import GhostSteps, OnlineGhosts
from lavaghost.methods.learning import Learning
from lavaghost.net.graph import Graph
from lavaghost.net.network import Schedule
from lavaghost.online.course import Course, course
from tests.networks import ghost_graph

PAIRS = [
    ("duplicate", "temporal"),
    ("duplicate", "prediction"),
    ("learned", "temporal"),
    ("learned", "prediction"),
    ("online", "temporal"),
]
"""Every allowed pair of mechanism and rule."""
KINDS = [
    (1, "duplicate", "tied"),
    (2, "duplicate", "random"),
    (1, "learned", "random"),
    (2, "learned", "tied"),
    (1, "online", "random"),
    (2, "online", "tied"),
]
"""Hidden layers, mechanism and feedback: each mechanism with one and two layers, and with both kinds of feedback."""
SAMPLES = np.random.default_rng(0).random((4, 12))
TARGETS = np.eye(4)[[2, 0, 3, 1]]


def network(hidden: int = 1, **fields: Any) -> Graph:
    layers = (12, 9, 7, 8)[: hidden + 1]
    schedule = Schedule(t_free_steps=4, t_nudge_steps=3, tau_steps=2, tau_ghost_steps=1.25)
    return ghost_graph(
        **{"layers": (*layers, 4), "schedule": schedule, "lam": 0.25, "beta": 0.5, "saturation": 0.8, **fields}
    )


def parameters(net: Graph, seed: int = 1) -> Parameters:
    """Larger than usual, with biases, so that rates saturate and ghosts do not cancel."""
    draw = np.random.default_rng(seed)
    params = initial_parameters(net, seed, np.float64)
    return Parameters(*(tuple(2 * a + 0.1 * draw.standard_normal(a.shape) for a in group) for group in params))


def plan(net: Graph, rule: Any, eta: float = 2.0**-6, pretrain: int = 1, **fields: Any) -> Course:
    """A course of three samples, after `pretrain` for ghosts that learn; `rule` by name or as an object."""
    learning = Learning(batch_size=1, momentum=0.0, weight_decay=0.0, eta=eta, **fields)
    mechanism = "learned" if net.ghosts_learn else "online" if net.replicates else "duplicate"
    method = Ghost(
        mechanism=mechanism,
        rule=rule,
        feedback="tied" if net.tied else "random",
        lam=net.lam,
        beta=net.beta,
        schedule=net.schedule,
        plasticity=GhostSteps(pretrain_batches=pretrain),
    )
    assert method.graph(net.network) == net
    return course(net, method, learning, 3, ghosts=OnlineGhosts(2.0**-5, 2.0**-6) if net.ghosts_learn else None)


@contextmanager
def taught(
    net: Graph,
    params: Parameters,
    course: Course | None,
    model: str,
    x: np.ndarray = SAMPLES,
    y: np.ndarray = TARGETS,
    **fields: Any,
) -> Iterator[tuple[Session, Any]]:
    """A session in which `net` is taught the rows of `x`, one trial each, and its process."""
    with quiet():
        ghosts = ghost_network(net, params, course, **fields)
        source = TeachingSource(
            samples=x, targets=y, order=lambda trial: trial % len(x), clock=Clock(net, course)
        )
    source.x_out.connect(ghosts.x_in)
    source.y_out.connect(ghosts.y_in)
    source.nudge_out.connect(ghosts.nudge_in)
    with Session(ghosts, configuration(model), timeout_s=HANGING_S) as session:
        yield session, ghosts


def same_state(session: Session, process: Any, state: State, where: str) -> None:
    """Every membrane that the process shows is that of the stepped engine."""
    for field in ("v_mem", "v_ghost", "error"):
        for k, membrane in enumerate(getattr(state, field), start=1):
            found = session.get(getattr(process, f"{field}{k}"))
            np.testing.assert_array_equal(found, membrane[0], err_msg=f"{field}{k} in {where}")
