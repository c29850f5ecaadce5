"""What a value in an imported graph is, of the rates of the layer below: the algebra of folding, as pure functions.

    Affine   a = M r_k + c, or g * r_k + c before any weights      (r_0 is the input)
    Answer   what a classifier makes of its logits: scores in the same order, a probability, a label

All is computed in double precision and rounded once, when the network is built. Numbers that meet nothing to be
folded with stay what they are.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from lavaghost.arithmetic import Array
from lavaghost.exporters.import_graph import RefusedError

MAX_VALUES = 1 << 26
"""Most numbers of one array that folding may make; more than a file of 2 GiB needs."""


@dataclass(frozen=True)
class Affine:
    """M r_k + c with k = `layer`, or g * r_k + c while `matrix` is None.

    shape   of one sample; () of a scalar does not occur
    matrix  M (m, n_k)
    gain    g () or (n_k,); None is 1
    offset  c (m,); None is 0
    """

    layer: int
    shape: tuple[int, ...]
    matrix: Array | None = None
    gain: Array | None = None
    offset: Array | None = None

    @property
    def size(self) -> int:
        """m, the values of one sample."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def plain(self) -> bool:
        """Whether it is r_k itself."""
        return self.matrix is None and self.gain is None and self.offset is None


@dataclass(frozen=True)
class Answer:
    """What follows the logits and changes no decision.

    kind      `scores` in the order of the logits; `chance` of class 1 out of one logit, `counter` is 1 - chance;
              `label`, the index or name of the largest
    classes   names of the outputs, where the file has them
    """

    kind: Literal["scores", "chance", "counter", "label"]
    logits: Affine
    classes: tuple[int | str, ...] | None = None
    binary: bool = False


def scaled(value: Affine, factor: Array | float) -> Affine:
    """factor * value; `factor` is () or (m,)."""
    by = finite(np.asarray(factor, np.float64))
    offset = None if value.offset is None else finite(value.offset * by)
    if value.matrix is not None:
        column = by if by.ndim == 0 else by[:, None]
        return replace(value, matrix=finite(value.matrix.astype(np.float64) * column), offset=offset)
    gain = by if value.gain is None else finite(value.gain * by)
    return replace(value, gain=gain, offset=offset)


def shifted(value: Affine, constant: Array | float) -> Affine:
    """value + constant; `constant` is () or (m,)."""
    if value.offset is None:
        return replace(value, offset=finite(np.broadcast_to(constant, (value.size,))))
    return replace(value, offset=finite(value.offset.astype(np.float64) + constant))


def multiplied(weights: Array, value: Affine) -> Affine:
    """W value for W `(m, n)`: gain and offset of a rate go into the weights and the bias."""
    weights = finite(weights)
    if weights.ndim != 2 or len(value.shape) != 1 or weights.shape[1] != value.size or not weights.size:
        raise RefusedError(f"multiplies weights {weights.shape} with {value.shape} values per sample")
    offset = None
    if value.offset is not None:
        offset = finite(weights.astype(np.float64) @ value.offset.astype(np.float64))
    matrix = weights
    if value.matrix is not None:
        if len(weights) * value.matrix.shape[1] > MAX_VALUES:
            raise RefusedError(f"would fold into more than {MAX_VALUES} weights; put a Relu between the layers")
        matrix = finite(weights.astype(np.float64) @ value.matrix.astype(np.float64))
    elif value.gain is not None:
        matrix = finite(weights.astype(np.float64) * value.gain)
    return Affine(value.layer, (len(weights),), matrix, None, offset)


def pairs(logits: Affine) -> tuple[Affine, Affine]:
    """A linear classifier as a network with one hidden layer: z = relu(z) - relu(-z), exactly, for each output."""
    matrix, offset = dense(logits)
    m = len(matrix)
    if 2 * m * m > MAX_VALUES:
        raise RefusedError(
            f"has {m} linear outputs, which as a hidden layer need more than {MAX_VALUES} weights"
        )
    hidden = Affine(0, (2 * m,), np.concatenate([matrix, -matrix]), None, np.concatenate([offset, -offset]))
    one = np.eye(m)
    return hidden, Affine(1, (m,), np.concatenate([one, -one], axis=1))


def dense(value: Affine) -> tuple[Array, Array]:
    """(M, c) of a value that has weights."""
    if value.matrix is None:
        raise RefusedError("has no weights before it")
    offset = np.zeros(len(value.matrix)) if value.offset is None else value.offset
    return value.matrix, offset


def along(constant: Any, value: Affine) -> Array:
    """A constant that meets `value` elementwise: () if it is one number, else `(m,)`, one for each.

    Broadcast as ONNX does it, over the batch as well, which must not differ from sample to sample.
    """
    if not isinstance(constant, np.ndarray) or constant.dtype.kind not in "fiu":
        raise RefusedError("combines a computed value with something that is no constant number")
    if constant.size == 1 and constant.ndim <= len(value.shape) + 1:
        return constant.reshape(())
    try:
        whole = np.broadcast_to(constant, (1, *value.shape))
    except ValueError:
        raise RefusedError(f"broadcasts a constant {constant.shape} over samples {value.shape}") from None
    return whole.reshape(-1)


def finite(numbers: Array) -> Array:
    """`numbers`, if all are. Raises `RefusedError`."""
    if not np.isfinite(numbers).all():
        raise RefusedError("gives numbers that are NaN or infinite")
    return numbers
