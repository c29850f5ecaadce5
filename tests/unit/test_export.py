"""Exporters by name, the ONNX file, and whether `verify` tells a right file from a wrong one."""

import json
import sys
from dataclasses import asdict, dataclass, replace
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.reference
import pytest
from onnx import TensorProto, helper, numpy_helper

from lavaghost.base import registry
from lavaghost.base.errors import DataError, ExportError, MissingError, OutputError, SpecError
from lavaghost.base.files import write_atomic
from lavaghost.base.spec import Spec
from lavaghost.dynamics import initial_parameters
from lavaghost.exporters import (
    ELEMENTS,
    Carried,
    Expected,
    Exporter,
    ExportReport,
    NoOptions,
    Outputs,
    available,
    base,
    export,
    find,
    sidecar,
)
from lavaghost.exporters.floats import float_expected, rounding
from lavaghost.exporters.onnx.inference import onnx_graph
from lavaghost.methods.learning import Learning
from lavaghost.model.model import Model
from lavaghost.verification import Agreement, compare, raw_samples, verify
from tests.networks import parts

ort = pytest.importorskip("onnxruntime")

LAYERS = (64, 32, 24, 10)


def trained_network(layers=LAYERS, seed=0, scale=1 / 16, **physics: Any) -> Model:
    network, method = parts(layers=layers, rule="temporal", **physics)
    params = initial_parameters(method.graph(network), seed)
    rng = np.random.default_rng(seed)
    biases = tuple(rng.normal(0, 0.1, b.shape).astype(np.float32) for b in params.biases)
    labels = tuple(f"class {i}" for i in range(layers[-1]))
    params = params._replace(biases=biases)
    return Model(network, method, Learning(), params, scale, labels, "digits")


def samples(trained: Model, count=300, top=16) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    raw = rng.integers(0, top + 1, (count, trained.network.layers[0])) * (rng.random((count, 1)) + 0.5 > 0.7)
    x = raw.astype(np.float32) * np.float32(trained.input_scale)
    return x, forward(trained)(x).argmax(axis=1)


def forward(trained: Model, dtype: Any = np.float32):
    """Our own feedforward pass, the plain way."""

    def run(x: np.ndarray) -> np.ndarray:
        r = x.astype(dtype)
        for k, (w, b) in enumerate(zip(trained.params.weights, trained.params.biases, strict=True), start=1):
            r = r @ w.astype(dtype).T + b.astype(dtype)
            if k < trained.network.depth:
                r = np.clip(r, 0, np.float32(trained.network.r_max))
        return r

    return run


def check(file: Path, trained: Model, **changes: Any) -> Agreement:
    x, y = samples(trained)
    options = {"reference": forward(trained), **changes}
    return verify(file, trained, x, y, **options)


def written(folder: Path, model: onnx.ModelProto) -> Path:
    path = folder / "changed.onnx"
    path.write_bytes(model.SerializeToString())
    return path


# ---- finding exporters


@dataclass
class Mine:
    name: str = "mine"
    suffix: str = ".mine"
    summary: str = "a test"
    needs: str = "nothing"
    runtimes: tuple[str, ...] = ()
    options: type[Spec] = NoOptions
    elements: tuple[str, ...] = ELEMENTS
    status: Any = "faithful"

    def write(self, trained: Model, path: Path, options: Any, calibration: Any) -> ExportReport:
        carries = tuple(Carried(element, self.status, "as it is") for element in self.elements)
        return ExportReport(self.name, (write_atomic(path, b"mine"),), 4, carries)

    def expected(self, trained: Model, settings: Any, raw: np.ndarray) -> Expected:
        return float_expected(trained, raw)


class Crashing(Mine):
    def write(self, trained: Model, path: Path, options: Any, calibration: Any) -> ExportReport:
        raise ZeroDivisionError("by\nzero")


def registered(monkeypatch, **values: str) -> None:
    points = [EntryPoint(name.split("__")[0], value, base.GROUP) for name, value in values.items()]
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints(points))


