"""What a method asks of a machine for one training sample: phases and steps, states, messages, products.

A chip steps in time, so there a method is phases of steps in which some paths carry messages (`Footprint`). A computer
multiplies matrices, so here it is a number of multiplications (`Method.operations`), which
`tests/conformance/test_methods.py` counts.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

from lavaghost.net.graph import Graph, Path, Projection


class Stretch(NamedTuple):
    """`steps` time steps in which the projections of `paths` carry messages; the others are silent."""

    name: str
    steps: int
    paths: tuple[Path, ...]


class Footprint(NamedTuple):
    """What a training sample needs on a chip.

    phases   one after the other, the reset in the first one
    states   what a neuron of a hidden layer holds, by name
    reads    what a plastic synapse reads, before and behind it
    signed   whether messages have a sign, which a spike has not
    """

    phases: tuple[Stretch, ...]
    states: tuple[str, ...]
    reads: str
    signed: bool

    @property
    def steps(self) -> int:
        """Steps of one training sample."""
        return sum(phase.steps for phase in self.phases)

    def multiplications(self, graph: Graph) -> int:
        """Of a training sample in time: each projection in every step of its phases, and the change of what learns."""
        stepped = sum(
            phase.steps * weights(graph, graph.along(path)) for phase in self.phases for path in phase.paths
        )
        return stepped + learning(graph)


def carried_down(graph: Graph) -> Footprint:
    """Of a forward pass, after which errors come down beside the membranes; a layer a step."""
    forward = Stretch("forward", graph.depth + 1, ("feedforward",))
    return Footprint(
        (forward, Stretch("error", graph.depth, ("error",))),
        ("rate", "error"),
        "the rate before it, kept from the forward phase, and the error behind it",
        signed=True,
    )


def weights(graph: Graph, projections: Iterable[Projection]) -> int:
    """Weights of projections, copies too: multiplications of one product with each of them."""
    return sum(math.prod(graph.products(p).shape) for p in projections if p.tensor is not None)


def forward(graph: Graph) -> int:
    """Multiplications of a forward pass."""
    return weights(graph, graph.along("feedforward"))


def learning(graph: Graph) -> int:
    """Multiplications of one sample's share in the change of all that learns by factors."""
    plastic = [p for p in (*graph.along("feedforward"), *graph.back) if p.own and p.plastic]
    return weights(graph, plastic)
