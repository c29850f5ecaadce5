"""ONNX in integers and quantised ONNX: theory of the numbers, the reference, and equality with onnxruntime."""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from lavaghost.base.errors import ExportError, SpecError
from lavaghost.exporters import base, find, sidecar
from lavaghost.exporters.chain import chain
from lavaghost.exporters.onnx.qdq import scaled_layers
from lavaghost.exporters.onnx.whole_numbers import (
    QuantizeOptions,
    byte_logits,
    byte_network,
    byte_scales,
    input_range,
    largest_sum,
    sums_note,
)
from tests.unit.onnx_networks import PHYSICS, check, data, exported, samples, trained_network

pytest.importorskip("onnxruntime")


def net_of(trained: Any, raw: np.ndarray, **options: Any) -> Any:
    net = chain(trained, "onnx-int")
    settings = byte_scales(net, raw * np.float32(trained.input_scale), QuantizeOptions(**options))
    return byte_network(net, settings)


def one_by_one(net: Any, sample: np.ndarray) -> list[int]:
    """The integer pass of one sample, with Python's integers, unit by unit."""
    q = [min(max(round(float(np.float32(v) * net.factor)) + net.zero, 0), 255) for v in sample]
    for k, (w, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        a = [sum(int(w[i, j]) * q[j] for j in range(len(q))) + int(b[i]) for i in range(len(b))]
        if k == len(net.shifts):
            return a
        q = [min(max(v, 0) // 2 ** net.shifts[k], net.tops[k]) for v in a]
    raise AssertionError("no output layer")


@pytest.mark.parametrize("physics", PHYSICS)
def test_the_reference_is_the_plain_integer_pass(physics):
    trained = trained_network(**physics)
    raw = samples(trained, low=-8, whole=False)
    net = net_of(trained, raw)
    assert net.zero > 0
    for w in net.weights:
        assert np.abs(w).max() == 127
    found = byte_logits(net, raw[:10])
    assert found.tolist() == [one_by_one(net, sample) for sample in raw[:10]]


def test_rounded_weights_are_off_by_a_twelfth_of_a_unit_squared():
    """Errors of rounding are uniform over a unit, of variance unit^2 / 12, where a unit is small beside a weight.

    So the outputs are off in proportion to the unit; in the mean over networks, because one network's weights are
    a single draw of these errors, which all samples share.
    """
    bits, squares = range(4, 8), np.zeros(4)
    for seed in range(8):
        trained = trained_network(seed=seed, layers=(64, 96, 10))
        raw, w = samples(trained, 100), trained.params.weights[0]
        exact = find("onnx").expected(trained, {}, raw).logits
        for i, weight_bits in enumerate(bits):
            net = net_of(trained, raw, weight_bits=weight_bits)
            unit = float(np.abs(w).max()) / (2 ** (weight_bits - 1) - 1)
            assert np.std(w - net.weights[0] * unit) == pytest.approx(unit / np.sqrt(12), rel=0.03)
            squares[i] += np.mean((byte_logits(net, raw) * net.units[-1] - exact) ** 2) / unit**2
    # measured within 7 %
    np.testing.assert_allclose(np.sqrt(squares), np.sqrt(squares.mean()), rtol=0.15)


def test_a_shift_rounds_to_nearest():
    trained = trained_network(layers=(64, 96, 10))
    raw = samples(trained, 300)
    net = net_of(trained, raw)
    assert net.shifts[0] > 2
    a = raw.astype(np.int64) @ net.weights[0].T
    exact = np.maximum(a + np.rint(trained.params.biases[0] / (net.units[1] / 2 ** net.shifts[0])), 0)
    q = np.minimum(np.maximum(a + net.biases[0], 0) >> net.shifts[0], net.tops[0])
    inside = (exact > 0) & (q < net.tops[0])
    off = q[inside] - exact[inside] / 2 ** net.shifts[0]
    assert np.abs(off).max() <= 0.5
    # halves go up, so the errors -15/32 .. 16/32 of a shift by 5 have the mean 1/64; truncation would give -0.5
    assert off.mean() == pytest.approx(0.5 ** (net.shifts[0] + 1), abs=0.005)


def test_input_ranges():
    assert input_range(np.array([0.0, 16.0])) == (1.0, 0)
    assert input_range(np.array([0.0, 255.0])) == (1.0, 0)
    factor, zero = input_range(np.array([-1.0, 3.0]))
    assert (factor, zero) == (63.75, 64)
    factor, zero = input_range(np.array([0.5, 0.25]))
    assert (factor, zero) == (510.0, 0)


@pytest.mark.parametrize("physics", PHYSICS)
@pytest.mark.parametrize("scale", [1 / 16, 0.3])
def test_onnxruntime_gives_the_same_integers(tmp_path, physics, scale):
    trained = trained_network(scale=scale, **physics)
    for raw in (samples(trained), samples(trained, low=-8, whole=False)):
        found = check(exported(tmp_path, "onnx-int", trained, raw), trained, raw)
        assert (found.exact, found.passed, found.max_abs_difference) == (True, True, 0.0)
        assert found.approximation is not None
        assert 0 < found.approximation < 0.3


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_a_sum_that_is_one_too_large_is_seen(tmp_path, layer):
    trained = trained_network()
    raw = samples(trained)
    file = exported(tmp_path, "onnx-int", trained, raw)
    model, known = onnx.load(file), sidecar.read_sidecar(file)
    assert known is not None
    tensor = next(t for t in model.graph.initializer if t.name == f"biases.{layer}")
    # what a shift takes away is no difference, so one unit above it
    more = 2 ** known.settings["shifts"][layer - 1] if layer < 3 else 1
    values = numpy_helper.to_array(tensor) + np.int32(more)
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.int32), tensor.name))
    file.write_bytes(model.SerializeToString())
    with pytest.raises(ExportError, match="SHA-256"):
        check(file, trained, raw)
    beside = sidecar.beside(file)
    beside.write_text(beside.read_text().replace(known.sha256, sidecar.digest_of(file)))
    found = check(file, trained, raw)
    assert not found.passed
    assert found.max_abs_difference >= 1