def test_our_own_are_registered():
    assert {"onnx", "yaml"} <= set(available())
    assert find("onnx").suffix == ".onnx"
    assert isinstance(find("yaml"), Exporter)


def test_an_unknown_name_lists_the_known():
    with pytest.raises(ExportError, match=r"no exporter 'netx'; there are .*onnx.*yaml"):
        find("netx")


def test_a_broken_one_is_named_and_harms_no_other(monkeypatch):
    registered(
        monkeypatch,
        onnx="lavaghost.exporters.onnx.inference:exporter",
        gone="no_such_package.at_all:exporter",
        absent="lavaghost.base.errors:nothing",
        number="lavaghost.model.manifest:MAX_BYTES",
        kind="lavaghost.exporters.onnx.inference:OnnxExporter",
        twice__a="a:x",
        twice__b="b:x",
    )
    assert available() == ("absent", "gone", "kind", "number", "onnx", "twice")
    assert find("onnx").name == "onnx"
    with pytest.raises(ExportError, match=r"'gone' \(no_such_package.at_all:exporter\) cannot be loaded"):
        find("gone")
    with pytest.raises(ExportError, match=r"'absent'.*AttributeError"):
        find("absent")
    with pytest.raises(ExportError, match=r"'number'.*is a int, not an object with name"):
        find("number")
    with pytest.raises(ExportError, match=r"'kind'.*not an object"):
        find("kind")
    with pytest.raises(ExportError, match="'twice' is registered as a:x and b:x"):
        find("twice")


def test_one_can_be_passed_as_an_object(tmp_path):
    trained = trained_network()
    assert export(trained, Mine(), tmp_path / "a.mine").exporter == "mine"
    with pytest.raises(ExportError, match=r"name the output a\.txt\.mine"):
        export(trained, Mine(), tmp_path / "a.txt")
    with pytest.raises(ExportError, match="exporter 'mine' failed: ZeroDivisionError: by zero"):
        export(trained, Crashing(), tmp_path / "a.mine")
    with pytest.raises(ExportError, match="'mine' reports on weights; a report speaks of"):
        export(trained, Mine(elements=("weights",)), tmp_path / "a.mine")
    with pytest.raises(ExportError, match="reports weights as 'perfect'"):
        export(trained, Mine(status="perfect"), tmp_path / "a.mine")
    with pytest.raises(ExportError, match=r"weights as approximate .*say by how much"):
        export(trained, Mine(status="approximate"), tmp_path / "a.mine")
    with pytest.raises(ExportError, match=r"writes a sidecar beside \.\.; name a folder"):
        export(trained, "yaml", "..")
    with pytest.raises(SpecError, match=r"mine option\.steps: unknown key"):
        export(trained, Mine(), tmp_path / "a.mine", {"steps": 3})


# ---- the bundle and the ONNX file


def test_the_bundle_loads_again(tmp_path):
    trained = trained_network(mechanism="learned", feedback="random")
    report = export(trained, "yaml", tmp_path / "bundle")
    assert Model.load(tmp_path / "bundle") == trained
    assert {entry.status for entry in report.carries} == {"faithful"}


PHYSICS = [
    {},
    {"saturation": 0.3},
    {"activation": "hard_sigmoid"},
    {"mechanism": "online"},
    {"mechanism": "learned", "feedback": "random"},
]


@pytest.mark.parametrize("physics", PHYSICS)
@pytest.mark.parametrize("scale", [1 / 16, 1 / 255, 1.0, 0.3])
def test_onnxruntime_agrees_within_rounding(tmp_path, physics, scale):
    trained = trained_network(scale=scale, **physics)
    report = export(trained, "onnx", tmp_path / "m.onnx")
    found = check(tmp_path / "m.onnx", trained)
    assert found.passed
    assert found.accuracy == found.reference_accuracy == found.label_agreement == 1.0
    assert found.samples == 300
    assert 0 <= found.max_abs_difference <= found.tolerance
    json.dumps(asdict(found))
    assert report.bytes == sum(path.stat().st_size for path in report.paths)


