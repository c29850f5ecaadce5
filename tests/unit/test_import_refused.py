"""What an import of ONNX files refuses, by the node that is to blame, with the reason that is true of it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lavaghost.base.errors import ExportError
from lavaghost.exporters.onnx_import import model_graph as import_graph
from lavaghost.exporters.onnx_import.from_onnx import import_onnx
from tests.unit.onnx_graphs import FIRST, LAST, RELU, W1, first, imported, model, node

# ---- what is refused

REFUSED = {
    "LeakyRelu": [FIRST, node("LeakyRelu", "a", out="r"), LAST],
    "Tanh": [FIRST, node("Tanh", "a", out="r"), LAST],
    "mixes layers with and without": [
        FIRST,
        RELU,
        node("Gemm", "r", "W2", "B2", out="b", transB=1),
        node("HardSigmoid", "b", out="s"),
        node("Gemm", "s", "W3", out="y"),
    ],
    "transA": [node("Gemm", "x", "W1", out="a", transA=1, transB=1), RELU, LAST],
    "not combine a value": [FIRST, node("Relu", "a", out="q"), node("Add", "q", "a", out="r"), LAST],
    "divides by": [FIRST, node("Div", "a", "nought", out="r"), node("Relu", "r", out="s"), LAST],
    "training mode": [
        FIRST,
        node("BatchNormalization", "a", "B1", "B1", "B1", "B1", out="n", training_mode=1),
        node("Relu", "n", out="r"),
        LAST,
    ],
    "joins branches": [FIRST, RELU, node("Concat", "a", "r", out="y", axis=1)],
    "does not end in weights": [node("Identity", "x", out="y")],
    "makes the shape": [node("Reshape", "x", "wrong", out="f"), first("f"), RELU, LAST],
    "changes numbers": [node("Cast", "x", out="c", to=TensorProto.INT8), first("c"), RELU, LAST],
    "not a constant": [FIRST, RELU, node("Gemm", "r", "a", out="y", transB=1)],
    "multiplies weights": [node("Gemm", "x", "W2", out="a", transB=1), node("Relu", "a", out="y")],
    "unknown, or given twice": [FIRST, node("Relu", "nothing", out="r"), LAST],
}


Z = node("Gemm", "r", "W2", "B2", out="z", transB=1)
QUANTISED = "rates are quantised, import the float model"
BLAMED: dict[str, tuple[str, str, list[onnx.NodeProto], dict[str, Any]]] = {
    # name: the node to blame, why, the graph, its shape and the like
    "rates in integers": (
        "DynamicQuantizeLinear of q",
        QUANTISED,
        [
            helper.make_node(
                "DynamicQuantizeLinear", ["x"], ["q", "s", "z"], name="the DynamicQuantizeLinear of q"
            ),
            node("MatMulInteger", "q", "ints", "z", out="i"),
            node("Cast", "i", out="f", to=1),
            node("Mul", "f", "s", out="a"),
            RELU,
            LAST,
        ],
        {},
    ),
    "rates through integers": (
        "QuantizeLinear of q",
        QUANTISED,
        [
            node("QuantizeLinear", "x", "one", "zero8", out="q"),
            node("DequantizeLinear", "q", "one", "zero8", out="s"),
            first("s"),
            RELU,
            LAST,
        ],
        {},
    ),
    "smooth units": ("Sigmoid of r", "is smooth", [FIRST, node("Sigmoid", "a", out="r"), LAST], {}),
    "softmax inside": (
        "Softmax of r",
        "behind the last layer",
        [FIRST, node("Softmax", "a", out="r"), LAST],
        {},
    ),
    "leaky units": (
        "LeakyRelu of r",
        "not flat below 0",
        [FIRST, node("LeakyRelu", "a", out="r", alpha=0.1), LAST],
        {},
    ),
    "smooth units behind others": (
        "Tanh of t",
        "is smooth",
        [FIRST, node("Tanh", "a", out="t"), node("Dropout", "t", out="r"), LAST],
        {},
    ),
    "convolution": (
        "Conv of c",
        "is a convolution",
        [node("Conv", "x", "kernel", out="c"), node("Flatten", "c", out="s"), first("s"), RELU, LAST],
        {"shape": ("N", 1, 2, 2)},
    ),
    "state": (
        "GRU of c",
        "keeps a state over time",
        [node("GRU", "x", "W1", "W1", out="c"), first("c"), RELU, LAST],
        {},
    ),
    "products of values": (
        "Mul of r",
        "is not affine",
        [FIRST, node("MatMul", "x", "V", out="b"), node("Mul", "a", "b", out="r"), LAST],
        {},
    ),
    "skip": (
        "Add of s",
        "two layers",
        [FIRST, RELU, node("Add", "r", "a", out="s"), node("MatMul", "s", "W5", out="y")],
        {},
    ),
    "mixed scores": (
        "Sigmoid of p",
        "is smooth",
        [FIRST, RELU, Z, node("Sigmoid", "z", out="p"), node("MatMul", "p", "W3", out="y")],
        {},
    ),
    "scores each with its factor": (
        "Sigmoid of p",
        "is smooth",
        [FIRST, RELU, Z, node("Sigmoid", "z", out="p"), node("Mul", "p", "each", out="y")],
        {},
    ),
    "falling scores": (
        "Softmax of p",
        "may follow",
        [FIRST, RELU, Z, node("Softmax", "z", out="p"), node("Sub", "one", "p", out="y")],
        {},
    ),
    "log of raw scores": ("Log of y", "below 0", [FIRST, RELU, Z, node("Log", "z", out="y")], {}),
    "last of equal labels": (
        "ArgMax of y",
        "takes the last",
        [FIRST, RELU, Z, node("ArgMax", "z", out="y", axis=1, select_last_index=1)],
        {},
    ),
    "label over samples": (
        "ArgMax of y",
        "not over the classes",
        [FIRST, RELU, Z, node("ArgMax", "z", out="y", axis=0)],
        {},
    ),
    "softmax over samples": (
        "Softmax of y",
        "not over the classes",
        [FIRST, RELU, Z, node("Softmax", "z", out="y", axis=0)],
        {},
    ),
    "some of the scores": (
        "Gather of y",
        "chooses or reorders",
        [FIRST, RELU, Z, node("Softmax", "z", out="p"), node("Gather", "p", "few", out="y", axis=1)],
        {},
    ),
    "several labels at once": (
        "Greater of y",
        "compares scores",
        [FIRST, RELU, Z, node("Sigmoid", "z", out="p"), node("Greater", "p", "half", out="y")],
        {},
    ),
    "samples chosen": (
        "Gather of s",
        "samples of a batch",
        [node("Gather", "x", "few", out="s", axis=0), first("s"), RELU, LAST],
        {},
    ),
    "samples exchanged": (
        "Transpose of s",
        "batch must stay first",
        [node("Transpose", "x", out="s"), first("s"), RELU, LAST],
        {},
    ),
    "samples into values": (
        "Reshape of s",
        "between samples",
        [node("Reshape", "x", "two4", out="s"), node("Gemm", "s", "W2", out="y")],
        {},
    ),
    "a bias for each sample": (
        "Add of s",
        "samples of a batch",
        [node("Add", "x", "tall", out="s"), first("s"), RELU, LAST],
        {},
    ),
    "mean over samples": (
        "ReduceMean of m",
        "samples of a batch",
        [node("ReduceMean", "x", out="m", axes=[0]), node("Sub", "x", "m", out="s"), first("s"), RELU, LAST],
        {},
    ),
    "maximum of two": (
        "Max of r",
        "chooses among 2",
        [FIRST, node("Neg", "a", out="b"), node("Max", "a", "b", out="r"), LAST],
        {},
    ),
    "integers": (
        "Div of d",
        "computes in uint8",
        [node("Div", "x", "u8", out="d"), node("Cast", "d", out="s", to=1), first("s"), RELU, LAST],
        {"kind": TensorProto.UINT8},
    ),
    "broadcast by attributes": (
        "Add of s",
        "opsets below 7",
        [node("Add", "x", "one", out="s", broadcast=1), first("s"), RELU, LAST],
        {},
    ),
    "normalised by the batch": (
        "BatchNormalization of n",
        "training mode",
        [
            FIRST,
            helper.make_node(
                "BatchNormalization",
                ["a", "B1", "B1", "B1", "B1"],
                ["n", "m", "v", "sm", "sv"],
                name="the BatchNormalization of n",
            ),
            node("Relu", "n", out="r"),
            LAST,
        ],
        {"opset": 9},
    ),
    "far too many constants": (
        "Expand of e",
        "too many to be folded",
        [node("Expand", "one", "huge", out="e"), node("MatMul", "x", "e", out="y")],
        {},
    ),
    "constants that do not fit": (
        "MatMul of w",
        "cannot be computed",
        [node("MatMul", "W1", "W1", out="w"), node("MatMul", "x", "w", out="y")],
        {},
    ),
    "an impossible shape": (
        "Reshape of w",
        "which does not fit",
        [node("Reshape", "W1", "two4", out="w"), node("MatMul", "x", "w", out="y")],
        {},
    ),
}


@pytest.mark.parametrize("name", BLAMED)
def test_the_node_to_blame_is_named_once_with_its_own_reason(name: str, tmp_path: Path) -> None:
    blamed, why, nodes, options = BLAMED[name]
    constants = {
        "V": W1.T.copy(),
        "W3": np.ones((3, 2), np.float32),
        "W5": np.ones((5, 3), np.float32),
        "ints": np.ones((4, 5), np.uint8),
        "zero8": np.uint8(0),
        "u8": np.uint8(2),
        "one": np.float32(1),
        "half": np.float32(0.5),
        "each": np.array([1, 2, 3], np.float32),
        "kernel": np.ones((1, 1, 1, 1), np.float32),
        "few": np.array([0, 1]),
        "two4": np.array([2, -1, 3]),
        "tall": np.ones((3, 1), np.float32),
        "huge": np.array([2**31, 2**31]),
        **options,
    }
    with pytest.raises(ExportError, match=why) as caught:
        imported(tmp_path, model(*nodes, **constants))
    text = str(caught.value)
    assert f"node 'the {blamed}'" in text
    assert text.count("node '") == 1
    assert "\n" not in text


def test_an_empty_file_is_no_onnx_file(tmp_path: Path) -> None:
    for data in (b"", onnx.ModelProto(ir_version=8).SerializeToString()):
        path = tmp_path / "m.onnx"
        path.write_bytes(data)
        with pytest.raises(ExportError, match="is not an ONNX file") as caught:
            import_onnx(path)
        assert "opset" not in str(caught.value)


def test_an_element_type_that_is_not_read_is_one_fault_with_its_name(tmp_path: Path) -> None:
    made = model(FIRST, RELU, LAST)
    made.graph.initializer[0].data_type = TensorProto.FLOAT8E4M3FN
    with pytest.raises(ExportError, match="element type float8e4m3fn") as caught:
        imported(tmp_path, made)
    assert "node" not in str(caught.value)


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_imported_is_refused(why: str, tmp_path: Path) -> None:
    constants = {
        "W3": np.ones((3, 2), np.float32),
        "nought": np.float32(0),
        "one": np.float32(1),
        "wrong": np.array([-1, 2]),
    }
    with pytest.raises(ExportError, match=why) as caught:
        imported(tmp_path, model(*REFUSED[why], **constants))
    assert "\n" not in str(caught.value)
    assert "node 'the " in str(caught.value) or "the graph" in str(caught.value)


def test_all_faults_are_told_together(tmp_path: Path) -> None:
    nodes = [
        node("Erf", "x", out="e"),
        first("e"),
        node("Tanh", "a", out="r"),
        LAST,
        node("Gemm", "x", "W1", "B1", out="c", transA=1),
        node("Sin", "c", out="z"),
    ]
    with pytest.raises(ExportError) as caught:
        imported(tmp_path, model(*nodes, outputs=("y", "z")))
    text = str(caught.value)
    assert "'the Erf of e' (Erf)" in text
    assert "'the Gemm of c' (Gemm) has transA" in text
    # what follows from a fault is none of its own
    assert "Tanh" not in text
    assert "Sin" not in text


def test_outputs_of_several_layers_are_refused(tmp_path: Path) -> None:
    nodes = [FIRST, RELU, LAST, node("Gemm", "r", "W2", out="z", transB=1)]
    with pytest.raises(ExportError, match="outputs of several layers"):
        imported(tmp_path, model(*nodes, outputs=("y", "z")))
    # one that nothing needs is no fault
    assert imported(tmp_path, model(*nodes)).network.layers == (4, 5, 3)


def external(made: onnx.ModelProto) -> None:
    made.graph.initializer[0].data_location = TensorProto.EXTERNAL
    made.graph.initializer[0].external_data.add(key="location", value="../../etc/passwd")


def huge(made: onnx.ModelProto) -> None:
    made.graph.initializer[0].dims[:] = [2**40, 2**40]


def huge_input(made: onnx.ModelProto) -> None:
    made.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2**40


def no_numbers(made: onnx.ModelProto) -> None:
    made.graph.initializer[0].raw_data = np.full(20, np.nan, np.float32).tobytes()


def two_inputs(made: onnx.ModelProto) -> None:
    made.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, ["N", 2]))


def old(made: onnx.ModelProto) -> None:
    made.opset_import[0].version = 6


def long(made: onnx.ModelProto) -> None:
    for i in range(import_graph.MAX_NODES):
        made.graph.node.append(node("Identity", "y", out=f"y{i}"))


def labels(made: onnx.ModelProto) -> None:
    helper.set_model_props(made, {"lavaghost.labels": "[" * 100_000})


def external_constant(made: onnx.ModelProto) -> None:
    tensor = TensorProto(dims=[1], data_type=1, data_location=TensorProto.EXTERNAL)
    made.graph.node.insert(0, node("Constant", out="W3", value=tensor))
    made.graph.node[1].input[1] = "W3"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (external, "lies in another file"),
        (external_constant, "lies in another file"),
        (huge, "claims the shape"),
        (huge_input, "more than 1000000"),
        (no_numbers, "NaN or infinite"),
        (two_inputs, "2 inputs"),
        (old, "opset 6"),
        (long, "nodes, more than"),
        (labels, "no JSON list"),
    ],
)
def test_forged_files_are_refused(change: Any, why: str, tmp_path: Path) -> None:
    made = model(FIRST, RELU, LAST)
    change(made)
    with pytest.raises(ExportError, match=why):
        imported(tmp_path, made)
