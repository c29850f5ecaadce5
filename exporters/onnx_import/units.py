"""Units: rectifications, which make layers, and increasing functions, which keep the order of the last layer.

A rectification is a `Clipped` value, so that several that follow each other are one: min(max(x, 0), 6), relu(relu(x)).
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lavaghost.exporters.onnx_import.model_graph import ModelNode
from lavaghost.exporters.onnx_import.ops import Operator, attribute, number, take
from lavaghost.exporters.onnx_import.spine import FLOAT_MAX, Spine
from lavaghost.exporters.onnx_import.tensors import RefusedError
from lavaghost.exporters.onnx_import.values import Affine, Answer, Clipped, Compared, scaled, shift_of

SMOOTH = "is smooth, and ghost units are rectified; train with Relu or HardSigmoid"
LEAKY = "is not flat below 0, and ghost units are; train with Relu"


def clipped(node: ModelNode, value: Any, low: float, high: float, chain: Spine, hard: bool = False) -> Any:
    """clip(value, low, high), together with a rectification just before it."""
    low, high = (math.inf * np.sign(x) if abs(x) >= FLOAT_MAX else x for x in (low, high))
    if not low < high:
        raise RefusedError(f"clips to {low:g}..{high:g}; the lower bound must be below the upper")
    if math.isinf(low) and math.isinf(high):
        return value
    if isinstance(value, Answer):
        return _clipped_answer(node, value, low, high, chain)
    if isinstance(value, Clipped) and not hard:
        lows = [min(max(bound, low), high) for bound in (value.low, value.high)]
        if lows == [value.low, value.high]:
            return value
        if lows[0] == lows[1]:
            raise RefusedError(
                f"leaves one number, {lows[0]:g}, of what was clipped to {value.low:g}..{value.high:g}"
            )
        return replace(value, low=lows[0], high=lows[1], node=node, hard=False)
    value = take([chain.layer(value)], 0, "input")
    least, greatest = chain.bounds(value)
    if np.all(low <= least) and np.all(greatest <= high):
        return value
    return Clipped(value, low, high, node, hard)


def _clipped_answer(node: ModelNode, answer: Answer, low: float, high: float, chain: Spine) -> Answer:
    """Bounds leave the order of scores, but for ties."""
    inside = low < 0.5 < high
    if answer.kind in ("chance", "counter") and inside:
        return answer
    if answer.kind != "scores":
        raise RefusedError("clips away what decides between the classes")
    ties(node, chain, low, high)
    return replace(answer, low=max(answer.low, low))


def ties(node: ModelNode, chain: Spine, low: float, high: float) -> None:
    """Say what is lost where bounds behind the last layer are left out."""
    where = (
        f"outputs beyond {low:g}..{high:g} are equal there, and the first of them wins; here the largest does"
    )
    chain.note(node, f"increasing, so it is left out: the order of the outputs stays, but {where}")


def relu(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """max(x, 0)."""
    return (clipped(node, inputs[0], 0.0, math.inf, chain),)


def clip(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """min(max(x, low), high); before opset 11 the bounds are attributes."""
    low = number(inputs, 1, "lower bound", attribute(node, "min", -math.inf, float))
    high = number(inputs, 2, "upper bound", attribute(node, "max", math.inf, float))
    return (clipped(node, inputs[0], low, high, chain),)


def extreme(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """Max and Min of one value and numbers."""
    values = [at for at, entry in enumerate(inputs) if not isinstance(entry, np.ndarray)]
    if len(values) != 1 or not hasattr(inputs[values[0]], "shape"):
        raise RefusedError(f"chooses among {len(values)} values of the network, which is not a rectification")
    found = inputs[values[0]]
    for at in range(len(inputs)):
        if at != values[0]:
            bound = constant_beside(inputs, at, "bound", found.shape, chain)
            ends = (bound, math.inf) if node.op == "Max" else (-math.inf, bound)
            found = clipped(node, found, *ends, chain)
    return (found,)


def constant_beside(inputs: Sequence[Any], at: int, what: str, shape: tuple[int, ...], chain: Spine) -> float:
    """One constant number that meets samples of `shape` elementwise, and leaves them their shape."""
    found, full = take(inputs, at, what, np.ndarray), (1,) * chain.lead + shape
    try:
        fits = np.broadcast_shapes(found.shape, full) == full
    except ValueError:
        fits = False
    if not fits or found.dtype.kind not in "fiu" or np.any(found != found.flat[0]):
        raise RefusedError(f"its {what} has shape {found.shape} for samples of {shape}; give one number")
    return float(found.flat[0])


def hard_sigmoid(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """clip(alpha x + beta, 0, 1); alpha and beta go into the drive."""
    value = take([chain.layer(inputs[0])], 0, "input")
    alpha, beta = attribute(node, "alpha", 0.2, float), attribute(node, "beta", 0.5, float)
    if (alpha, beta) != (1.0, 0.0):
        value = shift_of(scaled(value, alpha), beta)
        chain.note(node, f"alpha {alpha:g} and beta {beta:g}, into weights and bias", value)
    return (clipped(node, value, 0.0, 1.0, chain, hard=True),)


def leaky(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """LeakyRelu, PRelu, ThresholdedRelu, Elu: a relu if their constant is 0, or behind the last layer increasing."""
    if node.op == "PRelu":
        alpha = constant_beside(inputs, 1, "slope", getattr(inputs[0], "shape", ()), chain)
    else:
        alpha = attribute(node, "alpha", 0.01 if node.op == "LeakyRelu" else 1.0, float)
    if alpha == 0:
        return (clipped(node, inputs[0], 0.0, math.inf, chain),)
    if node.op in ("LeakyRelu", "PRelu") and alpha == 1:
        return (inputs[0],)
    if node.op == "ThresholdedRelu":
        raise RefusedError(f"jumps from 0 to {alpha:g}, and ghost units do not; train with Relu")
    if not alpha > 0:
        raise RefusedError(f"falls below 0 (alpha {alpha:g}), and ghost units do not; train with Relu")
    return (increasing(node, inputs[0], chain, -math.inf, SMOOTH if node.op == "Elu" else LEAKY),)


def increasing(node: ModelNode, value: Any, chain: Spine, low: float, reason: str = SMOOTH) -> Answer:
    """The same increasing function of each output: it keeps their order."""
    if isinstance(value, Answer):
        if value.kind != "scores":
            raise RefusedError(value.reason or "follows the answer of a classifier", value.node)
        if math.prod(value.shape) == 1:
            raise RefusedError("follows another function of one output; only a Sigmoid of it is a chance")
        chain.note(node, "increasing, so it is left out: the order of the outputs stays")
        return replace(value, low=low)
    logits = take([last(value, chain)], 0, "input")
    chain.note(node, "increasing, so it is left out: the order of the outputs stays")
    return Answer("scores", logits, logits.shape, low=low, node=node, reason=reason)


def last(value: Any, chain: Spine) -> Any:
    """A value as logits: a rectification becomes a layer, or is left out if it can be none."""
    if not isinstance(value, Clipped):
        return value
    try:
        return chain.layer(value)
    except RefusedError:
        if value.value.layer != len(chain.layers):
            raise
        ties(value.node, chain, value.low, value.high)
        return value.value


LEAST: dict[str, float] = {
    "Sigmoid": 0.0,
    "Tanh": -1.0,
    "Softplus": 0.0,
    "Softsign": -1.0,
    "Exp": 0.0,
    "Erf": -1.0,
    "Atan": -math.inf,
    "Sinh": -math.inf,
    "Asinh": -math.inf,
    "Selu": -math.inf,
    "Celu": -math.inf,
    "Log": -math.inf,
    "Sqrt": 0.0,
}
"""Increasing functions and their lower bounds."""


def smooth(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """A smooth, increasing function; a layer of such units is not piecewise linear."""
    value = inputs[0]
    given = [attribute(node, name, 1.0, float) for name in ("alpha", "gamma")]
    if not all(constant > 0 for constant in given):
        raise RefusedError(f"has constants {given} that are not above 0")
    if node.op in ("Log", "Sqrt"):
        if not isinstance(value, Answer):
            raise RefusedError("is of numbers that may be below 0; leave it out")
        if value.low < 0:
            raise RefusedError(f"is of scores that may be below 0, such as {value.low:g}")
    if isinstance(value, Affine | Clipped) and node.op == "Sigmoid" and math.prod(value.shape) == 1:
        logits = take([last(value, chain)], 0, "input")
        return (Answer("chance", logits, logits.shape, binary=True, low=0.0, node=node, reason=SMOOTH),)
    return (increasing(node, value, chain, LEAST[node.op]),)


def compared(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """Greater, Less and their like, of a value or a chance and one number."""
    turned = isinstance(inputs[0], np.ndarray)
    value = inputs[1 if turned else 0]
    if not isinstance(value, Affine | Clipped | Answer):
        raise RefusedError("compares something else than a value of the network with a number")
    bound = constant_beside(inputs, 0 if turned else 1, "threshold", value.shape, chain)
    above = node.op.startswith("Greater") != turned
    if isinstance(value, Answer):
        if value.kind not in ("chance", "counter") or not 0 < bound < 1:
            raise RefusedError(f"compares scores with {bound:g}; give one chance, or ArgMax")
        above ^= value.kind == "counter"
        bound = 1 - bound if value.kind == "counter" else bound
        logits, shape = value.logits, value.shape
        level = math.log(bound / (1 - bound))
    else:
        logits = take([last(value, chain)], 0, "value")
        shape, level = logits.shape, bound
    if level != 0:
        logits = shift_of(logits, -level)
        chain.note(node, f"its threshold {bound:g}, into the bias", logits)
    if not above:
        logits = scaled(logits, -1.0)
    if logits.size != 1:
        if node.op != "Greater" or turned:
            raise RefusedError("compares each of several outputs; a classifier names one class, as ArgMax does")
        return (Compared(logits),)
    return (
        Answer("label", logits, shape, binary=True, node=node, reason="decides, and only names may follow"),
    )


def rounded(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """Round of a chance: whether it is above a half."""
    chance = take(inputs, 0, "input", Answer)
    if chance.kind not in ("chance", "counter"):
        raise RefusedError("rounds something else than the chance of a class")
    logits = chance.logits if chance.kind == "chance" else scaled(chance.logits, -1.0)
    return (replace(chance, kind="label", logits=logits),)


def where(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """Where(x > 0, x, 0) is a relu."""
    condition, value = take(inputs, 0, "condition", Compared), take(inputs, 1, "value")
    plain = condition.value.equals(value) and condition.value.shape == value.shape
    if not plain or constant_beside(inputs, 2, "other value", value.shape, chain) != 0:
        raise RefusedError("chooses otherwise than Where(x > 0, x, 0), which is a Relu")
    return (clipped(node, value, 0.0, math.inf, chain),)


UNITS: dict[tuple[str, str], Operator] = {
    ("", "Relu"): relu,
    ("", "Clip"): clip,
    ("", "HardSigmoid"): hard_sigmoid,
    **{("", op): extreme for op in ("Max", "Min")},
    **{("", op): leaky for op in ("LeakyRelu", "PRelu", "ThresholdedRelu", "Elu")},
    **{("", op): smooth for op in LEAST},
    **{("", op): compared for op in ("Greater", "GreaterOrEqual", "Less", "LessOrEqual")},
    ("", "Round"): rounded,
    ("", "Where"): where,
}
LAZY = {op for _, op in UNITS} | {
    "Identity",
    "Dropout",
    "ArgMax",
    "Softmax",
    "LogSoftmax",
    "Normalizer",
    "ZipMap",
}
"""Operators that take a rectification as it is, before it is a layer."""
