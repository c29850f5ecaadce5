"""The command line as a user meets it: keys, exit codes, and one line for each of many kinds of bad input."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import numpy as np
import pytest
import yaml

from lavaghost.base import registry
from lavaghost.cli import run
from lavaghost.exporters import base

TRAIN = ["train", "--dataset", "digits", "--layers", "8", "--epochs", "1", "--no-diagnostics"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small saved network."""
    out = tmp_path_factory.mktemp("model")
    arguments = ["train", "--dataset", "digits", "--layers", "16", "--epochs", "4", "--batch-size", "32"]
    assert run([*arguments, "--out", str(out), "--json"]) == 0
    return out / "model.yaml"


def result(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int = 0) -> dict:
    """Run with --json: standard output must be exactly one JSON object on one line."""
    capsys.readouterr()
    assert run([*arguments, "--json"]) == code
    out = capsys.readouterr().out
    assert out.endswith("}\n")
    assert out.count("\n") == 1
    return json.loads(out)


def test_train_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The promised keys, one cosine per weight layer and one residual per hidden layer."""
    arguments = ["train", "--dataset", "digits", "--layers", "16,12", "--epochs", "2", "--out", str(tmp_path)]
    found = result(capsys, arguments)
    assert {"accuracy", "samples", "seconds", "cosines", "residuals", "epochs", "model"} <= set(found)
    assert len(found["cosines"]) == len(found["lowest_cosines"]) == 3
    assert len(found["residuals"]) == 2
    assert found["epochs"] == 2
    assert found["samples"] == 360
    assert Path(found["model"]).exists()
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("engine", ["equilibrium", "stepped"])
def test_evaluate_keys(model: Path, capsys: pytest.CaptureFixture[str], engine: str) -> None:
    """Engines agree on the accuracy; --limit limits."""
    found = result(capsys, ["evaluate", str(model), "--dataset", "digits", "--engine", engine, "--limit", "50"])
    assert {"accuracy", "samples", "seconds", "engine", "steps"} <= set(found)
    assert found["engine"] == engine
    assert found["samples"] == 50
    assert found["steps"] == (0 if engine == "equilibrium" else 50 * 32)


@pytest.mark.lava
def test_evaluate_in_lava(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lava gives the labels and the rates of the stepped engine."""
    found = result(capsys, ["evaluate", str(model), "--dataset", "digits", "--engine", "lava", "--limit", "20"])
    assert found["max_abs_difference"] == 0.0
    assert found["label_agreement"] == 1.0
    assert found["steps"] == 20 * 32


