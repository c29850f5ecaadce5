"""Operators around the layers: shapes in front, and what classifiers do with their logits behind."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lavaghost.exporters.import_chain import Chain
from lavaghost.exporters.import_graph import Node, RefusedError
from lavaghost.exporters.import_ops import Operator, attribute, take
from lavaghost.exporters.import_values import Affine, Answer, shifted

Classes = tuple[int | str, ...]


def reshape(node: Node, inputs: Sequence[Any], chain: Chain) -> tuple[Any, ...]:
    """Flatten, Reshape, Squeeze, Unsqueeze that leave the samples and the order of their values alone."""
    value = inputs[0]
    if isinstance(value, Answer) and value.kind == "label":
        return (value,)
    if node.op == "Flatten" and attribute(node, "axis", 1) == 1 and isinstance(value, Affine):
        return (replace(value, shape=(value.size,)),)
    if node.op != "Reshape":
        raise RefusedError("changes the shape of samples; use Flatten with axis 1")
    target = take(inputs, 1, "shape", np.ndarray)
    if target.ndim != 1 or target.dtype.kind != "i":
        raise RefusedError("has a shape that is not a list of integers")
    if isinstance(value, np.ndarray):
        try:
            return (value.reshape([int(size) for size in target]),)
        except ValueError as error:
            raise RefusedError(f"cannot reshape a constant ({error!s:.80})") from None
    shape = value.shape if isinstance(value, Affine) else (value.logits.size,)
    size, (first, *rest) = math.prod(shape), [int(size) for size in target] or [0]
    known = math.prod(abs(size) for size in rest if size != -1)
    if rest.count(-1) == 1 and first != -1 and known and size % known == 0:
        rest[rest.index(-1)] = size // known
    # 0 in front is the batch; a fixed batch must be the file's own
    keeps = first in (-1, 0) or (first > 0 and first == chain.batch)
    if not rest or not keeps or math.prod(rest) != size or min(rest) < 1:
        raise RefusedError(f"makes the shape {target.tolist()!s:.40} of samples {shape}; use Flatten")
    return (replace(value, shape=tuple(rest)) if isinstance(value, Affine) else value,)


def softmax(node: Node, inputs: Sequence[Any], chain: Chain) -> tuple[Any, ...]:
    """Softmax and LogSoftmax over the classes keep the order of the logits."""
    logits = take(inputs, 0, "input")
    if attribute(node, "axis", -1) not in (-1, 1) or len(logits.shape) != 1:
        raise RefusedError("is not over the classes; use the last axis")
    return (Answer("scores", logits),)


def sigmoid(node: Node, inputs: Sequence[Any], chain: Chain) -> tuple[Any, ...]:
    """The chance of class 1, if it is of one logit; a layer of such units is not piecewise linear."""
    logits = take(inputs, 0, "input")
    if logits.size != 1 or logits.matrix is None:
        raise RefusedError(
            "is smooth, and ghost units are rectified; train with Relu or HardSigmoid, or one logistic output"
        )
    return (Answer("chance", logits, binary=True),)


def normalizer(node: Node, inputs: Sequence[Any], chain: Chain) -> tuple[Any, ...]:
    """Scores over their own norm: the same order."""
    scores = take(inputs, 0, "input", Answer)
    if scores.kind != "scores" or attribute(node, "norm", "MAX", str) not in ("L1", "L2"):
        raise RefusedError("normalises something else than scores by L1 or L2")
    return (scores,)


def concat(node: Node, inputs: Sequence[Any], chain: Chain) -> tuple[Any, ...]:
    """[1 - p, p], the scores of two classes."""
    kinds = [part.kind if isinstance(part, Answer) else "" for part in inputs]
    if kinds != ["counter", "chance"] or attribute(node, "axis", 0) not in (1, -1):
        raise RefusedError("joins branches; only a chain of layers is imported")
    if inputs[0].logits is not inputs[1].logits:
        raise RefusedError("joins the probabilities of two outputs")
    return (replace(inputs[1], kind="scores"),)


def argmax(node: Node, inputs: Sequence[Any], chain: Chain) -> tuple[Any, ...]:
    """The index of the largest logit or score, the first one if several are."""
    value = inputs[0]
    if isinstance(value, Affine) and len(value.shape) == 1:
        value = Answer("scores", value)
    if not isinstance(value, Answer) or value.kind != "scores":
        raise RefusedError("is not over scores of classes")
    if attribute(node, "axis", 0) not in (1, -1) or attribute(node, "select_last_index", 0):
        raise RefusedError("is not over the classes, or takes the last of equal ones; use axis 1")
    return (replace(value, kind="label"),)


def named(node: Node, inputs: Sequence[Any], chain: Chain) -> tuple[Any, ...]:
    """ArrayFeatureExtractor: classes[label]."""
    classes, label = take(inputs, 0, "classes", np.ndarray), take(inputs, 1, "index", Answer)
    if label.kind != "label" or label.classes is not None or classes.dtype.kind not in "iO":
        raise RefusedError("does not look up the names of classes")
    return (replace(label, classes=_classes(classes.reshape(-1).tolist(), label)),)


def zip_map(node: Node, inputs: Sequence[Any], chain: Chain) -> tuple[Any, ...]:
    """Scores under the names of their classes."""
    scores = take(inputs, 0, "input", Answer)
    names = _listed(node, "classlabels_int64s", "classlabels_strings")
    if scores.kind != "scores":
        raise RefusedError("does not name scores")
    return (replace(scores, classes=_classes(names, scores)),)


def label_encoder(node: Node, inputs: Sequence[Any], chain: Chain) -> tuple[Any, ...]:
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


def linear_classifier(node: Node, inputs: Sequence[Any], chain: Chain) -> tuple[Any, ...]:
    """Label and scores of W x + b, one row for each class (scikit-learn's linear models)."""
    value = take(inputs, 0, "input")
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
    logits = shifted(logits, np.array(bias, np.float32)) if bias else logits
    scores = Answer("scores", logits)
    scores = replace(scores, classes=_classes(names, scores))
    return replace(scores, kind="label"), scores


def _listed(node: Node, *names: str) -> list[int | str]:
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
    **{("", op): reshape for op in ("Flatten", "Reshape", "Squeeze", "Unsqueeze")},
    **{("", op): softmax for op in ("Softmax", "LogSoftmax")},
    ("", "Sigmoid"): sigmoid,
    ("", "Concat"): concat,
    ("", "ArgMax"): argmax,
    ("ai.onnx.ml", "Normalizer"): normalizer,
    ("ai.onnx.ml", "ArrayFeatureExtractor"): named,
    ("ai.onnx.ml", "ZipMap"): zip_map,
    ("ai.onnx.ml", "LabelEncoder"): label_encoder,
    ("ai.onnx.ml", "LinearClassifier"): linear_classifier,
}
