"""What every registered exporter must do; a new one is found by its entry point and checked here."""

import inspect
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lavaghost.base import files
from lavaghost.base.errors import ExportError, OutputError
from lavaghost.base.spec import Spec, parse
from lavaghost.datasets import Dataset
from lavaghost.dynamics import initial_parameters
from lavaghost.engines.forward_integers import forward_integers, unsettled
from lavaghost.exporters import ELEMENTS, ExportReport, available, base, find, sidecar
from lavaghost.methods.backprop import Backprop
from lavaghost.methods.learning import Learning
from lavaghost.model.model import Model
from lavaghost.net.kinds import KINDS
from lavaghost.net.network import Network
from lavaghost.verification import RUNTIMES
from tests.integer_networks import integer_network
from tests.networks import parts
from tests.toy_kind import Band

pytestmark = pytest.mark.parametrize("name", available())


def trained_network(mechanism: str = "duplicate", seed: int = 0) -> Model:
    network, method = parts(layers=(6, 5, 4, 3), mechanism=mechanism, rule="temporal")
    params = initial_parameters(method.graph(network), seed)
    return Model(network, method, Learning(), params, 1 / 16, ("a", "b", "c"), "digits")


RAW = np.random.default_rng(7).integers(0, 17, (40, 6)).astype(np.float32)
CALIBRATION = Dataset(
    name="digits",
    x_train=RAW / np.float32(16),
    y_train=np.arange(40) % 3,
    x_test=RAW[:8] / np.float32(16),
    y_test=np.arange(8) % 3,
    n_classes=3,
    scale=1 / 16,
)


def export(trained: Model, name: str, path: Path) -> ExportReport:
    return base.export(trained, name, path, calibration=CALIBRATION)


def target(folder: Path, name: str) -> Path:
    return folder / f"model{find(name).suffix}"


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_it_says_what_it_is(name):
    exporter = find(name)
    assert exporter.name == name
    assert exporter.suffix == "" or (exporter.suffix.startswith(".") and len(exporter.suffix) > 1)
    assert exporter.summary
    assert exporter.needs
    assert "\n" not in exporter.summary + exporter.needs
    assert set(exporter.runtimes) <= set(RUNTIMES)
    assert len(set(exporter.runtimes)) == len(exporter.runtimes)


def test_every_option_has_a_default_and_is_described(name):
    options = find(name).options
    assert issubclass(options, Spec)
    defaults = options()
    assert options(**defaults.model_dump()) == defaults
    source = inspect.getsource(options)
    assert source.count('"""') >= 2 * (1 + len(options.model_fields))


def test_without_calibration_it_works_or_asks_for_a_data_set(name, tmp_path):
    if find(name).needs == "nothing":
        assert base.export(trained_network(), name, target(tmp_path, name)).bytes > 0
        return
    with pytest.raises(ExportError, match="--dataset"):
        base.export(trained_network(), name, target(tmp_path, name))
    assert content(tmp_path) == {}


def test_the_sidecar_says_what_was_written(name, tmp_path):
    path = target(tmp_path, name)
    report = export(trained_network("learned"), name, path)
    assert report.paths[-1] == sidecar.beside(path)
    found = sidecar.read_sidecar(path)
    assert found is not None
    assert (found.exporter, found.file) == (name, path.name)
    assert [tuple(entry.model_dump().values()) for entry in found.carries] == list(report.carries)
    assert parse(find(name).options, found.options) == find(name).options()
    assert found.settings == json.loads(json.dumps(report.settings))
    text = sidecar.beside(path).read_text()
    assert str(tmp_path) not in text
    changed = report.paths[0]
    changed.write_bytes(changed.read_bytes() + b" ")
    with pytest.raises(ExportError, match="SHA-256"):
        sidecar.read_sidecar(path)


def test_the_reference_has_the_shape_of_the_answer(name, tmp_path):
    trained = trained_network()
    settings = export(trained, name, target(tmp_path, name)).settings
    found = find(name).expected(trained, json.loads(json.dumps(settings)), RAW[:8])
    assert found.logits.shape == (8, 3)
    assert found.labels.shape == (8,)
    np.testing.assert_array_equal(found.labels, found.logits.argmax(axis=1))
    assert np.broadcast_shapes(found.tolerance.shape, (8, 3)) == (8, 3)
    if found.exact:
        assert found.logits.dtype.kind == "i"
        assert not found.tolerance.any()
    else:
        assert np.all(np.isfinite(found.tolerance))
        assert np.all(found.tolerance >= 0)
    if found.independent:  # samples do not depend on each other
        alone = find(name).expected(trained, settings, RAW[3:4])
        np.testing.assert_allclose(alone.logits[0], found.logits[3], rtol=1e-12, atol=1e-12)
    else:  # they do on those before, not on those after
        fewer = find(name).expected(trained, settings, RAW[:4])
        np.testing.assert_array_equal(fewer.logits, found.logits[:4])


@pytest.mark.parametrize("mechanism", ["duplicate", "learned", "online"])
def test_the_report_is_complete_and_true(name, mechanism, tmp_path):
    report = export(trained_network(mechanism), name, target(tmp_path, name))
    assert report.exporter == name
    assert tuple(entry.element for entry in report.carries) == ELEMENTS
    written = content(tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in report.paths) == sorted(written)
    assert report.bytes == sum(len(data) for data in written.values()) > 0


