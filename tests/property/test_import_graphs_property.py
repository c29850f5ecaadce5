"""Random graphs of the operators that are imported, hostile ones too: what is imported answers as onnxruntime does."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from lavaghost.base.errors import ExportError
from lavaghost.exporters.onnx_import.from_onnx import import_onnx
from tests.strategies import seeds
from tests.unit.onnx_graphs import exact

SHAPES = [(4,), (2, 3), (1, 2, 2), (3, 1, 2), (6,), (1, 5), (1,)]


class Builder:
    """Nodes one behind the other; what onnxruntime gives for 3 samples, or for 1, says what shapes there are."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.rng = np.random.default_rng(draw(seeds))
        self.batch = draw(st.sampled_from(["N", "N", 1, 3]))
        self.shape = draw(st.sampled_from(SHAPES))
        self.samples = 1 if self.batch == 1 else 3
        self.opset = draw(st.sampled_from([9, 11, 12, 13, 17, 18, 21]))
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.last = "x"
        self.now: tuple[int, ...] = (self.samples, *self.shape)
        self.rates: list[tuple[str, tuple[int, ...]]] = [(self.last, self.now)]

    def __repr__(self) -> str:
        return onnx.printer.to_text(self.model())

    def pick(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def constant(self, value: Any, kind: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value, kind)
        return name

    def add(self, op: str, *inputs: str, **attributes: Any) -> None:
        outputs = 2 if op == "Split" else 1
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, name=names[0], **attributes))
        self.last = names[self.draw(st.integers(0, outputs - 1))]

    def listed(self, op: str, values: list[int], name: str = "axes", since: int = 13) -> None:
        """An operator whose integers are an attribute in older opsets."""
        if self.opset < since:
            self.add(op, self.last, **{name: values})
        else:
            self.add(op, self.last, self.constant(values, np.int64))

    def axis(self, rank: int) -> int:
        return self.draw(st.integers(-rank if self.opset >= 11 else 0, rank - 1))

    def normal(self, *shape: int) -> np.ndarray:
        return self.rng.normal(size=shape).astype(np.float32)

    def model(self) -> onnx.ModelProto:
        return helper.make_model(
            helper.make_graph(
                self.nodes,
                "g",
                [helper.make_tensor_value_info("x", TensorProto.FLOAT, [self.batch, *self.shape])],
                [helper.make_tensor_value_info(self.last, TensorProto.FLOAT, None)],
                [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
            ),
            opset_imports=[helper.make_opsetid("", self.opset)],
            ir_version=8,
        )

    def run(self, x: np.ndarray) -> np.ndarray:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 4
        session = ort.InferenceSession(
            self.model().SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return np.asarray(session.run(None, {"x": x})[0])


def weights(b: Builder) -> None:
    n, m = b.now[-1], b.draw(st.integers(1, 5))
    kind = b.pick("gemm", "matmul", "matmul", "left", "vector")
    if kind == "gemm":
        turned = b.pick(0, 1)
        b.add(
            "Gemm",
            b.last,
            b.constant(b.normal(m, n) if turned else b.normal(n, m)),
            b.constant(b.normal(*b.pick((m,), (1, m), (1,), ()))),
            transB=turned,
            alpha=0.5,
            transA=b.pick(0, 0, 0, 1),
        )
    elif kind == "matmul":
        b.add("MatMul", b.last, b.constant(b.normal(n, m)))
    elif kind == "left":
        b.add("MatMul", b.constant(b.normal(m, b.now[-2] if len(b.now) > 1 else 1)), b.last)
    else:
        b.add("MatMul", b.last, b.constant(b.normal(n)))


def arithmetic(b: Builder) -> None:
    full = tuple(b.pick(size, size, 1) for size in b.now)
    shape = full[b.draw(st.integers(0, len(full))) :]
    if b.pick(0, 0, 0, 1):
        shape = (b.pick(2, 3), *shape)
    value = b.constant(b.normal(*shape) + b.pick(0, 3) if shape else b.rng.normal())
    op = b.pick("Add", "Sub", "Mul", "Div")
    b.add(op, *((b.last, value) if b.pick(0, 1) or op == "Div" else (value, b.last)))


def two_values(b: Builder) -> None:
    other, _ = b.pick(*b.rates)
    if b.pick(0, 1):
        b.add(b.pick("Add", "Sub", "Sum", "Mean"), b.last, other)
    else:
        b.add("Concat", b.last, other, axis=b.axis(len(b.now)))


def normalised(b: Builder) -> None:
    c = b.now[1] if len(b.now) > 1 else 1
    numbers = [b.constant(b.normal(c)) for _ in range(3)]
    b.add("BatchNormalization", b.last, *numbers, b.constant(np.abs(b.normal(c)) + 0.1))


def rectified(b: Builder) -> None:
    zero, half, three = (b.constant(x) for x in (0.0, -0.5, 3.0))
    kind = b.pick("relu", "max", "min", "clip", "leaky", "prelu", "elu", "neg", "clip1")
    if kind == "max":
        b.add("Max", *((b.last, zero) if b.pick(0, 1) else (half, b.last)))
    elif kind == "min":
        b.add("Min", b.last, three)
    elif kind in ("clip", "clip1"):
        low, high = (-0.5, 3.0) if kind == "clip" else b.pick((-0.5, None), (None, 3.0), (None, None))
        if b.opset < 11:
            given = {"min": low, "max": high}
            b.add("Clip", b.last, **{name: bound for name, bound in given.items() if bound is not None})
        else:
            b.add("Clip", b.last, "" if low is None else half, "" if high is None else three)
    elif kind == "leaky":
        b.add("LeakyRelu", b.last, alpha=b.pick(0.0, 1.0))
    elif kind == "prelu":
        b.add("PRelu", b.last, b.constant(np.zeros(b.pick(1, b.now[-1]))))
    elif kind == "elu":
        b.add("Elu", b.last, alpha=0.0)
    else:
        b.add("Neg" if kind == "neg" else "Relu", b.last)


def shaped(b: Builder) -> None:
    rank = len(b.now)
    kind = b.pick("flatten", "reshape", "squeeze", "unsqueeze", "transpose", "view")
    if kind == "flatten":
        b.add("Flatten", b.last, axis=b.draw(st.integers(0, rank)))
    elif kind == "reshape":
        size = int(np.prod(b.now[1:]))
        target = b.pick(
            [-1, size], [0, -1], [b.now[0], -1], [-1], [1, -1], [0, size, 1], [-1, 1], [*b.now[::-1]]
        )
        b.add("Reshape", b.last, b.constant(target, np.int64))
    elif kind == "squeeze":
        ones = [axis for axis, size in enumerate(b.now) if size == 1]
        if ones:
            b.listed("Squeeze", [b.pick(*ones)])
        elif b.pick(0, 1):
            b.add("Squeeze", b.last)
    elif kind == "unsqueeze":
        b.listed("Unsqueeze", [b.draw(st.integers(0, rank))])
    elif kind == "transpose":
        axes = b.draw(st.permutations(range(rank)))
        b.add("Transpose", b.last, perm=[0, *(axis for axis in axes if axis)] if b.pick(0, 1) else axes)
    else:
        value = b.last
        b.add("Shape", value)
        b.add("Gather", b.last, b.constant(0, np.int64), axis=0)
        b.listed("Unsqueeze", [0])
        b.add("Concat", b.last, b.constant([-1], np.int64), axis=0)
        b.add("Reshape", value, b.last)


def chosen(b: Builder) -> None:
    rank = len(b.now)
    axis = b.axis(rank)
    size = b.now[axis]
    kind = b.pick("gather", "slice", "split", "tile", "expand", "reduce")
    if kind == "gather":
        index = b.draw(st.lists(st.integers(-size if b.opset >= 11 else 0, size - 1), min_size=1, max_size=4))
        b.add("Gather", b.last, b.constant(index[0] if b.pick(0, 0, 1) else index, np.int64), axis=axis)
    elif kind == "slice":
        start, end = b.draw(st.integers(-size - 1, size)), b.pick(2**31 - 1, 2**63 - 1, size, -1, -size - 1)
        if b.opset < 10:
            b.add("Slice", b.last, starts=[start], ends=[end], axes=[axis % rank])
        else:
            step = b.pick(1, 1, 2, -1)
            b.add("Slice", b.last, *(b.constant([i], np.int64) for i in (start, end, axis, step)))
    elif kind == "split" and size > 1:
        parts = [1, size - 1]
        if b.opset < 13:
            b.add("Split", b.last, axis=axis, split=parts)
        else:
            b.add("Split", b.last, b.constant(parts, np.int64), axis=axis)
    elif kind == "tile":
        repeats = [2 if at == axis % rank else 1 for at in range(rank)]
        b.add("Tile", b.last, b.constant(repeats, np.int64))
    elif kind == "expand":
        shape = [b.pick(1, size) if size > 1 else b.pick(1, 2) for size in b.now]
        b.add("Expand", b.last, b.constant(shape[b.draw(st.integers(0, rank - 1)) :], np.int64))
    else:
        op, keep = b.pick(("ReduceSum", 13), ("ReduceMean", 18)), b.pick(0, 1)
        if b.opset < op[1]:
            b.add(op[0], b.last, axes=[axis], keepdims=keep)
        else:
            b.add(op[0], b.last, b.constant([axis], np.int64), keepdims=keep)


STEPS = (weights, weights, arithmetic, two_values, normalised, rectified, rectified, shaped, shaped, chosen)


@st.composite
def graphs(draw: st.DrawFn) -> Builder:
    """Steps that onnxruntime runs; one that it does not run is taken back."""
    b = Builder(draw)
    x = b.rng.normal(size=b.now).astype(np.float32)
    for _ in range(draw(st.integers(1, 9))):
        nodes, last = len(b.nodes), b.last
        found = np.zeros(0)
        draw(st.sampled_from(STEPS))(b)
        try:
            found = b.run(x)
            fine = (
                found.dtype == np.float32
                and 0 < found.size < 500
                and 0 < found.ndim < 7
                and np.abs(found).max() < 1e4
            )
        except Exception:  # noqa: BLE001 - onnxruntime's exceptions have no public base
            fine = False
        if fine:
            b.now = found.shape
            b.rates.append((b.last, b.now))
        else:
            del b.nodes[nodes:]
            b.last = last
    if len(b.now) > 2:
        b.add("Flatten", b.last, axis=1)
    return b


@settings(max_examples=150, deadline=None)
@given(graphs(), seeds)
def test_what_is_imported_answers_as_onnxruntime(b: Builder, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(b.samples, *b.shape)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        path.write_bytes(b.model().SerializeToString())
        try:
            trained = import_onnx(path)
        except ExportError as error:
            assert len(str(error).splitlines()) == 1  # noqa: PT017
            return
    found = exact(trained, x.reshape(b.samples, -1))
    wanted = b.run(x)
    if any("increasing, so it is left out" in text for text in trained.record["imported"]["folded"]):
        # the promise is the order of the outputs, and that the label is one of the file's best
        rows = wanted.reshape(found.shape)
        np.testing.assert_array_equal(rows[np.arange(len(rows)), found.argmax(axis=1)], rows.max(axis=1))
        return
    scale = max(1.0, float(np.abs(wanted).max()))
    # a batch that is not what the shape was traced with must be imported, or run, row by row
    np.testing.assert_allclose(found, wanted.reshape(found.shape), rtol=0, atol=2e-4 * scale)
    if b.batch == "N":
        more = np.concatenate([x, -x, x])
        np.testing.assert_allclose(b.run(more).reshape(9, -1)[:3], found, rtol=0, atol=2e-4 * scale)
