"""What goes out and comes in again: bundles to the byte, ONNX files to the bit, folded networks within rounding."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from lavaghost.dynamics import initial_parameters
from lavaghost.exporters import export
from lavaghost.exporters.onnx_import.from_onnx import import_onnx
from lavaghost.methods.base import Method
from lavaghost.methods.learning import Learning
from lavaghost.model.model import Model
from lavaghost.net.network import Network
from lavaghost.run.describe import import_network
from lavaghost.verification import rounding
from tests.networks import parts
from tests.strategies import seeds, units

SETTINGS = settings(max_examples=60, deadline=None)
scales = st.sampled_from([1.0, 1 / 16, 1 / 255, 0.3])


@st.composite
def networks(draw: st.DrawFn) -> tuple[Network, Method]:
    """A small network of any kind, and the ghosts that it has."""
    activation = draw(st.sampled_from(["relu", "hard_sigmoid"]))
    return parts(
        layers=tuple(draw(st.lists(units(), min_size=3, max_size=6))),
        activation=activation,
        saturation=draw(st.sampled_from([None, 0.5, 2.0])) if activation == "relu" else None,
        mechanism=draw(st.sampled_from(["duplicate", "learned", "online"])),
        feedback=draw(st.sampled_from(["tied", "random"])),
        loss=draw(st.sampled_from(["squared_error", "cross_entropy"])),
        lam=draw(st.sampled_from([0.01, 0.1, 1.0])),
        beta=draw(st.sampled_from([0.01, 0.1, 1.0])),
        rule="temporal",
    )


def trained_network(made: tuple[Network, Method], seed: int, scale: float) -> Model:
    network, method = made
    params = initial_parameters(method.graph(network), seed)
    rng = np.random.default_rng([seed, 1])
    biases = tuple(rng.normal(0, 0.3, b.shape).astype(np.float32) for b in params.biases)
    labels = tuple(f"class {i}" for i in range(network.layers[-1]))
    return Model(network, method, Learning(), params._replace(biases=biases), scale, labels, "some")


def answers(model: bytes, x: np.ndarray) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return [np.asarray(found) for found in session.run(None, {session.get_inputs()[0].name: x})]


def samples(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, 2]).normal(size=(20, n)).astype(np.float32)


@SETTINGS
@given(networks(), seeds, scales)
def test_bundle_to_network_to_bundle_is_the_same_bytes(made, seed, scale):
    trained = trained_network(made, seed, scale)
    with tempfile.TemporaryDirectory() as folder:
        first = trained.save(Path(folder) / "a")
        second = import_network(first).save(Path(folder) / "b")
        assert first.read_bytes() == second.read_bytes()
        name = "model.safetensors"
        assert first.with_name(name).read_bytes() == second.with_name(name).read_bytes()


@SETTINGS
@given(networks(), seeds, scales)
def test_onnx_to_network_to_onnx_answers_to_the_bit(made, seed, scale):
    trained = trained_network(made, seed, scale)
    x = samples(trained.network.layers[0], seed)
    with tempfile.TemporaryDirectory() as folder:
        first = export(trained, "onnx", Path(folder) / "a.onnx").paths[0]
        again = import_onnx(first)
        second = export(again, "onnx", Path(folder) / "b.onnx").paths[0]
        for found, wanted in zip(answers(second.read_bytes(), x), answers(first.read_bytes(), x), strict=True):
            np.testing.assert_array_equal(found, wanted)
    assert again.record["imported"]["folded"] == []
    assert again.network.activation == trained.network.activation
    assert (again.labels, again.dataset) == (trained.labels, "some")
    for key, wanted in trained.params.named().items():
        if key.startswith(("weights", "biases")):
            np.testing.assert_array_equal(again.params.named()[key], wanted)


@st.composite
def chains(draw: st.DrawFn) -> tuple[onnx.ModelProto, int, list]:
    """A foreign file of layers, and the same as functions in double precision.

    Hidden layers are all bounded or all not; what stands before, between and behind them is folded.
    """
    sizes = draw(st.lists(st.integers(1, 7), min_size=2, max_size=5))
    rng = np.random.default_rng(draw(seeds))
    bounded = draw(st.booleans())
    nodes, constants, steps = [], {}, []
    last = "x"

    def constant(value: np.ndarray) -> str:
        constants[name := f"c{len(constants)}"] = np.asarray(value, np.float32)
        return name

    def add(op: str, *inputs: str, **attributes: Any) -> None:
        nonlocal last
        out = f"v{len(nodes)}"
        nodes.append(helper.make_node(op, [i or last for i in inputs], [out], name=out, **attributes))
        last = out

    def affine(size: int) -> None:
        kind = draw(st.sampled_from(["none", "mul", "div", "sub", "add", "normal"]))
        a, b = rng.uniform(0.5, 2, size).astype(np.float32), rng.normal(size=size).astype(np.float32)
        if draw(st.booleans()):
            a = a[:1]
        if kind == "mul":
            add("Mul", "", constant(a))
            steps.append(lambda v: v * a)
        elif kind == "div":
            add("Div", "", constant(a))
            steps.append(lambda v: v / a.astype(np.float64))
        elif kind == "sub":
            add("Sub", constant(b), "")
            steps.append(lambda v: b - v)
        elif kind == "add":
            add("Add", "", constant(b))
            steps.append(lambda v: v + b)
        elif kind == "normal":
            gain, variance = np.broadcast_to(a, size), np.full(size, 0.5, np.float32)
            add("BatchNormalization", "", *map(constant, (gain, b, -b, variance)), epsilon=0.25)
            steps.append(lambda v: (v + b) * gain / np.sqrt(0.75) + b)

    for k in range(1, len(sizes)):
        affine(sizes[k - 1])
        weights = rng.normal(size=(sizes[k], sizes[k - 1])).astype(np.float32)
        if draw(st.booleans()):
            bias = rng.normal(size=sizes[k]).astype(np.float32)
            add("Gemm", "", constant(weights), constant(bias), transB=1, alpha=0.5, beta=2.0)
            steps.append(lambda v, w=weights, b=bias: 0.5 * (v @ w.T.astype(np.float64)) + 2.0 * b)
        else:
            add("MatMul", "", constant(weights.T))
            steps.append(lambda v, w=weights: v @ w.T.astype(np.float64))
        affine(sizes[k])
        if k < len(sizes) - 1 and draw(st.integers(0, 3)):
            if not bounded:
                add("Relu", "")
                steps.append(lambda v: np.maximum(v, 0))
            elif draw(st.booleans()):
                add("HardSigmoid", "", alpha=0.25, beta=0.5)
                steps.append(lambda v: np.clip(0.25 * v + 0.5, 0, 1))
            else:
                low, high = -0.5, draw(st.sampled_from([0.5, 1.0, 3.0]))
                add("Clip", "", constant(np.array(low)), constant(np.array(high)))
                steps.append(lambda v, high=high: np.clip(v, -0.5, high))
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", sizes[0]])],
            [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    return model, sizes[0], steps


def passed(trained: Model, x: np.ndarray) -> np.ndarray:
    """The feedforward pass in double precision."""
    r = x.astype(np.float64) * trained.input_scale
    for k, (w, b) in enumerate(zip(trained.params.weights, trained.params.biases, strict=True), start=1):
        r = r @ w.astype(np.float64).T + b
        r = np.clip(r, 0, trained.network.r_max) if k < trained.network.depth else r
    return r


@SETTINGS
@given(chains(), seeds)
def test_a_folded_network_is_the_file_within_rounding(chain, seed):
    model, n, steps = chain
    x = samples(n, seed)
    wanted = x.astype(np.float64)
    for step in steps:
        wanted = step(wanted)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        path.write_bytes(model.SerializeToString())
        trained = import_onnx(path)
        # a folded weight is rounded once: by less than a float32 pass of its layer rounds
        scaled = x * np.float32(trained.input_scale)
        bound = rounding(trained.graph, trained.params, scaled).difference
        assert np.all(np.abs(passed(trained, x) - wanted) <= bound)
        exported = export(trained, "onnx", Path(folder) / "again.onnx").paths[0]
        found = answers(exported.read_bytes(), x)[0]
        assert np.all(np.abs(found - passed(trained, x)) <= bound)
