"""A feedforward graph as a chain of layers, for formats that write all layers in the same way.

    r_0 = scale * raw        r_k = clip(W_k r_{k-1} + b_k, 0, r_max)        logits = W_L r_{L-1} + b_L

A format whose lowering leads to a chain says so once, `chaining("mine")`, and then writes from the numbers of
`chain(trained, "mine")`. Nodes are written one by one as by any lowering, so a format may refuse or replace one, and
what a chain cannot hold is the `ExportError` of `lowering`.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from lavaghost.exporters.lowering import Link, Units, forward_nodes, lowering
from lavaghost.model.model import Model
from lavaghost.numbers.arithmetic import Array


class Chain(NamedTuple):
    """A network as a chain; its arrays are those of the network, in float32.

    scale    r_0 per raw unit
    weights  W_k (n_k, n_{k-1}), the exact matrix of its kind; biases b_k (n_k,), k = 1..L
    r_max    infinite for a plain relu; the same in all hidden layers
    """

    scale: float
    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    r_max: float

    @property
    def layers(self) -> tuple[tuple[Array, Array], ...]:
        """(W_k, b_k), first to last."""
        return tuple(zip(self.weights, self.biases, strict=True))


@dataclass
class Links:
    """A chain while it is made."""

    scale: float = 1.0
    weights: list[Array] = field(default_factory=list)
    biases: list[Array] = field(default_factory=list)
    r_max: float = np.inf


def chain(trained: Model, target: str) -> Chain:
    """The chain of `trained` for format `target`.

    Raises `ExportError` for a node that `target` refuses or has no lowering for.
    """
    links = Links()
    for node in forward_nodes(trained):
        lowering(target)(node, links)
    return Chain(links.scale, tuple(links.weights), tuple(links.biases), links.r_max)


def chaining(target: str) -> None:
    """Register the lowering of format `target` to a chain."""
    writes = lowering(target)

    @writes.population("input")
    def _(units: Units, links: Links) -> None:
        links.scale = units.scale

    @writes.projection("dense")
    def _(link: Link, links: Links) -> None:
        links.weights.append(link.matrix)

    @writes.population("hidden")
    def _(units: Units, links: Links) -> None:
        links.biases.append(units.biases)
        links.r_max = units.r_max

    @writes.population("output")
    def _(units: Units, links: Links) -> None:
        links.biases.append(units.biases)
