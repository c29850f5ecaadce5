"""Affine operators: what each ONNX operator means for an import, a function `(node, inputs, chain) -> outputs`.

An operator that is nowhere is refused, by its node. Inputs are constants (arrays), `Affine` or other values of
import_values, or None where an optional one is left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from onnx import TensorProto

from lavaghost.exporters.onnx_import.model_graph import ModelNode
from lavaghost.exporters.onnx_import.spine import Spine
from lavaghost.exporters.onnx_import.tensors import RefusedError, type_name
from lavaghost.exporters.onnx_import.values import (
    Affine,
    Answer,
    along,
    broadcast,
    moved,
    scaled,
    shift_of,
    sum_of,
    summed,
)
from lavaghost.numbers.arithmetic import Array

Operator = Callable[[ModelNode, Sequence[Any], Spine], tuple[Any, ...]]

FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
NUMBERS = (*FLOATS, TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64)
NUMBERS += (TensorProto.UINT8, TensorProto.UINT16, TensorProto.BOOL)


def take(inputs: Sequence[Any], at: int, what: str, kind: Any = Affine) -> Any:
    """Input `at`, which must be a `kind`. Raises `RefusedError`, of the node that is to blame."""
    found = inputs[at] if at < len(inputs) else None
    if isinstance(found, Answer) and found.reason and kind is Affine:
        raise RefusedError(found.reason, found.node)
    if not isinstance(found, kind):
        wanted = "a constant" if kind is np.ndarray else "computed from the input by weights and rectifications"
        raise RefusedError(f"its {what} is not {wanted}")
    return found


def number(inputs: Sequence[Any], at: int, what: str, absent: float) -> float:
    """Input `at` as one constant number, or `absent`."""
    if at >= len(inputs) or inputs[at] is None:
        return absent
    found = take(inputs, at, what, np.ndarray)
    if found.size != 1 or found.dtype.kind not in "fiub" or np.isnan(found.reshape(())):
        raise RefusedError(f"its {what} is of shape {found.shape}, or NaN; give one number")
    return float(found.reshape(()))


def attribute(node: ModelNode, name: str, absent: Any, kind: type | tuple[type, ...] = int) -> Any:
    """An attribute of the node, or `absent`; of another type it is refused."""
    found = node.attributes.get(name, absent)
    if found is not absent and not isinstance(found, kind):
        raise RefusedError(f"its attribute {name} is not readable")
    return found


def whole(node: ModelNode, name: str, absent: list[int]) -> list[int]:
    """An attribute that is a list of integers, or `absent`."""
    found = attribute(node, name, absent, list)
    if not all(isinstance(entry, int) for entry in found):
        raise RefusedError(f"its attribute {name} is not a list of integers")
    return found


def axis_of(axis: int, rank: int) -> int:
    """An axis counted from the front."""
    if not -rank <= axis < rank:
        raise RefusedError(f"its axis {axis} is none of {rank} dimensions")
    return axis % rank


def weights_of(constant: Array) -> Array:
    """A constant that can be a weight matrix or a bias."""
    if constant.dtype.kind != "f":
        raise RefusedError(f"its weights are {constant.dtype}; give floats")
    return constant


def real(value: Affine) -> Affine:
    """`value`, if a runtime computes with it in floats. Raises `RefusedError`: integers wrap and are cut off."""
    if value.kind.startswith(("int", "uint")):
        raise RefusedError(f"computes in {value.kind}; cast the input to float before it")
    return value


def _biased(node: ModelNode, value: Affine, constant: Array, chain: Spine) -> Affine:
    value, bias = along(constant, value, chain.lead)
    chain.spend(bias.size)
    return shift_of(value, bias)


def gemm_layer(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """Y = alpha A' B' + beta C."""
    value = take(inputs, 0, "input A")
    matrix = weights_of(take(inputs, 1, "weights B", np.ndarray))
    if len(value.shape) + chain.lead != 2:
        raise RefusedError(f"takes samples of {value.shape}; flatten them before it")
    if attribute(node, "transA", 0):
        if chain.lead:
            raise RefusedError(
                "has transA = 1, which mixes the samples of a batch; transpose the weights instead"
            )
        value = moved(value, np.arange(value.size).reshape(value.shape).T)
    if matrix.ndim != 2:
        raise RefusedError(f"its weights have shape {matrix.shape}, not two dimensions")
    found = chain.weigh(node, matrix if attribute(node, "transB", 0) else matrix.T, value)
    alpha, beta = (attribute(node, name, 1.0, float) for name in ("alpha", "beta"))
    if alpha != 1:
        chain.note(node, f"alpha {alpha:g}, into weights")
        found = scaled(found, alpha)
    if len(inputs) > 2 and inputs[2] is not None:
        bias = weights_of(take(inputs, 2, "bias C", np.ndarray))
        if beta != 1:
            chain.note(node, f"beta {beta:g}, into the bias")
            bias = bias.astype(np.float64) * beta
        found = _biased(node, found, bias, chain)
    return (found,)


def matmul(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """Y = A B with a constant factor on either side, which acts on one axis of a sample."""
    if len(inputs) != 2:
        raise RefusedError(f"has {len(inputs)} inputs, not 2")
    left = isinstance(inputs[0], np.ndarray)
    matrix = weights_of(take(inputs, 0 if left else 1, "right factor", np.ndarray))
    value = take(inputs, 1 if left else 0, "left factor")
    if left and len(value.shape) < 2:
        raise RefusedError(
            "multiplies from the left, which mixes the samples of a batch; transpose the weights"
        )
    if matrix.ndim == 1 and not left:
        found = chain.weigh(node, matrix[None], value)
        return (replace(found, shape=found.shape[:-1]),)
    if matrix.ndim != 2:
        raise RefusedError(f"its weights have shape {matrix.shape}, not two dimensions")
    return (
        (_turned(chain.weigh(node, matrix, _turned(value))),) if left else (chain.weigh(node, matrix.T, value),)
    )


def _turned(value: Affine) -> Affine:
    """The last two axes of a sample exchanged."""
    return moved(value, np.arange(value.size).reshape(value.shape).swapaxes(-1, -2))


def elementwise(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """Add, Sub, Mul, Div of a computed value and a constant, either way round, or of two values of one layer."""
    if len(inputs) != 2:
        raise RefusedError(f"has {len(inputs)} inputs, not 2")
    left, right = inputs
    turned = isinstance(left, np.ndarray)
    if isinstance(left, Affine) and isinstance(right, Affine):
        if node.op not in ("Add", "Sub"):
            raise RefusedError("does not combine a value of the network with a constant, and is not affine")
        return (_both(node, left, scaled(right, -1.0) if node.op == "Sub" else right, chain),)
    value = take(inputs, 1 if turned else 0, "value")
    other = take(inputs, 0 if turned else 1, "operand", np.ndarray)
    value = real(value) if other.dtype.kind != "f" else replace(value, kind=str(other.dtype))
    value, constant = along(other, value, chain.lead)
    chain.spend(value.size if value.matrix is None or node.op in ("Add", "Sub") else value.matrix.size)
    if node.op in ("Add", "Sub"):
        value = scaled(value, -1.0) if turned and node.op == "Sub" else value
        if value.offset is not None or value.matrix is None:
            chain.note(node, "into a bias", value)
        return (shift_of(value, -constant.astype(np.float64) if node.op == "Sub" and not turned else constant),)
    if node.op == "Div":
        if turned or not np.all(constant):
            raise RefusedError("divides by a value of the network, or by 0")
        constant = 1.0 / constant.astype(np.float64)
    chain.note(node, "into weights and bias", value)
    return (scaled(value, constant),)


def _both(node: ModelNode, one: Affine, other: Affine, chain: Spine) -> Affine:
    """The sum of two values of one layer."""
    one, other = real(one), real(other)
    if one.layer != other.layer:
        raise RefusedError(
            "does not combine a value of the network with a constant: it adds values of two layers (a skip "
            "connection); only chains are imported"
        )
    if chain.lead and len(one.shape) != len(other.shape):
        raise RefusedError(f"adds samples of {one.shape} and {other.shape}; give both the same dimensions")
    one, both = broadcast(one, (1,) * chain.lead + other.shape, chain.lead)
    other, _ = broadcast(other, both, chain.lead)
    chain.spend(2 * one.size * one.units)
    chain.note(node, "two values of one layer, into one")
    return sum_of(one, other)


def total(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """Sum and Mean of any number of values and constants."""
    found = inputs[0]
    adding = replace(node, op="Add")
    for other in inputs[1:]:
        if isinstance(found, np.ndarray) and isinstance(other, np.ndarray):
            found = found + other
        else:
            (found,) = elementwise(adding, (found, other), chain)
    if node.op == "Mean" and len(inputs) > 1:
        found = take([found], 0, "sum")
        chain.note(node, "into weights and bias", found)
        found = scaled(found, 1 / len(inputs))
    return (found,)


def negative(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """-x."""
    value = real(take(inputs, 0, "input"))
    chain.note(node, "into weights and bias", value)
    return (scaled(value, -1.0),)


def mean_of_axes(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """ReduceSum, ReduceMean, GlobalAveragePool of axes of a sample."""
    value = real(take(inputs, 0, "input"))
    rank = len(value.shape) + chain.lead
    given = whole(node, "axes", [])
    if node.op == "GlobalAveragePool":
        given = list(range(2, rank))
    elif not given and len(inputs) > 1 and inputs[1] is not None:
        found = take(inputs, 1, "axes", np.ndarray)
        given = [int(axis) for axis in found.reshape(-1)] if found.dtype.kind in "iu" else []
    if not given and attribute(node, "noop_with_empty_axes", 0):
        return (value,)
    axes = sorted({axis_of(axis, rank) - chain.lead for axis in given} or set(range(-chain.lead, rank)))
    if axes and axes[0] < 0:
        raise RefusedError("sums over the samples of a batch; only axes of one sample may be summed")
    places = np.arange(value.size).reshape(value.shape)
    places = np.moveaxis(places, axes, range(-len(axes), 0))
    left = places.shape[: places.ndim - len(axes)]
    places = places.reshape(*left, -1)
    chain.spend(2 * value.size * value.units)
    chain.note(node, "a sum of values, into weights")
    found = summed(value, places, 1.0 if node.op == "ReduceSum" else 1.0 / places.shape[-1])
    if node.op == "GlobalAveragePool" or attribute(node, "keepdims", 1):
        shape = tuple(1 if axis in axes else size for axis, size in enumerate(value.shape))
        found = replace(found, shape=shape)
    return (found,)


def scaler(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """(x - offset) * scale of ai.onnx.ml."""
    value = take(inputs, 0, "input")
    offset, scale = (attribute(node, name, [], list) for name in ("offset", "scale"))
    for numbers in (offset, scale):
        fits = len(numbers) in (1, value.size) and value.shape[-1:] == (value.size,)
        if not fits or not all(isinstance(x, float) for x in numbers):
            raise RefusedError(f"has {len(offset)} offsets and {len(scale)} scales for {value.size} values")
    chain.note(node, "into weights and bias", value)
    value = shift_of(value, -np.array(offset))
    return (replace(scaled(value, np.array(scale if len(scale) > 1 else scale[0])), kind="float32"),)


def batch_normalization(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """(x - mean) / sqrt(var + epsilon) * scale + B for each channel, axis 1, with the running mean and variance."""
    value = take(inputs, 0, "input")
    used = [name for name in node.outputs[1:] if name]
    if attribute(node, "training_mode", 0) or (used and chain.opset < 14):
        raise RefusedError("is in training mode; export the model in evaluation mode")
    axis = 1 - chain.lead
    if len(value.shape) <= axis or (not attribute(node, "spatial", 1) and value.size != value.shape[axis]):
        raise RefusedError(f"has no channels in samples of {value.shape}")
    names = ("scale", "bias", "mean", "variance")
    given = [weights_of(take(inputs, i, name, np.ndarray)) for i, name in enumerate(names, 1)]
    if any(part.shape != (value.shape[axis],) for part in given):
        raise RefusedError(
            f"has {[part.shape for part in given]!s:.60} numbers for {value.shape[axis]} channels"
        )
    shape = [-1 if at == axis else 1 for at in range(len(value.shape))]
    each = [np.broadcast_to(part.reshape(shape), value.shape).reshape(-1) for part in given]
    gain, bias, mean, variance = (part.astype(np.float64) for part in each)
    variance = variance + attribute(node, "epsilon", 1e-5, float)
    if not np.all(variance > 0):
        raise RefusedError("has a variance that is not above 0")
    factor = gain / np.sqrt(variance)
    chain.spend(value.size if value.matrix is None else value.matrix.size)
    chain.note(node, "into weights and bias", value)
    return (shift_of(scaled(value, factor), bias - mean * factor),)


def same(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """Identity, and Dropout, which does nothing outside training."""
    if node.op == "Dropout" and number(inputs, 2, "training mode", 0.0):
        raise RefusedError("is in training mode; export the model in evaluation mode")
    return (inputs[0],)


def cast(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """Another element type; of a computed value only to floats, where it rounds and nothing else."""
    to, value = attribute(node, "to", 0), inputs[0]
    if isinstance(value, Answer) and (value.kind == "label" or to in FLOATS):
        return (value,)
    if not isinstance(value, Affine) or to not in FLOATS:
        raise RefusedError(
            f"casts to element type {type_name(to)}, which changes numbers; export a float network"
        )
    if to in (TensorProto.FLOAT16, TensorProto.BFLOAT16):
        chain.note(node, f"{type_name(to)}, which is rounded in the file and kept in float32 here")
    return (replace(value, kind=type_name(to)),)


OPERATORS: dict[tuple[str, str], Operator] = {
    ("", "Gemm"): gemm_layer,
    ("", "MatMul"): matmul,
    **{("", op): elementwise for op in ("Add", "Sub", "Mul", "Div")},
    **{("", op): total for op in ("Sum", "Mean")},
    **{("", op): mean_of_axes for op in ("ReduceSum", "ReduceMean", "GlobalAveragePool")},
    ("", "Neg"): negative,
    ("", "BatchNormalization"): batch_normalization,
    ("", "Identity"): same,
    ("", "Dropout"): same,
    ("", "Cast"): cast,
    ("ai.onnx.ml", "Scaler"): scaler,
}