def test_the_reference_of_onnx_itself_agrees(tmp_path):
    trained = trained_network(activation="hard_sigmoid")
    path = export(trained, "onnx", tmp_path / "m.onnx").paths[0]
    x, _ = samples(trained)
    found: Any = onnx.reference.ReferenceEvaluator(str(path)).run(None, {"input": x * 16})
    logits, label = found
    assert np.all(np.abs(logits - forward(trained)(x)) <= rounding(trained.graph, trained.params, x).difference)
    np.testing.assert_array_equal(label, logits.argmax(axis=1))


def test_what_is_in_the_file(tmp_path):
    trained = trained_network(saturation=2.0)
    model = onnx.load(export(trained, "onnx", tmp_path / "m.onnx").paths[0])
    assert model.ir_version == 7
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 13)]
    kinds = ["Mul", "Gemm", "Clip", "Gemm", "Clip", "Gemm", "ArgMax"]
    assert [node.op_type for node in model.graph.node] == kinds
    props = {p.key.removeprefix("lavaghost."): p.value for p in model.metadata_props}
    assert json.loads(props["layers"]) == list(LAYERS)
    assert json.loads(props["labels"])[0] == "class 0"
    assert float(props["input_scale"]) == 1 / 16
    assert (props["activation"], props["mechanism"]) == ("relu", "duplicate")
    assert props["format_version"] == "1.0"
    plain = onnx_graph(trained_network(scale=1.0))
    assert [node.op_type for node in plain.graph.node][:2] == ["Gemm", "Relu"]
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for count in (1, 7):  # the batch is dynamic
        logits, label = session.run(None, {"input": np.ones((count, 64), np.float32)})
        assert (logits.shape, label.shape, label.dtype) == ((count, 10), (count,), np.int64)


def test_the_report_says_what_is_lost(tmp_path):
    by_mechanism = {}
    for mechanism in ("duplicate", "online", "learned"):
        trained = trained_network(mechanism=mechanism)
        report = export(trained, "onnx", tmp_path / "m.onnx")
        by_mechanism[mechanism] = {entry.element: entry.status for entry in report.carries}
    exact = dict.fromkeys(ELEMENTS, "faithful") | {"learning rule": "unsupported"}
    assert by_mechanism["duplicate"] == by_mechanism["online"] == exact
    assert by_mechanism["learned"] == exact | {"ghosts": "approximate", "feedback": "approximate"}


# ---- the tolerance


def random_network(kind: str, layers: tuple[int, ...], seed: int) -> Model:
    trained = trained_network(layers, seed, scale=1.0)
    weights = trained.params.weights
    if kind == "one sign":  # nothing cancels: errors add up as far as they can
        weights = tuple(np.abs(w) * np.float32(0.3) for w in weights)
    elif kind == "alike":  # units of a layer are copies, so are their errors
        weights = tuple(np.tile(w[:1], (len(w), 1)) for w in weights)
    elif kind == "wide range":
        rng = np.random.default_rng(seed)
        weights = tuple((w * 10 ** rng.uniform(-3, 1, w.shape)).astype(np.float32) for w in weights)
    return replace(trained, tensors=trained.params._replace(weights=weights))


def one_by_one(trained: Model, x: np.ndarray) -> np.ndarray:
    """The feedforward pass with every sum in order, the least favourable way that anybody sums."""
    r = x
    for k, (w, b) in enumerate(zip(trained.params.weights, trained.params.biases, strict=True), start=1):
        a = np.zeros((len(r), len(w)), np.float32) + b
        for j in range(r.shape[1]):
            a += r[:, j : j + 1] * w[:, j]
        r = np.clip(a, 0, np.float32(trained.network.r_max)) if k < trained.network.depth else a
    return r


