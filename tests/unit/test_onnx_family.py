"""What all ONNX files have in common, and what foreign runtimes make of them."""

import json

import numpy as np
import onnx
import pytest

from lavaghost.exporters import find
from lavaghost.verification import RUNTIMES
from tests.unit.onnx_networks import PHYSICS, TARGETS, check, exported, samples, trained_network

ort = pytest.importorskip("onnxruntime")

FOREIGN = ["onnx-reference", "openvino", "tract"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("physics", PHYSICS)
def test_every_file_is_valid_and_says_what_it_is(tmp_path, target, physics):
    trained = trained_network(**physics)
    raw = samples(trained)
    model = onnx.load(exported(tmp_path, target, trained, raw))
    onnx.checker.check_model(model, full_check=True)
    props = {p.key.removeprefix("lavaghost."): p.value for p in model.metadata_props}
    assert props["format_version"] == "1.0"
    assert json.loads(props["layers"]) == list(trained.network.layers)
    assert json.loads(props["labels"]) == list(trained.labels)
    assert float(props["input_scale"]) == trained.input_scale
    assert [value.name for value in model.graph.input] == ["input"]
    assert [value.name for value in model.graph.output] == ["logits", "label"]
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    many, labels = session.run(None, {"input": raw})
    for count in (1, 7):  # the batch is dynamic, and samples do not see each other
        some, label = session.run(None, {"input": raw[:count]})
        np.testing.assert_allclose(some, many[:count], rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(label, labels[:count])
    np.testing.assert_array_equal(labels, many.argmax(axis=1))


@pytest.mark.parametrize("target", TARGETS)
def test_all_four_runtimes_are_named(target):
    assert set(find(target).runtimes) == {"onnxruntime", *FOREIGN} <= set(RUNTIMES)


@pytest.mark.foreign
@pytest.mark.parametrize("runtime", FOREIGN)
def test_foreign_runtimes_agree(tmp_path, runtime):
    """Each once on every kind of file, three layers deep, negative inputs and a saturation among them."""
    trained = trained_network(layers=(12, 9, 8, 7, 4), saturation=1.5)
    raw = samples(trained, 20, low=-8, whole=False)
    for target in TARGETS:
        found = check(exported(tmp_path, target, trained, raw), trained, raw, runtime)
        assert found.passed, (target, found)
        assert found.label_agreement == 1.0
        assert found.exact == (target == "onnx-int")


@pytest.mark.foreign
def test_a_foreign_runtime_tells_a_wrong_file(tmp_path):
    trained, other = trained_network(), trained_network(seed=1)
    raw = samples(trained, 20)
    for target in ("onnx", "onnx-int"):
        assert not check(exported(tmp_path, target, other, raw), trained, raw, "tract").passed
