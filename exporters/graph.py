"""A trained network as a small neutral graph: what every exporter writes from.

    Input -> Dense -> Rates -> ... -> Dense -> Output       the feedforward pass, in this order
    Dense (feedback), Dense (ghost), Ghosts, Dense or Direct (ghost), for each hidden layer, after it

`lower` resolves what is shared: a tied feedback or a duplicate's weights are Dense nodes with a matrix of their
own, and `tensor` and `transposed` say whose numbers these are. An exporter translates node by node:

    translate = lowering("onnx")

    @translate.register
    def _(node: Rates, build: Build) -> None: ...

    for node in lower(trained).feedforward:
        translate(node, build)

Formats that quantise, and those of spiking neurons, translate to a `Chain` first (`exporters.chain`). A kind without a
translation is an `ExportError` that names node, format and what to register.
"""

import functools
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lavaghost.base.errors import ExportError
from lavaghost.model.manifest import Population, Projection, populations, projections
from lavaghost.model.model import Model
from lavaghost.numbers.arithmetic import Array


@dataclass(frozen=True, eq=False)
class Input:
    """Raw samples `(batch, size)`; times `scale` they are the rates r_0."""

    name: str
    size: int
    scale: float


@dataclass(frozen=True, eq=False)
class Rates:
    """A hidden layer, r = clip(u, 0, r_max) with `r_max` infinite for a plain relu; `bias (size,)`."""

    name: str
    size: int
    bias: Array
    activation: Literal["relu", "hard_sigmoid"]
    r_max: float


@dataclass(frozen=True, eq=False)
class Output:
    """The linear output layer; `bias (size,)`, and a label for each unit."""

    name: str
    size: int
    bias: Array
    labels: tuple[int | str, ...]


@dataclass(frozen=True, eq=False)
class Ghosts:
    """The ghost population of a hidden layer, clip(v, 0, r_max), or linear where it stands for linear units.

    `bias` is None where it has none (online ghosts).
    """

    name: str
    size: int
    bias: Array | None
    linear: bool
    r_max: float


@dataclass(frozen=True, eq=False)
class Dense:
    """Connections with a `matrix (n_target, n_source)`; a message takes one step to arrive.

    tensor      whose numbers these are, as in a saved network, such as `weights.2`; `transposed` of it or not
    inhibitory  whether the target subtracts what arrives
    """

    source: str
    target: str
    kind: Literal["feedforward", "feedback", "ghost"]
    matrix: Array
    tensor: str
    transposed: bool = False
    inhibitory: bool = False

    @property
    def name(self) -> str:
        """`source -> target`."""
        return f"{self.source} -> {self.target}"


@dataclass(frozen=True, eq=False)
class Direct:
    """One-to-one connections of weight 1, which arrive in the same step; those of online ghosts."""

    source: str
    target: str
    kind: Literal["ghost"] = "ghost"
    inhibitory: bool = True

    @property
    def name(self) -> str:
        """`source -> target`."""
        return f"{self.source} -> {self.target}"


Node = Input | Rates | Output | Ghosts | Dense | Direct


@dataclass(frozen=True, eq=False)
class Graph:
    """The nodes in topological order: every feedforward source before its target, ghosts after the output."""

    nodes: tuple[Node, ...]

    @property
    def feedforward(self) -> tuple[Node, ...]:
        """The nodes of the feedforward pass, in order: all but ghosts, feedback, and what leads to or from ghosts."""
        return tuple(
            node
            for node in self.nodes
            if not isinstance(node, Ghosts | Direct) and getattr(node, "kind", "feedforward") == "feedforward"
        )


def lower(trained: Model) -> Graph:
    """The graph of `trained`; its arrays are those of the network, read-only, never copied."""
    arrays = trained.params.named()
    units = {entry.name: _population(entry, trained, arrays) for entry in populations(trained.network)}
    links = projections(trained.network)
    nodes: list[Node] = [units["input"]]
    for link in links:
        if link.kind == "feedforward":
            nodes += [_projection(link, arrays), units[link.target]]
    for link in links:
        if link.kind != "feedforward":
            nodes.append(_projection(link, arrays))
            if isinstance(units[link.target], Ghosts):
                nodes.append(units[link.target])
    return Graph(tuple(nodes))


def _population(entry: Population, trained: Model, arrays: dict[str, Array]) -> Node:
    bias = None if entry.bias is None else arrays[entry.bias]
    if entry.role == "input":
        return Input(entry.name, entry.size, trained.input_scale)
    linear = entry.activation == "linear"
    if entry.role == "ghost":
        return Ghosts(entry.name, entry.size, bias, linear, np.inf if linear else trained.network.r_max)
    assert bias is not None  # every layer of a network has one
    if entry.role == "output":
        return Output(entry.name, entry.size, bias, trained.labels)
    return Rates(entry.name, entry.size, bias, trained.network.activation, trained.network.r_max)


def _projection(entry: Projection, arrays: dict[str, Array]) -> Node:
    if entry.one_to_one:
        return Direct(entry.source, entry.target)
    tensor = entry.tensor or entry.copy_of or entry.transpose_of
    assert tensor is not None  # the manifest gives exactly one
    transposed = entry.transpose_of is not None
    matrix = arrays[tensor].T if transposed else arrays[tensor]
    return Dense(
        entry.source, entry.target, entry.kind, matrix, tensor, transposed, entry.inhibitory is not None
    )


@functools.cache
def lowering(target: str) -> "functools._SingleDispatchCallable[None]":
    """The function `translate(node, build)` of format `target`, to which node kinds are registered."""

    @functools.singledispatch
    def translate(node: Any, build: Any) -> None:
        kind = type(node).__name__
        name = getattr(node, "name", "?")
        raise ExportError(
            f"exporter {target!r} has no lowering for node {name!r} of kind {kind}; register a function of "
            f"({kind}, build) with lowering({target!r}).register, or use another exporter"
        )

    return translate