@pytest.mark.parametrize("layers", [(3, 2, 2), (64, 128, 10), (784, 200, 10), (256, 100, 100, 100, 10)])
@pytest.mark.parametrize("kind", ["He", "one sign", "alike", "wide range"])
def test_the_tolerance_holds_and_is_not_vacuous(layers, kind):
    worst = 0.0
    for seed in range(3):
        trained = random_network(kind, layers, seed)
        x, _ = samples(trained, count=60)
        x /= 16
        exact, difference = rounding(trained.graph, trained.params, x)
        np.testing.assert_allclose(exact, forward(trained, np.float64)(x), rtol=1e-12, atol=1e-12)
        first, second = forward(trained)(x), one_by_one(trained, x)
        for off in (first - exact, second - exact, first - second):
            assert np.all(np.abs(off) <= difference)
        worst = max(worst, float(np.abs(first - exact).max() / difference.max()))
    assert worst > 1e-4  # measured: 1e-3 to 1e-1


def test_the_tolerance_scales_as_theory_says():
    trained = random_network("He", (64, 32, 10), 0)
    x, _ = samples(trained, count=20)
    # powers of two are exact, so every rounding error scales with them
    doubled = trained.params._replace(weights=(*trained.params.weights[:-1], 2 * trained.params.weights[-1]))
    doubled = doubled._replace(biases=(*trained.params.biases[:-1], 2 * trained.params.biases[-1]))
    once = rounding(trained.graph, trained.params, x)
    twice = rounding(trained.graph, doubled, x)
    np.testing.assert_allclose(twice.difference, 2 * once.difference, rtol=1e-9)
    np.testing.assert_allclose(twice.logits, 2 * once.logits, rtol=1e-12)


# ---- wrong files


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_one_weight_off_by_a_hundredth_fails(tmp_path, layer):
    trained = trained_network()
    x, _ = samples(trained)
    changed = [w.copy() for w in trained.params.weights]
    # into a unit that is active somewhere, from one that is
    row = 0 if layer == 3 else int(_drives(trained, x)[layer - 1].max(axis=0).argmax())
    column = int(_rates(trained, x)[layer - 1].max(axis=0).argmax())
    changed[layer - 1][row, column] += 1e-2
    fake = replace(trained, tensors=trained.params._replace(weights=tuple(changed)))
    export(fake, "onnx", tmp_path / "fake.onnx")
    found = check(tmp_path / "fake.onnx", trained)
    assert not found.passed
    assert found.max_abs_difference > found.tolerance


def _rates(trained: Model, x: np.ndarray) -> list[np.ndarray]:
    return [np.clip(a, 0, None) if i else a for i, a in enumerate([x, *_drives(trained, x)[:-1]])]


def _drives(trained: Model, x: np.ndarray) -> list[np.ndarray]:
    found, r = [], x
    for w, b in zip(trained.params.weights, trained.params.biases, strict=True):
        found.append(r @ w.T + b)
        r = np.clip(found[-1], 0, None)
    return found


def without_relu(model: onnx.ModelProto) -> None:
    node = next(node for node in model.graph.node if node.op_type == "Relu")
    node.op_type = "Identity"


def other_scale(model: onnx.ModelProto) -> None:
    tensor = next(t for t in model.graph.initializer if t.name == "input_scale")
    tensor.CopyFrom(numpy_helper.from_array(np.array(1 / 15, np.float32), "input_scale"))


def not_a_number(model: onnx.ModelProto) -> None:
    tensor = next(t for t in model.graph.initializer if t.name == "biases.3")
    tensor.CopyFrom(numpy_helper.from_array(np.full(10, np.nan, np.float32), "biases.3"))


def labels_of_the_worst(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array(-1, np.float32), "minus"))
    label = model.graph.node.pop()
    model.graph.node.append(helper.make_node("Mul", ["logits", "minus"], ["turned"]))
    label.input[0] = "turned"
    model.graph.node.append(label)


@pytest.mark.parametrize("change", [without_relu, other_scale, not_a_number, labels_of_the_worst])
def test_a_wrong_graph_fails(tmp_path, change):
    trained = trained_network()
    model = onnx_graph(trained)
    assert check(written(tmp_path, model), trained).passed
    change(model)
    found = check(written(tmp_path, model), trained)
    assert not found.passed
    assert found.label_agreement < 1.0 or found.max_abs_difference > found.tolerance


