"""Import of what stays affine, moves numbers, or keeps the order of the last layer, against onnxruntime."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.unit.onnx_graphs import (
    B1,
    B2,
    FIRST,
    LAST,
    RELU,
    W1,
    W2,
    X,
    a1,
    exact,
    first,
    imported,
    model,
    net,
    node,
    runtime,
)

FLAT = np.array([-1, 4])
ZERO, SIX, HALF = np.float32(0), np.float32(6), np.float32(0.5)
IMAGE = ("N", 1, 2, 2)
CONSTANTS: dict[str, Any] = {
    "flat": FLAT,
    "zero": ZERO,
    "six": SIX,
    "half": HALF,
    "zeros": np.zeros(5, np.float32),
    "one": np.array([1]),
    "two": np.array([2]),
    "minus": np.array([-1]),
    "first": np.int64(0),
    "mask": (W1 > 0).astype(np.float32),
    "order": np.array([3, 0, -2, 1]),
    "few": np.array([0, 2]),
    "W22": W1[:, :2].copy(),
    "low": np.array([0]),
    "high": np.array([2**31 - 1]),
    "end": np.array([-5]),
    "V": W1.T.copy(),
    "five": np.array([1.5, 2.0, 0.5, 3.0, 1.0], np.float32),
    "axes1": np.array([1]),
    "axes2": np.array([2]),
    "negative": np.array([-2]),
    "shape5": np.array([5, 1]),
    "shape54": np.array([5, 4]),
    "alike": np.full((1, 5), 0.0, np.float32),
    "start": np.int64(1),
    "stop": np.int64(5),
    "step": np.int64(1),
    "h16": np.float16(0.3),
    "V16": W1.T.astype(np.float16),
    "V64": W1.T.astype(np.float64),
}


def units(*between: onnx.NodeProto) -> list[onnx.NodeProto]:
    """A first layer a, what makes r of it, and the last layer."""
    return [FIRST, *between, LAST]


def before(*nodes: onnx.NodeProto) -> list[onnx.NodeProto]:
    """What makes s of x, then a network."""
    return [*nodes, first("s"), RELU, LAST]


def behind(*nodes: onnx.NodeProto) -> list[onnx.NodeProto]:
    """A network that ends in z, then what makes y of it."""
    return [FIRST, RELU, node("Gemm", "r", "W2", "B2", out="z", transB=1), *nodes]


def computed_view(*batch: onnx.NodeProto, source: str = "x") -> list[onnx.NodeProto]:
    """`x.view(x.size(0), -1)`, where `batch` makes n of the shape."""
    return [
        node("Shape", source, out="shape"),
        *batch,
        node("Concat", "n", "minus", out="target", axis=0),
        node("Reshape", source, "target", out="s"),
    ]


VIEW = computed_view(node("Gather", "shape", "first", out="i", axis=0), node("Unsqueeze", "i", "low", out="n"))
SPLIT = helper.make_node("Split", ["x"], ["p", "q"], name="split", axis=1, num_outputs=2)
BEHIND_P = node("Gemm", "p", "W2", "B2", out="y", transB=1)

EXACT: dict[str, tuple[list[onnx.NodeProto], dict[str, Any]]] = {
    # ---- opsets
    "opset 7": ([node("MatMul", "x", "V", out="m"), node("Add", "m", "B1", out="a"), RELU, LAST], {"opset": 7}),
    "opset 8": ([node("Flatten", "x", out="s"), first("s"), RELU, LAST], {"opset": 8, "shape": IMAGE}),
    "opset 7, difference": (
        units(node("Sub", "a", "B1", out="b"), node("Relu", "b", out="r")),
        {"opset": 7},
    ),
    # ---- rectifications
    "relu last": ([FIRST, node("Relu", "a", out="y")], {}),
    "relu behind two layers": (behind(node("Relu", "z", out="y")), {}),
    "clip last": ([FIRST, node("Clip", "a", "zero", "six", out="y")], {}),
    "max": (units(node("Max", "a", "zero", out="r")), {}),
    "max, turned": (units(node("Max", "alike", "a", out="r")), {}),
    "min of max": (units(node("Max", "a", "zero", out="m"), node("Min", "m", "six", out="r")), {}),
    "max of min": (units(node("Min", "a", "six", out="m"), node("Max", "m", "zero", out="r")), {}),
    "relu of relu": (units(node("Relu", "a", out="q"), node("Relu", "q", out="r")), {}),
    "relu, identity, relu6": (
        units(
            node("Relu", "a", out="q"), node("Dropout", "q", out="d"), node("Clip", "d", "zero", "six", out="r")
        ),
        {},
    ),
    "relu of a scaled rate": (
        [FIRST, RELU, node("Mul", "r", "five", out="q"), node("Relu", "q", out="p"), BEHIND_P],
        {},
    ),
    "relu of a shifted rate": (
        [FIRST, RELU, node("Sub", "r", "five", out="q"), node("Relu", "q", out="p"), BEHIND_P],
        {},
    ),
    "relu of the input": ([node("Relu", "x", out="s"), *before()], {}),
    "clip without bounds": (units(node("Clip", "a", out="b"), node("Relu", "b", out="r")), {}),
    "clip from below": (units(node("Clip", "a", "half", out="r")), {}),
    "clip from above": (units(node("Clip", "a", "", "half", out="r")), {}),
    "min": (units(node("Min", "a", "half", out="r")), {}),
    "old clip": (units(node("Clip", "a", out="r", min=0.0)), {"opset": 9}),
    "old clip without bounds": (units(node("Clip", "a", out="b"), node("Relu", "b", out="r")), {"opset": 9}),
    "leaky 0": (units(node("LeakyRelu", "a", out="r", alpha=0.0)), {}),
    "prelu 0": (units(node("PRelu", "a", "zeros", out="r")), {}),
    "thresholded 0": (units(node("ThresholdedRelu", "a", out="r", alpha=0.0)), {}),
    "elu 0": (units(node("Elu", "a", out="r", alpha=0.0)), {}),
    "where": (units(node("Greater", "a", "zero", out="c"), node("Where", "c", "a", "zero", out="r")), {}),
    "negative": (units(node("Neg", "a", out="b"), node("Relu", "b", out="r")), {}),
    "outputs turned": (behind(node("Neg", "z", out="y")), {}),
    # ---- sums
    "sum": (units(node("Sum", "a", "B1", "five", out="b"), node("Relu", "b", out="r")), {}),
    "mean": (units(node("Mean", "a", "five", out="b"), node("Relu", "b", out="r")), {}),
    "sum of two branches": (
        [
            FIRST,
            node("MatMul", "x", "V", out="b"),
            node("Add", "a", "b", out="c"),
            node("Relu", "c", out="r"),
            LAST,
        ],
        {},
    ),
    "branches of one factor and of none": (
        [
            node("Mul", "x", "half", out="s"),
            first("s"),
            node("MatMul", "x", "V", out="b"),
            node("Sub", "a", "b", out="c"),
            node("Relu", "c", out="r"),
            LAST,
        ],
        {},
    ),
    "wide layer of two": (
        [
            FIRST,
            node("Relu", "a", out="p"),
            node("MatMul", "x", "V", out="b"),
            node("Relu", "b", out="q"),
            node("Concat", "p", "q", out="r", axis=-1),
            node("MatMul", "r", "W10", out="y"),
        ],
        {"W10": np.concatenate([W2.T, -W2.T[::-1]])},
    ),
    "centred": (
        before(node("ReduceMean", "x", out="m", axes=[1], keepdims=1), node("Sub", "x", "m", out="s")),
        {},
    ),
    "pooled": (
        [
            node("GlobalAveragePool", "x", out="p"),
            node("Flatten", "p", out="s"),
            node("Gemm", "s", "W22", out="a", transB=1),
            RELU,
            LAST,
        ],
        {"shape": ("N", 2, 3, 2)},
    ),
    # ---- numbers that only move
    "gather": (before(node("Gather", "x", "order", out="s", axis=1)), {}),
    "gather some": (
        [
            node("Gather", "x", "few", out="s", axis=-1),
            node("Gemm", "s", "W22", out="a", transB=1),
            RELU,
            LAST,
        ],
        {},
    ),
    "columns of ai.onnx.ml": (
        [
            node("ArrayFeatureExtractor", "x", "few", out="s", domain="ai.onnx.ml"),
            node("Gemm", "s", "W22", out="a", transB=1),
            RELU,
            LAST,
        ],
        {},
    ),
    "the same column twice": (
        before(node("Gather", "x", "twice", out="s", axis=1)),
        {"twice": np.array([1, 1, 2, 1])},
    ),
    "slice": (
        [
            node("Slice", "x", "one", "high", "axes1", "two", out="s"),
            node("Gemm", "s", "W22", out="a", transB=1),
            RELU,
            LAST,
        ],
        {},
    ),
    "slice backwards": (before(node("Slice", "x", "minus", "end", "axes1", "minus", out="s")), {}),
    "old slice": (
        [
            node("Slice", "x", out="s", starts=[1], ends=[3], axes=[1]),
            node("MatMul", "s", "V22", out="a"),
            RELU,
            LAST,
        ],
        {"opset": 9, "V22": W1[:, :2].T.copy()},
    ),
    "split": ([SPLIT, *before(node("Concat", "q", "p", out="s", axis=1))], {"opset": 18}),
    "drives in another order": (
        units(node("Gather", "a", "five_of", out="b", axis=1), node("Relu", "b", out="r")),
        {"five_of": np.array([4, 0, 2, 1, 3])},
    ),
    "rates in another order": (
        [FIRST, node("Relu", "a", out="q"), node("Gather", "q", "five_of", out="r", axis=1), LAST],
        {"five_of": np.array([4, 0, 2, 1, 3])},
    ),
    "channels last": (
        before(node("Transpose", "x", out="t", perm=[0, 2, 3, 1]), node("Flatten", "t", out="s")),
        {"shape": ("N", 2, 1, 2)},
    ),
    "channels last, each with its factor": (
        before(
            node("Transpose", "x", out="t", perm=[0, 2, 1]),
            node("Mul", "t", "channel", out="u"),
            node("Reshape", "u", "flat", out="s"),
        ),
        {"shape": ("N", 2, 2), "channel": np.array([0.5, -2.0], np.float32)},
    ),
    "factor, then a choice": (
        before(node("Mul", "x", "half", out="h"), node("Gather", "h", "order", out="s", axis=1)),
        {},
    ),
    "normalised between unsqueeze and squeeze": (
        units(
            node("Unsqueeze", "a", "axes2", out="u"),
            node("BatchNormalization", "u", "five", "B1", "B1", "five", out="n"),
            node("Squeeze", "n", "axes2", out="q"),
            node("Relu", "q", out="r"),
        ),
        {},
    ),
    "normalised images": (
        before(
            node("BatchNormalization", "x", "pair", "pair", "pair", "pair", out="n"),
            node("Flatten", "n", out="s"),
        ),
        {"shape": ("N", 2, 2, 1), "pair": np.array([0.5, 2.0], np.float32)},
    ),
    "flatten, negative axis": (before(node("Flatten", "x", out="s", axis=-2)), {"shape": ("N", 2, 2)}),
    "flatten behind ones": (before(node("Flatten", "x", out="s", axis=2)), {"shape": ("N", 1, 4)}),
    "flatten, axis 0, one sample": (before(node("Flatten", "x", out="s", axis=0)), {"shape": (1, 2, 2)}),
    "squeezed and back, one sample": (
        before(node("Squeeze", "x", out="q"), node("Unsqueeze", "q", "low", out="s")),
        {"shape": (1, 4)},
    ),
    "a column, one sample": (
        [
            node("Reshape", "x", "column", out="c"),
            node("MatMul", "W1", "c", out="a"),
            node("Relu", "a", out="q"),
            node("Transpose", "q", out="r", perm=[1, 0]),
            LAST,
        ],
        {"shape": (1, 4), "column": np.array([4, 1])},
    ),
    "weights on one axis": (
        [
            node("MatMul", "x", "W2x3", out="m"),
            node("MatMul", "W3x2", "m", out="n"),
            node("Flatten", "n", out="f"),
            node("Relu", "f", out="r"),
            node("MatMul", "r", "W9", out="y"),
        ],
        {
            "shape": ("N", 2, 2),
            "W2x3": W1[:2, :3].copy(),
            "W3x2": W1[:3, 2:].copy(),
            "W9": np.concatenate([W2.T, W2.T[:4]]),
        },
    ),
    # ---- computed shapes
    "view": (before(*VIEW), {"shape": IMAGE}),
    "view, cut out": (
        before(*computed_view(node("Slice", "shape", "low", "one", out="n"))),
        {"shape": IMAGE},
    ),
    "view, in int32": (
        before(
            *computed_view(
                node("Cast", "shape", out="c", to=TensorProto.INT32),
                node("Slice", "c", "low", "one", "low", out="d"),
                node("Cast", "d", out="n", to=TensorProto.INT64),
            )
        ),
        {"shape": IMAGE},
    ),
    "view of a rate": (
        [
            FIRST,
            node("Relu", "a", out="q"),
            *computed_view(
                node("Gather", "shape", "first", out="i", axis=0),
                node("Unsqueeze", "i", "low", out="n"),
                source="q",
            ),
            node("Gemm", "s", "W2", "B2", out="y", transB=1),
        ],
        {},
    ),
    "view of one sample": (before(*VIEW), {"shape": (1, 1, 2, 2)}),
    "view of a fixed batch": (before(*VIEW), {"shape": (40, 1, 2, 2)}),
    # ---- arithmetic of constants
    "mask": (
        [node("Mul", "W1", "mask", out="w"), node("Gemm", "x", "w", "B1", out="a", transB=1), RELU, LAST],
        {},
    ),
    "normalised weights": (
        [
            node("Mul", "W1", "W1", out="sq"),
            node("ReduceSum", "sq", "axes1", out="sum"),
            node("Sqrt", "sum", out="norm"),
            node("Div", "W1", "norm", out="w"),
            node("Gemm", "x", "w", "B1", out="a", transB=1),
            RELU,
            LAST,
        ],
        {},
    ),
    "low rank weights": (
        [node("MatMul", "V", "square", out="w"), node("MatMul", "x", "w", out="a"), RELU, LAST],
        {"square": np.outer(B1, B1).astype(np.float32)},
    ),
    "weights chosen by a condition": (
        [
            node("Greater", "W1", "zero", out="c"),
            node("Where", "c", "W1", "half", out="w"),
            node("Gemm", "x", "w", "B1", out="a", transB=1),
            RELU,
            LAST,
        ],
        {},
    ),
    "counted and filled constants": (
        [
            node("Range", "start", "stop", "step", out="count"),
            node("Cast", "count", out="float", to=TensorProto.FLOAT),
            node("ConstantOfShape", "shape54", out="ones", value=helper.make_tensor("v", 1, [1], [0.5])),
            node("Mul", "ones", "float", out="w"),
            node("Expand", "half", "shape5", out="bias"),
            node("Squeeze", "bias", out="b"),
            node("Gemm", "x", "w", "b", out="a", transB=1),
            RELU,
            LAST,
        ],
        {},
    ),
    # ---- element types
    "float16 weights": (
        [node("Cast", "V16", out="w", to=TensorProto.FLOAT), node("MatMul", "x", "w", out="a"), RELU, LAST],
        {},
    ),
    "float64 inside": (
        [
            node("Cast", "x", out="d", to=TensorProto.DOUBLE),
            node("MatMul", "d", "V64", out="b"),
            node("Cast", "b", out="a", to=TensorProto.FLOAT),
            RELU,
            LAST,
        ],
        {},
    ),
}


def made(nodes: list[onnx.NodeProto], options: dict[str, Any]) -> onnx.ModelProto:
    constants = {**CONSTANTS, **options}
    return model(*nodes, **constants)


def samples(shape: Any) -> list[np.ndarray]:
    """Batches as the file takes them."""
    whole = np.random.default_rng(3).normal(size=(40, *shape[1:])).astype(np.float32)
    return list(whole[:, None]) if shape[0] == 1 else [whole]


@pytest.mark.parametrize("name", EXACT)
def test_an_affine_operator_is_folded_as_onnxruntime_computes_it(name: str, tmp_path: Path) -> None:
    nodes, options = EXACT[name]
    trained = imported(tmp_path, made(nodes, options))
    for x in samples(options.get("shape", ("N", 4))):
        answer = runtime(tmp_path / "m.onnx", x)[0]
        found = exact(trained, x.reshape(len(x), -1))
        np.testing.assert_allclose(answer.reshape(found.shape), found, rtol=0, atol=2e-5)


INCREASING: dict[str, tuple[list[onnx.NodeProto], dict[str, Any]]] = {
    **{
        op.lower(): (behind(node(op, "z", out="y")), {})
        for op in ("Sigmoid", "Tanh", "Softplus", "Exp", "Elu", "Selu", "Softsign", "LeakyRelu", "Atan")
    },
    "log of softmax": (behind(node("Softmax", "z", out="p"), node("Log", "p", out="y")), {}),
    "log of sigmoid": (behind(node("Sigmoid", "z", out="p"), node("Log", "p", out="y")), {}),
    "softmax of sigmoid": (behind(node("Sigmoid", "z", out="p"), node("Softmax", "p", out="y")), {}),
    "softmax before opset 13": (behind(node("Softmax", "z", out="y")), {"opset": 12}),
    "positive factor and offset": (
        behind(
            node("Sigmoid", "z", out="p"), node("Mul", "six", "p", out="q"), node("Sub", "q", "half", out="y")
        ),
        {},
    ),
    "norm of raw scores": (behind(node("Normalizer", "z", out="y", domain="ai.onnx.ml", norm="L2")), {}),
}


@pytest.mark.parametrize("name", INCREASING)
def test_an_increasing_function_of_all_outputs_keeps_the_labels(name: str, tmp_path: Path) -> None:
    nodes, options = INCREASING[name]
    trained = imported(tmp_path, made(nodes, options))
    assert trained.network.layers == (4, 5, 3)
    answer = runtime(tmp_path / "m.onnx", X)[0]
    np.testing.assert_array_equal(exact(trained).argmax(axis=1), answer.argmax(axis=1))
    np.testing.assert_array_equal(trained.params.weights[1], W2)
    if name not in ("softmax before opset 13", "norm of raw scores"):
        assert any("the order of the outputs stays" in text for text in trained.record["imported"]["folded"])


def test_bounds_that_no_layer_can_have_are_left_out_and_said(tmp_path: Path) -> None:
    trained = imported(tmp_path, made(behind(node("Clip", "z", "zero", "six", out="y")), {}))
    assert trained.network.layers == (4, 5, 3)
    assert any("0..6 are equal there" in text for text in trained.record["imported"]["folded"])
    answer = runtime(tmp_path / "m.onnx", X)[0]
    inside = (answer.max(axis=1) > 0) & (answer.max(axis=1) < 6)
    assert inside.sum() > 10
    np.testing.assert_array_equal(exact(trained).argmax(axis=1)[inside], answer.argmax(axis=1)[inside])


ONE = [FIRST, RELU, node("Gemm", "r", "w", "shift", out="z", transB=1)]
CHANCE = [*ONE, node("Sigmoid", "z", out="p")]
LATE: dict[str, tuple[list[onnx.NodeProto], float]] = {
    "squeeze": ([*CHANCE, node("Squeeze", "p", "axes1", out="y")], 0.5),
    "squeeze of all": ([*CHANCE, node("Squeeze", "p", out="y")], 0.5),
    "flatten": ([*CHANCE, node("Flatten", "p", out="y")], 0.5),
    "reshape": ([*CHANCE, node("Reshape", "p", "minus", out="y")], 0.5),
    "squeeze, then sigmoid": (
        [*ONE, node("Squeeze", "z", "axes1", out="q"), node("Sigmoid", "q", out="y")],
        0.5,
    ),
    "chance of the other class": ([*CHANCE, node("Sub", "float1", "p", out="y")], 0.5),
    "above a half": ([*CHANCE, node("Greater", "p", "half", out="c"), node("Cast", "c", out="y", to=1)], 0.5),
    "above a quarter": (
        [*CHANCE, node("Greater", "p", "quarter", out="c"), node("Cast", "c", out="y", to=1)],
        0.5,
    ),
    "a quarter is less": (
        [*CHANCE, node("Less", "quarter", "p", out="c"), node("Cast", "c", out="y", to=1)],
        0.5,
    ),
    "below a quarter": (
        [*CHANCE, node("Less", "p", "quarter", out="c"), node("Cast", "c", out="y", to=1)],
        0.5,
    ),
    "raw above a number": (
        [*ONE, node("Greater", "z", "quarter", out="c"), node("Cast", "c", out="y", to=1)],
        0.5,
    ),
    "rounded": ([*CHANCE, node("Round", "p", out="y")], 0.5),
}


@pytest.mark.parametrize("name", LATE)
def test_one_logistic_output_becomes_two_whatever_its_shape(name: str, tmp_path: Path) -> None:
    nodes, half = LATE[name]
    more = {
        "w": W2[:1],
        "shift": -np.median(net(a1())[:, :1] - B2[0], axis=0).astype(np.float32),
        "float1": np.float32(1),
        "quarter": np.float32(0.25),
    }
    trained = imported(tmp_path, made(nodes, more))
    assert trained.network.layers == (4, 5, 2)
    answer = np.asarray(runtime(tmp_path / "m.onnx", X)[0]).reshape(-1)
    wanted = answer > half
    assert 2 < wanted.sum() < 38
    np.testing.assert_array_equal(exact(trained).argmax(axis=1) == 1, wanted)


def test_labels_are_named_behind_raw_scores(tmp_path: Path) -> None:
    nodes = behind(
        node("ArgMax", "z", out="i", axis=1, keepdims=1),
        node("Gather", "names", "i", out="c"),
        node("Reshape", "c", "minus", out="label"),
        node("ZipMap", "z", out="map", domain="ai.onnx.ml", classlabels_int64s=[7, 8, 9]),
    )
    made_of = model(*nodes, outputs=("label", "map"), names=np.array([7, 8, 9]), minus=np.array([-1]))
    trained = imported(tmp_path, made_of)
    assert trained.labels == (7, 8, 9)
    assert trained.network.layers == (4, 5, 3)


def test_a_layer_that_is_rectified_last_gets_an_identity(tmp_path: Path) -> None:
    trained = imported(tmp_path, made([FIRST, node("Relu", "a", out="y")], {}))
    assert trained.network.layers == (4, 5, 5)
    np.testing.assert_array_equal(trained.params.weights[1], np.eye(5))
    np.testing.assert_array_equal(trained.params.weights[0], W1)
    assert any("an identity" in text for text in trained.record["imported"]["folded"])


def test_element_types_that_do_not_go_together_are_noted(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x", "V64", out="m"), node("Add", "m", "B1", out="a"), RELU, LAST]
    trained = imported(tmp_path, made(nodes, {}))
    notes = [text for text in trained.record["imported"]["folded"] if "ONNX forbids" in text]
    assert len(notes) == 2
    assert "float32 and float64" in notes[0]


@pytest.mark.parametrize("raw", [True, False])
def test_bfloat16_is_read_to_the_bit(raw: bool, tmp_path: Path) -> None:
    graph = made(
        [node("Cast", "half_size", out="w", to=1), node("Gemm", "x", "w", out="a", transB=1), RELU, LAST], {}
    )
    cut = (W1.view(np.uint32) >> 16).astype(np.uint16)
    tensor = TensorProto(name="half_size", dims=W1.shape, data_type=TensorProto.BFLOAT16)
    if raw:
        tensor.raw_data = cut.astype("<u2").tobytes()
    else:
        tensor.int32_data.extend(cut.reshape(-1).tolist())
    graph.graph.initializer.append(tensor)
    trained = imported(tmp_path, graph)
    np.testing.assert_array_equal(trained.params.weights[0], (cut.astype(np.uint32) << 16).view(np.float32))


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_a_network_in_another_float_is_imported(kind: int, tmp_path: Path) -> None:
    graph = model(FIRST, RELU, LAST, kind=kind)
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    for tensor in graph.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(dtype), tensor.name))
    graph.graph.output[0].type.tensor_type.elem_type = kind
    trained = imported(tmp_path, graph)
    np.testing.assert_array_equal(trained.params.weights[0], W1.astype(dtype).astype(np.float32))
    answer = runtime(tmp_path / "m.onnx", X.astype(dtype))[0]
    np.testing.assert_allclose(exact(trained), answer.astype(np.float64), rtol=0, atol=0.05)
