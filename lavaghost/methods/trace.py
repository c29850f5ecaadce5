"""A Hebbian trace beside the weights of hidden layers (after Mei et al. 2023, there in the cells of an LSTM).

    W_k = slow_k + D(alpha_k) H_k,   H_k <- clip(H_k + h mean(r_k r_{k-1}^T), -2, 2)

alpha_k is drawn once for each unit, uniformly from 0 to its largest value. The tensor W_k is the whole sum at all
times, so every engine and file has it; H and alpha are state.
"""

import numpy as np

from lavaghost.methods.base import Changes, OwnState
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Array, gemm

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
    post, pre = (rates[j].astype(before.dtype) for j in (k, k - 1))
    met = gemm(post, pre, np.empty((post.shape[1], pre.shape[1]), before.dtype), trans_a=True)
    after = np.clip(before + met * np.asarray(step / len(rates[k]), before.dtype), -LARGEST, LARGEST)
    return after, (after - before) * share[:, np.newaxis]


def along(changes: Changes, k: int, change: Array) -> dict[str, Array]:
    """A step of W_k by tensor, with those of what follows W_k: ghosts, and feedback that has its factors."""
    found = {f"weights.{k}": change}
    found |= {name: change for name, other in changes.follow.items() if other == f"weights.{k}"}
    if f"feedback.{k - 1}" in changes.factors:
        found[f"feedback.{k - 1}"] = change.T
    return found