def test_learned_ghosts_are_measured_and_the_file_is_still_checked(tmp_path):
    trained = trained_network(mechanism="learned")
    export(trained, "onnx", tmp_path / "m.onnx")
    plain = forward(trained)
    found = check(tmp_path / "m.onnx", trained, reference=lambda x: plain(x) + np.float32(0.01))
    assert found.passed
    assert found.approximation == pytest.approx(0.01, rel=1e-2)
    assert found.max_abs_difference < found.tolerance < 1e-3
    assert find("onnx").runtimes[0] == found.runtime == "onnxruntime"


def test_a_file_and_a_sidecar_that_do_not_belong_together_are_refused(tmp_path):
    trained = trained_network()
    path, beside = export(trained, "onnx", tmp_path / "m.onnx").paths
    assert beside == sidecar.beside(path)
    path.write_bytes(onnx_graph(trained_network(seed=1)).SerializeToString())
    refused(path, r"m\.onnx has the SHA-256 .* remove m\.onnx\.export\.json to verify .* says of itself")
    for text in ("", "[]", "{", '{"format": "lavaghost.export"}', "[" * 100_000):
        beside.write_text(text)
        refused(path, "is no sidecar of an export")
    beside.unlink()
    assert not check(path, trained).passed
    other = tmp_path / "m.h5"
    other.write_bytes(b"")
    refused(other, r"m\.h5 has no sidecar m\.h5\.export\.json")


def test_a_sidecar_that_cannot_be_written_leaves_no_file(tmp_path):
    sidecar.beside(tmp_path / "m.onnx").mkdir()
    with pytest.raises(OutputError, match=r"m\.onnx\.export\.json"):
        export(trained_network(), "onnx", tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


def test_exact_means_equal():
    logits = np.array([[5, 3], [2, 9]])
    expected = Expected(logits, np.zeros(()), exact=True, labels=np.array([0, 1]), scale=None)
    free, y = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 0])
    found = compare("e", "r", Outputs(logits.astype(np.int32), np.array([0, 1])), expected, free, y)
    assert (found.passed, found.accuracy, found.float_accuracy, found.approximation) == (True, 0.5, 0.5, None)
    one_off = Outputs(logits + np.array([[0, 1], [0, 0]]), np.array([0, 1]), np.array([1.0, 3.0]))
    found = compare("e", "r", one_off, expected, free, y)
    assert (found.passed, found.max_abs_difference, found.energy_j) == (False, 1.0, 2.0)
    assert not compare("e", "r", Outputs(logits, np.array([1, 1])), expected, free, y).passed
    assert "latency_s" not in found.as_json()


def test_raw_samples_are_whole_where_they_were():
    raw = np.arange(256, dtype=np.float32)[None]
    np.testing.assert_array_equal(raw_samples(raw / np.float32(255), 1 / 255), raw)
    x = np.array([[0.1, 0.5]], np.float32)
    np.testing.assert_array_equal(raw_samples(x, 1.0), x)
    np.testing.assert_array_equal(raw_samples(np.array([[0.25, 1.0]], np.float32), 1 / 16), [[4.0, 16.0]])


# ---- files and arguments that cannot be used


def refused(file: Path, said: str, trained: Model | None = None, **changes: Any) -> None:
    with pytest.raises(ExportError, match=said) as caught:
        check(file, trained or trained_network(), **changes)
    assert "\n" not in str(caught.value)


