"""Diagnostics that keep a result honest: the angle of the live method to its reference gradient, and norms.

A network can classify well over useless hidden layers, so accuracy is never reported without these.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lavaghost.methods.backprop import Backprop
from lavaghost.methods.base import PROBE_EPOCH, Batch, Factors, Method, Moment, OwnState
from lavaghost.methods.learning import Learning
from lavaghost.net.graph import Graph
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array

PROBE = 500
"""Training samples on which the diagnostics are measured, the first of the data set."""


def cosine(a: Array, b: Array) -> float:
    """Cosine of the angle between two arrays; 0 if one of them is all zero."""
    a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size > 0 else 0.0


def multiplied(graph: Graph, params: Parameters, factors: Mapping[str, Factors]) -> list[Array]:
    """The changes of W_1..W_L that factors stand for, in double precision; zeros for a layer without any."""
    found = []
    for k, (w, products) in enumerate(zip(params.weights, graph.up, strict=True), start=1):
        out = np.zeros(w.shape)
        if (factor := factors.get(f"weights.{k}")) is not None:
            post, pre = (np.ascontiguousarray(a, np.float64) for a in (factor.post, factor.pre))
            products.correlate(post, pre, out)
            out *= factor.gain / len(post)
        found.append(out)
    return found


def backprop_gradient(graph: Graph, params: Parameters, x: Array, target: Array) -> list[Array]:
    """The negative gradient of the loss by the chain rule, per weight layer: the usual reference."""
    method = Backprop()
    work = method.prepare(graph, Learning(batch_size=len(x)))
    changes, _ = method.update(work, params, {}, Batch(x, target, Moment(0, PROBE_EPOCH, 0), "probe"))
    return multiplied(graph, params, changes.factors)


def norms(params: Parameters) -> list[float]:
    """Frobenius norm of each weight tensor."""
    return [float(np.linalg.norm(w)) for w in params.weights]


def diagnose(
    graph: Graph,
    method: Method,
    learning: Learning,
    params: Parameters,
    state: OwnState,
    x: Array,
    target: Array,
) -> dict[str, Any]:
    """Figures of the *live* method, with its state, on one batch; nothing learns from it.

    cosines   per weight layer, layer 1 first: between the method's change and its reference gradient
    norms     per weight layer: Frobenius norm of W_k
    and the method's own figures, such as the residuals of ghosts
    """
    work = method.prepare(graph, learning.model_copy(update={"batch_size": len(x)}))
    batch = Batch(x, target, Moment(learning.seed, PROBE_EPOCH, 0), "probe")
    kept = {name: array.copy() for name, array in state.items()}
    changes, _ = method.update(work, params, kept, batch)
    found = multiplied(graph, params, changes.factors)
    reference = type(method).reference or backprop_gradient
    gradient = reference(graph, params, x, target)
    own = method.figures(work, params, state, batch)
    return {
        "cosines": [cosine(d, g) for d, g in zip(found, gradient, strict=True)],
        **own,
        "norms": norms(params),
    }
