"""Operators on constants alone, such as weights that lie in a file as integers with a scale."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from onnx import TensorProto

from lavaghost.arithmetic import Array
from lavaghost.exporters.import_chain import Chain
from lavaghost.exporters.import_graph import Node, RefusedError, array
from lavaghost.exporters.import_ops import Operator, attribute, take
from lavaghost.exporters.import_values import finite


def constant(node: Node, inputs: Sequence[Any], chain: Chain) -> tuple[Any, ...]:
    """A tensor or number as an attribute."""
    given = node.attributes
    if isinstance(given.get("value"), TensorProto):
        return (array(given["value"]),)
    for name, kind in (("value_float", np.float32), ("value_int", np.int64)):
        if isinstance(given.get(name), int | float):
            return (np.array(given[name], kind),)
    for name, kind in (("value_floats", np.float32), ("value_ints", np.int64)):
        if isinstance(given.get(name), list):
            return (np.array(given[name], kind),)
    raise RefusedError("holds no numbers that can be read")


def transpose(node: Node, inputs: Sequence[Any], chain: Chain) -> tuple[Any, ...]:
    """Of a constant only: the axes of a value are its samples and its units."""
    value = take(inputs, 0, "input", np.ndarray)
    axes = attribute(node, "perm", list(range(value.ndim))[::-1], list)
    if sorted(axes) != list(range(value.ndim)):
        raise RefusedError(f"has the axes {axes!s:.40} for {value.ndim} dimensions")
    return (value.transpose(axes),)


class Grid(NamedTuple):
    """scale and zero point of the integers in `around`, shaped so that they broadcast over its axis."""

    scale: Array
    zero: Array
    integers: np.dtype[Any]


def grid(node: Node, inputs: Sequence[Any], around: Array) -> Grid:
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


def dequantize(node: Node, inputs: Sequence[Any], chain: Chain) -> tuple[Any, ...]:
    """(q - zero) * scale in float32, as ONNX computes it."""
    q = take(inputs, 0, "input", np.ndarray)
    if q.dtype.kind not in "iu":
        raise RefusedError("dequantises something else than integers")
    scale, zero, _ = grid(node, inputs, q)
    chain.note(node, "integers, into float32 weights")
    return (finite((q.astype(np.float32) - zero.astype(np.float32)) * scale.astype(np.float32)),)


def quantize(node: Node, inputs: Sequence[Any], chain: Chain) -> tuple[Any, ...]:
    """saturate(round(x / scale) + zero), ties to even."""
    x = take(inputs, 0, "input", np.ndarray)
    if x.dtype.kind != "f":
        raise RefusedError("quantises something else than floats")
    scale, zero, integers = grid(node, inputs, x)
    bounds = np.iinfo(integers)
    steps = finite(np.rint(x.astype(np.float32) / scale.astype(np.float32)))
    return (np.clip(steps.astype(np.float64) + zero, bounds.min, bounds.max).astype(integers),)


CONSTANTS: dict[tuple[str, str], Operator] = {
    ("", "Constant"): constant,
    ("", "Transpose"): transpose,
    ("", "DequantizeLinear"): dequantize,
    ("", "QuantizeLinear"): quantize,
}