def test_export_verify_info(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file agrees with its own network and not with another one: exit codes 0 and 1."""
    file = tmp_path / "model.onnx"
    exported = result(capsys, ["export", str(model), "--to", "onnx", "--out", str(file)])
    assert exported["files"] == [str(file), f"{file}.export.json"]
    good = result(capsys, ["verify", str(file), "--model", str(model), "--dataset", "digits"])
    promised = {"runtime", "accuracy", "reference_accuracy", "label_agreement", "max_abs_difference"}
    assert promised <= set(good)
    assert good["label_agreement"] == 1.0
    other = ["train", "--dataset", "digits", "--layers", "16", "--epochs", "1", "--seed", "9"]
    result(capsys, [*other, "--out", str(tmp_path / "other")])
    bad = ["verify", str(file), "--model", str(tmp_path / "other" / "model.yaml"), "--dataset", "digits"]
    assert result(capsys, bad, code=1)["passed"] is False
    described = result(capsys, ["info", str(model)])
    assert described["layers"] == [64, 16, 10]
    assert described["accuracy"] > 0.5
    formats = result(capsys, ["export", "--list"])
    assert {"onnx", "yaml"} <= set(formats)
    assert {"summary", "needs", "runtimes", "options"} == set(formats["onnx"])
    assert "onnxruntime" in formats["onnx"]["runtimes"]


def test_export_takes_options_and_a_data_set(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Options and calibration reach the file, its sidecar and what verify compares with."""
    for target, option, value in (("onnx-settle", "steps", 12), ("onnx-int", "weight_bits", 5)):
        file = tmp_path / f"{target}.onnx"
        command = ["export", str(model), "--to", target, "--dataset", "digits", "--option", f"{option}={value}"]
        exported = result(capsys, [*command, "--out", str(file)])
        assert exported["options"][option] == value
        assert json.loads(file.with_name(f"{file.name}.export.json").read_text())["settings"][option] == value
        found = result(capsys, ["verify", str(file), "--model", str(model), "--dataset", "digits"])
        assert (found["exporter"], found["passed"], found["label_agreement"]) == (target, True, 1.0)


def test_a_broken_exporter_is_listed_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody else's fault does not hide our own formats."""
    points = [
        EntryPoint("onnx", "lavaghost.exporters.onnx.inference:exporter", base.GROUP),
        EntryPoint("gone", "no_such_package:exporter", base.GROUP),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints(points))
    formats = result(capsys, ["export", "--list"])
    assert "float32 ONNX" in formats["onnx"]["summary"]
    assert "cannot be loaded" in formats["gone"]["summary"]
    assert run(["export", "--list"]) == 0
    assert "runtimes" in capsys.readouterr().err


def test_yaml_export_is_a_model(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The bundle is a saved network: it evaluates to the same figure."""
    result(capsys, ["export", str(model), "--to", "yaml", "--out", str(tmp_path / "bundle")])
    here = result(capsys, ["evaluate", str(model), "--dataset", "digits"])
    there = result(capsys, ["evaluate", str(tmp_path / "bundle" / "model.yaml"), "--dataset", "digits"])
    assert here["accuracy"] == there["accuracy"]


def test_options_win_over_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the file says holds unless an option says otherwise; other mechanisms get their usual rule."""
    config = tmp_path / "run.yaml"
    config.write_text("hidden: [12]\nmethod: {mechanism: online}\nlearning: {epochs: 3, seed: 5}\n")
    found = result(capsys, ["train", str(config), "--epochs", "1", "--out", str(tmp_path / "out")])
    described = result(capsys, ["info", found["model"]])
    assert described["layers"] == [64, 12, 10]
    assert described["mechanism"] == "online"
    assert described["rule"] == "temporal"
    assert described["epochs"] == 1
    assert described["seed"] == 5


def _config(text: str) -> Callable[[Path, Path], list[str]]:
    def make(folder: Path, _model: Path) -> list[str]:
        (folder / "bad.yaml").write_text(text)
        return ["train", str(folder / "bad.yaml"), "--out", str(folder / "out")]

    return make


def _data(**changes: object) -> Callable[[Path, Path], list[str]]:
    def make(folder: Path, _model: Path) -> list[str]:
        rng = np.random.default_rng(0)
        arrays: dict = {
            "x_train": rng.random((20, 4)),
            "y_train": np.arange(20) % 2,
            "x_test": rng.random((6, 4)),
            "y_test": np.arange(6) % 2,
        }
        arrays |= changes
        np.savez(folder / "data.npz", **{k: v for k, v in arrays.items() if v is not None})
        return ["train", "--dataset", str(folder / "data.npz"), "--out", str(folder / "out")]

    return make


def _model(change: Callable[[Path], object]) -> Callable[[Path, Path], list[str]]:
    def make(folder: Path, model: Path) -> list[str]:
        shutil.copytree(model.parent, folder / "copy")
        change(folder / "copy")
        return ["evaluate", str(folder / "copy" / "model.yaml"), "--dataset", "digits"]

    return make


def _edit(**changes: object) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        values = yaml.safe_load((folder / "model.yaml").read_text())
        for path, value in changes.items():
            *sections, key = path.split("__")
            part = values
            for section in sections:
                part = part[section]
            part[key] = value
        (folder / "model.yaml").write_text(yaml.safe_dump(values))

    return change


def _poison(folder: Path) -> None:
    """A NaN in the weights, with a hash that fits."""
    import hashlib

    file = folder / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-4:] = np.float32(np.nan).tobytes()
    file.write_bytes(data)
    _edit(weights__sha256=hashlib.sha256(data).hexdigest())(folder)


def _out_is_a_file(folder: Path, _model: Path) -> list[str]:
    (folder / "file").write_text("")
    return [*TRAIN, "--out", str(folder / "file" / "out")]


def _other_run(folder: Path, _model: Path) -> list[str]:
    assert run([*TRAIN, "--out", str(folder / "run")]) == 0
    return [*TRAIN, "--seed", "3", "--resume", "--out", str(folder / "run")]


def _bad_checkpoint(folder: Path, _model: Path) -> list[str]:
    assert run([*TRAIN, "--out", str(folder / "run")]) == 0
    (folder / "run" / "checkpoint.safetensors").write_bytes(b"nonsense")
    return [*TRAIN, "--resume", "--out", str(folder / "run")]


def _other_data(folder: Path, model: Path) -> list[str]:
    _data()(folder, model)
    return ["evaluate", str(model), "--dataset", str(folder / "data.npz")]


BAD: dict[str, tuple[Callable[[Path, Path], list[str]], str]] = {
    "no such command": (lambda f, m: ["fly"], "fly"),
    "layers not numbers": (lambda f, m: ["train", "--layers", "12,x"], "--layers"),
    "layer of size zero": (lambda f, m: ["train", "--layers", "0", "--out", str(f / "o")], "hidden.0"),
    "negative size": (lambda f, m: ["train", "--layers", "-3", "--out", str(f / "o")], "hidden.0"),
    "huge layer": (lambda f, m: ["train", "--layers", "2000000", "--out", str(f / "o")], "1000000"),
    "negative epochs": (lambda f, m: ["train", "--epochs", "-1", "--out", str(f / "o")], "learning.epochs"),
    "eta is NaN": (lambda f, m: ["train", "--eta", "nan", "--out", str(f / "o")], "learning.eta"),
    "lam is infinite": (lambda f, m: ["train", "--lam", "inf", "--out", str(f / "o")], "method.lam"),
    "beta is zero": (lambda f, m: ["train", "--beta", "0", "--out", str(f / "o")], "method.beta"),
    "momentum of one": (lambda f, m: ["train", "--momentum", "1", "--out", str(f / "o")], "learning.momentum"),
    "unknown mechanism": (lambda f, m: ["train", "--mechanism", "magic"], "magic"),
    "online with prediction": (
        lambda f, m: ["train", "--mechanism", "online", "--rule", "prediction", "--out", str(f / "o")],
        "online",
    ),
    "saturated hard sigmoid": (
        lambda f, m: ["train", "--activation", "hard_sigmoid", "--saturation", "2", "--out", str(f / "o")],
        "saturation",
    ),
    "no configuration": (lambda f, m: ["train", str(f / "none.yaml")], "none.yaml"),
    "configuration is a folder": (lambda f, m: ["train", str(f)], "cannot read"),
    "not YAML": (_config("hidden: [1, 2"), "not valid YAML"),
    "YAML is a list": (_config("- 1\n- 2\n"), "list"),
    "YAML alias": (_config("a: &a [1]\nhidden: *a\n"), "alias"),
    "unknown key": (_config("hiden: [12]\n"), "hiden: unknown key"),
    "unknown nested key": (_config("learning: {epoch: 3}\n"), "learning.epoch: unknown key"),
    "text for a number": (_config("learning: {epochs: '3'}\n"), "learning.epochs"),
    "boolean for a number": (_config("method: {lam: true}\n"), "method.lam"),
    "list for a section": (_config("network: [1]\n"), "network"),
    "no such data": (lambda f, m: ["train", "--dataset", str(f / "none")], "does not exist"),
    "empty folder": (lambda f, m: ["train", "--dataset", str(f)], "train-images"),
    "NaN in the data": (_data(x_train=np.full((20, 4), np.nan)), "x_train"),
    "shapes differ": (_data(x_test=np.zeros((6, 5))), "x_test"),
    "lengths differ": (_data(y_train=np.arange(19) % 2), "y_train"),
    "empty class": (_data(y_train=np.arange(20) % 2 * 2), "class"),
    "labels are fractions": (_data(y_train=np.arange(20) / 2), "y_train"),
    "an array is missing": (_data(y_test=None), "y_test"),
    "objects in the data": (_data(x_train=np.array([{}] * 20)), "x_train"),
    "data of another size": (_other_data, "64"),
    "no such model": (lambda f, m: ["evaluate", str(f / "no.yaml"), "--dataset", "digits"], "no.yaml"),
    "wrong sha256": (_model(_edit(weights__sha256="0" * 64)), "sha256"),
    "weights cut off": (_model(lambda f: os.truncate(f / "model.safetensors", 100)), "model.safetensors"),
    "weights missing": (_model(lambda f: (f / "model.safetensors").unlink()), "model.safetensors"),
    "NaN in the weights": (_model(_poison), "finite"),
    "another version": (_model(_edit(version="9.0")), "version"),
    "weights elsewhere": (_model(_edit(weights__path="../../etc/passwd")), "weights.path"),
    "wrong shape": (_model(_edit(network__layers=[64, 17, 10])), "17"),
    "manifest with a new key": (_model(_edit(surprise=1)), "surprise"),
    "out is a file": (_out_is_a_file, "cannot write"),
    "resume of another run": (_other_run, "learning.seed"),
    "damaged checkpoint": (_bad_checkpoint, "damaged"),
    "no such target": (lambda f, m: ["export", str(m), "--to", "stone", "--out", str(f / "x")], "stone"),
    "option without a value": (
        lambda f, m: ["export", str(m), "--to", "onnx", "--out", str(f / "x.onnx"), "--option", "steps"],
        "key=value",
    ),
    "calibration missing": (
        lambda f, m: ["export", str(m), "--to", "onnx-int", "--out", str(f / "x.onnx")],
        "add --dataset",
    ),
    "option that it has not": (
        lambda f, m: ["export", str(m), "--to", "onnx", "--out", str(f / "x.onnx"), "--option", "steps=3"],
        "onnx option.steps",
    ),
    "target missing": (lambda f, m: ["export", str(m)], "--to"),
    "export into a file": (
        lambda f, m: ["export", str(m), "--to", "onnx", "--out", str(m / "x.onnx")],
        "cannot write",
    ),
    "verify what is not ONNX": (
        lambda f, m: ["verify", str(m), "--model", str(m), "--dataset", "digits"],
        "ONNX",
    ),
    "no such runtime": (
        lambda f, m: ["verify", str(m), "--model", str(m), "--dataset", "digits", "--runtime", "abacus"],
        "abacus",
    ),
    "limit without Lava": (lambda f, m: ["train", "--limit", "5", "--out", str(f / "o")], "--engine lava"),
    "a control in Lava": (
        lambda f, m: ["train", "--engine", "lava", "--method", "backprop", "--out", str(f / "o")],
        "backprop",
    ),
    "limit of zero": (lambda f, m: ["evaluate", str(m), "--dataset", "digits", "--limit", "0"], "--limit"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str, tmp_path: Path, model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, one line that names the fault, nothing on standard output, nothing half-written."""
    make, named = BAD[case]
    arguments = make(tmp_path, model)
    before = sorted(tmp_path.rglob("*"))
    capfd.readouterr()
    assert run(arguments) == 2
    out, err = capfd.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("lavaghost: ")]
    assert out == ""
    assert len(lines) == 1
    assert "Traceback" not in err
    assert "internal error" not in err
    assert named in lines[0]
    new = [path for path in sorted(tmp_path.rglob("*")) if path not in before]
    assert [path for path in new if path.is_file()] == []


def test_several_faults_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """All faults together."""
    assert run(["train", "--layers", "0", "--epochs", "-1", "--lam", "-2", "--out", str(tmp_path)]) == 2
    line = capfd.readouterr().err.strip().splitlines()[-1]
    assert all(name in line for name in ("hidden.0", "learning.epochs", "method.lam"))


def test_internal_error_is_one_line(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """A bug does not show a traceback, but says how to see it."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("lavaghost.model.model.Model.load", broken)
    assert run(["info", "x"]) == 1
    err = capfd.readouterr().err
    assert "ZeroDivisionError" in err
    assert "LAVAGHOST_TRACEBACK" in err
    assert "Traceback" not in err


def test_interrupt_keeps_the_checkpoint(tmp_path: Path) -> None:
    """Ctrl-C exits with 130, and the run goes on to the weights of an undisturbed one."""
    arguments = ["train", "--dataset", "digits", "--layers", "64", "--epochs", "4", "--no-diagnostics"]
    code = """
import os, signal, sys
from lavaghost.training import loop as training
from lavaghost.cli import main

save = training.save_checkpoint

def saved(*arguments):
    save(*arguments)
    os.kill(os.getpid(), signal.SIGINT)

training.save_checkpoint = saved
main(sys.argv[1:])
"""
    started = subprocess.Popen(
        [sys.executable, "-c", code, *arguments, "--out", str(tmp_path / "a")],
        stderr=subprocess.PIPE,
        text=True,
    )
    err = started.communicate(timeout=600)[1]
    assert started.returncode == 130
    assert "Traceback" not in err
    assert "--resume" in err
    assert not (tmp_path / "a" / "model.yaml").exists()
    assert run([*arguments, "--resume", "--out", str(tmp_path / "a")]) == 0
    assert run([*arguments, "--out", str(tmp_path / "b")]) == 0
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in "ab"]
    assert files[0] == files[1]


@pytest.mark.lava
def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The main job: every hand gives the same answer, and every file is there."""
    found = result(capsys, ["demo", "--out", str(tmp_path)])
    assert found["accuracy"] >= 0.965
    assert min(found["lowest_cosines"]) > 0.99  # what the README says of this run
    assert found["controls"]["frozen"] < found["accuracy"]
    assert found["lava"]["max_abs_difference"] == 0.0
    assert found["lava"]["label_agreement"] == 1.0
    assert found["lava"]["samples"] == 360
    assert found["verify"]["passed"] is True
    for name in ("model.yaml", "model.safetensors", "model.onnx", "bundle/model.yaml", "curves.png"):
        assert (tmp_path / name).stat().st_size > 100


@pytest.mark.lava
@pytest.mark.parametrize("model", ["fused", "decomposed"])
def test_train_in_lava(tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str) -> None:
    """Online learning on Lava with its own defaults, recorded on request; outputs equal the stepped engine."""
    arguments = ["train", "--dataset", "digits", "--layers", "6", "--engine", "lava", "--epochs", "1"]
    arguments += ["--limit", "30", "--lava-model", model, "--record", "1", "--out", str(tmp_path)]
    found = result(capsys, arguments)
    assert len(found["cosines"]) == 2
    assert found["residuals"] == [0.0]
    assert (tmp_path / "record.png").read_bytes().startswith(b"\x89PNG")
    described = result(capsys, ["info", found["model"]])
    assert described["engine"] == "lava"
    stepped = result(capsys, ["evaluate", found["model"], "--dataset", "digits", "--engine", "stepped"])
    arguments = ["evaluate", found["model"], "--dataset", "digits", "--engine", "lava", "--lava-model", model]
    lava = result(capsys, [*arguments, "--limit", "10"])
    assert lava["max_abs_difference"] == 0.0
    assert stepped["samples"] == 360
