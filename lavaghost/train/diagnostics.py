"""Diagnostics that keep a result honest: gradient cosine, ghost residual, loop gain and norms.

A network can classify well over useless hidden layers, so accuracy is never reported without these.
"""

from typing import NamedTuple

import numpy as np

from lavaghost.dynamics import Parameters, wire
from lavaghost.dynamics.neuron import rate, residual
from lavaghost.engines.trial import Trial
from lavaghost.methods.ghost.rules import Rule
from lavaghost.methods.methods import Backprop, Ghost, LayerFactors, make_engine, make_method
from lavaghost.methods.optimiser import Factors
from lavaghost.net.spec import Learning, Network
from lavaghost.numbers.arithmetic import Array, Float


class Diagnostics(NamedTuple):
    """Measured on one batch of samples, both phases under the same weights.

    cosines    per weight layer, layer 1 first: between the method's change and the backprop gradient
    residuals  per hidden layer: ||B r - i|| / ||B r|| in the free phase; 0 for exact cancelling
    loop_gain  per hidden layer: lam ||B_k|| ||W_{k+1}||, spectral norms; online ghosts need it below 1
    norms      per weight layer: Frobenius norm of W_k
    """

    cosines: tuple[float, ...]
    residuals: tuple[float, ...]
    loop_gain: tuple[float, ...]
    norms: tuple[float, ...]


def cosine(a: Array, b: Array) -> float:
    """Cosine of the angle between two arrays; 0 if one of them is all zero."""
    a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size > 0 else 0.0


def dense(factor: Factors | None, shape: tuple[int, ...]) -> Array:
    """The weight change that `factor` stands for, `(n_post, n_pre)`."""
    if factor is None:
        return np.zeros(shape)
    return factor.gain / len(factor.post) * (factor.post.T.astype(np.float64) @ factor.pre)


def backprop_gradient(network: Network, params: Parameters, x: Array, target: Array) -> list[Array]:
    """The negative gradient of the loss by the chain rule, per weight layer; the reference of every cosine."""
    method = Backprop(network, Learning(batch_size=len(x)))
    factors = method.factors(params, x, target)
    return [dense(f, w.shape) for f, w in zip(factors, params.weights, strict=True)]


def cosines(
    network: Network, params: Parameters, change: LayerFactors, x: Array, target: Array
) -> tuple[float, ...]:
    """Cosine of each layer's weight change to the backprop gradient of the same batch."""
    gradient = backprop_gradient(network, params, x, target)
    return tuple(cosine(dense(f, g.shape), g) for f, g in zip(change, gradient, strict=True))


def residuals(network: Network, params: Parameters, trial: Trial) -> tuple[float, ...]:
    """Ghost residual of each hidden layer at the end of the free phase of `trial`.

    Where the engine does not carry feedback and inhibition along, they are computed here from the free rates,
    by the ghosts' own equations. Online ghosts settle to the feedback itself, by definition of the fixed point.
    """
    if trial.left_over:
        pairs = zip(trial.whole, trial.left_over, strict=True)
        return tuple(residual(whole, whole - left) for whole, left in pairs)
    arith = Float(np.float64)
    net = wire(network, params, arith)
    free = [arith.array(r) for r in trial.free]
    found = []
    for k in range(network.depth - 1):
        feedback = arith.synapse(net.feedback[k], free[k + 1])
        inhibition = feedback
        if network.mechanism != "online":
            v_ghost = arith.add(arith.synapse(net.ghost_weights[k], free[k]), net.ghost_biases[k])
            ghost = rate(v_ghost, network, k + 2, arith)
            inhibition = arith.synapse(net.inhibition[k], ghost)
        found.append(residual(feedback, inhibition))
    return tuple(found)


def loop_gain(network: Network, params: Parameters) -> tuple[float, ...]:
    """lam ||B_k|| ||W_{k+1}|| per hidden layer, with spectral norms."""
    return tuple(
        network.lam
        * float(np.linalg.norm(params.feedback_of(k), 2))
        * float(np.linalg.norm(params.weights[k], 2))
        for k in range(1, network.depth)
    )


def norms(params: Parameters) -> tuple[float, ...]:
    """Frobenius norm of each weight matrix."""
    return tuple(float(np.linalg.norm(w)) for w in params.weights)


def diagnose(
    network: Network,
    learning: Learning,
    params: Parameters,
    x: Array,
    target: Array,
    rule: Rule | None = None,
) -> Diagnostics:
    """All diagnostics of the method that `learning` names, on one batch, with the engine that it trains with.

    The residuals are those of the network's ghosts, also where a control method does without them.
    """
    probe = learning.model_copy(update={"batch_size": len(x)})
    method = make_method(network, probe, rule)
    trial = make_engine(network, probe, rule).trial(params, x, target)
    change = (
        method.local_change(params, trial) if isinstance(method, Ghost) else method.factors(params, x, target)
    )
    return Diagnostics(
        cosines=cosines(network, params, change, x, target),
        residuals=residuals(network, params, trial),
        loop_gain=loop_gain(network, params),
        norms=norms(params),
    )
