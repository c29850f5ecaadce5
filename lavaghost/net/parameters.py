"""The numbers of a network: weights, biases, feedback, and the connections of learned ghosts."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from lavaghost.base.errors import SpecError, join_faults
from lavaghost.net.spec import Network
from lavaghost.numbers.arithmetic import Array


class Parameters(NamedTuple):
    """All trained or fixed numbers of one network; tuples are indexed from the input upwards.

    weights           W_1..W_L      (n_k, n_{k-1})
    biases            b_1..b_L      (n_k,)
    feedback          B_1..B_{L-1}  (n_k, n_{k+1}); empty when feedback is tied, B_k = W_{k+1}^T
    ghost_weights     G_1..G_{L-1}  (n_{k+1}, n_k); these three are empty unless ghosts are learned
    ghost_biases      c_1..c_{L-1}  (n_{k+1},)
    ghost_inhibition  I_1..I_{L-1}  (n_k, n_{k+1})
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    feedback: tuple[Array, ...] = ()
    ghost_weights: tuple[Array, ...] = ()
    ghost_biases: tuple[Array, ...] = ()
    ghost_inhibition: tuple[Array, ...] = ()

    def feedback_of(self, k: int) -> Array:
        """B_k for hidden layer k (from 1), `(n_k, n_{k+1})`."""
        return self.feedback[k - 1] if self.feedback else self.weights[k].T

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
    def from_named(cls, network: Network, arrays: Mapping[str, Any]) -> "Parameters":
        """The inverse of `named`; `arrays` must hold what `shapes(network)` lists."""
        groups: dict[str, list[Array]] = {field: [] for field in cls._fields}
        for name in shapes(network):
            groups[name.split(".")[0]].append(arrays[name])
        return cls(**{field: tuple(group) for field, group in groups.items()})


def shapes(network: Network) -> dict[str, tuple[int, ...]]:
    """Name and shape of every array that `network` has."""
    n, depth = network.layers, network.depth
    found: dict[str, tuple[int, ...]] = {}
    found |= {f"weights.{k}": (n[k], n[k - 1]) for k in range(1, depth + 1)}
    found |= {f"biases.{k}": (n[k],) for k in range(1, depth + 1)}
    if network.feedback == "random":
        found |= {f"feedback.{k}": (n[k], n[k + 1]) for k in range(1, depth)}
    if network.mechanism == "learned":
        found |= {f"ghost_weights.{k}": (n[k + 1], n[k]) for k in range(1, depth)}
        found |= {f"ghost_biases.{k}": (n[k + 1],) for k in range(1, depth)}
        found |= {f"ghost_inhibition.{k}": (n[k], n[k + 1]) for k in range(1, depth)}
    return found


def initial_parameters(
    network: Network, seed: int, dtype: DTypeLike = np.float32, start: Parameters | None = None
) -> Parameters:
    """He initialisation of the weights (He et al. 2015), zero biases.

    Random feedback has the scale of the weights that it stands for. Learned ghosts start small, at a tenth
    of that scale, so that pre-training has all of their work to do. Each kind of array has a random stream of
    its own: the weights of a seed are the same for every mechanism and feedback.

    Arrays that `start` has are copied from it, such as the weights of an imported network; what it lacks, such
    as ghosts, is drawn. Raises `SpecError` if one of them has another shape than `network` needs.
    """
    arrays: dict[str, Array] = {}
    streams = dict(zip(Parameters._fields, np.random.SeedSequence(seed).spawn(6), strict=True))
    generators = {field: np.random.default_rng(stream) for field, stream in streams.items()}
    for name, shape in shapes(network).items():
        field = name.split(".")[0]
        if "biases" in field:
            arrays[name] = np.zeros(shape, dtype)
            continue
        # a feedback or inhibition matrix (n_k, n_{k+1}) has the scale of W_{k+1}, whose fan-in is n_k
        fan_in = shape[0] if field in ("feedback", "ghost_inhibition") else shape[1]
        gain = 0.1 if field.startswith("ghost") else 1.0
        draw = generators[field].standard_normal(shape)
        arrays[name] = (draw * (gain * np.sqrt(2.0 / fan_in))).astype(dtype)
    given = {} if start is None else {key: a for key, a in start.named().items() if key in arrays}
    faults = [
        f"{key} of the start is {array.shape}, the network needs {arrays[key].shape}"
        for key, array in given.items()
        if array.shape != arrays[key].shape
    ]
    if faults:
        raise SpecError(join_faults([*faults, "give the sizes of the network that training starts from"]))
    arrays |= {key: np.array(array, dtype, order="C") for key, array in given.items()}
    return Parameters.from_named(network, arrays)
