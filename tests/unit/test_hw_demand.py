"""What a graph asks of a chip: its own populations and projections, counted as their kinds make synapses."""

import math
from typing import Any

import numpy as np
import pytest

from lavaghost.base.errors import SpecError
from lavaghost.dynamics import initial_parameters
from lavaghost.hardware import demand as module
from lavaghost.hardware.activity import measured_activity
from lavaghost.hardware.catalogue import load_chip
from lavaghost.hardware.demand import Reach, demand_of, reach_of, resized
from lavaghost.hardware.findings import Plan
from lavaghost.hardware.mapper import map_network
from lavaghost.hardware.report import make
from lavaghost.methods.backprop import Backprop, Frozen
from lavaghost.net.graph import Graph, feedforward
from lavaghost.net.kinds import KINDS, ByMatrix
from lavaghost.net.kinds.products import Shape
from lavaghost.net.network import Network
from tests.chips import learning_loihi1
from tests.networks import ghost_graph

CHIP = learning_loihi1()


class RingProducts(ByMatrix):
    """Unit i hears units i - 1, i and i + 1 of the layer below, by three weights; the ends hear two."""

    def __init__(self, n_pre: int, n_post: int) -> None:
        self.n_pre, self.n_post = n_pre, n_post
        self.shape, self.fan_in = (3,), 3

    def matrix(self, w: np.ndarray) -> np.ndarray:
        """See `Products`."""
        diagonals = [w[d + 1] * np.eye(self.n_post, self.n_pre, d, dtype=w.dtype) for d in (-1, 0, 1)]
        return np.sum(diagonals, axis=0)

    def gather(self, changes: np.ndarray) -> np.ndarray:
        """See `ByMatrix`."""
        return np.array([np.trace(changes, d) for d in (-1, 0, 1)], changes.dtype)


class Ring:
    """A kind that hardware has not heard of."""

    def __init__(self, name: str) -> None:
        self.name = name

    def between(self, pre: Shape, post: Shape) -> RingProducts:
        """See `Kind`."""
        if math.prod(pre) != math.prod(post):
            raise SpecError(f"kind {self.name}: sizes differ; give both populations one size")
        return RingProducts(math.prod(pre), math.prod(post))


class Counted(Ring):
    """The same, and it says how many synapses it has."""

    def synapses(self, pre: Shape, post: Shape) -> int:
        """Three each but for the ends."""
        return 3 * math.prod(post) - 2


KINDS.register("ring", Ring("ring"))
KINDS.register("counted_ring", Counted("counted_ring"))


def ring(kind: str, n: int = 50) -> Graph:
    return feedforward(Network(layers=(n, n, 10), kinds=(kind, "dense")))


@pytest.mark.parametrize("mechanism", ["duplicate", "learned", "online"])
@pytest.mark.parametrize("feedback", ["tied", "random"])
def test_the_demand_is_the_graph(mechanism: Any, feedback: Any) -> None:
    """Learning asks for all that the graph has, in its order; inference for the feedforward part."""
    graph = ghost_graph(layers=(7, 6, 5, 4), mechanism=mechanism, feedback=feedback, rule="temporal")
    learning, inference = demand_of(graph, "learning"), demand_of(graph, "inference")
    assert learning.populations == graph.populations
    assert [(s.source, s.target, s.path, s.plastic) for s in learning.shares] == [
        (p.source, p.target, p.path, p.plastic) for p in graph.projections
    ]
    for share, p in zip(learning.shares, graph.projections, strict=True):
        matrix = np.eye(share.n_post) if p.kind == "one_to_one" else np.ones((share.n_post, share.n_pre))
        assert share.synapses == np.count_nonzero(matrix)
        assert share.aligned == (p.kind == "one_to_one")
    assert [p.name for p in inference.populations] == ["input", "hidden.1", "hidden.2", "output"]
    assert [s.path for s in inference.shares] == ["feedforward"] * 3
    assert not any(s.plastic for s in inference.shares)


def test_random_feedback_is_not_plastic() -> None:
    tied = demand_of(ghost_graph(layers=(7, 6, 5)), "learning")
    random = demand_of(ghost_graph(layers=(7, 6, 5), feedback="random"), "learning")
    assert all(s.plastic for s in tied.shares)
    assert {s.path for s in random.shares if not s.plastic} == {"feedback", "inhibition"}


