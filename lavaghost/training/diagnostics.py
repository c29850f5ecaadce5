"""Diagnostics that keep a result honest: the angle of the live method to its reference gradient, and norms.

A network can classify well over useless hidden layers, so accuracy is never reported without these.
"""

import math
from typing import Any

import numpy as np

from lavaghost.methods.backprop import Backprop
from lavaghost.methods.base import PROBE_EPOCH, Batch, Method, Moment, OwnState
from lavaghost.methods.carried import multiplied
from lavaghost.methods.learning import Learning
from lavaghost.net.graph import Graph
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array

TINY = 1e-300
PROBE = 500
"""Training samples on which the diagnostics are measured, the first of the data set."""


def cosine(a: Array, b: Array) -> float:
    """Cosine of the angle between two arrays; 0 if one of them is all zero."""
    a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size > 0 else 0.0


def backprop_gradient(graph: Graph, params: Parameters, x: Array, target: Array) -> list[Array]:
    """The negative gradient of the loss by the chain rule, per weight layer: the usual reference."""
    method, graph = Backprop(), graph.forward
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

    cosines           per weight layer, layer 1 first: between the method's change and its reference gradient
    backprop_cosines  the same to the gradient of the loss, where its reference is another one too
    step_norms        Frobenius norm of each layer's change, for eta 1
    norms             Frobenius norm of each W_k
    and the method's own figures, such as the residuals of ghosts, and those of feedback (`feedback_figures`)
    """
    work = method.prepare(graph, learning.model_copy(update={"batch_size": len(x)}))
    batch = Batch(x, target, Moment(learning.seed, PROBE_EPOCH, 0), "probe")
    kept = {name: array.copy() for name, array in state.items()}
    changes, _ = method.update(work, params, kept, batch)
    found = multiplied(graph, params, changes.factors)
    gradient = backprop_gradient(graph, params, x, target)
    reference = method.reference(graph, params, x, target)
    own = method.figures(work, params, state, batch)
    return {
        "cosines": cosines(found, gradient if reference is None else reference),
        "backprop_cosines": cosines(found, gradient),
        **own,
        **feedback_figures(graph, params),
        "step_norms": [float(np.linalg.norm(change)) for change in found],
        "norms": norms(params),
    }


def cosines(changes: list[Array], others: list[Array]) -> list[float]:
    """Of each layer's change to another one."""
    return [cosine(a, b) for a, b in zip(changes, others, strict=True)]


def feedback_figures(graph: Graph, params: Parameters) -> dict[str, Any]:
    """Of feedback with numbers of its own, for each hidden layer below the one that it comes from:

    angles            degrees between B_k and W_{k+1}^T
    feedback_scales   |B_k| / |W_{k+1}|
    """
    found = []
    for k, link in enumerate(graph.back, start=1):
        if link.own and link.source == graph.layer(k + 1):
            found.append((params.feedback[k - 1], graph.up[k].matrix(params.weights[k])))
    if not found:
        return {}
    turned = [math.degrees(math.acos(min(1.0, max(-1.0, cosine(b, w.T))))) for b, w in found]
    scales = [float(np.linalg.norm(b) / max(np.linalg.norm(w), TINY)) for b, w in found]
    return {"angles": turned, "feedback_scales": scales}
