"""Rate function and its slope, nudge and cancellation residual: the formulas of a single population."""

import numpy as np

from lavaghost.base.errors import SpecError
from lavaghost.base.names import Loss
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Arithmetic, Array


def rate(v_mem: Array, graph: Graph, k: int, arith: Arithmetic) -> Array:
    """r_k = clip(u_k, 0, r_max) in a hidden layer, r_L = u_L at the output. `(batch, n_k)`.

    A relu has `r_max` at its saturation, a hard sigmoid is `clip(u, 0, 1)`.
    """
    return v_mem if k == graph.depth else arith.clip(v_mem, 0.0, graph.r_max)


def slope(graph: Graph, rate: Array) -> Array:
    """Rho' of a hidden layer, of its rate or its membrane: 1 strictly inside (0, r_max), 0 elsewhere."""
    return (rate > 0) & (rate < graph.r_max) if graph.r_max < np.inf else rate > 0


def softmax(a: Array) -> Array:
    """exp(a) / sum exp(a) over the classes, `(batch, n_L)`; finite for any finite a. Refuses integers."""
    if a.dtype.kind != "f":
        raise SpecError("network.loss cross_entropy needs a softmax, which integers lack; use squared_error")
    z = np.exp(a - a.max(axis=1, keepdims=True))
    z /= z.sum(axis=1, keepdims=True)
    return z


def nudge(output: Array, target: Array, loss: Loss, arith: Arithmetic) -> Array:
    """The force on the output without its gain: `y - r_L`, or `y - softmax(r_L)` for cross-entropy.

    The softmax needs all outputs at once, a lateral interaction inside the output population.
    """
    predicted = output if loss == "squared_error" else softmax(output)
    return arith.subtract(target, predicted)


def loss_of(output: Array, target: Array, loss: Loss) -> float:
    """Mean over a batch of `|y - r_L|^2 / 2`, or of `-sum y log softmax(r_L)` for cross-entropy; double precision."""
    out, y = output.astype(np.float64), target.astype(np.float64)
    if loss == "squared_error":
        return float(0.5 * np.square(y - out).sum() / len(out))
    z = out - out.max(axis=1, keepdims=True)
    return float((y * (np.log(np.exp(z).sum(axis=1, keepdims=True)) - z)).sum() / len(out))


def residual(feedback: Array, inhibition: Array) -> float:
    """What the ghosts leave of the feedback: `||B r - i|| / ||B r||` over a batch; 0 is exact cancelling."""
    whole = float(np.linalg.norm(feedback))
    left = float(np.linalg.norm(feedback - inhibition))
    return left / whole if whole > 0 else left