@pytest.mark.parametrize("method", [Backprop(), Frozen()])
def test_a_method_without_ghosts_has_none_on_a_chip(method: Any) -> None:
    """Nothing but the layers, whatever the phase: no ghosts, and errors alone come down, where they do."""
    graph = method.graph(Network(layers=(16, 12, 8, 4)))
    for phase in ("inference", "learning"):
        report = make(graph, CHIP, phase, Plan())
        assert {s.population for core in report.mapping.cores for s in core.slices} == {
            "hidden.1",
            "hidden.2",
            "output",
        }
        up, down = 16 * 12 + 12 * 8 + 8 * 4, 12 * 8 + 8 * 4 if graph.carries_errors else 0
        assert report.mapping.demand.synapses == up + (down if phase == "learning" else 0)
        extra = report.as_json()["overhead_learning"]
        assert (extra.pop("synapses"), extra.pop("feedback_synapses")) == (pytest.approx(down / up), down)
        assert set(extra.values()) == {0}
    x = np.random.default_rng(0).random((3, 16))
    found = measured_activity(graph, initial_parameters(graph, 0), x, np.eye(4)[[0, 1, 2]])
    assert set(found.graded) == {"input", "hidden.1", "hidden.2", "output"}


@pytest.mark.parametrize("kind", ["ring", "counted_ring"])
def test_a_kind_that_hardware_has_not_heard_of_is_counted(kind: str) -> None:
    """50 units of three synapses, two at the ends: 148, not 2500, by its matrix or by its own word."""
    graph = ring(kind)
    w = graph.up[0].matrix(np.ones(3, np.float32))
    assert reach_of(graph, graph.projections[0]) == Reach(np.count_nonzero(w), 3) == Reach(148, 3)
    mapping = map_network(graph, CHIP)
    assert sum(core.usage.synapses for core in mapping.cores) == mapping.demand.synapses == 148 + 500
    # its axons, one for each unit below, reach three synapses each, of 8 bits: a word of 64 with the header
    assert sum(core.usage.synapse_bits or 0 for core in mapping.cores) == 50 * 64 + 50 * 128
    # what a core of ten neurons gets of it
    share = demand_of(graph, "inference").shares[0]
    assert share.onto(10) == (30, 30)
    assert share.onto(50) == (50, 148)


def test_one_to_one_is_one_synapse_each() -> None:
    graph = ring("one_to_one")
    mapping = map_network(graph, CHIP)
    (core,) = mapping.cores
    assert mapping.demand.synapses == core.usage.synapses == 50 + 50 * 10
    with pytest.raises(SpecError, match="one_to_one: 50 units to 49"):
        resized(mapping.demand, "hidden.1", 49)


@pytest.mark.parametrize("kind", ["ring", "counted_ring"])
def test_its_transpose_is_counted_too(kind: str) -> None:
    graph = ghost_graph(layers=(10, 30, 30, 4), kinds=("dense", kind, "dense"))
    back = next(p for p in graph.projections if p.path == "feedback" and p.kind == kind)
    assert back.transposed
    assert reach_of(graph, back) == Reach(88, 3)


def test_where_a_matrix_is_too_large_to_look_at_all_to_all_is_counted(monkeypatch) -> None:
    monkeypatch.setattr(module, "MOST_ENTRIES", 49 * 49 - 1)
    assert reach_of(ring("ring", 49), ring("ring", 49).projections[0]) == Reach(49 * 49, 49)
    assert reach_of(ring("counted_ring", 49), ring("counted_ring", 49).projections[0]).synapses == 3 * 49 - 2


def test_a_remedy_names_no_size_that_a_kind_cannot_have() -> None:
    """Rings need equal sizes: changing one layer alone is no remedy for the chip's neurons."""
    with pytest.raises(SpecError, match="sizes differ"):
        resized(demand_of(ring("ring"), "inference"), "hidden.1", 49)
    found = map_network(ring("ring", 2000), load_chip("speck2f"))
    (violation,) = (v for v in found.violations if v.resource == "bias_words_per_core")
    assert violation.remedy == "use smaller layers around hidden.1 and input, or a chip with more"
