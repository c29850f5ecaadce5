"""What reports say of ghosts, feedback and weights: without ghosts, with feedback alone, and in integers."""

import re
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from lavaghost.dynamics import initial_parameters
from lavaghost.evaluation.quantise import quantise_model
from lavaghost.exporters import ExportReport, available, export, find
from lavaghost.exporters.carried import ERRORS, MEASURED, NONE
from lavaghost.exporters.onnx.settle import settle_graph
from lavaghost.methods.alignment import DirectFeedbackAlignment, FeedbackAlignment
from lavaghost.methods.backprop import Backprop, Frozen
from lavaghost.methods.base import Method
from lavaghost.methods.learning import Learning
from lavaghost.model.model import Model
from lavaghost.net.graph import Graph, Relaxation, fed_back, feedforward
from lavaghost.net.network import Network, Schedule
from tests.unit.onnx_networks import TARGETS, check, data, exported, samples, trained_network

LAYERS = (12, 9, 7, 4)
WRITTEN = [name for name in available() if name != "yaml"]
SPIKING = ("netx-cuba", "nir-if", "nir-cubalif", "sanafe")
OWN = (*SPIKING, "netx-sdnn", "onnx-int")
"""Formats that hold the mantissas of a network in integers."""


class Aligned(Backprop):
    """Feedback that only teaches: it has no gain in the free phase."""

    name: ClassVar[str] = "aligned"
    relaxation: ClassVar[Relaxation | None] = None

    def graph(self, network: Network) -> Graph:
        plain = feedforward(network)
        links = (*plain.projections, *fed_back(network, "random"))
        return replace(plain, projections=links, relaxation=self.relaxation)


class Driven(Aligned):
    """Feedback that nothing cancels."""

    name: ClassVar[str] = "driven"
    relaxation: ClassVar[Relaxation | None] = Relaxation(lam=0.2, schedule=Schedule(t_free_steps=20))


def of_method(method: Method, **physics: Any) -> Model:
    """Three layers with biases, as `method` has them."""
    network = Network(**{"layers": LAYERS, **physics})
    params = initial_parameters(method.graph(network), 0)
    rng = np.random.default_rng(0)
    params = params._replace(biases=tuple(rng.normal(0, 0.2, b.shape).astype("f4") for b in params.biases))
    return Model(network, method, Learning(), params, 1 / 16, tuple(range(4)), "digits")


def reported(trained: Model, name: str, folder: Any) -> tuple[ExportReport, dict[str, tuple[str, str]]]:
    report = export(
        trained,
        name,
        folder / f"m{find(name).suffix}",
        calibration=data(trained, samples(trained, 300)),
    )
    return report, {entry.element: (entry.status, entry.note) for entry in report.carries}


# ---- without ghosts


