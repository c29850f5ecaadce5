"""Stochastic gradient descent with momentum on factored weight changes.

    V_k <- momentum V_k - weight_decay W_k + gain_k / batch * post_k^T pre_k
    W_k <- W_k + eta V_k

This is PyTorch's SGD with its sign turned: a local rule already points downhill. Every method uses it, so a
comparison of methods compares their factors alone. Biases have a presynaptic rate of one and no decay.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lavaghost.base.names import Decay
from lavaghost.dynamics import Parameters
from lavaghost.numbers.arithmetic import Array, add_scaled, gemm


class Factors(NamedTuple):
    """A weight change before it is multiplied out: `gain * mean over the batch of post^T pre`."""

    post: Array
    pre: Array
    gain: float


def learning_rate(eta: float, decay: Decay, progress: float) -> float:
    """Eta at `progress` (0 at the start, 1 at the end): constant, linear to 0, or half a cosine to 0."""
    if decay == "linear":
        return eta * (1.0 - progress)
    if decay == "cosine":
        return eta * 0.5 * (1.0 + math.cos(math.pi * progress))
    return eta


class Momentum:
    """Velocities of one run, updated in place together with the weights."""

    groups = ("weights", "biases")
    """The groups of `Parameters` that have a velocity."""

    def __init__(self, params: Parameters, momentum: float, weight_decay: float) -> None:
        self.momentum, self.weight_decay = momentum, weight_decay
        self.weights = [np.zeros_like(w) for w in params.weights]
        self.biases = [np.zeros_like(b) for b in params.biases]

    def named(self) -> dict[str, Array]:
        """Every velocity under the name of its parameter, such as `weights.1`."""
        return {f"{g}.{k}": v for g in self.groups for k, v in enumerate(getattr(self, g), start=1)}

    def restore(self, arrays: dict[str, Array]) -> None:
        """Take velocities back from `named`."""
        for name, velocity in self.named().items():
            velocity[:] = arrays[name]

    def apply(self, params: Parameters, factors: Sequence[Factors | None], eta: float) -> None:
        """One step of size `eta`; a layer whose factors are None stays as it is."""
        for k, factor in enumerate(factors):
            if factor is None:
                continue
            post, pre, gain = factor
            velocity, weights = self.weights[k], params.weights[k]
            # not by gemm's beta: OpenBLAS scales with it in a pass that is slower than this one
            velocity *= self.momentum
            if self.weight_decay:
                add_scaled(weights, velocity, -self.weight_decay)
            gemm(post, pre, velocity, alpha=gain / len(post), beta=1.0, trans_a=True)
            add_scaled(velocity, weights, eta)
            bias_velocity = self.biases[k]
            bias_velocity *= self.momentum
            bias_velocity += post.sum(axis=0) * (gain / len(post))
            add_scaled(bias_velocity, params.biases[k], eta)
