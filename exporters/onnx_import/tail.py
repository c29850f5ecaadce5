"""What classifiers do with their logits: nothing here changes a decision."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lavaghost.exporters.onnx_import.model_graph import ModelNode
from lavaghost.exporters.onnx_import.moves import relocate
from lavaghost.exporters.onnx_import.ops import Operator, attribute, axis_of, number, real, take
from lavaghost.exporters.onnx_import.spine import Spine
from lavaghost.exporters.onnx_import.tensors import RefusedError
from lavaghost.exporters.onnx_import.units import last
from lavaghost.exporters.onnx_import.values import Affine, Answer, Clipped, shift_of, stacked

Classes = tuple[int | str, ...]


def scores_of(value: Any, chain: Spine) -> Answer:
    """Raw logits are scores, as are those that are scores already."""
    if isinstance(value, Answer):
        return value
    logits = take([last(value, chain)], 0, "input")
    return Answer("scores", logits, logits.shape)


def _over_classes(answer: Answer, axes: range) -> bool:
    """Whether all numbers of a sample lie along these axes of it."""
    sizes = [answer.shape[axis] for axis in axes]
    return int(np.prod(sizes, dtype=np.int64)) == int(np.prod(answer.shape, dtype=np.int64))


def softmax_scores(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """Softmax and LogSoftmax over the classes keep the order of the logits.

    Before opset 13 they go over all axes from `axis` on.
    """
    answer = scores_of(inputs[0], chain)
    rank, old = len(answer.shape) + chain.lead, chain.opset < 13
    axis = axis_of(attribute(node, "axis", 1 if old else -1), rank) - chain.lead
    axes = range(axis, len(answer.shape) if old else axis + 1)
    if answer.kind != "scores" or axis < 0 or not _over_classes(answer, axes):
        raise RefusedError("is not over the classes; use the last axis")
    if answer.node is None:
        reason = "belongs behind the last layer; only functions that keep the order of its outputs may follow"
        answer = replace(answer, node=node, reason=reason)
    return (replace(answer, low=0.0 if node.op == "Softmax" else -np.inf),)


def normalizer(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """Scores over their own norm: the same order."""
    scores = scores_of(inputs[0], chain)
    if scores.kind != "scores" or attribute(node, "norm", "MAX", str) not in ("L1", "L2"):
        raise RefusedError("normalises something else than scores by L1 or L2")
    reason = scores.reason or "divides each sample by its own norm, which is not affine; scale all alike"
    return (replace(scores, node=scores.node or node, reason=reason),)


def concat(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """Values of one layer side by side; or [1 - p, p], the scores of two classes."""
    kinds = [part.kind if isinstance(part, Answer) else "" for part in inputs]
    shapes = [part.shape if isinstance(part, Affine | Clipped | Answer) else None for part in inputs]
    if any(shape is None for shape in shapes):
        raise RefusedError("joins values of the network with something else")
    axis = axis_of(attribute(node, "axis", 0), len(inputs[0].shape) + chain.lead) - chain.lead
    if axis < 0:
        raise RefusedError("joins the samples of batches; only values of one sample may be joined")
    if any(kinds):
        if kinds != ["counter", "chance"] or shapes[0] != shapes[1] or inputs[0].logits is not inputs[1].logits:
            raise RefusedError("joins answers of a classifier other than [1 - p, p] of one logistic output")
        shape = tuple(2 if at == axis else size for at, size in enumerate(inputs[0].shape))
        return (replace(inputs[1], kind="scores", shape=shape),)
    return (_joined(inputs, axis, chain),)


def _joined(parts: Sequence[Any], axis: int, chain: Spine) -> Any:
    """Rectified alike, they are one wide layer."""
    first, alike = parts[0], len({getattr(part, "low", None) for part in parts}) == 1
    if all(isinstance(part, Clipped) for part in parts):
        alike &= len({(part.high, part.hard) for part in parts}) == 1
        # rates that are a layer already stay one
        made = [known for known, _ in chain.made if any(known is part for part in parts)]
        if alike and not made:
            return replace(first, value=_joined([part.value for part in parts], axis, chain))
    values = [take([chain.layer(part)], 0, "part") for part in parts]
    if len({value.layer for value in values}) > 1:
        raise RefusedError("joins branches, values of two layers; only a chain of layers is imported")
    starts = np.cumsum([0, *(value.size for value in values)])
    places = [
        start + np.arange(value.size).reshape(value.shape)
        for start, value in zip(starts[:-1], values, strict=True)
    ]
    try:
        index = np.concatenate(places, axis)
    except ValueError:
        raise RefusedError(f"joins samples of {[value.shape for value in values]!s:.60}") from None
    whole = any(value.matrix is not None for value in values)
    chain.spend(index.size * (3 * values[0].units if whole else 1))
    return stacked(values, index)


def argmax(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """The index of the largest logit or score, the first one if several are."""
    answer = scores_of(inputs[0], chain)
    if answer.kind != "scores":
        raise RefusedError("is not over scores of classes")
    axis = axis_of(attribute(node, "axis", 0), len(answer.shape) + chain.lead) - chain.lead
    last_one = attribute(node, "select_last_index", 0)
    if axis < 0 or last_one or not _over_classes(answer, range(axis, axis + 1)):
        raise RefusedError("is not over the classes, or takes the last of equal ones; use axis 1")
    keep = attribute(node, "keepdims", 1)
    shape = tuple(1 if at == axis else size for at, size in enumerate(answer.shape) if keep or at != axis)
    reason = "gives the label, and only its name may follow"
    return (replace(answer, kind="label", shape=shape, node=node, reason=reason),)


def arithmetic_of_scores(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """1 - p; or scores with one constant added to all, or times one positive factor."""
    if len(inputs) != 2:
        raise RefusedError(f"has {len(inputs)} inputs, not 2")
    turned = isinstance(inputs[0], np.ndarray)
    answer, other = inputs[1 if turned else 0], inputs[0 if turned else 1]
    if not isinstance(answer, Answer) or not isinstance(other, np.ndarray):
        raise RefusedError(
            getattr(answer, "reason", "") or "combines two answers", getattr(answer, "node", None)
        )
    constant = number([other], 0, "operand", 0.0) if other.size == 1 else np.nan
    if answer.kind == "chance" and node.op == "Sub" and turned and constant == 1:
        return (replace(answer, kind="counter"),)
    grows = (node.op in ("Add", "Sub") and not (turned and node.op == "Sub") and np.isfinite(constant)) or (
        node.op in ("Mul", "Div") and 0 < constant < np.inf and not (turned and node.op == "Div")
    )
    if answer.kind != "scores" or not grows or other.ndim > len(answer.shape) + chain.lead:
        raise RefusedError(answer.reason or "changes the order of scores", answer.node)
    chain.note(node, "increasing, so it is left out: the order of the outputs stays")
    low = {"Add": lambda: answer.low + constant, "Sub": lambda: answer.low - constant}
    low |= {"Mul": lambda: answer.low * constant, "Div": lambda: answer.low / constant}
    return (replace(answer, low=float(low[node.op]())),)


def names_of(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """ArrayFeatureExtractor and Gather: classes[label], or a choice of values."""
    if len(inputs) > 1 and not isinstance(inputs[1], Answer):
        return relocate(node, inputs, chain)
    classes, label = take(inputs, 0, "classes", np.ndarray), take(inputs, 1, "index", Answer)
    if label.kind != "label" or label.classes is not None or classes.dtype.kind not in "iO":
        raise RefusedError("does not look up the names of classes")
    return (replace(label, classes=_classes(classes.reshape(-1).tolist(), label)),)


def zip_map(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """Scores under the names of their classes."""
    scores = scores_of(inputs[0], chain)
    names = _listed(node, "classlabels_int64s", "classlabels_strings")
    if scores.kind != "scores":
        raise RefusedError("does not name scores")
    return (replace(scores, classes=_classes(names, scores)),)


def label_encoder(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """Another name for each label."""
    label = take(inputs, 0, "input", Answer)
    keys = _listed(node, "keys_int64s", "keys_strings")
    values = _listed(node, "values_int64s", "values_strings")
    known = label.classes or tuple(range(_count(label)))
    table = dict(zip(keys, values, strict=False))
    if (
        label.kind != "label"
        or len(table) != len(values)
        or len(keys) != len(values)
        or set(known) - set(table)
    ):
        raise RefusedError("does not give each class one name")
    return (replace(label, classes=tuple(table[name] for name in known)),)


def linear_classifier(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """Label and scores of W x + b, one row for each class (scikit-learn's linear models)."""
    value = real(take(inputs, 0, "input"))
    if value.shape[-1:] != (value.size,):
        raise RefusedError(f"takes samples of {value.shape}; flatten them before it")
    names = _listed(node, "classlabels_ints", "classlabels_strings")
    rows, bias = (attribute(node, name, [], list) for name in ("coefficients", "intercepts"))
    if attribute(node, "post_transform", "NONE", str) not in ("NONE", "SOFTMAX", "LOGISTIC"):
        raise RefusedError("transforms its scores in a way that may change their order")
    numbers = all(isinstance(x, float) for x in (*rows, *bias))
    if not names or len(rows) != len(names) * value.size or len(bias) not in (0, len(names)) or not numbers:
        raise RefusedError(
            f"has {len(rows)} coefficients and {len(bias)} intercepts for {len(names)} classes of {value.size} "
            "values; give a row for each class"
        )
    matrix = np.array(rows, np.float32).reshape(len(names), value.size)
    logits = chain.weigh(node, matrix, value)
    logits = shift_of(logits, np.array(bias, np.float32)) if bias else logits
    scores = Answer("scores", logits, logits.shape)
    scores = replace(scores, classes=_classes(names, scores))
    return replace(scores, kind="label", shape=scores.shape[:-1]), scores


def linear_regressor(node: ModelNode, inputs: Sequence[Any], chain: Spine) -> tuple[Any, ...]:
    """W x + b, one row for each target."""
    value = real(take(inputs, 0, "input"))
    rows, bias = (attribute(node, name, [], list) for name in ("coefficients", "intercepts"))
    count = attribute(node, "targets", 1)
    numbers = all(isinstance(x, float) for x in (*rows, *bias)) and value.shape[-1:] == (value.size,)
    if not numbers or count < 1 or len(rows) != count * value.size or len(bias) not in (0, count):
        raise RefusedError(f"has {len(rows)} coefficients for {count} targets of {value.shape} values")
    if attribute(node, "post_transform", "NONE", str) != "NONE":
        raise RefusedError("transforms its targets; only NONE is affine")
    found = chain.weigh(node, np.array(rows, np.float32).reshape(count, value.size), value)
    return (shift_of(found, np.array(bias, np.float32)) if bias else found,)


def _listed(node: ModelNode, *names: str) -> list[int | str]:
    """The one of these attributes that is given."""
    given = [found for name in names if (found := attribute(node, name, [], list))]
    if len(given) != 1:
        raise RefusedError(f"has not exactly one of {', '.join(names)}")
    return given[0]


def _count(answer: Answer) -> int:
    return 2 if answer.binary else answer.logits.size


def _classes(names: Sequence[int | str], answer: Answer) -> Classes:
    """Names of all classes, which must not be others than the file gave before."""
    found = tuple(names)
    if len(found) != _count(answer) or answer.classes not in (None, found):
        raise RefusedError(f"has {len(found)} names for {_count(answer)} classes, or others than before")
    return found


TAIL: dict[tuple[str, str], Operator] = {
    **{("", op): softmax_scores for op in ("Softmax", "LogSoftmax")},
    ("", "Concat"): concat,
    ("", "ArgMax"): argmax,
    ("", "Gather"): names_of,
    ("ai.onnx.ml", "Normalizer"): normalizer,
    ("ai.onnx.ml", "ArrayFeatureExtractor"): names_of,
    ("ai.onnx.ml", "ZipMap"): zip_map,
    ("ai.onnx.ml", "LabelEncoder"): label_encoder,
    ("ai.onnx.ml", "LinearClassifier"): linear_classifier,
    ("ai.onnx.ml", "LinearRegressor"): linear_regressor,
}
OF_ANSWERS: dict[tuple[str, str], Operator] = {
    **{("", op): arithmetic_of_scores for op in ("Add", "Sub", "Mul", "Div")},
}
"""What these operators mean when one of their inputs is an answer already."""
