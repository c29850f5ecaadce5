"""Stochastic gradient descent with momentum on factored changes.

    V <- momentum V - weight_decay W + gain / batch * post^T pre        (the product is that of the projection's kind)
    W <- W + eta V

This is PyTorch's SGD with its sign turned: a local rule already points downhill. Every method uses it, so a
comparison of methods compares their factors alone. Biases have a presynaptic rate of one and no decay.
"""

import math
from collections.abc import Mapping

import numpy as np

from lavaghost.base.names import Decay
from lavaghost.methods.base import Changes
from lavaghost.net.graph import Graph
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array, add_scaled


def learning_rate(eta: float, decay: Decay, progress: float) -> float:
    """Eta at `progress` (0 at the start, 1 at the end): constant, linear to 0, or half a cosine to 0."""
    if decay == "linear":
        return eta * (1.0 - progress)
    if decay == "cosine":
        return eta * 0.5 * (1.0 + math.cos(math.pi * progress))
    return eta


def learned_tensors(graph: Graph) -> tuple[str, ...]:
    """Tensors that have a velocity: weights, biases, and feedback that a method learns by factors."""
    depth = [k for k in range(1, graph.depth + 1) if graph.learns(k)]
    feedback = [p.tensor for p in graph.back if p.own and p.plastic and p.tensor is not None]
    return (*(f"weights.{k}" for k in depth), *(f"biases.{k}" for k in depth), *feedback)


class Momentum:
    """Velocities of one run, updated in place together with the tensors."""

    def __init__(self, graph: Graph, params: Parameters, momentum: float, weight_decay: float) -> None:
        self.graph, self.momentum, self.weight_decay = graph, momentum, weight_decay
        self._tensors, self._params, self._arrays = graph.tensors, params, params.named()
        self._velocities = {name: np.zeros_like(self._arrays[name]) for name in learned_tensors(graph)}

    def named(self) -> dict[str, Array]:
        """Every velocity under the name of its tensor, such as `weights.1`."""
        return dict(self._velocities)

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Take velocities back from `named`."""
        for name, velocity in self._velocities.items():
            velocity[:] = arrays[name]

    def apply(self, params: Parameters, changes: Changes, eta: float) -> None:
        """One step of size `eta`; a tensor without factors, or of a layer that does not learn, stays as it is."""
        if params is not self._params:
            self._params, self._arrays = params, params.named()
        arrays = self._arrays
        for name, (post, pre, gain) in changes.factors.items():
            if name not in self._velocities:
                continue
            velocity, weights = self._velocities[name], arrays[name]
            # not by the product's beta: OpenBLAS scales with it in a pass that is slower than this one
            velocity *= self.momentum
            if self.weight_decay:
                add_scaled(weights, velocity, -self.weight_decay)
            self._tensors[name].correlate(post, pre, velocity, gain / len(post), 1.0)
            add_scaled(velocity, weights, eta)
            bias = name.replace("weights.", "biases.")
            if bias != name:
                self._apply_bias(arrays[bias], bias, post, gain, eta)
        for name, change in changes.add.items():
            own = arrays[name]
            own += change.astype(own.dtype, copy=False)
        for name, other in changes.follow.items():
            if other not in self._velocities:
                continue
            add_scaled(self._velocities[other], arrays[name], eta)

    def _apply_bias(self, bias: Array, name: str, post: Array, gain: float, eta: float) -> None:
        velocity = self._velocities[name]
        velocity *= self.momentum
        velocity += post.sum(axis=0) * (gain / len(post))
        add_scaled(velocity, bias, eta)
