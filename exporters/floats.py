"""The feedforward pass in floating point: its exact values, and how far two evaluations can be apart.

The tolerance is not chosen but derived: it is how far two float32 evaluations of this network on these
samples can be apart by rounding (see `rounding`). Whatever differs by more computes something else.
"""

import math
from typing import NamedTuple

import numpy as np

from lavaghost.datasets import raw_samples
from lavaghost.exporters.base import Expected
from lavaghost.model.model import Model
from lavaghost.net.graph import Graph
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array

__all__ = ["float_expected", "model_rates", "raw_samples", "rounding"]

UNIT = 2.0**-24
"""Unit roundoff of float32, round to nearest."""
TINY = float(np.finfo(np.float32).tiny)
"""What a product may lose when it underflows, or when a runtime flushes denormals to zero."""
LAMBDA = 8.0
"""Standard deviations of rounding that are tolerated: one logit in 1e13 has more by chance."""
VALUES = 1 << 23
"""Most values of one array while the tolerance is computed."""


def float_expected(trained: Model, raw: Array) -> Expected:
    """What a float32 file of the feedforward pass must answer for `raw (samples, n_0)`."""
    network = trained.network
    x = model_rates(raw, trained.input_scale)
    size = max(1, min(1000, VALUES // (network.layers[-1] * max(network.layers[1:]))))
    parts = [rounding(trained.graph, trained.params, x[i : i + size]) for i in range(0, len(x), size)]
    logits, tolerance = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Expected(logits, tolerance, exact=False, labels=logits.argmax(axis=1))


def model_rates(raw: Array, input_scale: float) -> Array:
    """What a file makes of raw samples: one float32 product, the same on every runtime."""
    return raw if input_scale == 1.0 else raw * np.float32(input_scale)


class Rounded(NamedTuple):
    """Exact logits, and how far two float32 evaluations of them can be apart. Both `(batch, n_L)`."""

    logits: Array
    difference: Array


def rounding(graph: Graph, params: Parameters, x: Array) -> Rounded:
    """How far two float32 evaluations of the feedforward pass can be apart by rounding alone.

    A dot product of n numbers, summed in any order, fused or not, has an error of at most

        gamma_n |W| |r|,  gamma_n = n u / (1 - n u)    N. J. Higham, Accuracy and Stability of Numerical
                                                       Algorithms, 2nd ed., SIAM 2002, section 3.1

    That needs all roundings to err in one direction, and through two or three layers it adds up to more than
    the logits themselves. If roundings are independent and of zero mean, an error is sub-Gaussian with the
    deviation below, sqrt(n) in the place of n (N. J. Higham and T. Mary, SIAM J. Sci. Comput. 41, A2815,
    2019), and errors of different units add as variances, weighted by the exact slope J_k of
    the logits in the drive of layer k:

        sigma_k = sqrt(n) u (|W_k| |r_{k-1}| + |b_k|)      error^2 = lambda^2 sum_k J_k^2 sigma_k^2

    One logit exceeds it with a probability of 2 exp(-lambda^2 / 2). Two evaluations have twice the variance.
    The exact values are computed in float64, whose own rounding is 2^29 times smaller.
    """
    drives = _drives(graph, params, x)
    passes, deviations = [], []
    for k, (rate, drive) in enumerate(drives, start=1):
        weights, biases = _layer(graph, params, k)
        # the bias is one more, and a runtime may fuse the input's scaling into the product
        n = weights.shape[1] + 3
        summed = np.abs(rate) @ np.abs(weights).T + np.abs(biases)
        sigma = math.sqrt(2.0 * n) * UNIT * summed + n * TINY
        deviations.append(sigma)
        # a unit that rounding may carry over its threshold counts as active
        reach = LAMBDA * sigma
        passes.append((drive > -reach) & (drive < graph.r_max + reach))
    exact = drives[-1][1]
    variance = np.zeros_like(exact)
    slope = np.eye(graph.layers[-1])[None]
    for k in range(graph.depth, 0, -1):
        # (batch, n_L, n_k) times (batch, n_k)
        variance += ((slope * slope) @ (deviations[k - 1] ** 2)[:, :, None])[:, :, 0]
        if k > 1:
            slope = (slope @ _layer(graph, params, k)[0]) * passes[k - 2][:, None, :]
    return Rounded(exact, LAMBDA * np.sqrt(variance))


def _drives(graph: Graph, params: Parameters, x: Array) -> list[tuple[Array, Array]]:
    """(r_{k-1}, W_k r_{k-1} + b_k) of the feedforward pass in float64, for k = 1..L."""
    found = []
    rate = x.astype(np.float64)
    for k in range(1, graph.depth + 1):
        weights, biases = _layer(graph, params, k)
        drive = rate @ weights.T + biases
        found.append((rate, drive))
        # every float32 evaluation holds the saturation as a float32
        rate = np.clip(drive, 0.0, float(np.float32(graph.r_max)))
    return found


def _layer(graph: Graph, params: Parameters, k: int) -> tuple[Array, Array]:
    matrix = graph.up[k - 1].matrix(params.weights[k - 1])
    return matrix.astype(np.float64), params.biases[k - 1].astype(np.float64)
