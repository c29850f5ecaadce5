"""What a format writes: the populations and projections of a network's graph, each bound to its numbers.

    input, W_1, hidden.1, .., W_L, output       `forward_nodes`: the feedforward pass, in this order
    B_k, what excites ghost.k, ghost.k, ..      `all_nodes` has these behind it, where the graph has them

A format registers how it writes a population, by its role, and a projection, by the name of its kind:

    writes = lowering("onnx")

    @writes.population("hidden")
    def _(units: Units, build: Build) -> None: ...

    @writes.projection("dense")
    def _(link: Link, build: Build) -> None: ...

    for node in forward_nodes(trained):
        writes(node, build)

A kind for which a format registers nothing is written as dense, by its exact matrix, so a new kind of projection is
exported everywhere; a format may register a form of its own for it. Formats that quantise, and those of spiking
neurons, write a `Chain` first (`exporters.chain`). A role without a writer is an `ExportError` that names node,
format and what to register.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from lavaghost.base.errors import ExportError
from lavaghost.model.model import Model
from lavaghost.net.graph import Path, Population, Projection
from lavaghost.net.kinds import Products
from lavaghost.numbers.arithmetic import Array

WriteNode = TypeVar("WriteNode", bound=Callable[..., None])


@dataclass(frozen=True, eq=False)
class Units:
    """A population and its numbers; `bias (size,)`, or None where it has none.

    r_max   upper bound of its rates clip(u, 0, r_max); infinite for a plain relu, and where rates are linear
    scale   of the input: a raw sample times `scale` is r_0; 1 elsewhere
    labels  of the output, one for each unit; none elsewhere
    """

    population: Population
    bias: Array | None
    r_max: float = np.inf
    scale: float = 1.0
    labels: tuple[int | str, ...] = ()

    @property
    def name(self) -> str:
        """The population's."""
        return self.population.name

    @property
    def size(self) -> int:
        """How many units."""
        return self.population.size

    @property
    def linear(self) -> bool:
        """Whether its rates are its membranes."""
        return self.population.activation == "linear"

    @property
    def biases(self) -> Array:
        """`bias`, or zeros `(size,)`."""
        return np.zeros(self.size, np.float32) if self.bias is None else self.bias


@dataclass(frozen=True, eq=False)
class Link:
    """A projection and its numbers.

    products  of its kind, the way that the tensor goes; `weights` are the tensor's, in the shape of that kind
    """

    projection: Projection
    products: Products
    weights: Array

    @property
    def name(self) -> str:
        """`source -> target`."""
        return self.projection.name

    @property
    def source(self) -> str:
        """Name of the population that sends."""
        return self.projection.source

    @property
    def target(self) -> str:
        """Name of the population that receives."""
        return self.projection.target

    @property
    def path(self) -> Path:
        """See `Projection`."""
        return self.projection.path

    @property
    def tensor(self) -> str:
        """Whose numbers these are, such as `weights.2`; the projection's own name for a kind without weights."""
        return self.projection.tensor or self.name

    @property
    def transposed(self) -> bool:
        """Whether it delivers the transpose of `stored`."""
        return self.projection.transposed

    @property
    def inhibitory(self) -> bool:
        """Whether the target subtracts what arrives."""
        return self.projection.inhibitory

    @cached_property
    def stored(self) -> Array:
        """The exact matrix of the tensor, the way that the tensor goes."""
        return self.products.matrix(self.weights)

    @property
    def matrix(self) -> Array:
        """What it delivers by, exactly, `(n_target, n_source)`."""
        return self.stored.T if self.transposed else self.stored


Node = Units | Link


def forward_nodes(trained: Model) -> tuple[Node, ...]:
    """The feedforward pass in order: all but ghosts, feedback, and what leads to or from ghosts."""
    graph = trained.graph
    nodes: list[Node] = [units_of(trained, "input")]
    for projection in graph.along("feedforward"):
        nodes += [link_of(trained, projection), units_of(trained, projection.target)]
    return tuple(nodes)


def all_nodes(trained: Model) -> tuple[Node, ...]:
    """`forward_nodes`, then all that a method puts beside them and that membranes feel; a population at the first
    projection onto it. Errors that come down beside the membranes are no part of what is run.
    """
    return (*forward_nodes(trained), *_beside(trained))


def _beside(trained: Model) -> Iterator[Node]:
    graph = trained.graph
    seen = {"input", *(p.target for p in graph.along("feedforward"))}
    for projection in (p for p in graph.projections if p.path not in ("feedforward", "error")):
        yield link_of(trained, projection)
        for name in (projection.target, projection.source):
            if name not in seen:
                seen.add(name)
                yield units_of(trained, name)


def units_of(trained: Model, name: str) -> Units:
    """The population of that name; its array is that of the network, read-only, never copied."""
    population = trained.graph.population(name)
    bias = None if population.bias is None else trained.params.named()[population.bias]
    return Units(
        population,
        bias,
        np.inf if population.activation == "linear" else trained.graph.r_max,
        trained.input_scale if population.role == "input" else 1.0,
        trained.labels if population.role == "output" else (),
    )


def link_of(trained: Model, projection: Projection) -> Link:
    """A projection of the graph; its array is that of the network, read-only, never copied."""
    products = trained.graph.products(projection)
    if projection.tensor is None:
        return Link(projection, products, np.zeros(products.shape, np.float32))
    return Link(projection, products, trained.params.named()[projection.tensor])


@dataclass(frozen=True, eq=False)
class Lowering:
    """How format `target` writes nodes; see the module."""

    target: str
    populations: dict[str, Callable[[Units, Any], None]] = field(default_factory=dict)
    projections: dict[str, Callable[[Link, Any], None]] = field(default_factory=dict)

    def population(self, role: str) -> Callable[[WriteNode], WriteNode]:
        """Registers the writer of populations of a role, in the place of the one before."""
        return _kept(self.populations, role)

    def projection(self, kind: str) -> Callable[[WriteNode], WriteNode]:
        """Registers the writer of projections of a kind, in the place of the one before."""
        return _kept(self.projections, kind)

    def __call__(self, node: Node, build: Any) -> None:
        """Write one node. Raises `ExportError` if nothing is registered that could."""
        if isinstance(node, Units):
            self._writer("population", node.name, node.population.role, self.populations)(node, build)
            return
        kind = node.projection.kind
        kind = kind if kind in self.projections or "dense" not in self.projections else "dense"
        self._writer("projection", node.name, kind, self.projections)(node, build)

    def _writer(self, what: str, name: str, key: str, writers: Mapping[str, Callable[..., None]]) -> Any:
        if key not in writers:
            takes, called = ("Units", "role") if what == "population" else ("Link", "kind")
            raise ExportError(
                f"exporter {self.target!r} has no lowering for node {name!r} of {called} {key}; register a function "
                f"of ({takes}, build) with lowering({self.target!r}).{what}({key!r}), or use another exporter"
            )
        return writers[key]


def _kept(writers: dict[str, Any], key: str) -> Callable[[WriteNode], WriteNode]:
    def register(writer: WriteNode) -> WriteNode:
        writers[key] = writer
        return writer

    return register


@functools.cache
def lowering(target: str) -> Lowering:
    """The one `Lowering` of format `target`."""
    return Lowering(target)
