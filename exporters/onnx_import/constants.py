"""Operators on constants alone, computed as a runtime does it: masks, computed shapes, weights stored as integers."""

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from onnx import TensorProto, helper

from lavaghost.exporters.onnx_import.model_graph import ModelNode
from lavaghost.exporters.onnx_import.moves import sizes_or_array
from lavaghost.exporters.onnx_import.ops import NUMBERS, Operator, attribute, axis_of, number, take, whole
from lavaghost.exporters.onnx_import.spine import Spine
from lavaghost.exporters.onnx_import.tensors import RefusedError, array
from lavaghost.exporters.onnx_import.values import BATCH, Affine, Answer, Clipped, DimSizes, finite
from lavaghost.numbers.arithmetic import Array


def constant(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """A tensor or number as an attribute."""
    given = node.attributes
    if isinstance(given.get("value"), TensorProto):
        return (array(given["value"], chain.beside),)
    for name, kind in (("value_float", np.float32), ("value_int", np.int64)):
        if isinstance(given.get(name), int | float):
            return (np.array(given[name], kind),)
    for name, kind in (("value_floats", np.float32), ("value_ints", np.int64)):
        if isinstance(given.get(name), list):
            return (np.array(given[name], kind),)
    raise RefusedError("holds no numbers that can be read")


class Grid(NamedTuple):
    """scale and zero point of the integers in `around`, shaped so that they broadcast over its axis."""

    scale: Array
    zero: Array
    integers: np.dtype[Any]


def grid(node: ModelNode, inputs: Sequence[Any], around: Array) -> Grid:
    """One scale in all, or one along an axis. Raises `RefusedError`."""
    scale = take(inputs, 1, "scale", np.ndarray)
    whole = around.dtype if around.dtype.kind in "iu" else np.dtype(np.uint8)
    zero = np.zeros((), whole)
    if len(inputs) > 2 and inputs[2] is not None:
        zero = take(inputs, 2, "zero point", np.ndarray)
    axis = attribute(node, "axis", 1)
    if scale.dtype.kind != "f" or zero.dtype.kind not in "iu" or attribute(node, "block_size", 0):
        raise RefusedError("needs a float scale and an integer zero point, and no blocks")
    if scale.size == 1 and zero.size == 1:
        return Grid(scale.reshape(()), zero.reshape(()), zero.dtype)
    if not -around.ndim <= axis < around.ndim or scale.shape != (around.shape[axis],):
        raise RefusedError(f"has scales {scale.shape} along axis {axis} of {around.shape}")
    if zero.size not in (1, scale.size):
        raise RefusedError(f"has zero points {zero.shape} for scales {scale.shape}")
    shape = [1] * around.ndim
    shape[axis] = -1
    return Grid(scale.reshape(shape), zero.reshape(shape if zero.size > 1 else ()), zero.dtype)


def dequantize(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """(q - zero) * scale in float32, as ONNX computes it."""
    q = take(inputs, 0, "input", np.ndarray)
    if q.dtype.kind not in "iu":
        raise RefusedError("dequantises something else than integers")
    chain.spend(q.size)
    scale, zero, _ = grid(node, inputs, q)
    chain.note(node, "integers, into float32 weights")
    return (finite((q.astype(np.float32) - zero.astype(np.float32)) * scale.astype(np.float32)),)


def quantized_constant(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """saturate(round(x / scale) + zero), ties to even."""
    x = take(inputs, 0, "input", np.ndarray)
    if x.dtype.kind != "f":
        raise RefusedError("quantises something else than floats")
    chain.spend(x.size)
    scale, zero, integers = grid(node, inputs, x)
    bounds = np.iinfo(integers)
    steps = finite(np.rint(x.astype(np.float32) / scale.astype(np.float32)))
    return (np.clip(steps.astype(np.float64) + zero, bounds.min, bounds.max).astype(integers),)


def quotient(left: Array, right: Array) -> Array:
    """Of integers cut off towards 0, as in C."""
    if left.dtype.kind in "iu":
        if not np.all(right):
            raise RefusedError("divides by 0")
        return (np.sign(left) * np.sign(right) * (np.abs(left) // np.abs(right))).astype(left.dtype)
    return left / right


BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": quotient,
    "Pow": lambda left, right: np.power(left, right).astype(left.dtype),
    "Equal": np.equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "And": np.logical_and,
    "Or": np.logical_or,
    "MatMul": np.matmul,
}
UNARY: dict[str, Callable[[Array], Array]] = {
    "Neg": np.negative,
    "Abs": np.abs,
    "Sign": np.sign,
    "Sqrt": np.sqrt,
    "Exp": np.exp,
    "Log": np.log,
    "Reciprocal": lambda x: (1 / x).astype(x.dtype),
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Round": np.rint,
    "Not": np.logical_not,
    "Relu": lambda x: np.maximum(x, 0).astype(x.dtype),
    "Tanh": np.tanh,
    "Sigmoid": lambda x: (1 / (1 + np.exp(-x))).astype(x.dtype),
}
MANY: dict[str, Callable[[Array, Array], Array]] = {"Max": np.maximum, "Min": np.minimum, "Sum": np.add}


def arithmetic(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """A result in the element type that a runtime would give it."""
    given = [take(inputs, at, "input", np.ndarray) for at in range(len(inputs))]
    wanted = len(given) if node.op in MANY else {**dict.fromkeys(UNARY, 1), "Where": 3}.get(node.op, 2)
    if len(given) != wanted:
        raise RefusedError(f"has {len(given)} inputs, not {wanted}")
    if any(part.dtype.kind not in "fiub" for part in given):
        raise RefusedError("computes with constants that are no numbers")
    if node.op == "MatMul":
        if not all(part.ndim and part.size and part.dtype.kind == "f" for part in given):
            raise RefusedError("multiplies constants that are no matrices of floats")
        k = given[0].shape[-1]
        made = given[0].size // k * max(1, given[1].size // k)
        chain.spend(max(made, made * k // 256))
    else:
        chain.spend(math.prod(np.broadcast_shapes(*(part.shape for part in given))))
    if node.op == "Where":
        return (np.where(*given),)
    if node.op in UNARY:
        return (np.asarray(UNARY[node.op](given[0])),)
    return (np.asarray(reduce({**BINARY, **MANY}[node.op], given)),)


REDUCED: dict[str, Callable[..., Array]] = {
    "ReduceSum": np.sum,
    "ReduceMean": np.mean,
    "ReduceProd": np.prod,
    "ReduceMax": np.max,
    "ReduceMin": np.min,
}


def reduced(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """A sum, mean, product or extreme along axes."""
    value = take(inputs, 0, "input", np.ndarray)
    if value.dtype.kind not in "fiu":
        raise RefusedError(f"sums up a constant {value.dtype}")
    axes = [axis_of(axis, value.ndim) for axis in reduced_axes(node, inputs)]
    if not axes and attribute(node, "noop_with_empty_axes", 0):
        return (value,)
    over = tuple(axes) if axes else None
    keep = bool(attribute(node, "keepdims", 1))
    return (np.asarray(REDUCED[node.op](value, axis=over, keepdims=keep)).astype(value.dtype),)


def reduced_axes(node: ModelNode, inputs: Sequence[Any]) -> list[int]:
    """Axes as an attribute, or as an input."""
    given = whole(node, "axes", [])
    if not given and len(inputs) > 1 and inputs[1] is not None:
        found = take(inputs, 1, "axes", np.ndarray)
        given = [int(axis) for axis in found.reshape(-1)] if found.dtype.kind in "iu" else []
    return given


def shape_of(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """The shape of anything; what the file leaves open is the size of the batch."""
    value = inputs[0] if inputs else None
    if isinstance(value, Affine | Clipped | Answer):
        first = [BATCH if chain.batch is None else chain.batch] if chain.lead else []
        sizes = np.array([*first, *value.shape], object)
    elif isinstance(value, np.ndarray):
        sizes = np.array(value.shape, object)
    else:
        raise RefusedError("is of something that has no shape")
    if node.op == "Size":
        if any(size is BATCH for size in sizes):
            raise RefusedError("counts the values of a whole batch")
        return (np.array(math.prod(sizes), np.int64),)
    return (sizes_or_array(sizes[attribute(node, "start", 0) : attribute(node, "end", None)]),)


def filled(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """ConstantOfShape: one number everywhere."""
    sizes = take(inputs, 0, "shape", np.ndarray)
    given = node.attributes.get("value")
    value = array(given, chain.beside) if isinstance(given, TensorProto) else np.zeros(1, np.float32)
    shape = [int(size) for size in sizes.reshape(-1)] if sizes.dtype.kind in "iu" else [-1]
    if value.size != 1 or any(size < 0 for size in shape) or value.dtype.kind not in "fiub":
        raise RefusedError(f"has the shape {shape!s:.40}, or not one number")
    chain.spend(math.prod(shape))
    return (np.full(shape, value.reshape(()), value.dtype),)


def counted(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """Range: start, start + delta, ... below limit."""
    start, limit, delta = (number(inputs, at, "bound", math.nan) for at in range(3))
    count = (limit - start) / delta if delta else math.nan
    if not math.isfinite(count):
        raise RefusedError("counts between bounds that are not finite, or in steps of 0")
    chain.spend(max(0, math.ceil(count)))
    kind = take(inputs, 0, "start", np.ndarray).dtype
    return ((start + delta * np.arange(max(0, math.ceil(count)))).astype(kind),)


def cast_constant(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """Another element type."""
    value, to = inputs[0], attribute(node, "to", 0)
    if isinstance(value, DimSizes):
        if to not in (TensorProto.INT32, TensorProto.INT64):
            raise RefusedError("casts the size of a batch to something else than integers")
        return (value,)
    value = take(inputs, 0, "input", np.ndarray)
    if value.dtype.kind not in "fiub" or to not in NUMBERS:
        raise RefusedError(f"casts a constant {value.dtype} to element type {to}, which is not read")
    chain.spend(value.size)
    if to == TensorProto.BFLOAT16:
        chain.note(node, "bfloat16, kept in float32")
        return (value.astype(np.float32),)
    return (value.astype(helper.tensor_dtype_to_np_dtype(to)),)


def joined(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """Concat of constants, and of sizes."""
    parts = [part.values if isinstance(part, DimSizes) else part for part in inputs]
    arrays = [take(parts, at, "part", np.ndarray) for at in range(len(parts))]
    chain.spend(sum(part.size for part in arrays))
    axis = axis_of(attribute(node, "axis", 1), arrays[0].ndim)
    if any(isinstance(part, DimSizes) for part in inputs):
        return (sizes_or_array(np.concatenate([part.astype(object) for part in arrays], axis)),)
    return (np.concatenate(arrays, axis),)


CONSTANTS: dict[tuple[str, str], Operator] = {
    ("", "Constant"): constant,
    ("", "Cast"): cast_constant,
    ("", "Concat"): joined,
    ("", "Shape"): shape_of,
    ("", "Size"): shape_of,
    ("", "ConstantOfShape"): filled,
    ("", "Range"): counted,
    ("", "DequantizeLinear"): dequantize,
    ("", "QuantizeLinear"): quantized_constant,
    **{("", op): arithmetic for op in (*UNARY, *BINARY, *MANY, "Where")},
    **{("", op): reduced for op in REDUCED},
}
"""What can be done with constants; a node all of whose inputs are constants means this."""
