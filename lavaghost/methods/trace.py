"""A Hebbian trace beside the weights of hidden layers (after Mei et al. 2023, there in the cells of an LSTM).

    W_k = slow_k + D(alpha_k) H_k,   H_k <- clip(H_k + h mean(r_k r_{k-1}^T), -2, 2)

alpha_k is drawn once for each unit, uniformly from 0 to its largest value. The tensor W_k is the whole sum at all
times, so every engine and file has it; H and alpha are state.
"""

import numpy as np

from lavaghost.methods.base import OwnState
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Array

LARGEST = 2.0
"""Of a trace, in either direction."""


def traced_layers(graph: Graph) -> list[int]:
    """Hidden layers that learn, from 1."""
    return [k for k in range(1, graph.depth) if graph.learns(k)]


def shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Names and shapes of H_k and alpha_k."""
    found: dict[str, tuple[int, ...]] = {}
    for k in traced_layers(graph):
        n, below = graph.layers[k], graph.layers[k - 1]
        found |= {f"trace_{k}": (n, below), f"trace_share_{k}": (n,)}
    return found


def begun(graph: Graph, dtype: np.dtype, largest: float, rng: np.random.Generator) -> dict[str, Array]:
    """H_k = 0, and alpha_k from U(0, `largest`)."""
    return {
        name: (rng.uniform(0.0, largest, shape) if "share" in name else np.zeros(shape)).astype(dtype)
        for name, shape in shapes(graph).items()
    }


def grown(state: OwnState, k: int, rates: list[Array], step: float) -> tuple[Array, Array]:
    """H_k after a batch of rates r_0..r_L `(batch, n_k)`, and what that adds to W_k."""
    before, share = state[f"trace_{k}"], state[f"trace_share_{k}"]
    met = rates[k].astype(before.dtype).T @ rates[k - 1].astype(before.dtype)
    after = np.clip(before + met * np.asarray(step / len(rates[k]), before.dtype), -LARGEST, LARGEST)
    return after, (after - before) * share[:, np.newaxis]


def along(graph: Graph, k: int, change: Array) -> dict[str, Array]:
    """A step of W_k by tensor, with those of what follows W_k: learned ghosts and learned feedback."""
    found = {f"weights.{k}": change}
    if k == 1:
        return found
    if graph.ghosts_learn:
        found[f"ghost_weights.{k - 1}"] = change
    link = graph.back[k - 2] if graph.back else None
    if link is not None and link.own and link.plastic and link.tensor is not None:
        found[link.tensor] = change.T
    return found
