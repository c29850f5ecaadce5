"""What a value in an imported graph is, of the rates of the layer below: the algebra of folding, as pure functions.

    Affine   a = M r_k + c, or g * r_k[pick] + c before any weights      (r_0 is the input)
    Clipped  clip(a, low, high), not yet a layer
    Compared whether a is above a number
    Answer   what a classifier makes of its logits: scores in the same order, a probability, a label
    Sizes    a list of sizes, one of which is that of a batch

All is computed in double precision and rounded once, when the network is built. Numbers that meet nothing to be
folded with stay what they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from lavaghost.exporters.onnx_import.model_graph import ModelNode
from lavaghost.exporters.onnx_import.tensors import RefusedError
from lavaghost.numbers.arithmetic import Array

MAX_VALUES = 1 << 26
"""Most numbers of one array that folding may make; more than a file of 2 GiB needs."""


@dataclass(frozen=True)
class Affine:
    """M r_k + c with k = `layer`, or g * r_k[pick] + c while `matrix` is None.

    shape   of one sample; () is one number
    units   n_k
    matrix  M (m, n_k)
    pick    which unit of r_k stands where, (m,); None is all of them in order
    gain    g () or (m,); None is 1
    offset  c (m,); None is 0
    kind    element type in the file
    scale   of r_0 = raw * scale, where the factor of a raw input is not in M
    """

    layer: int
    shape: tuple[int, ...]
    units: int
    matrix: Array | None = None
    pick: Array | None = None
    gain: Array | None = None
    offset: Array | None = None
    kind: str = "float32"
    scale: float = 1.0

    @property
    def size(self) -> int:
        """m, the values of one sample."""
        return int(np.prod(self.shape, dtype=np.int64))

    def equals(self, other: "Affine") -> bool:
        """Whether both are the same numbers, in whatever shape."""
        arrays = ("matrix", "pick", "gain", "offset")
        same = all(getattr(self, name) is getattr(other, name) for name in arrays)
        return same and (self.layer, self.scale) == (other.layer, other.scale)


@dataclass(frozen=True, eq=False)
class Clipped:
    """clip(value, low, high), what `node` makes; a layer as soon as something is computed from it."""

    value: Affine
    low: float
    high: float
    node: ModelNode
    hard: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return self.value.shape


@dataclass(frozen=True)
class Compared:
    """value > 0, or value >= 0."""

    value: Affine


@dataclass(frozen=True)
class Answer:
    """What follows the logits and changes no decision.

    kind      `scores` in the order of the logits; `chance` of class 1 out of one logit, `counter` is 1 - chance;
              `label`, the index or name of the largest
    shape     of one sample
    classes   names of the outputs, where the file has them
    low       lower bound of the scores
    node      what made it, and `reason` is why nothing but an answer may follow
    """

    kind: Literal["scores", "chance", "counter", "label"]
    logits: Affine
    shape: tuple[int, ...]
    classes: tuple[int | str, ...] | None = None
    binary: bool = False
    low: float = -np.inf
    node: ModelNode | None = None
    reason: str = ""


class OpenBatch:
    """The size of a batch that the file leaves open."""

    def __repr__(self) -> str:
        return "N"


BATCH = OpenBatch()


@dataclass(frozen=True)
class DimSizes:
    """Integers, and BATCH among them, in an array of objects."""

    values: Array


def scaled(value: Affine, factor: Array | float) -> Affine:
    """factor * value; `factor` is () or (m,)."""
    by = finite(np.asarray(factor, np.float64))
    offset = None if value.offset is None else finite(value.offset * by)
    if value.matrix is not None:
        column = by if by.ndim == 0 else by[:, None]
        return replace(value, matrix=finite(value.matrix.astype(np.float64) * column), offset=offset)
    gain = by if value.gain is None else finite(value.gain * by)
    return replace(value, gain=gain, offset=offset)


def shift_of(value: Affine, constant: Array | float) -> Affine:
    """value + constant; `constant` is () or (m,)."""
    if value.offset is None:
        return replace(value, offset=finite(np.broadcast_to(constant, (value.size,))))
    return replace(value, offset=finite(value.offset.astype(np.float64) + constant))


def moved(value: Affine, index: Array) -> Affine:
    """The numbers of `value` at these places of its flat order, in the shape of `index`."""
    flat = index.reshape(-1)
    if flat.size == value.size and np.array_equal(flat, np.arange(value.size)):
        return replace(value, shape=index.shape)
    offset = None if value.offset is None else value.offset[flat]
    if value.matrix is not None:
        if flat.size * value.units > MAX_VALUES:
            raise RefusedError(f"would make more than {MAX_VALUES} weights")
        return replace(value, shape=index.shape, matrix=value.matrix[flat], offset=offset)
    pick = flat if value.pick is None else value.pick[flat]
    gain = value.gain[flat] if value.gain is not None and value.gain.ndim else value.gain
    return replace(value, shape=index.shape, pick=pick, gain=gain, offset=offset)


def product_of(weights: Array, value: Affine) -> Affine:
    """W value for W `(m, n)`, along the last axis: gain and offset of a rate go into the weights and the bias."""
    weights = finite(weights)
    n = weights.shape[-1] if weights.ndim == 2 else 0
    if not weights.size or value.shape[-1:] != (n,):
        raise RefusedError(f"multiplies weights {weights.shape} with {value.shape} values per sample")
    m, rows = len(weights), value.size // n
    if m * rows * value.units > MAX_VALUES:
        raise RefusedError(f"would fold into more than {MAX_VALUES} weights; put a Relu between the layers")
    offset = None
    if value.offset is not None:
        each = value.offset.astype(np.float64).reshape(rows, n)
        offset = finite(each @ weights.T.astype(np.float64)).reshape(-1)
    if value.matrix is not None or rows > 1:
        matrix = dense(value)[0].astype(np.float64).reshape(rows, n, value.units)
        matrix = finite(weights.astype(np.float64) @ matrix).reshape(m * rows, value.units)
    else:
        matrix = weights if value.gain is None else finite(weights.astype(np.float64) * value.gain)
        matrix = matrix if value.pick is None else _spread(matrix, value.pick, value.units)
    shape = (*value.shape[:-1], m)
    return replace(value, shape=shape, matrix=matrix, pick=None, gain=None, offset=offset)


def _spread(matrix: Array, pick: Array, units: int) -> Array:
    """Columns at the units that they belong to; what belongs to one unit is added up."""
    if len(np.unique(pick)) == len(pick):
        whole = np.zeros((len(matrix), units), matrix.dtype)
        whole[:, pick] = matrix
        return whole
    whole = np.zeros((units, len(matrix)))
    np.add.at(whole, pick, matrix.T)
    return finite(np.ascontiguousarray(whole.T))


def sum_of(one: Affine, other: Affine) -> Affine:
    """The sum of two values of one layer, in one shape."""
    one, other = _of_one_scale([one, other])
    (m1, c1), (m2, c2) = dense(one), dense(other)
    matrix, offset = finite(m1.astype(np.float64) + m2), finite(c1.astype(np.float64) + c2)
    return replace(one, matrix=matrix, pick=None, gain=None, offset=offset)


def stacked(parts: Sequence[Affine], index: Array) -> Affine:
    """Values of one layer one behind the other, then moved to the places that `index` says."""
    parts = _of_one_scale(parts)
    first, size = parts[0], sum(part.size for part in parts)
    if any(part.matrix is not None for part in parts):
        pairs_of = [dense(part) for part in parts]
        matrix = np.concatenate([matrix for matrix, _ in pairs_of])
        whole = replace(first, shape=(size,), matrix=matrix, pick=None, gain=None)
        return moved(replace(whole, offset=np.concatenate([offset for _, offset in pairs_of])), index)
    picks = [np.arange(part.size) if part.pick is None else part.pick for part in parts]
    gains = [np.broadcast_to(1.0 if part.gain is None else part.gain, part.size) for part in parts]
    offsets = [np.zeros(part.size) if part.offset is None else part.offset for part in parts]
    gain = np.concatenate(gains) if any(part.gain is not None for part in parts) else None
    offset = np.concatenate(offsets) if any(part.offset is not None for part in parts) else None
    return moved(replace(first, shape=(size,), pick=np.concatenate(picks), gain=gain, offset=offset), index)


def _of_one_scale(parts: Sequence[Affine]) -> list[Affine]:
    """Values of the input that have one factor of it, in their weights if it was not the same."""
    if len({part.scale for part in parts}) == 1:
        return list(parts)
    return [part if part.scale == 1 else scaled_input(part) for part in parts]


def scaled_input(value: Affine) -> Affine:
    """The factor of the input in the weights."""
    matrix = dense(value)[0].astype(np.float64) * value.scale
    return replace(value, matrix=finite(matrix), pick=None, gain=None, scale=1.0)


def summed(value: Affine, index: Array, factor: float) -> Affine:
    """factor * the sum along the last axis of `index`, places in the flat order of `value`."""
    matrix, offset = dense(value)
    if index.size * value.units > MAX_VALUES:
        raise RefusedError(f"would make more than {MAX_VALUES} weights")
    matrix = finite(factor * matrix.astype(np.float64)[index].sum(axis=-2)).reshape(-1, value.units)
    offset = finite(factor * offset.astype(np.float64)[index].sum(axis=-1)).reshape(-1)
    return replace(value, shape=index.shape[:-1], matrix=matrix, pick=None, gain=None, offset=offset)


def pairs(logits: Affine) -> tuple[Affine, Affine]:
    """A linear classifier as a network with one hidden layer: z = relu(z) - relu(-z), exactly, for each output."""
    matrix, offset = dense(logits)
    m = len(matrix)
    if 2 * m * m > MAX_VALUES:
        raise RefusedError(
            f"has {m} linear outputs, which as a hidden layer need more than {MAX_VALUES} weights"
        )
    both = np.concatenate([matrix, -matrix])
    hidden = replace(logits, shape=(2 * m,), matrix=both, offset=np.concatenate([offset, -offset]))
    one = np.eye(m)
    return hidden, Affine(1, (m,), 2 * m, np.concatenate([one, -one], axis=1))


def dense(value: Affine) -> tuple[Array, Array]:
    """(M, c), also of a value that has no weights yet: then M has one number in each row."""
    offset = np.zeros(value.size) if value.offset is None else value.offset
    if value.matrix is not None:
        return value.matrix, offset
    if value.size * value.units > MAX_VALUES:
        raise RefusedError(f"would make more than {MAX_VALUES} weights")
    rows = np.arange(value.size)
    matrix = np.zeros((value.size, value.units))
    matrix[rows, rows if value.pick is None else value.pick] = 1.0 if value.gain is None else value.gain
    return matrix, offset


def broadcast(value: Affine, shape: tuple[int, ...], lead: int) -> tuple[Affine, tuple[int, ...]]:
    """`value` beside an array of this shape, and the shape of both with `lead` axes of the batch in front.

    Broadcast as ONNX does it, and refused where that would mix or repeat samples.
    """
    own = (1,) * lead + value.shape
    try:
        both = np.broadcast_shapes(shape, own)
    except ValueError:
        raise RefusedError(f"broadcasts {shape} over samples {value.shape}") from None
    if (len(both) != len(own) and lead) or both[:lead] != (1,) * lead:
        raise RefusedError(f"broadcasts {shape} over the samples of a batch; give it one number for each value")
    if int(np.prod(both, dtype=np.float64)) > MAX_VALUES:
        raise RefusedError(f"broadcasts to {both}, more than {MAX_VALUES} values")
    index = np.broadcast_to(np.arange(value.size).reshape(own), both)
    return moved(value, index.reshape(both[lead:])), both


def along(constant: Any, value: Affine, lead: int) -> tuple[Affine, Array]:
    """`value` and a constant that meet elementwise; the constant is () if it is one number, else `(m,)`."""
    if not isinstance(constant, np.ndarray) or constant.dtype.kind not in "fiu":
        raise RefusedError("combines a computed value with something that is no constant number")
    if constant.size == 1 and constant.ndim <= len(value.shape) + lead:
        return value, constant.reshape(())
    value, both = broadcast(value, constant.shape, lead)
    return value, np.broadcast_to(constant, both).reshape(-1)


def finite(numbers: Array) -> Array:
    """`numbers`, if all are. Raises `RefusedError`."""
    if not np.isfinite(numbers).all():
        raise RefusedError("gives numbers that are NaN or infinite")
    return numbers