def test_what_is_no_onnx_file_is_refused(tmp_path):
    path = written(tmp_path, onnx_graph(trained_network()))
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for content in (b"", b"hello", data[: len(data) // 2], data[:-1], rng.bytes(5000), bytes(100)):
        path.write_bytes(content)
        refused(path, "is not an ONNX file|is not valid ONNX|inputs are|operator")
    refused(tmp_path / "none.onnx", "cannot read .*none.onnx: No such file")
    (tmp_path / "folder.onnx").mkdir()
    refused(tmp_path / "folder.onnx", "is not a regular file")
    with path.open("r+b") as stream:
        stream.truncate(3 << 30)
    refused(path, r"it has 3221225472 bytes, more than \d+; name an .onnx file")


def test_damaged_files_are_refused_or_compared(tmp_path):
    # whatever is flipped, there is a verdict or one line, and never a crash
    trained = trained_network((6, 5, 3))
    data = onnx_graph(trained).SerializeToString()
    x, y = samples(trained, count=20)
    rng = np.random.default_rng(1)
    path, said = tmp_path / "m.onnx", []
    for _ in range(150):
        content = bytearray(data)
        content[rng.integers(len(data))] ^= int(rng.integers(1, 256))
        path.write_bytes(content)
        try:
            verify(path, trained, x, y, reference=forward(trained))
        except ExportError as error:
            said.append(str(error))
    assert len(said) > 20
    assert not any("\n" in text for text in said)


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def endless(model: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", "", "logits"], ["more"], body=body))


def foreign(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.example"


def function(model: onnx.ModelProto) -> None:
    model.functions.add(name="f", domain="d")


def no_text(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.node[1].attribute[0].name = "qqqq"
    model.graph.node[1].attribute[0].type = onnx.AttributeProto.STRING
    model.graph.node[1].op_type = "wwww"
    return onnx.load_model_from_string(
        model.SerializeToString().replace(b"qqqq", b"\xff\xfe\xfd\xfc").replace(b"wwww", b"\xff\xfe\xfd\xfc")
    )


def hidden_tensor(model: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(np.zeros(2, np.float32))
    model.graph.node[0].attribute.append(helper.make_attribute("value", tensor))


def exploding(model: onnx.ModelProto) -> None:
    for name, shape in (("tall", (40_000, 1)), ("wide", (1, 40_000))):
        model.graph.initializer.append(numpy_helper.from_array(np.zeros(shape, np.float32), name))
    model.graph.node.append(helper.make_node("Mul", ["tall", "wide"], ["square"]))


def two_inputs(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, ["N", 2]))


def no_label(model: onnx.ModelProto) -> None:
    model.graph.node.pop()
    model.graph.output.pop()


def fixed_batch(model: onnx.ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 7


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (external, "lies in another file"),
        (endless, "operator 'Loop'"),
        (foreign, r"operator 'Mul' of domain 'com\.example'"),
        (function, "functions or sparse tensors"),
        (no_text, r"operator b'.xff"),
        (hidden_tensor, "attribute 'value' of 'Mul'"),
        (exploding, "'square' of .* is no vector per sample"),
        (two_inputs, "its inputs are"),
        (no_label, "its outputs are"),
        (fixed_batch, "onnxruntime cannot run it"),
    ],
)
def test_files_that_are_not_plain_are_refused(tmp_path, change, said):
    model = onnx_graph(trained_network())
    refused(written(tmp_path, change(model) or model), said)


def test_a_file_of_another_network_is_refused_by_its_sizes(tmp_path):
    path = export(trained_network((32, 8, 4)), "onnx", tmp_path / "m.onnx").paths[0]
    refused(path, "takes 32 numbers, the model has 64 inputs; it gives 4 logits, the model has 10 outputs")


def test_arguments_that_cannot_be_used(tmp_path, monkeypatch):
    trained = trained_network()
    path = export(trained, "onnx", tmp_path / "m.onnx").paths[0]
    refused(path, "no runtime 'abacus'; there are .*onnxruntime", runtime="abacus")
    x, y = samples(trained)
    for bad_x, bad_y in ((x[:, :5], y), (x, y[:5]), (x[:0], y[:0]), (x[0], y[:1])):
        with pytest.raises(DataError, match="the network needs"):
            verify(path, trained, bad_x, bad_y, reference=forward(trained))
    assert check(path, trained, limit=7).samples == 7
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingError, match="pip install onnxruntime") as caught:
        check(path, trained)
    assert caught.value.exit_code == 3
