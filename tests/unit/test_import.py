"""Import of ONNX files: what layers and their numbers mean, and what other libraries make of the same files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from lavaghost.base.errors import ExportError
from lavaghost.datasets import Dataset
from lavaghost.exporters.onnx_import.from_onnx import import_onnx
from lavaghost.model.model import Model
from lavaghost.verification import rounding
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
    near,
    net,
    node,
    runtime,
    wide,
)

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "onnx"
EXPECTED = np.load(GOLDEN / "expected.npz")

# ---- what other libraries export

CASES = [path.stem for path in sorted(GOLDEN.glob("*.onnx")) if path.stem != "sklearn_logistic_units"]


@pytest.mark.parametrize("name", CASES)
def test_networks_of_other_libraries_agree(name: str, digits: Dataset) -> None:
    scaled, two = name.startswith("torch"), "binary" in name or "words" in name
    trained = import_onnx(GOLDEN / f"{name}.onnx", None if two else digits, scaled=scaled)
    assert trained.input_scale == (1.0 if two else digits.scale)
    found = trained.outputs(digits.x_test * np.float32(trained.input_scale / digits.scale))
    ours = np.array(trained.labels)[found.argmax(axis=1)]

    golden = name.removesuffix("_script").removesuffix("_dynamo")
    scores = EXPECTED[f"{golden}.scores"]
    theirs = scores.argmax(axis=1) if scaled else EXPECTED[f"{golden}.labels"]
    assert np.mean(ours == theirs) >= 0.999  # of 360: all

    images = digits.x_test.reshape(-1, 1, 8, 8) if scaled else digits.x_test / np.float32(digits.scale)
    answer = runtime(GOLDEN / f"{name}.onnx", images)
    labels = answer[0].argmax(axis=1) if scaled else np.array(answer[0])
    assert np.mean(ours == labels) >= 0.999
    if name.startswith(("torch_relu", "torch_clamp")):
        bound = rounding(trained.graph, trained.params, digits.x_test).difference
        assert np.all(np.abs(found - scores) <= bound)
        assert np.all(np.abs(found - answer[0]) <= bound)


def test_a_layer_of_logistic_units_is_refused_by_its_name() -> None:
    with pytest.raises(ExportError, match=r"node 'Sigmoid' \(Sigmoid\) is smooth"):
        import_onnx(GOLDEN / "sklearn_logistic_units.onnx")


def test_what_was_imported_is_recorded(tmp_path: Path) -> None:
    trained = import_onnx(GOLDEN / "sklearn_words.onnx")
    record = trained.record["imported"]
    assert record["file"] == "sklearn_words.onnx"
    assert record["producer"] == "skl2onnx 1.20.0"
    assert record["opset"] == {"ai.onnx": 17, "ai.onnx.ml": 1}
    assert any("Scaler" in text for text in record["folded"])
    assert trained.labels == ("large", "small")
    assert import_onnx(GOLDEN / "torch_relu_dynamo.onnx").record["imported"]["folded"] == []
    assert Model.load(trained.save(tmp_path)) == trained


# ---- what operators mean


def test_a_plain_network_keeps_its_bits(tmp_path: Path) -> None:
    trained = imported(tmp_path, model(FIRST, RELU, LAST))
    for found, wanted in zip((*trained.params.weights, *trained.params.biases), (W1, W2, B1, B2), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert trained.record["imported"]["folded"] == []
    assert (trained.network.activation, trained.network.saturation, trained.input_scale) == ("relu", None, 1.0)


FOUR = np.array([0.5, -2.0, 3.0, 0.1], np.float32)
FIVE = np.array([0.5, 2.0, -3.0, 0.1, 1.5], np.float32)
LOW, HIGH = float(np.float32(-0.7)), 1.5
CONSTANTS = {
    "V": W1.T,
    "four": FOUR,
    "five": FIVE,
    "low": np.float32(LOW),
    "high": np.float32(HIGH),
    "half": np.float32(0.5),
}
VARIANCE = np.array([0.5, 2.0, 3.0, 0.1, 1.5], np.float32)
Q = np.clip(np.rint(W1 / 0.02), -127, 127).astype(np.int8)


NORMAL = node("BatchNormalization", "a", "five", "B1", "five", "variance", out="n", epsilon=0.25)
SEEN = {
    "gemm": (
        [node("Gemm", "x", "V", "B1", out="a", alpha=0.5, beta=3.0), RELU, LAST],
        lambda: net(0.5 * (a1() - B1) + 3.0 * B1),
    ),
    "no bias": ([node("Gemm", "x", "W1", out="a", transB=1), RELU, LAST], lambda: net(a1() - B1)),
    "bias on the left": (
        [node("MatMul", "x", "V", out="m"), node("Add", "B1", "m", out="a"), RELU, LAST],
        lambda: net(a1()),
    ),
    "two biases": (
        [FIRST, node("Sub", "a", "B1", out="b"), node("Relu", "b", out="r"), LAST],
        lambda: net(a1() - B1),
    ),
    "turned difference": (
        [FIRST, node("Sub", "five", "a", out="b"), node("Relu", "b", out="r"), LAST],
        lambda: net(FIVE - a1()),
    ),
    "factor of a drive": (
        [FIRST, node("Div", "a", "five", out="b"), node("Relu", "b", out="r"), LAST],
        lambda: net(a1() / wide(FIVE)),
    ),
    "factor of a rate": (
        [FIRST, node("Relu", "a", out="q"), node("Mul", "five", "q", out="r"), LAST],
        lambda: net(np.clip(a1(), 0, None) * FIVE, -np.inf),
    ),
    "hard sigmoid": (
        [FIRST, node("HardSigmoid", "a", out="r", alpha=0.3, beta=0.4), LAST],
        lambda: net(np.float64(np.float32(0.3)) * a1() + np.float32(0.4), 0, 1),
    ),
    "clip from below 0": (
        [FIRST, node("Clip", "a", "low", "high", out="r"), LAST],
        lambda: net(a1(), LOW, HIGH),
    ),
    "features by themselves": (
        [node("Sub", "x", "four", out="c"), node("Mul", "c", "four", out="s"), first("s"), RELU, LAST],
        lambda: net(a1((wide(X) - FOUR) * FOUR)),
    ),
    "negative input factor": (
        [node("Sub", "half", "x", out="s"), first("s"), RELU, LAST],
        lambda: net(a1(0.5 - wide(X))),
    ),
    "scaler": (
        [
            node("Scaler", "x", out="s", domain="ai.onnx.ml", offset=[0.5, 1, 2, 3], scale=[0.25] * 4),
            first("s"),
            RELU,
            LAST,
        ],
        lambda: net(a1((wide(X) - [0.5, 1, 2, 3]) * 0.25)),
    ),
    "normalised drive": (
        [FIRST, NORMAL, node("Relu", "n", out="r"), LAST],
        lambda: net((a1() - FIVE) / np.sqrt(VARIANCE + 0.25) * wide(FIVE) + B1),
    ),
    "normalised rate": (
        [
            FIRST,
            node("Relu", "a", out="q"),
            node("BatchNormalization", "q", "five", "B1", "five", "variance", out="r"),
            LAST,
        ],
        lambda: net((np.clip(a1(), 0, None) - FIVE) / np.sqrt(VARIANCE + 1e-5) * wide(FIVE) + B1, -np.inf),
    ),
    "no activation between": ([FIRST, node("Identity", "a", out="r"), LAST], lambda: net(a1(), -np.inf)),
    "transposed weights": (
        [node("Transpose", "W1", out="t", perm=[1, 0]), node("Gemm", "x", "t", "B1", out="a"), RELU, LAST],
        lambda: net(a1()),
    ),
    "integer weights": (
        [
            node("DequantizeLinear", "ints", "scales", out="w", axis=0),
            node("Gemm", "x", "w", "B1", out="a", transB=1),
            RELU,
            LAST,
        ],
        lambda: net(wide(X) @ (Q * np.full((5, 1), np.float32(0.02))).astype(np.float32).T.astype(float) + B1),
    ),
    "weights through integers": (
        [
            node("QuantizeLinear", "W1", "step", "zero", out="i"),
            node("DequantizeLinear", "i", "step", "zero", out="w"),
            node("Gemm", "x", "w", "B1", out="a", transB=1),
            RELU,
            LAST,
        ],
        lambda: net(wide(X) @ (Q * np.float32(0.02)).T.astype(float) + B1),
    ),
    "temperature": (
        [FIRST, RELU, node("Gemm", "r", "W2", "B2", out="z", transB=1), node("Mul", "z", "half", out="y")],
        lambda: 0.5 * net(a1()),
    ),
    "one linear layer": ([node("Gemm", "x", "W1", "B1", out="y", transB=1)], a1),
    "nothing between": (
        [
            node("Cast", "x", out="c", to=TensorProto.DOUBLE),
            node("Cast", "c", out="d", to=TensorProto.FLOAT),
            node("Dropout", "d", out="e"),
            node("Reshape", "e", "flat", out="f"),
            first("f"),
            RELU,
            LAST,
        ],
        lambda: net(a1()),
    ),
    "constants as nodes": (
        [
            node("Constant", out="top", value_float=1.5),
            node("Constant", out="bottom", value=numpy_helper.from_array(np.array(LOW, np.float32))),
            FIRST,
            node("Clip", "a", "bottom", "top", out="r"),
            LAST,
        ],
        lambda: net(a1(), LOW, HIGH),
    ),
}
MORE = {
    **CONSTANTS,
    "variance": VARIANCE,
    "ints": Q,
    "scales": np.full(5, 0.02, np.float32),
    "step": np.float32(0.02),
    "zero": np.int8(0),
    "flat": np.array([-1, 4]),
}


@pytest.mark.parametrize("name", SEEN)
def test_an_operator_means_what_onnx_says(name: str, tmp_path: Path) -> None:
    nodes, wanted = SEEN[name]
    made = model(*nodes, **MORE)
    trained = imported(tmp_path, made)
    near(trained, wanted())
    # and onnxruntime reads the file as we do: within the rounding of two float32 passes
    answer = runtime(tmp_path / "m.onnx", X)[0]
    np.testing.assert_allclose(answer, wanted(), rtol=0, atol=2e-5)


def test_layers_of_different_bounds_get_one(tmp_path: Path) -> None:
    w3 = np.array([[1.0, -2.0, 0.5], [0.3, 0.2, 0.1]], np.float32)
    made = model(
        FIRST,
        node("Clip", "a", "low", "high", out="r"),
        node("Gemm", "r", "W2", "B2", out="b", transB=1),
        node("Clip", "b", "zero", "six", out="s"),
        node("Gemm", "s", "W3", out="y", transB=1),
        W3=w3,
        zero=np.float32(0),
        six=np.float32(6),
        **CONSTANTS,
    )
    trained = imported(tmp_path, made)
    assert trained.network.saturation == HIGH - LOW
    near(trained, np.clip(net(a1(), LOW, HIGH), 0, 6) @ w3.T.astype(float))


def test_a_hard_sigmoid_keeps_its_name(tmp_path: Path) -> None:
    trained = imported(tmp_path, model(FIRST, node("HardSigmoid", "a", out="r", alpha=1.0, beta=0.0), LAST))
    assert (trained.network.activation, trained.network.saturation) == ("hard_sigmoid", None)
    np.testing.assert_array_equal(trained.params.weights[0], W1)


@pytest.mark.parametrize(("factor", "scale"), [(0.5, 0.5), (1 / 255, float(np.float32(1 / 255)))])
def test_one_factor_of_the_input_stays_outside_of_the_weights(
    tmp_path: Path, factor: float, scale: float
) -> None:
    made = model(node("Mul", "x", "f", out="s"), first("s"), RELU, LAST, f=np.float32(factor))
    trained = imported(tmp_path, made)
    assert trained.input_scale == scale
    np.testing.assert_array_equal(trained.params.weights[0], W1)


def test_images_are_flattened(tmp_path: Path) -> None:
    nodes = [node("Flatten", "x", out="f"), node("Mul", "f", "four", out="s"), first("s"), RELU, LAST]
    made = model(*nodes, shape=("N", 1, 2, 2), **CONSTANTS)
    near(imported(tmp_path, made), net(a1(wide(X) * FOUR)))
    channel = np.array([[[2.0, 3.0], [0.5, 1.0]]], np.float32)  # broadcast before the images are flat
    nodes = [node("Mul", "x", "channel", out="s"), node("Flatten", "s", out="f"), first("f"), RELU, LAST]
    made = model(*nodes, shape=("N", 1, 2, 2), channel=channel)
    near(imported(tmp_path, made), net(a1(wide(X) * channel.reshape(-1))))


def test_one_logistic_output_becomes_two(tmp_path: Path) -> None:
    nodes = [FIRST, RELU, node("Gemm", "r", "w", out="z", transB=1), node("Sigmoid", "z", out="y")]
    trained = imported(tmp_path, model(*nodes, w=W2[:1]))
    found = exact(trained)
    assert trained.network.layers == (4, 5, 2)
    assert np.all(found[:, 0] == 0)
    np.testing.assert_array_equal(found[:, 1] > 0, runtime(tmp_path / "m.onnx", X)[0][:, 0] > 0.5)


def test_float64_weights_are_rounded_and_that_is_said(tmp_path: Path) -> None:
    made = model(FIRST, RELU, LAST)
    for tensor in made.graph.initializer:
        tensor.CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64) / 3, tensor.name)
        )
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    trained = imported(tmp_path, made)
    np.testing.assert_array_equal(trained.params.weights[0], (W1 / np.float64(3)).astype(np.float32))
    assert trained.record["imported"]["folded"] == ["float64, into float32"]


def test_labels_of_our_own_files_come_back(tmp_path: Path) -> None:
    made = model(FIRST, RELU, LAST)
    helper.set_model_props(made, {"lavaghost.labels": json.dumps(["a", 1, "c"]), "lavaghost.dataset": "mine"})
    trained = imported(tmp_path, made)
    assert (trained.labels, trained.dataset) == (("a", 1, "c"), "mine")


def test_encoded_labels_are_looked_up(tmp_path: Path) -> None:
    ml = "ai.onnx.ml"
    nodes = [
        FIRST,
        RELU,
        LAST,
        node("ArgMax", "y", out="i", axis=1, keepdims=0),
        node("ArrayFeatureExtractor", "classes", "i", out="c", domain=ml),
        node("LabelEncoder", "c", out="name", domain=ml, keys_int64s=[7, 9, 8], values_strings=["x", "z", "y"]),
    ]
    trained = imported(tmp_path, model(*nodes, outputs=("y", "name"), classes=np.array([7, 8, 9])))
    assert trained.labels == ("x", "y", "z")


# ---- the data set's scale


def small(scale: float) -> Dataset:
    y = np.arange(40) % 3
    return Dataset("small", X * np.float32(scale), y, X * np.float32(scale), y, 3, scale)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("factor", [1.0, 0.125, 0.3])
def test_the_network_takes_the_samples_of_its_data_set(tmp_path: Path, factor: float, scaled: bool) -> None:
    made = model(node("Mul", "x", "f", out="s"), first("s"), RELU, LAST, f=np.float32(factor))
    trained = imported(tmp_path, made, data=small(0.25), scaled=scaled)
    assert trained.input_scale == 0.25
    assert trained.dataset == "small"
    into = wide(X) * np.float32(factor) * (0.25 if scaled else 1.0)
    near(trained, net(a1(into)))


def test_our_own_file_with_its_own_data_set_is_not_folded(tmp_path: Path) -> None:
    made = model(node("Mul", "x", "f", out="s"), first("s"), RELU, LAST, f=np.float32(1 / 255))
    trained = imported(tmp_path, made, data=small(1 / 255))
    assert trained.record["imported"]["folded"] == []
    assert trained.input_scale == 1 / 255


def test_other_sizes_and_orders_of_classes_are_refused(tmp_path: Path) -> None:
    made = model(FIRST, RELU, LAST)
    other = replace(small(1.0), x_train=X[:, :3].copy(), x_test=X[:, :3].copy())
    with pytest.raises(ExportError, match="4, but small has 3 inputs"):
        imported(tmp_path, made, data=other)
    helper.set_model_props(made, {"lavaghost.labels": "[2, 1, 0]"})
    with pytest.raises(ExportError, match="order"):
        imported(tmp_path, made, data=small(1.0))