def test_what_32_bits_cannot_hold_is_refused(tmp_path):
    trained = trained_network(layers=(70_000, 2, 2))
    weights = (np.ones((2, 70_000), np.float32), trained.params.weights[1])
    trained = replace(trained, tensors=trained.params._replace(weights=weights))
    raw = samples(trained, 4)
    with pytest.raises(ExportError, match=r"layer 1: its sums reach 22\d{8}, and 32 bits hold .*weight_bits"):
        exported(tmp_path, "onnx-int", trained, raw)
    assert list(tmp_path.iterdir()) == []
    assert check(exported(tmp_path, "onnx-int", trained, raw, weight_bits=7), trained, raw).passed


def test_sums_that_float32_does_not_hold_are_reported():
    """A runtime that adds up in float32 is off from 2^24 on (measured: OpenVINO, by 8 in 2^25.7)."""
    trained = trained_network(layers=(1500, 4, 2))
    weights = (np.ones((4, 1500), np.float32), trained.params.weights[1])
    trained = replace(trained, tensors=trained.params._replace(weights=weights))
    raw = samples(trained)
    assert 255 * 127 * 1500 > 2**24 > 255 * 31 * 1500
    assert "below 2^26 for any input, more than float32 holds" in sums_note(net_of(trained, raw))
    assert sums_note(net_of(trained, raw, weight_bits=6)) == "sums below 2^24 for any input"
    net = net_of(trained, raw, weight_bits=6)
    # the bound is reached where every input is at its top
    top = net.weights[0] @ np.full(1500, 255) + net.biases[0]
    assert top.max() == largest_sum(net.weights[0], net.biases[0])


@pytest.mark.parametrize("target", ["onnx-int", "onnx-qdq"])
def test_options_and_calibration_are_asked_for(tmp_path, target):
    trained = trained_network()
    with pytest.raises(SpecError, match=rf"{target} option\.weight_bits"):
        exported(tmp_path, target, trained, samples(trained), weight_bits=9)
    with pytest.raises(ExportError, match=f"'{target}' needs a data set to calibrate on; add --dataset"):
        base.export(trained, target, tmp_path / "m.onnx")


# ---- quantised floats


@pytest.mark.parametrize("physics", PHYSICS)
def test_qdq_agrees_within_the_flips_that_rounding_explains(tmp_path, physics):
    trained = trained_network(**physics)
    for raw in (samples(trained), samples(trained, low=-8, whole=False)):
        found = check(exported(tmp_path, "onnx-qdq", trained, raw), trained, raw)
        assert found.passed
        assert not found.exact
        assert found.label_agreement == 1.0
        assert found.max_abs_difference < 1e-4
        assert found.approximation is not None
        assert found.approximation < 0.3


def test_the_qdq_tolerance_sees_what_is_no_rounding(tmp_path):
    """Where no rate is near the middle between two integers the bound is that of float rounding alone."""
    trained = trained_network(layers=(64, 96, 10))
    raw = samples(trained, 300)
    settings = base.export(trained, "onnx-qdq", tmp_path / "m.onnx", {}, data(trained, raw)).settings
    expected = find("onnx-qdq").expected(trained, settings, raw)
    unit = settings["rate_units"][0] * np.abs(trained.params.weights[1]).max()
    assert np.median(expected.tolerance) < unit
    assert expected.tolerance.min() < 2e-4
    # the constants are integers
    for layer in scaled_layers(chain(trained, "onnx-qdq"), settings):
        np.testing.assert_array_equal(layer.weights, np.rint(layer.weights))
        assert np.abs(layer.weights).max() == 127