@pytest.mark.parametrize("name", available())
@pytest.mark.parametrize(
    ("method", "feedback"),
    [
        (Backprop(), ERRORS),
        (FeedbackAlignment(), ERRORS),
        (DirectFeedbackAlignment(), ERRORS),
        (Frozen(), NONE),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_network_without_ghosts_has_none_to_report(name, method, feedback, tmp_path):
    """What carries errors is in a bundle, and no loss elsewhere, since no membrane feels it."""
    _, said = reported(of_method(method), name, tmp_path)
    assert said["ghosts"] == ("faithful", NONE)
    if name == "yaml" and feedback == ERRORS:
        assert said["feedback"] == ("faithful", "as projections, with its weights if they are its own")
    else:
        assert said["feedback"] == ("faithful", feedback)


@pytest.mark.parametrize("physics", [{}, {"layers": (12, 4, 4)}, {"saturation": 0.3}])
def test_the_settling_file_of_a_network_without_ghosts_is_its_forward_pass_in_time(physics, tmp_path):
    trained = of_method(Backprop(), **physics)
    raw, depth = samples(trained), trained.network.depth
    model = settle_graph(trained, depth + 1)
    scan = next(node for node in model.graph.node if node.op_type == "Scan")
    step = next(attribute.g for attribute in scan.attribute if attribute.name == "body")
    names = [tensor.name for tensor in model.graph.initializer]
    names += [name for node in (*model.graph.node, *step.node) for name in (*node.input, *node.output)]
    names += [prop.key.removeprefix("lavaghost.") for prop in model.metadata_props]
    assert not [name for name in names if re.search("ghost|lam|left|pushed|mechanism", name)]
    assert len(scan.output) == 1 + depth  # a membrane for each layer, and the drive
    for steps in (2, depth, depth + 1, depth + 6):
        found = check(exported(tmp_path, "onnx-settle", trained, raw, steps=steps), trained, raw)
        assert found.passed
    report, elements = reported(trained, "onnx-settle", tmp_path)
    assert report.settings == {"steps": depth + 1}
    # tau is 1, so as many steps as layers after the reset are the whole pass
    logits = find("onnx-settle").expected(trained, report.settings, raw).logits
    assert np.abs(logits - forward(trained, raw)).max() < 1e-12
    assert f"after {depth + 1} steps" in elements["activation"][1]


def forward(trained: Model, raw: np.ndarray) -> np.ndarray:
    """The feedforward pass in double precision, the plain way."""
    r = (raw * np.float32(trained.input_scale)).astype(np.float64)
    for k, (w, b) in enumerate(zip(trained.params.weights, trained.params.biases, strict=True), start=1):
        r = r @ w.T.astype(np.float64) + b
        # every float32 evaluation holds the saturation as a float32
        r = np.clip(r, 0, trained.network.r_max) if k < trained.network.depth else r
    return r


# ---- feedback without ghosts


@pytest.mark.parametrize("name", WRITTEN)
def test_feedback_without_a_gain_changes_nothing_and_is_said_to(name, tmp_path):
    _, said = reported(of_method(Aligned()), name, tmp_path)
    assert said["ghosts"] == ("faithful", NONE)
    assert said["feedback"][0] == "faithful"
    assert said["feedback"][1] != NONE


def test_feedback_that_nothing_cancels_is_measured_where_it_is_left_out(tmp_path):
    trained = of_method(Driven())
    _, said = reported(trained, "onnx", tmp_path)
    assert said["ghosts"] == ("faithful", NONE)
    status, note = said["feedback"]
    assert status == "approximate"
    raw = samples(trained, 300)[:MEASURED]
    stepped = find("onnx-settle").expected(trained, {"steps": 20}, raw).logits
    gap = np.abs(stepped - forward(trained, raw)).max()
    assert gap > 0.05
    assert f"up to {gap:.2g} on {MEASURED} training samples" in note


def test_feedback_that_nothing_cancels_settles_in_the_file(tmp_path):
    trained = of_method(Driven())
    raw = samples(trained)
    for steps in (2, 7, 20):
        assert check(exported(tmp_path, "onnx-settle", trained, raw, steps=steps), trained, raw).passed


# ---- weights, of a network in integers


@pytest.fixture(scope="module")
def whole() -> Model:
    trained = trained_network()
    return quantise_model(trained, data(trained, samples(trained, 300))).model


@pytest.mark.parametrize("name", ["onnx", "onnx-settle"])
def test_a_float_file_of_integers_says_what_it_holds_and_how_far_off_it_is(name, whole, tmp_path):
    assert whole.integers is not None
    report, said = reported(whole, name, tmp_path)
    status, note = said["weights"]
    assert status == "approximate"
    assert (
        "float32, the real numbers that the integers stand for; the function that ran was in integers" in note
    )
    raw = samples(whole, 300)[:MEASURED]
    x = raw * np.float32(whole.input_scale)
    gap = np.abs(whole.outputs(x) - forward(whole, raw)).max()
    assert gap > 1e-4
    assert f"differ by up to {gap:.2g} on {MEASURED} training samples of digits" in note
    # and it does hold them, exactly
    model = onnx.load(report.paths[0])
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for key in (f"weights.{k}" for k in (1, 2, 3)):
        stored = whole.integers.arrays[key] * 2.0 ** -whole.integers.fraction(key)
        np.testing.assert_array_equal(arrays[key], stored)


@pytest.mark.parametrize("name", [n for n in WRITTEN if n not in ("onnx", "onnx-settle", *OWN)])
def test_a_file_of_other_integers_says_that_they_are_others(name, whole, tmp_path):
    note = reported(whole, name, tmp_path)[1]["weights"][1]
    assert "made of the real numbers that the network's integers stand for" in note
    assert "the function that ran was in integers" in note
    plain = reported(trained_network(), name, tmp_path)[1]["weights"][1]
    assert "real numbers" not in plain


@pytest.mark.parametrize("name", OWN)
def test_a_file_says_that_its_mantissas_are_those_of_the_network(name, whole, tmp_path):
    note = reported(whole, name, tmp_path)[1]["weights"][1]
    assert note.startswith("the network's own mantissas")
    assert "real numbers" not in note
    plain = reported(trained_network(), name, tmp_path)[1]["weights"][1]
    assert "own mantissas" not in plain


def test_a_bundle_carries_integers_as_they_are(whole, tmp_path):
    _, said = reported(whole, "yaml", tmp_path)
    assert {status for status, _ in said.values()} == {"faithful"}
    assert said["weights"][1].startswith("the integers themselves")
    again = Model.load(tmp_path / "m")
    assert again.integers == whole.integers
    assert reported(trained_network(), "yaml", tmp_path / "float")[1]["weights"][1] == "float32, as trained"


@pytest.mark.parametrize("name", TARGETS[:1] + TARGETS[3:])
def test_a_float_file_of_a_network_in_floats_is_faithful(name, tmp_path):
    assert reported(trained_network(), name, tmp_path)[1]["weights"] == ("faithful", "float32, as trained")
