"""The settling graph: its delays, the rate at which it converges, and what of a Scan is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lavaghost.base.errors import ExportError
from lavaghost.exporters import base, find
from lavaghost.exporters.onnx.settle import settle_graph
from lavaghost.exporters.onnx.settle_reference import settle_expected, settled_in_time
from lavaghost.model.model import Model
from tests.unit.onnx_networks import PHYSICS, check, exported, samples, trained_network

ort = pytest.importorskip("onnxruntime")


def run(trained: Model, steps: int, raw: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(
        settle_graph(trained, steps).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(["logits"], {"input": raw})[0]


@pytest.mark.parametrize("mechanism", ["duplicate", "learned", "online"])
@pytest.mark.parametrize("physics", PHYSICS)
def test_every_step_is_that_of_the_stepped_engine(tmp_path, mechanism, physics):
    trained = trained_network(**physics | {"mechanism": mechanism})
    raw = samples(trained)
    for steps in (2, 5, 14):
        found = check(exported(tmp_path, "onnx-settle", trained, raw, steps=steps), trained, raw)
        assert found.passed
        assert found.label_agreement == 1.0
        assert found.tolerance < 1e-3


@pytest.mark.parametrize("layers", [(12, 9, 4), (12, 9, 7, 4), (12, 9, 8, 7, 4)])
def test_a_signal_takes_a_step_for_each_layer(layers):
    """The reset drops what arrives, and each product takes a step: L steps after the reset the input is seen."""
    trained = trained_network(layers=layers)
    depth = trained.network.depth
    raw = samples(trained)
    for steps in range(2, depth + 3):
        logits = run(trained, steps, raw)
        alike = bool(np.all(logits == logits[:1]))
        assert alike == (steps <= depth)
    # in the first step after the reset the output sees its bias alone
    tau = trained.graph.schedule.tau_steps
    first = np.broadcast_to(trained.params.biases[-1] / np.float32(tau), (len(raw), layers[-1]))
    np.testing.assert_allclose(run(trained, 2, raw), first, rtol=1e-6)


def slope(trained: Model, errors: dict[int, float]) -> float:
    """Of log(error / t^(L-1)) in t: each layer of the chain has the same pole, which makes the polynomial."""
    t = np.array(list(errors))
    chain = trained.network.depth - 1
    return float(np.polyfit(t, np.log(list(errors.values())) - chain * np.log(t), 1)[0])


@pytest.mark.parametrize("mechanism", ["duplicate", "online"])
@pytest.mark.parametrize("tau", [4.0, 8.0])
def test_it_converges_to_the_feedforward_pass_at_the_rate_of_a_membrane(mechanism, tau):
    """Ghosts cancel at every step where their time constant is the neurons': the error falls like (1 - 1/tau)^t."""
    schedule = {"tau_steps": tau, "tau_ghost_steps": tau}
    physics: dict[str, Any] = {"lam": 1e-6} if mechanism == "online" else {}
    trained = trained_network(mechanism=mechanism, schedule=schedule, **physics)
    raw = samples(trained)
    exact = find("onnx").expected(trained, {}, raw).logits
    rate = np.log(1 - 1 / tau)
    late = range(int(14 * tau), int(28 * tau), int(tau))
    doubles = {t: float(np.abs(settled_in_time(trained, t, raw / 16) - exact).max()) for t in late}
    assert slope(trained, doubles) == pytest.approx(rate, rel=0.02)
    # in float32 on onnxruntime, above its rounding
    early = range(int(5 * tau), int(11 * tau), int(tau))
    floats = {t: float(np.abs(run(trained, t, raw) - exact).max()) for t in early}
    assert min(floats.values()) > 1e-5
    assert slope(trained, floats) == pytest.approx(rate, rel=0.1)
    assert np.abs(run(trained, int(40 * tau), raw) - exact).max() < 1e-5


