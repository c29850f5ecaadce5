"""The number system of a network on Lava follows from its numbers: `Parameters` are real, `Integers` a chip's."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lavaghost.base.errors import SpecError
from lavaghost.dynamics import Parameters
from lavaghost.net.graph import Graph
from lavaghost.net.parameters import shapes
from lavaghost.numbers.arithmetic import Arithmetic, Array, Float
from lavaghost.numbers.integers import Integers

AnyNumbers = Parameters | Integers
"""All numbers of a network."""


def arithmetic_of(numbers: AnyNumbers) -> Arithmetic:
    """What computes with `numbers`."""
    return numbers.arith if isinstance(numbers, Integers) else Float()


def arrays_of(numbers: AnyNumbers) -> Mapping[str, Array]:
    """Every array by name; mantissas and states in integers."""
    return numbers.arrays if isinstance(numbers, Integers) else numbers.named()


def real_arrays(numbers: AnyNumbers) -> Mapping[str, Array]:
    """Every array by name, in the real numbers that it stands for; to be shown."""
    return numbers.real() if isinstance(numbers, Integers) else numbers.named()


def matrices(graph: Graph, numbers: AnyNumbers) -> tuple[Graph, AnyNumbers]:
    """`graph` with dense projections alone, and its numbers: of each other kind, its exact matrix.

    What a dense graph has is given back as it is. Lava's connections are matrices.
    """
    if not (other := other_kinds(graph)):
        return graph, numbers
    arrays = dict(arrays_of(numbers))
    arrays |= {name: np.ascontiguousarray(graph.tensors[name].matrix(arrays[name])) for name in other}
    dense = replace(
        graph,
        network=graph.network.model_copy(update={"kinds": ()}),
        projections=tuple(
            p.model_copy(update={"kind": "dense"}) if p.tensor in other else p for p in graph.projections
        ),
    )
    if isinstance(numbers, Integers):
        return dense, Integers(arrays, numbers.formats, numbers.widths)
    return dense, Parameters.from_named(dense, arrays)


def forward_only(graph: Graph, numbers: AnyNumbers) -> tuple[Graph, AnyNumbers]:
    """The network alone and its numbers, for what runs and does not learn: no membrane feels an error."""
    arrays = {name: a for name, a in arrays_of(numbers).items() if name in shapes(graph.forward)}
    if isinstance(numbers, Integers):
        return graph.forward, Integers(arrays, numbers.formats._replace(feedback=()), numbers.widths)
    return graph.forward, Parameters.from_named(graph.forward, arrays)


def other_kinds(graph: Graph) -> dict[str, str]:
    """The kinds of tensors that are no matrix, by name."""
    links = (p for p in graph.projections if p.own and p.tensor is not None and p.kind != "dense")
    return {p.tensor: p.kind for p in links if p.tensor is not None}


def check_dense(graph: Graph) -> None:
    """Raise `SpecError` for a graph that Lava cannot learn: its connections that learn are matrices."""
    if other := other_kinds(graph):
        named = ", ".join(f"{name} is of kind {kind!r}" for name, kind in other.items())
        raise SpecError(
            f"Lava learns dense projections alone, and {named}; learn it on engine equilibrium or stepped"
        )
