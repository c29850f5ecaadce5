"""What a graph has is what runs: networks without ghosts, without feedback, and of other kinds than dense."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from lava_integers import taught as taught_integers
from lava_leaks import HANGING_S
from lava_networks import SAMPLES, parameters, plan, same_state, taught

from lavaghost.base.errors import SpecError
from lavaghost.engines.stepped import Stepped
from lavaghost.lava import run_lava
from lavaghost.lava.number_systems import matrices
from lavaghost.lava.processes.ghost.ghost_network import class_of, ghost_network
from lavaghost.methods.backprop import Backprop
from lavaghost.net.graph import Graph, Relaxation, fed_back, feedforward, layers, upwards
from lavaghost.net.kinds import KINDS, ByMatrix, Shape
from lavaghost.net.network import Network, Schedule
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.integers import Integers
from lavaghost.numbers.widths import DEFAULT
from lavaghost.online.integers.compiled_network import CompiledNetwork, initial_integers
from lavaghost.online.integers.formats import default_formats
from tests.networks import ghost_graph

pytestmark = [pytest.mark.lava, pytest.mark.usefixtures("nothing_left")]

MODELS = ("fused", "decomposed")
NET = Network(layers=(12, 9, 7, 4), saturation=0.8, loss="squared_error")
SHORT = Schedule(t_free_steps=6, t_nudge_steps=2, tau_ghost_steps=1.25)


def feedback_alone(network: Network, kind: Any = "random") -> Graph:
    """Feedback that nothing cancels."""
    projections = (*upwards(network), *fed_back(network, kind))
    return Graph(network, tuple(layers(network)), projections, Relaxation(lam=0.25, beta=0.125, schedule=SHORT))


GRAPHS = {
    "feedforward": Backprop().graph(NET),
    "tied feedback": feedback_alone(NET, "tied"),
    "random feedback": feedback_alone(NET),
}


def integers_of(graph: Graph) -> Integers:
    """Initial integers with biases."""
    formats, draw = default_formats(graph), np.random.default_rng(2)
    arrays = dict(initial_integers(graph, 1, formats, DEFAULT).arrays)
    for name in (name for name in arrays if name.startswith("biases")):
        arrays[name] = draw.integers(-(2**11), 2**11, arrays[name].shape)
    return Integers(arrays, formats, DEFAULT)


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", GRAPHS)
def test_every_state_is_that_of_the_stepped_engine(name, model, fixed):
    graph = GRAPHS[name]
    numbers: Any = integers_of(graph) if fixed else parameters(graph)
    engine = Stepped(graph, numbers.arith if fixed else None)
    lowest = 0.0
    inside = taught_integers(CompiledNetwork(graph, numbers), None, model) if fixed else None
    with inside or taught(graph, numbers, None, model) as (session, process):
        for i in range(2):
            for step, (_, state) in enumerate(engine.states(numbers, SAMPLES[i : i + 1])):
                session.run(1, timeout_s=HANGING_S)
                same_state(session, process, state, f"step {step} of trial {i}")
                lowest = min(lowest, state.v_mem[0].min())
        names = {var.name[0] for var in process.vars.members}
    assert names == ({"W", "b", "v", "B"} if graph.has_feedback else {"W", "b", "v"})
    assert lowest < 0


def test_a_graph_without_feedback_has_no_ghost_and_no_feedback_process():
    graph = GRAPHS["feedforward"]
    with taught(graph, parameters(graph), None, "decomposed") as (session, process):
        session.run(1, timeout_s=HANGING_S)
        assert {part.name for part in process.procs} == {"layer1", "layer2", "layer3", "up1", "up2", "up3"}
    assert class_of(graph) is not class_of(ghost_graph(layers=NET.layers))


@dataclass(frozen=True)
class RowProducts(ByMatrix):
    """One weight for all synapses onto a unit, of every second input."""

    n_pre: int
    n_post: int

    @property
    def shape(self) -> Shape:
        return (self.n_post,)

    @property
    def fan_in(self) -> int:
        return -(-self.n_pre // 2)

    def matrix(self, w: Array) -> Array:
        return np.outer(w, np.arange(self.n_pre) % 2 == 0).astype(w.dtype)

    def gather(self, changes: Array) -> Array:
        return changes[:, ::2].sum(axis=1)


@dataclass(frozen=True)
class Rows:
    """A kind of projection."""

    name: str = "rows"

    def between(self, pre: Shape, post: Shape) -> RowProducts:
        return RowProducts(pre[0], post[0])


@pytest.fixture
def rows(monkeypatch):
    """A network whose second projection is no matrix."""
    monkeypatch.setattr(KINDS, "find", lambda name, find=KINDS.find: Rows() if name == "rows" else find(name))
    return NET.model_copy(update={"kinds": ("dense", "rows", "dense")})


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_other_kinds_run_as_their_exact_matrices(rows, model, fixed):
    graph = feedforward(rows)
    numbers: Any = integers_of(graph) if fixed else parameters(graph)
    engine = Stepped(graph, numbers.arith if fixed else None)
    wanted = np.concatenate([engine.output(numbers, x[np.newaxis]) for x in SAMPLES])
    run = run_lava(graph, numbers, SAMPLES, model=model)
    np.testing.assert_array_equal(run.output, engine.arith.real(wanted))
    assert np.ptp(run.output, axis=0).min() > 0


def test_ghosts_beside_other_kinds_run_as_matrices_too(rows):
    tied = ghost_graph(**rows.model_dump(), lam=0.25, schedule=SHORT)
    params = parameters(tied)
    dense, as_matrices = matrices(tied, params)
    assert dense.all_dense
    assert not tied.all_dense
    stepped = Stepped(tied)
    wanted = np.concatenate([stepped.output(params, x[np.newaxis]) for x in SAMPLES])
    outputs = [run_lava(tied, params, SAMPLES, model=model).output for model in MODELS]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    one = Stepped(dense)
    np.testing.assert_array_equal(
        outputs[0], np.concatenate([one.output(as_matrices, x[np.newaxis]) for x in SAMPLES])
    )
    np.testing.assert_allclose(outputs[0], wanted, rtol=1e-12, atol=1e-14)


def test_other_kinds_do_not_learn_on_lava(rows):
    graph = ghost_graph(**rows.model_dump(), lam=0.25, schedule=SHORT)
    with pytest.raises(SpecError, match=r"weights\.2 is of kind 'rows'; learn it on engine equilibrium"):
        ghost_network(graph, parameters(graph), plan(graph, "temporal"))