def test_the_tolerance_covers_float32_and_no_more():
    trained = trained_network()
    raw = samples(trained, 200)
    expected = settle_expected(trained, 20, raw)
    off = np.abs(run(trained, 20, raw) - expected.logits)
    assert np.all(off <= expected.tolerance)
    assert off.max() > expected.tolerance.max() / 300
    # one membrane time constant that is off by a hundredth is seen
    model = settle_graph(trained, 20)
    gains = next(tensor for tensor in model.graph.initializer if tensor.name == "gains")
    changed = numpy_helper.to_array(gains) * np.float32(1.01)
    gains.CopyFrom(numpy_helper.from_array(changed, "gains"))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    logits = session.run(["logits"], {"input": raw})[0]
    assert np.any(np.abs(logits - expected.logits) > expected.tolerance)


def test_the_number_of_steps_is_the_schedules_unless_told(tmp_path):
    trained = trained_network(schedule={"t_free_steps": 21})
    report = base.export(trained, "onnx-settle", tmp_path / "m.onnx")
    assert report.settings == {"steps": 21}
    assert base.export(trained, "onnx-settle", tmp_path / "m.onnx", {"steps": 9}).settings == {"steps": 9}
    model = onnx.load(tmp_path / "m.onnx")
    gains = next(tensor for tensor in model.graph.initializer if tensor.name == "gains")
    assert list(gains.dims) == [8, 1]  # the reset is no step of the Scan


# ---- Scans that are not run


def scan(model: onnx.ModelProto) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type == "Scan")


def step(model: onnx.ModelProto) -> onnx.GraphProto:
    return next(a.g for a in scan(model).attribute if a.name == "body")


def endless(model: onnx.ModelProto) -> None:
    gains = next(tensor for tensor in model.graph.initializer if tensor.name == "gains")
    gains.CopyFrom(numpy_helper.from_array(np.ones((2 * 10**6, 1), np.float32), "gains"))


def of_samples(model: onnx.ModelProto) -> None:
    scan(model).input[-1] = "input"


def nested(model: onnx.ModelProto) -> None:
    inner = helper.make_node("Scan", ["drive", "gain"], ["more"], body=helper.make_graph([], "b", [], []))
    step(model).node.append(inner)


def file_reader(model: onnx.ModelProto) -> None:
    step(model).node[0].op_type = "ReadFile"


def backwards(model: onnx.ModelProto) -> None:
    scan(model).attribute.append(helper.make_attribute("scan_input_directions", [1]))


def growing(model: onnx.ModelProto) -> None:
    output = next(value for value in step(model).output if value.name == "next.output")
    output.type.tensor_type.shape.dim[1].dim_value = 5


def takes_a_value(model: onnx.ModelProto) -> None:
    step(model).node[-1].input[0] = "drive.1"


def huge(model: onnx.ModelProto) -> None:
    for name, dims in (("tall", (40_000, 1)), ("wide", (1, 40_000))):
        model.graph.initializer.append(numpy_helper.from_array(np.zeros(dims, np.float32), name))
    step(model).node.append(helper.make_node("Mul", ["tall", "wide"], ["square"]))


def own_tensor(model: onnx.ModelProto) -> None:
    tensor = helper.make_tensor("t", TensorProto.FLOAT, [1], [0.0])
    tensor.data_location = TensorProto.EXTERNAL
    step(model).initializer.append(tensor)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (endless, "has .2000000. steps, not 1 to 1000000"),
        (of_samples, "scans something else than one constant"),
        (nested, "operator 'Scan'"),
        (file_reader, "operator 'ReadFile'"),
        (backwards, "attributes other than body and num_scan_inputs"),
        (growing, "state 'v.output' of a Scan changes its shape|not valid"),
        (takes_a_value, "takes 'drive.1' from outside"),
        (huge, "'square' of .* is no vector per sample"),
        (own_tensor, "tensors inside its step"),
    ],
)
def test_a_scan_that_is_not_plain_is_refused(tmp_path, change, said):
    trained = trained_network()
    model = settle_graph(trained, 5)
    change(model)
    file: Path = tmp_path / "m.onnx"
    file.write_bytes(model.SerializeToString())
    with pytest.raises(ExportError, match=said) as caught:
        check(file, trained, samples(trained))
    assert "\n" not in str(caught.value)
