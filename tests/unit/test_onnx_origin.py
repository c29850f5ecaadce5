"""A file that lost its sidecar, its name or its metadata: the right reference or the reason, and no wrong verdict."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from lavaghost.base.errors import ExportError
from lavaghost.exporters import Expected, Outputs, find, sidecar
from lavaghost.verification import compare
from tests.unit.onnx_networks import TARGETS, check, exported, samples, trained_network

pytest.importorskip("onnxruntime")
LOST = [target for target in TARGETS if target != "onnx"]


@pytest.fixture(scope="module")
def trained():
    return trained_network(saturation=1.5)


def lost(folder: Path, target: str, trained, keep=lambda key: True, **options) -> Path:
    """An exported file under another name, without its sidecar, and with the metadata that `keep` keeps."""
    path = exported(folder, target, trained, samples(trained), **options)
    model = onnx.load(path)
    kept = {prop.key: prop.value for prop in model.metadata_props if keep(prop.key)}
    onnx.helper.set_model_props(model, kept)
    renamed = folder / "renamed" / "in.onnx"
    renamed.parent.mkdir(exist_ok=True)
    onnx.save(model, renamed)
    return renamed


def refused(file: Path, trained, said: str) -> None:
    with pytest.raises(ExportError, match=said) as caught:
        check(file, trained, samples(trained))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("target", TARGETS)
def test_a_file_says_its_exporter_and_names_its_nodes(tmp_path, trained, target):
    path = exported(tmp_path, target, trained, samples(trained))
    model = onnx.load(path)
    said = {prop.key: prop.value for prop in model.metadata_props}
    known = sidecar.read_sidecar(path)
    assert known is not None
    assert said["lavaghost.exporter"] == target
    assert json.loads(said["lavaghost.settings"]) == known.settings
    steps = [a.g for node in model.graph.node for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
    names = [node.name for graph in (model.graph, *steps) for node in graph.node]
    assert all(names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("onnx", {}),
        ("onnx-int", {"weight_bits": 5}),
        ("onnx-qdq", {"weight_bits": 4}),
        ("onnx-settle", {"steps": 9}),
    ],
)
def test_without_its_sidecar_it_is_verified_by_its_own_reference(tmp_path, trained, target, options):
    found = check(lost(tmp_path, target, trained, **options), trained, samples(trained))
    assert (found.exporter, found.passed, found.exact) == (target, True, target == "onnx-int")
    other = trained_network(seed=1, saturation=1.5)
    assert not check(lost(tmp_path, target, other, **options), trained, samples(trained)).passed


@pytest.mark.parametrize("target", LOST)
@pytest.mark.parametrize(
    "keep", [lambda key: False, lambda key: key not in ("lavaghost.exporter", "lavaghost.settings")]
)
def test_without_metadata_too_the_missing_sidecar_is_the_reason(tmp_path, trained, target, keep):
    """Files of earlier versions, and those of tools that drop metadata."""
    said = rf"in\.onnx is a file of exporter '{target}' .* sidecar is missing.*or put .*in\.onnx\.export\.json"
    file = lost(tmp_path, target, trained, keep)
    refused(file, trained, said)
    model = onnx.load(file)
    for node in model.graph.node:
        node.ClearField("name")
    onnx.save(model, file)
    refused(file, trained, said)


def test_a_float_file_needs_neither(tmp_path, trained):
    assert check(lost(tmp_path, "onnx", trained, lambda key: False), trained, samples(trained)).passed


def test_a_sidecar_goes_with_its_file_under_any_name(tmp_path, trained):
    path = exported(tmp_path, "onnx-int", trained, samples(trained))
    for name in ("b.onnx", "B.ONNX", "model"):
        shutil.copy(path, tmp_path / name)
        shutil.copy(sidecar.beside(path), sidecar.beside(tmp_path / name))
        assert check(tmp_path / name, trained, samples(trained)).passed
    sidecar.beside(tmp_path / "model").unlink()
    refused(
        tmp_path / "model", trained, r"has no sidecar model\.export\.json.*only an ONNX file, called \*\.onnx"
    )
    sidecar.beside(tmp_path / "B.ONNX").unlink()
    assert check(tmp_path / "B.ONNX", trained, samples(trained)).passed


@pytest.mark.parametrize("other", TARGETS)
def test_the_sidecar_of_another_file_is_refused(tmp_path, trained, other):
    file = lost(tmp_path, "onnx-int", trained, weight_bits=3)
    path = exported(tmp_path, other, trained, samples(trained))
    shutil.copy(sidecar.beside(path), sidecar.beside(file))
    refused(
        file, trained, r"SHA-256 .* remove in\.onnx\.export\.json to verify the file by what it says of itself"
    )
    sidecar.beside(file).unlink()
    assert check(file, trained, samples(trained)).passed


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"exporter": "onnx"},
            r"written by exporter 'onnx' and rewritten .*like one of 'onnx-int' .*MatMulInteger",
        ),
        ({"exporter": "onnx-qdq"}, "written by exporter 'onnx-qdq' and rewritten"),
        ({"exporter": "nobody"}, "no exporter 'nobody'"),
        ({"settings": "[" * 100_000}, "metadata lavaghost.settings cannot be used"),
        ({"settings": "[]"}, "metadata lavaghost.settings cannot be used"),
        ({"settings": "9" * (1 << 21)}, "more than 1048576 characters"),
        ({"settings": "{}"}, "no reference for these settings"),
    ],
)
def test_metadata_are_not_believed(tmp_path, trained, values, said):
    file = lost(tmp_path, "onnx-int", trained)
    model = onnx.load(file)
    props = {prop.key: prop.value for prop in model.metadata_props}
    onnx.helper.set_model_props(model, props | {f"lavaghost.{key}": value for key, value in values.items()})
    onnx.save(model, file)
    refused(file, trained, said)


def test_steps_are_checked(tmp_path, trained):
    for steps in (0, 10**9, "x", None):
        with pytest.raises(Exception, match="steps"):
            find("onnx-settle").expected(trained, {"steps": steps}, samples(trained))


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 0.0, 1e30])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_outputs_never_disagree(value, dtype):
    """Whatever the numbers are, and with no tolerance at all."""
    logits = np.array([[value, 1.0], [2.0, value]], dtype)
    labels = logits.argmax(axis=1)
    tolerance = np.full(logits.shape, np.nan) if np.isnan(value) else np.zeros(logits.shape)
    expected = Expected(logits.astype(np.float64), tolerance, exact=False, labels=labels)
    found = compare("e", "r", Outputs(logits, labels), expected, np.zeros((2, 2)), labels)
    assert (found.passed, found.max_abs_difference, found.label_agreement) == (True, 0.0, 1.0)
    changed = Outputs(np.array([[value, 1.0], [5.0, value]], dtype), labels)
    assert not compare("e", "r", changed, expected, np.zeros((2, 2)), labels).passed


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.float32, np.float64])
def test_equal_integers_of_any_type_agree(dtype):
    logits = np.array([[5, 3], [9, 9]])
    expected = Expected(logits, np.zeros(()), exact=True, labels=np.array([0, 0]), scale=None)
    y = np.array([0, 0])
    assert compare("e", "r", Outputs(logits.astype(dtype), y), expected, np.zeros((2, 2)), y).passed
    # of two equal logits a runtime may name either
    assert compare(
        "e", "r", Outputs(logits.astype(dtype), np.array([0, 1])), expected, np.zeros((2, 2)), y
    ).passed
    assert not compare("e", "r", Outputs(logits.astype(dtype) + 1, y), expected, np.zeros((2, 2)), y).passed
