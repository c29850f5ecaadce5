"""The numbers of a network: weights, biases, feedback, and the connections of learned ghosts."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from lavaghost.base.errors import SpecError, join_faults
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Array


class Parameters(NamedTuple):
    """All trained or fixed numbers of one network; tuples are indexed from the input upwards.

    weights           W_1..W_L      (n_k, n_{k-1})
    biases            b_1..b_L      (n_k,)
    weights are those of their kind; of a dense projection (n_k, n_{k-1})
    feedback          B_1..B_{L-1}  (n_k, n_{k+1}); empty where there is none, or it is tied, B_k = W_{k+1}^T
    ghost_weights     G_1..G_{L-1}  (n_{k+1}, n_k); these three are empty unless ghosts learn
    ghost_biases      c_1..c_{L-1}  (n_{k+1},)
    ghost_inhibition  I_1..I_{L-1}  (n_k, n_{k+1})
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    feedback: tuple[Array, ...] = ()
    ghost_weights: tuple[Array, ...] = ()
    ghost_biases: tuple[Array, ...] = ()
    ghost_inhibition: tuple[Array, ...] = ()

    def astype(self, dtype: DTypeLike) -> "Parameters":
        """A copy in another precision."""
        return Parameters(*(tuple(np.array(a, dtype=dtype) for a in group) for group in self))

    def named(self) -> dict[str, Array]:
        """Every array under a stable name, such as `weights.1` for W_1."""
        return {
            f"{field}.{k}": array
            for field, group in zip(self._fields, self, strict=True)
            for k, array in enumerate(group, start=1)
        }

    @classmethod
    def from_named(cls, graph: Graph, arrays: Mapping[str, Any]) -> "Parameters":
        """The inverse of `named`; `arrays` must hold what `shapes(graph)` lists."""
        groups: dict[str, list[Array]] = {field: [] for field in cls._fields}
        for name in shapes(graph):
            groups[name.split(".")[0]].append(arrays[name])
        return cls(**{field: tuple(group) for field, group in groups.items()})


def shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Name and shape of every array that `graph` has: of projections, and of biases."""
    found = {name: products.shape for name, products in graph.tensors.items()}
    found |= {p.bias: (p.size,) for p in graph.populations if p.bias is not None and p.bias not in found}
    order = {field: i for i, field in enumerate(Parameters._fields)}

    def place(name: str) -> tuple[int, int]:
        field, _, k = name.partition(".")
        return order[field], int(k)

    return {name: found[name] for name in sorted(found, key=place)}


STREAMS = ("weights", "biases", "feedback", "ghost_weights", "ghost_biases", "ghost_inhibition")
"""Fields by their random stream: one that comes later takes none of another's numbers."""


def initial_parameters(
    graph: Graph,
    seed: int,
    dtype: DTypeLike = np.float32,
    start: Parameters | None = None,
    std: float | None = None,
) -> Parameters:
    """He initialisation of the weights (He et al. 2015), or N(0, std); zero biases.

    Feedback of its own has the scale of the weights that it stands for. Learned ghosts start small, at a tenth
    of that scale, so that pre-training has all of their work to do. Each kind of array has a random stream of
    its own: the weights of a seed are the same for every method and feedback.

    Arrays that `start` has are copied from it, such as the weights of an imported network; what it lacks, such
    as ghosts, is drawn. Raises `SpecError` if one of them has another shape than `graph` needs.
    """
    arrays: dict[str, Array] = {}
    streams = dict(zip(STREAMS, np.random.SeedSequence(seed).spawn(len(STREAMS)), strict=True))
    generators = {field: np.random.default_rng(stream) for field, stream in streams.items()}
    for name, shape in shapes(graph).items():
        field = name.split(".")[0]
        if "biases" in field:
            arrays[name] = np.zeros(shape, dtype)
            continue
        # a feedback or inhibition matrix (n_k, n_{k+1}) has the scale of W_{k+1}, whose fan-in is n_k
        fan_in = shape[0] if field in ("feedback", "ghost_inhibition") else graph.tensors[name].fan_in
        gain = 0.1 if field.startswith("ghost") else 1.0
        draw = generators[field].standard_normal(shape)
        scale = gain * (np.sqrt(2.0 / fan_in) if std is None else std)
        arrays[name] = (draw * scale).astype(dtype)
    given = {} if start is None else {key: a for key, a in start.named().items() if key in arrays}
    faults = [
        f"{key} of the start is {array.shape}, the network needs {arrays[key].shape}"
        for key, array in given.items()
        if array.shape != arrays[key].shape
    ]
    if faults:
        raise SpecError(join_faults([*faults, "give the sizes of the network that training starts from"]))
    arrays |= {key: np.array(array, dtype, order="C") for key, array in given.items()}
    return Parameters.from_named(graph, arrays)