def test_ghosts_and_feedback_that_are_not_there_are_no_loss(name, tmp_path):
    network = Network(layers=(6, 5, 4, 3))
    params = initial_parameters(Backprop().graph(network), 0)
    trained = Model(network, Backprop(), Learning(), params, 1 / 16, ("a", "b", "c"), "digits")
    carries = export(trained, name, target(tmp_path, name)).carries
    assert [entry.status for entry in carries if entry.element in ("ghosts", "feedback")] == ["faithful"] * 2


def test_a_kind_of_projection_that_it_does_not_know_is_written_by_its_matrix(name, tmp_path, monkeypatch):
    monkeypatch.setitem(KINDS._known, "band", Band())
    network, method = parts(layers=(6, 5, 4, 3), kinds=("dense", "band", "dense"), rule="temporal")
    params = initial_parameters(method.graph(network), 0)
    trained = Model(network, method, Learning(), params, 1 / 16, ("a", "b", "c"), "digits")
    matrices = tuple(p.matrix(w) for p, w in zip(trained.graph.up, params.weights, strict=True))
    assert [matrix.shape for matrix in matrices] == [(5, 6), (4, 5), (3, 4)]
    written_out = replace(
        trained, network=network.model_copy(update={"kinds": ()}), tensors=params._replace(weights=matrices)
    )
    settings = export(trained, name, target(tmp_path / "kind", name)).settings
    assert settings == export(written_out, name, target(tmp_path / "dense", name)).settings
    if find(name).suffix:  # a folder has the network itself
        assert target(tmp_path / "kind", name).read_bytes() == target(tmp_path / "dense", name).read_bytes()
    ours, theirs = (find(name).expected(model, settings, RAW) for model in (trained, written_out))
    np.testing.assert_allclose(ours.logits, theirs.logits, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mechanism", ["duplicate", "learned"])
def test_a_network_in_integers_leaves_as_it_is(name, mechanism, tmp_path):
    """With saturation and odd mantissas; a file that is not the integers themselves says by how much it differs."""
    trained = integer_network(mechanism=mechanism)
    same = integer_network(mechanism=mechanism)
    report = export(trained, name, target(tmp_path, name))
    assert trained == same
    assert tuple(entry.element for entry in report.carries) == ELEMENTS
    found = find(name).expected(trained, json.loads(json.dumps(report.settings)), RAW[:8])
    assert found.logits.shape == (8, 3)
    assert found.exact == (found.logits.dtype.kind == "i")
    assert export(same, name, target(tmp_path / "again", name)).settings == report.settings
    entry = next(entry for entry in report.carries if entry.element == "weights")
    assert trained.integers is not None
    net = forward_integers(trained.graph, trained.integers)
    if entry.status == "faithful" and found.exact and report.carries[1].status == "faithful" and net.cancels:
        p = net.arith.input(RAW[:8] / np.float32(16))
        (low, high), left = net.resting(p), unsettled(net, p, trained.graph.schedule.t_free_steps)
        engine = trained.outputs(RAW[:8] / np.float32(16)) / (found.scale or 1.0)
        assert ((low - left <= engine) & (engine <= high + left)).all()
        assert ((low <= found.logits) & (found.logits <= high)).all()


def test_the_same_value_gives_the_same_bytes(name, tmp_path):
    export(trained_network(), name, target(tmp_path / "a", name))
    export(trained_network(), name, target(tmp_path / "b", name))
    export(trained_network(seed=1), name, target(tmp_path / "b", name))
    assert content(tmp_path / "a") != content(tmp_path / "b")
    export(trained_network(), name, target(tmp_path / "b", name))
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_the_value_is_left_as_it_was(name, tmp_path):
    trained, same = trained_network(), trained_network()
    export(trained, name, target(tmp_path, name))
    assert trained == same
    np.testing.assert_array_equal(trained.params.weights[0], same.params.weights[0])


@pytest.mark.parametrize("at", range(4))
def test_a_failure_while_writing_leaves_nothing_to_be_taken_for_a_result(name, tmp_path, monkeypatch, at):
    calls = 0

    def failing(real):
        def call(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == at + 1:
                raise OSError(28, "No space left on device")
            return real(*args, **kwargs)

        return call

    wanted = target(tmp_path, name)
    entry = export(trained_network(), name, target(tmp_path / "elsewhere", name)).paths[0]
    entry = wanted / entry.relative_to(target(tmp_path / "elsewhere", name))
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", failing(os.fsync))
        patch.setattr(files.os, "replace", failing(os.replace))
        try:
            export(trained_network(), name, wanted)
        except OutputError as error:
            assert "No space left" in str(error)  # noqa: PT017
        else:
            assert calls <= at
            return
    assert not entry.is_file()
    # no temporary file stays behind
    assert not [path for path in content(tmp_path) if Path(path).name.startswith(".")]


def test_a_place_that_cannot_be_written_is_an_output_error(name, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        export(trained_network(), name, target(tmp_path / "file", name))
    assert content(tmp_path) == {"file": b"in the way"}
