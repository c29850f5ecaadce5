"""Runs an exported file on a runtime that is not ours, and compares it with our own outputs.

The tolerance is not chosen but derived: it is how far two float32 evaluations of this network on these
samples can be apart by rounding (see `rounding`). Whatever differs by more computes something else.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lavaghost.arithmetic import Array
from lavaghost.dynamics.parameters import Parameters
from lavaghost.errors import DataError, ExportError
from lavaghost.spec import Network
from lavaghost.trained import TrainedNetwork

UNIT = 2.0**-24
"""Unit roundoff of float32, round to nearest."""
TINY = float(np.finfo(np.float32).tiny)
"""What a product may lose when it underflows, or when a runtime flushes denormals to zero."""
LAMBDA = 8.0
"""Standard deviations of rounding that are tolerated: one logit in 1e13 has more by chance."""
WHOLE = 1e-3
"""Raw samples all this near to integers are integers that were scaled."""
VALUES = 1 << 23
"""Most values of one array while the tolerance is computed."""


def _onnxruntime(file: Path, raw: Array, network: Network) -> Any:
    from lavaghost.exporters.run_onnx import run

    return run(file, raw, network)


Runner = Callable[[Path, Array, Network], Any]
"""(file, raw samples (samples, n_0) float32, network) -> an object with `logits` and `labels`."""

RUNTIMES: Mapping[str, Runner] = {"onnxruntime": _onnxruntime}


@dataclass(frozen=True)
class Agreement:
    """How a file compares with the network that it was exported from.

    accuracy             of the file's labels; reference_accuracy: of our own
    label_agreement      share of samples on which both give the same label
    max_abs_difference   of the file's logits from those of the network that it holds
    tolerance            the largest difference that rounding explains on these samples
    approximation        largest difference of the free phase from the feedforward pass that the file holds:
                         0 where ghosts cancel exactly, measured for `learned` ones
    passed               every logit is within its own tolerance, and every label agrees where
                         the margin to the second best logit is more than twice that
    """

    runtime: str
    samples: int
    accuracy: float
    reference_accuracy: float
    label_agreement: float
    max_abs_difference: float
    tolerance: float
    approximation: float
    passed: bool


def verify(
    file: Path | str,
    trained: TrainedNetwork,
    x: Array,
    y: Array,
    *,
    reference: Callable[[Array], Array],
    runtime: str = "onnxruntime",
    limit: int | None = None,
) -> Agreement:
    """Run `file` on the first `limit` samples and compare.

    x          scaled samples (samples, n_0); the file gets x / input_scale, as whole numbers if it was
    y          class numbers (samples,)
    reference  our own free-phase outputs: (batch, n_0) -> (batch, n_L)

    Raises `ExportError` if the file or the runtime cannot be used, `DataError` if the samples do not fit,
    and `MissingError` if the runtime is not installed.
    """
    network = trained.network
    if runtime not in RUNTIMES:
        raise ExportError(f"no runtime {runtime!r}; there are {', '.join(sorted(RUNTIMES))}")
    x, y = np.asarray(x[:limit], np.float32), np.asarray(y[:limit])
    if x.ndim != 2 or x.shape[1] != network.layers[0] or y.shape != x.shape[:1] or not len(x):
        raise DataError(
            f"samples are {x.shape} with labels {y.shape}; the network needs (samples, "
            f"{network.layers[0]}) and (samples,), and at least one"
        )
    raw = raw_samples(x, trained.input_scale)
    found = RUNTIMES[runtime](Path(file), raw, network)

    holds, tolerance, ours = [], [], []
    size = max(1, min(1000, VALUES // (network.layers[-1] * max(network.layers[1:]))))
    for start in range(0, len(x), size):
        part = slice(start, start + size)
        exact, difference = rounding(network, trained.params, x[part])
        seen = _scaled(raw[part], trained.input_scale)
        if not np.array_equal(seen, x[part]):
            moved = _drives(network, trained.params, seen)[-1][1]
            difference = difference + np.abs(moved - exact)
        ours.append(np.asarray(reference(x[part])))
        # the file holds the feedforward pass; only `learned` ghosts make the free phase another one
        holds.append(exact if network.mechanism == "learned" else ours[-1])
        tolerance.append(difference)
    expected, bound, free = (np.concatenate(parts) for parts in (holds, tolerance, ours))
    return _compare(runtime, found, y, expected, bound, free)


def _compare(runtime: str, found: Any, y: Array, expected: Array, bound: Array, free: Array) -> Agreement:
    difference = np.abs(found.logits.astype(np.float64) - expected)
    difference[np.isnan(difference)] = math.inf
    labels, own = found.labels, free.argmax(axis=1)
    clear = _margin(expected) > 2.0 * bound.max(axis=1)
    agree = labels == expected.argmax(axis=1)
    return Agreement(
        runtime=runtime,
        samples=len(y),
        accuracy=float(np.mean(labels == y)),
        reference_accuracy=float(np.mean(own == y)),
        label_agreement=float(np.mean(labels == own)),
        max_abs_difference=float(difference.max()),
        tolerance=float(bound.max()),
        approximation=float(np.abs(expected.astype(np.float64) - free).max()),
        passed=bool(np.all(difference <= bound) and np.all(agree | ~clear)),
    )


def _margin(logits: Array) -> Array:
    """Best minus second best logit, `(batch,)`."""
    if logits.shape[1] < 2:
        return np.full(len(logits), math.inf)
    two = np.partition(logits, -2, axis=1)[:, -2:]
    return two[:, 1] - two[:, 0]


def raw_samples(x: Array, input_scale: float) -> Array:
    """x / input_scale in float32: what a file was made to be fed with."""
    raw = x / np.float32(input_scale)
    whole = np.rint(raw)
    return whole if np.all(np.abs(raw - whole) <= WHOLE) else raw


def _scaled(raw: Array, input_scale: float) -> Array:
    """What a file makes of raw samples: one float32 product, the same on every runtime."""
    return raw if input_scale == 1.0 else raw * np.float32(input_scale)


class Rounded(NamedTuple):
    """Exact logits, and how far two float32 evaluations of them can be apart. Both `(batch, n_L)`."""

    logits: Array
    difference: Array


def rounding(network: Network, params: Parameters, x: Array) -> Rounded:
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
    drives = _drives(network, params, x)
    passes, deviations = [], []
    for k, (rate, drive) in enumerate(drives, start=1):
        weights, biases = _layer(params, k)
        # the bias is one more, and a runtime may fuse the input's scaling into the product
        n = weights.shape[1] + 3
        summed = np.abs(rate) @ np.abs(weights).T + np.abs(biases)
        sigma = math.sqrt(2.0 * n) * UNIT * summed + n * TINY
        deviations.append(sigma)
        # a unit that rounding may carry over its threshold counts as active
        reach = LAMBDA * sigma
        passes.append((drive > -reach) & (drive < network.r_max + reach))
    exact = drives[-1][1]
    variance = np.zeros_like(exact)
    slope = np.eye(network.layers[-1])[None]
    for k in range(network.depth, 0, -1):
        # (batch, n_L, n_k) times (batch, n_k)
        variance += ((slope * slope) @ (deviations[k - 1] ** 2)[:, :, None])[:, :, 0]
        if k > 1:
            slope = (slope @ _layer(params, k)[0]) * passes[k - 2][:, None, :]
    return Rounded(exact, LAMBDA * np.sqrt(variance))


def _drives(network: Network, params: Parameters, x: Array) -> list[tuple[Array, Array]]:
    """(r_{k-1}, W_k r_{k-1} + b_k) of the feedforward pass in float64, for k = 1..L."""
    found = []
    rate = x.astype(np.float64)
    for k in range(1, network.depth + 1):
        weights, biases = _layer(params, k)
        drive = rate @ weights.T + biases
        found.append((rate, drive))
        # every float32 evaluation holds the saturation as a float32
        rate = np.clip(drive, 0.0, float(np.float32(network.r_max)))
    return found


def _layer(params: Parameters, k: int) -> tuple[Array, Array]:
    return params.weights[k - 1].astype(np.float64), params.biases[k - 1].astype(np.float64)
