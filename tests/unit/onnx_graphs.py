"""Small ONNX graphs of other people's kind, imported, and what they compute in double precision."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lavaghost.exporters.onnx_import.from_onnx import import_onnx
from lavaghost.model.model import Model
from lavaghost.verification import rounding

RNG = np.random.default_rng(0)
W1, B1 = RNG.normal(size=(5, 4)).astype(np.float32), RNG.normal(size=5).astype(np.float32)
W2, B2 = RNG.normal(size=(3, 5)).astype(np.float32), RNG.normal(size=3).astype(np.float32)
X = RNG.normal(size=(40, 4)).astype(np.float32)


def node(op: str, *inputs: str, out: str, domain: str = "", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, list(inputs), [out], name=f"the {op} of {out}", domain=domain, **attributes)


def first(source: str) -> onnx.NodeProto:
    return node("Gemm", source, "W1", "B1", out="a", transB=1)


def wide(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float64)


def model(
    *nodes: onnx.NodeProto,
    outputs: tuple[str, ...] = ("y",),
    shape: Any = ("N", 4),
    opset: int = 17,
    kind: int = TensorProto.FLOAT,
    **constants: Any,
) -> onnx.ModelProto:
    """A graph from `x` to `outputs`; W1, B1, W2, B2 are there."""
    constants = {"W1": W1, "B1": B1, "W2": W2, "B2": B2, **constants}
    return helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", kind, shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)],
        ir_version=8,
    )


FIRST = node("Gemm", "x", "W1", "B1", out="a", transB=1)
RELU = node("Relu", "a", out="r")
LAST = node("Gemm", "r", "W2", "B2", out="y", transB=1)


def imported(tmp_path: Path, made: onnx.ModelProto, **options: Any) -> Model:
    path = tmp_path / "m.onnx"
    path.write_bytes(made.SerializeToString())
    return import_onnx(path, **options)


def exact(trained: Model, x: np.ndarray = X) -> np.ndarray:
    """The feedforward pass of raw samples in double precision, the plain way."""
    r = x.astype(np.float64) * trained.input_scale
    for k, (w, b) in enumerate(zip(trained.params.weights, trained.params.biases, strict=True), start=1):
        r = r @ w.astype(np.float64).T + b
        r = np.clip(r, 0, trained.network.r_max) if k < trained.network.depth else r
    return r


def near(trained: Model, wanted: np.ndarray) -> None:
    """Equal but for the rounding of folded weights, which is less than that of a float32 pass (`rounding`)."""
    bound = rounding(trained.graph, trained.params, X * np.float32(trained.input_scale)).difference
    assert np.all(np.abs(exact(trained) - wanted) <= bound)
    assert bound.max() < 1e-3


def net(a: np.ndarray, low=0.0, high=np.inf) -> np.ndarray:
    return np.clip(a, low, high) @ W2.T.astype(np.float64) + B2


def a1(x: np.ndarray = X) -> np.ndarray:
    return x.astype(np.float64) @ W1.T.astype(np.float64) + B1


def runtime(path: Path, x: np.ndarray) -> list[Any]:
    ort = pytest.importorskip("onnxruntime")
    session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})
