"""Operators that change only where a number stands, for constants, sizes of shapes, and values of the network.

Each is a function of one array. What it does to a value of the network is what it does to the places of its numbers,
with one sample for all. `lead` is 1 where axis 0 is the samples of a batch: those stay where they are.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lavaghost.exporters.onnx_import.model_graph import ModelNode
from lavaghost.exporters.onnx_import.ops import attribute, axis_of, take, whole
from lavaghost.exporters.onnx_import.spine import Spine
from lavaghost.exporters.onnx_import.tensors import MAX_RANK, RefusedError
from lavaghost.exporters.onnx_import.values import BATCH, Affine, Answer, Clipped, DimSizes, moved
from lavaghost.numbers.arithmetic import Array

Move = Callable[[ModelNode, Array, Sequence[Any], Spine, int], list[Array]]
FAR = 2**31 - 1
"""An end behind every axis."""


def relocate(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """One of `MOVES` on whatever kind of value it is given."""
    value = inputs[0] if inputs else None
    move = MOVES[node.op]
    if isinstance(value, np.ndarray):
        found = [np.asarray(part) for part in move(node, value, inputs, chain, 0)]
        chain.spend(sum(part.size for part in found))
        return tuple(found)
    if isinstance(value, DimSizes):
        return tuple(
            sizes_or_array(np.asarray(part, object)) for part in move(node, value.values, inputs, chain, 0)
        )
    if not isinstance(value, Affine | Clipped | Answer):
        raise RefusedError("its input is neither a constant nor computed from the input")
    size = math.prod(value.shape)
    places = np.arange(size).reshape((1,) * chain.lead + value.shape)
    found = [part.reshape(part.shape[chain.lead :]) for part in move(node, places, inputs, chain, chain.lead)]
    return tuple(_placed(node, value, part, chain) for part in found)


def sizes_or_array(values: Array) -> Array | DimSizes:
    """Sizes without BATCH among them are integers like any other."""
    return DimSizes(values) if any(entry is BATCH for entry in values.flat) else values.astype(np.int64)


def _placed(node: ModelNode, value: Affine | Clipped | Answer, places: Array, chain: Spine) -> Any:
    """The numbers of `value` at these places."""
    if not places.size:
        raise RefusedError("leaves no numbers")
    size = math.prod(value.shape)
    kept = places.size == size and np.array_equal(places.reshape(-1), np.arange(size))
    if isinstance(value, Answer):
        if not kept:
            raise RefusedError("chooses or reorders the scores of classes; give all of them in order")
        return replace(value, shape=places.shape)
    if isinstance(value, Clipped):
        return replace(value, value=_placed(node, value.value, places, chain))
    if not kept:
        chain.spend(places.size * (value.units if value.matrix is not None else 1))
        chain.note(node, "a choice of values, into weights", value)
    return moved(value, places)


def _stays(axis: int, lead: int) -> None:
    if axis < lead:
        raise RefusedError("acts on the samples of a batch; only values of one sample may be moved")


def flatten(node: ModelNode, array: Array, inputs: Sequence[Any], chain: Spine, lead: int) -> list[Array]:
    """Two dimensions, cut before `axis`."""
    axis = attribute(node, "axis", 1)
    if not -array.ndim <= axis <= array.ndim:
        raise RefusedError(f"its axis {axis} is none of {array.ndim} dimensions")
    axis += array.ndim if axis < 0 else 0
    rows = math.prod(array.shape[:axis])
    # with one sample for all, the samples are the rows only if nothing else is in them
    if lead and (rows != 1 or axis == 0):
        raise RefusedError(f"mixes samples with their values (axis {axis}); use axis 1")
    return [array.reshape(rows, math.prod(array.shape[axis:]))]


def reshape(node: ModelNode, array: Array, inputs: Sequence[Any], chain: Spine, lead: int) -> list[Array]:
    """Reshape: 0 keeps a size, -1 is what is left."""
    target = inputs[1] if len(inputs) > 1 else None
    if isinstance(target, DimSizes):
        sizes = list(target.values.flat)
    else:
        sizes = [int(size) for size in integers(inputs, 1, "shape")]
    if len(sizes) > MAX_RANK:
        raise RefusedError(f"makes {len(sizes)} dimensions, more than {MAX_RANK}")
    if not attribute(node, "allowzero", 0):
        own = [BATCH, *array.shape[1:]] if lead else list(array.shape)
        if any(size == 0 for size in sizes[len(own) :]):
            raise RefusedError(f"keeps a size that is not there, {sizes!s:.40} of {own!s:.40}")
        sizes = [own[at] if size == 0 else size for at, size in enumerate(sizes)]
    said = f"makes the shape {sizes!s:.40} of samples {array.shape[lead:]}"
    if lead:
        first, *sizes = sizes or [0]
        own_batch = first is BATCH or (chain.batch is not None and first == chain.batch)
        fits = math.prod(size for size in sizes if isinstance(size, int)) == array.size
        if not own_batch and not (first == -1 and -1 not in sizes and fits):
            raise RefusedError(
                f"{said}, which moves values between samples; keep the batch first, as in (-1, n)"
            )
        sizes = [1, *sizes]
    if any(size is BATCH for size in sizes):
        raise RefusedError(f"{said}; the batch must come first")
    try:
        return [array.reshape(sizes)]
    except (ValueError, OverflowError):
        raise RefusedError(f"{said}, which does not fit") from None


def squeeze(node: ModelNode, array: Array, inputs: Sequence[Any], chain: Spine, lead: int) -> list[Array]:
    """Without axes of size 1."""
    ones = [axis for axis, size in enumerate(array.shape) if size == 1 and axis >= lead]
    axes = _axes(node, inputs, array.ndim, ones)
    for axis in axes:
        _stays(axis, lead)
    if any(array.shape[axis] != 1 for axis in axes):
        raise RefusedError(f"takes away axes {axes!s:.40} of the shape {array.shape}, which are not 1")
    return [array.reshape([size for axis, size in enumerate(array.shape) if axis not in axes])]


def unsqueeze(node: ModelNode, array: Array, inputs: Sequence[Any], chain: Spine, lead: int) -> list[Array]:
    """With more axes of size 1."""
    given = whole(node, "axes", []) or [int(axis) for axis in integers(inputs, 1, "axes")]
    rank = array.ndim + len(given)
    if rank > MAX_RANK:
        raise RefusedError(f"makes {rank} dimensions, more than {MAX_RANK}")
    axes = [axis_of(axis, rank) for axis in given]
    for axis in axes:
        _stays(axis, lead)
    left = iter(array.shape)
    if len(set(axes)) != len(axes):
        raise RefusedError(f"names an axis twice in {given!s:.40}")
    return [array.reshape([1 if axis in axes else next(left) for axis in range(rank)])]


def transpose(node: ModelNode, array: Array, inputs: Sequence[Any], chain: Spine, lead: int) -> list[Array]:
    """Other order of axes."""
    axes = whole(node, "perm", list(range(array.ndim))[::-1])
    if sorted(axes) != list(range(array.ndim)):
        raise RefusedError(f"has the axes {axes!s:.40} for {array.ndim} dimensions")
    if axes[:lead] != [0] * lead:
        raise RefusedError("moves the samples to another axis; the batch must stay first")
    return [array.transpose(axes)]


def gather(node: ModelNode, array: Array, inputs: Sequence[Any], chain: Spine, lead: int) -> list[Array]:
    """Places along an axis; ArrayFeatureExtractor along the last."""
    index = integers(inputs, 1, "indices")
    named = node.op == "ArrayFeatureExtractor"
    axis = axis_of(-1 if named else attribute(node, "axis", 0), array.ndim)
    _stays(axis, lead)
    size = array.shape[axis]
    if index.size and not (-size <= index.min() and index.max() < size):
        raise RefusedError(f"takes places {index.min()} to {index.max()} of {size}")
    if array.ndim + index.ndim > MAX_RANK:
        raise RefusedError(f"makes more than {MAX_RANK} dimensions")
    chain.spend(array.size // max(1, size) * index.size)
    return [np.take(array, index.reshape(-1) if named else index, axis)]


def cut(node: ModelNode, array: Array, inputs: Sequence[Any], chain: Spine, lead: int) -> list[Array]:
    """Slice: start, end, step along axes."""
    old = chain.opset < 10
    starts, ends = (
        whole(node, name, []) if old else [int(i) for i in integers(inputs, at, name)]
        for at, name in ((1, "starts"), (2, "ends"))
    )
    axes = whole(node, "axes", list(range(len(starts))))
    steps = [1] * len(starts)
    if not old and len(inputs) > 3 and inputs[3] is not None:
        axes = [int(axis) for axis in integers(inputs, 3, "axes")]
    if not old and len(inputs) > 4 and inputs[4] is not None:
        steps = [int(step) for step in integers(inputs, 4, "steps")]
    axes = [axis_of(axis, array.ndim) for axis in axes]
    if not len(starts) == len(ends) == len(axes) == len(steps) or len(set(axes)) != len(axes) or 0 in steps:
        raise RefusedError("has starts, ends, axes and steps that do not go together")
    ranges = [slice(None)] * array.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if axis < lead and (start, step) == (0, 1) and end >= (chain.batch or FAR):
            continue
        _stays(axis, lead)
        ranges[axis] = slice(start, end, step)
    return [array[tuple(ranges)]]


def split_parts(node: ModelNode, array: Array, inputs: Sequence[Any], chain: Spine, lead: int) -> list[Array]:
    """Parts along an axis, of given or equal sizes."""
    axis = axis_of(attribute(node, "axis", 0), array.ndim)
    _stays(axis, lead)
    size, count = array.shape[axis], len(node.outputs)
    sizes = whole(node, "split", [])
    if not sizes and len(inputs) > 1 and inputs[1] is not None:
        sizes = [int(part) for part in integers(inputs, 1, "sizes")]
    if not sizes:
        each = -(-size // count)
        sizes = [each] * (count - 1) + [size - each * (count - 1)]
    if len(sizes) != count or sum(sizes) != size or min(sizes) < 0:
        raise RefusedError(f"splits {size} into {sizes!s:.60}")
    return np.split(array, np.cumsum(sizes)[:-1], axis)


def expand(node: ModelNode, array: Array, inputs: Sequence[Any], chain: Spine, lead: int) -> list[Array]:
    """Broadcast to a shape; Tile repeats."""
    target = inputs[1] if len(inputs) > 1 else None
    sizes = (
        list(target.values.flat)
        if isinstance(target, DimSizes)
        else list(map(int, integers(inputs, 1, "shape")))
    )
    if len(sizes) > MAX_RANK or (node.op == "Tile" and len(sizes) != array.ndim):
        raise RefusedError(f"has {len(sizes)} sizes for {array.ndim} dimensions")
    if (
        lead
        and len(sizes) == array.ndim
        and (sizes[0] is BATCH or sizes[0] == chain.batch)
        and node.op == "Expand"
    ):
        sizes[0] = 1
    if (lead and (len(sizes) > array.ndim or (len(sizes) == array.ndim and sizes[0] != 1))) or BATCH in sizes:
        raise RefusedError(f"repeats samples, by {sizes!s:.40}; only values of one sample may be repeated")
    if any(size < 1 for size in sizes):
        raise RefusedError(f"has the sizes {sizes!s:.40}, not all above 0")
    if node.op == "Tile":
        chain.spend(array.size * math.prod(sizes))
        return [np.tile(array, sizes)]
    try:
        shape = np.broadcast_shapes(array.shape, tuple(sizes))
    except ValueError:
        raise RefusedError(f"cannot expand {array.shape} to {sizes!s:.40}") from None
    chain.spend(math.prod(shape))
    return [np.broadcast_to(array, shape)]


def integers(inputs: Sequence[Any], at: int, what: str) -> Array:
    """A constant list of integers. Raises `RefusedError`."""
    found = take(inputs, at, what, np.ndarray)
    if found.dtype.kind not in "iu":
        raise RefusedError(f"its {what} are {found.dtype}, not integers")
    return found if what == "indices" else found.reshape(-1)


def _axes(node: ModelNode, inputs: Sequence[Any], rank: int, absent: list[int]) -> list[int]:
    """Axes as an attribute, or since opset 13 as an input."""
    given = whole(node, "axes", [])
    if not given and len(inputs) > 1 and inputs[1] is not None:
        given = [int(axis) for axis in integers(inputs, 1, "axes")]
    return [axis_of(axis, rank) for axis in given] or absent


MOVES: dict[str, Move] = {
    "Flatten": flatten,
    "Reshape": reshape,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Transpose": transpose,
    "Gather": gather,
    "ArrayFeatureExtractor": gather,
    "Slice": cut,
    "Split": split_parts,
    "Expand": expand,
    "Tile": expand,
}
