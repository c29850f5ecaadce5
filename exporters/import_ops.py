"""What each ONNX operator means for an import: a function `(node, inputs, chain) -> outputs` for each.

An operator that is not here is refused, by its node. Inputs are constants (arrays), `Affine` or `Answer` values, or
None where an optional one is left out.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from lavaghost.arithmetic import Array
from lavaghost.exporters.import_chain import Chain
from lavaghost.exporters.import_graph import Node, RefusedError
from lavaghost.exporters.import_values import Affine, Answer, along, scaled, shifted

Operator = Callable[[Node, Sequence[Any], Chain], tuple[Any, ...]]

FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE)
NUMBERS = (*FLOATS, TensorProto.FLOAT16, TensorProto.INT8, TensorProto.INT16, TensorProto.INT32)
NUMBERS += (TensorProto.INT64, TensorProto.UINT8, TensorProto.UINT16)


def take(inputs: Sequence[Any], at: int, what: str, kind: type = Affine) -> Any:
    """Input `at`, which must be a `kind`. Raises `RefusedError`."""
    found = inputs[at] if at < len(inputs) else None
    if not isinstance(found, kind):
        wanted = "a constant" if kind is np.ndarray else "computed from the input by weights and rectifications"
        raise RefusedError(f"its {what} is not {wanted}")
    return found


def number(inputs: Sequence[Any], at: int, what: str, absent: float) -> float:
    """Input `at` as one constant number, or `absent`."""
    if at >= len(inputs) or inputs[at] is None:
        return absent
    found = take(inputs, at, what, np.ndarray)
    if found.size != 1 or found.dtype.kind not in "fiub":
        raise RefusedError(f"its {what} has shape {found.shape}; give one number")
    return float(found.reshape(()))


def attribute(node: Node, name: str, absent: Any, kind: type | tuple[type, ...] = int) -> Any:
    """An attribute of the node, or `absent`; of another type it is refused."""
    found = node.attributes.get(name, absent)
    if found is not absent and not isinstance(found, kind):
        raise RefusedError(f"its attribute {name} is not readable")
    return found


def weights_of(constant: Array) -> Array:
    """A constant that can be a weight matrix or a bias."""
    if constant.dtype.kind != "f":
        raise RefusedError(f"its weights are {constant.dtype}; give floats")
    return constant


def gemm(node: Node, inputs: Sequence[Any], chain: Chain) -> tuple[Any, ...]:
    """Y = alpha A' B' + beta C."""
    value = take(inputs, 0, "input A")
    matrix = weights_of(take(inputs, 1, "weights B", np.ndarray))
    if attribute(node, "transA", 0):
        raise RefusedError("has transA = 1, which mixes the samples of a batch; transpose the weights instead")
    if matrix.ndim != 2:
        raise RefusedError(f"its weights have shape {matrix.shape}, not two dimensions")
    found = chain.weigh(node, matrix if attribute(node, "transB", 0) else matrix.T, value)
    alpha, beta = (attribute(node, name, 1.0, float) for name in ("alpha", "beta"))
    if alpha != 1:
        chain.note(node, f"alpha {alpha:g}, into weights")
        found = scaled(found, alpha)
    if len(inputs) > 2 and inputs[2] is not None:
        bias = along(weights_of(take(inputs, 2, "bias C", np.ndarray)), found)
        if beta != 1:
            chain.note(node, f"beta {beta:g}, into the bias")
            bias = bias.astype(np.float64) * beta
        found = shifted(found, bias)
    return (found,)


def matmul(node: Node, inputs: Sequence[Any], chain: Chain) -> tuple[Any, ...]:
    """Y = A B with constant B `(n, m)`."""
    matrix = weights_of(take(inputs, 1, "right factor", np.ndarray))
    if matrix.ndim != 2:
        raise RefusedError(f"its weights have shape {matrix.shape}, not two dimensions")
    return (chain.weigh(node, matrix.T, take(inputs, 0, "left factor")),)


def elementwise(node: Node, inputs: Sequence[Any], chain: Chain) -> tuple[Any, ...]:
    """Add, Sub, Mul, Div of a computed value and a constant, either way round."""
    if len(inputs) != 2:
        raise RefusedError(f"has {len(inputs)} inputs, not 2")
    left, right = inputs
    if isinstance(right, Answer) and right.kind == "chance" and node.op == "Sub":
        if number(inputs, 0, "minuend", math.nan) != 1:
            raise RefusedError("subtracts a probability from something else than 1")
        return (replace(right, kind="counter"),)
    turned = isinstance(left, np.ndarray)
    value, other = (right, left) if turned else (left, right)
    if not isinstance(value, Affine) or not isinstance(other, np.ndarray):
        raise RefusedError("does not combine a value of the network with a constant; only chains are imported")
    constant = along(other, value)
    if node.op in ("Add", "Sub"):
        value = scaled(value, -1.0) if turned and node.op == "Sub" else value
        if value.offset is not None or value.matrix is None:
            chain.note(node, "into a bias", value)
        return (shifted(value, -constant.astype(np.float64) if node.op == "Sub" and not turned else constant),)
    if node.op == "Div":
        if turned or not np.all(constant):
            raise RefusedError("divides by a value of the network, or by 0")
        constant = 1.0 / constant.astype(np.float64)
    chain.note(node, "into weights and bias", value)
    return (scaled(value, constant),)


def scaler(node: Node, inputs: Sequence[Any], chain: Chain) -> tuple[Any, ...]:
    """(x - offset) * scale of ai.onnx.ml."""
    value = take(inputs, 0, "input")
    offset, scale = (attribute(node, name, [], list) for name in ("offset", "scale"))
    for numbers in (offset, scale):
        if len(numbers) not in (1, value.size) or not all(isinstance(x, float) for x in numbers):
            raise RefusedError(f"has {len(offset)} offsets and {len(scale)} scales for {value.size} values")
    chain.note(node, "into weights and bias", value)
    value = shifted(value, -along(np.array(offset), value))
    return (scaled(value, along(np.array(scale), value)),)


def batch_normalization(node: Node, inputs: Sequence[Any], chain: Chain) -> tuple[Any, ...]:
    """(x - mean) / sqrt(var + epsilon) * scale + B, with the running mean and variance."""
    value = take(inputs, 0, "input")
    if attribute(node, "training_mode", 0):
        raise RefusedError("is in training mode; export the model in evaluation mode")
    if len(value.shape) != 1:
        raise RefusedError("normalises channels of images; flatten the input before it")
    names = ("scale", "bias", "mean", "variance")
    numbers = [along(weights_of(take(inputs, i, name, np.ndarray)), value) for i, name in enumerate(names, 1)]
    gain, bias, mean, variance = (n.astype(np.float64) for n in numbers)
    variance = variance + attribute(node, "epsilon", 1e-5, float)
    if np.any(variance <= 0):
        raise RefusedError("has a variance that is not above 0")
    factor = gain / np.sqrt(variance)
    chain.note(node, "into weights and bias", value)
    return (shifted(scaled(value, factor), bias - mean * factor),)


def relu(node: Node, inputs: Sequence[Any], chain: Chain) -> tuple[Any, ...]:
    """max(x, 0)."""
    return (chain.rectify(node, take(inputs, 0, "input"), 0.0, math.inf),)


def clip(node: Node, inputs: Sequence[Any], chain: Chain) -> tuple[Any, ...]:
    """min(max(x, low), high); before opset 11 the bounds are attributes."""
    low = number(inputs, 1, "lower bound", attribute(node, "min", -math.inf, float))
    high = number(inputs, 2, "upper bound", attribute(node, "max", math.inf, float))
    return (chain.rectify(node, take(inputs, 0, "input"), low, high),)


def hard_sigmoid(node: Node, inputs: Sequence[Any], chain: Chain) -> tuple[Any, ...]:
    """clip(alpha x + beta, 0, 1); alpha and beta go into the drive."""
    value = take(inputs, 0, "input")
    alpha, beta = attribute(node, "alpha", 0.2, float), attribute(node, "beta", 0.5, float)
    if value.matrix is not None and (alpha, beta) != (1.0, 0.0):
        value = shifted(scaled(value, alpha), beta)
        chain.note(node, f"alpha {alpha:g} and beta {beta:g}, into weights and bias")
    return (chain.rectify(node, value, 0.0, 1.0),)


def same(node: Node, inputs: Sequence[Any], chain: Chain) -> tuple[Any, ...]:
    """Identity, and Dropout, which does nothing outside training."""
    if node.op == "Dropout" and number(inputs, 2, "training mode", 0.0):
        raise RefusedError("is in training mode; export the model in evaluation mode")
    return (inputs[0],)


def cast(node: Node, inputs: Sequence[Any], chain: Chain) -> tuple[Any, ...]:
    """Another element type; of a computed value only between floats, where it rounds and nothing else."""
    to, value = attribute(node, "to", 0), inputs[0]
    if isinstance(value, Answer) and (value.kind == "label" or to in FLOATS):
        return (value,)
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub" and to in NUMBERS:
        with np.errstate(invalid="ignore"):
            return (value.astype(helper.tensor_dtype_to_np_dtype(to)),)
    if not isinstance(value, Affine) or to not in FLOATS:
        raise RefusedError(f"casts to element type {to}, which changes numbers; export a float network")
    return (value,)


OPERATORS: dict[tuple[str, str], Operator] = {
    ("", "Gemm"): gemm,
    ("", "MatMul"): matmul,
    **{("", op): elementwise for op in ("Add", "Sub", "Mul", "Div")},
    ("", "BatchNormalization"): batch_normalization,
    ("", "Relu"): relu,
    ("", "Clip"): clip,
    ("", "HardSigmoid"): hard_sigmoid,
    ("", "Identity"): same,
    ("", "Dropout"): same,
    ("", "Cast"): cast,
    ("ai.onnx.ml", "Scaler"): scaler,
}
