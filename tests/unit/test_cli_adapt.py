"""The command `adapt` as a user meets it: keys, files, what is shown, and one line for each kind of bad input."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lavaghost.adapting import adapt as module
from lavaghost.adapting.adapt import Adaptation
from lavaghost.cli import run
from lavaghost.datasets import load
from lavaghost.hardware.adapted import CARRIED, published, sample_cost
from lavaghost.model.model import Model
from tests.chips import once

KEYS = {
    "accuracy_before", "accuracy", "stream_accuracy", "kept_before", "kept", "samples", "recall", "energy_j",
    "latency_s", "curve", "model", "updates", "trials", "refit", "published",
}  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that knows the digits."""
    out = tmp_path_factory.mktemp("model")
    train = ["train", "--dataset", "digits", "--layers", "12", "--epochs", "3", "--loss", "squared_error"]
    assert run([*train, "--no-diagnostics", "--out", str(out)]) == 0
    return out / "model.yaml"


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits, moved by a pixel."""
    digits = load("digits")
    arrays = {
        name: np.roll(np.rint(x / digits.scale).reshape(-1, 8, 8), 1, axis=2).reshape(-1, 64).astype(np.uint8)
        for name, x in (("x_train", digits.x_train), ("x_test", digits.x_test))
    }
    path = tmp_path_factory.mktemp("data") / "moved.npz"
    np.savez(path, y_train=digits.y_train, y_test=digits.y_test, **arrays)
    return path


def adapted(capfd: Any, *arguments: object) -> dict[str, Any]:
    """Run with --json: one object on one line."""
    capfd.readouterr()
    assert run(["adapt", *map(str, arguments), "--json"]) == 0
    out = capfd.readouterr().out
    assert out.count("\n") == 1
    return json.loads(out)


def test_what_is_promised_is_there(model: Path, moved: Path, tmp_path: Path, capfd) -> None:
    options = ("--samples", 30, "--at", "10,20", "--replay", 2, "--hardware", "loihi1", "--out", tmp_path)
    found = adapted(capfd, model, "--dataset", moved, "--keep", "digits", *options)
    assert set(found) >= KEYS | {"warnings"}
    curve = found["curve"]
    assert [row["samples"] for row in curve] == [0, 10, 20, 30]
    assert (found["samples"], found["trials"]) == (30, 60)
    assert (found["accuracy_before"], found["accuracy"]) == (curve[0]["accuracy"], curve[-1]["accuracy"])
    assert (found["kept_before"], found["kept"]) == (curve[0]["kept"], curve[-1]["kept"])
    assert 0 < found["updates"] <= 60
    # its price is that of two trials a sample, of which the share that taught updates
    price = found["price"]
    assert (price["trials_per_sample"], price["taught_share"]) == (2, found["updates"] / 60)
    # Loihi 1's spikes carry nothing: the figure is worked out as if they did, and says so
    assert (price["energy_j"], found["assumption"]) == (None, CARRIED)
    assert found["energy_j"] == price["as_if"]["energy_j"] > 0
    assert found["latency_s"] == price["as_if"]["latency_s"] > 0
    assert found["published"] == list(published(once("loihi1")))
    # the same stands in the folder, with the network and the picture
    assert json.loads((tmp_path / "adapt.json").read_text()) == {
        k: v for k, v in found.items() if k != "warnings"
    }
    assert Path(found["picture"]).read_bytes().startswith(b"\x89PNG")
    after = Model.load(found["model"])
    assert after.integers is not None
    assert all(
        map(
            np.any, (a - b for a, b in zip(after.params.weights, Model.load(model).params.weights, strict=True))
        )
    )
    # what is done is done: resumed, nothing more is learned
    again = adapted(capfd, model, "--dataset", moved, "--keep", "digits", *options, "--resume")
    assert {k: v for k, v in again.items() if k != "warnings"} == {
        k: v for k, v in found.items() if k != "warnings"
    }
    # and not overwritten unasked
    assert run(["adapt", str(model), "--dataset", str(moved), "--keep", "digits", *map(str, options)]) == 2
    assert "--force" in capfd.readouterr().err


def test_without_old_data_and_chip_both_are_null(model: Path, moved: Path, tmp_path: Path, capfd) -> None:
    found = adapted(
        capfd,
        model,
        "--dataset",
        moved,
        "--samples",
        5,
        "--arithmetic",
        "float",
        "--plastic",
        2,
        "--out",
        tmp_path,
    )
    assert (found["kept_before"], found["kept"], found["energy_j"], found["latency_s"]) == (None,) * 4
    assert found["trials"] == 5
    before, after = Model.load(model).params, Model.load(tmp_path).params
    # layer 2 alone learned
    np.testing.assert_array_equal(before.weights[0], after.weights[0])
    assert not np.array_equal(before.weights[1], after.weights[1])


def made(model: Path, kept: float | None, chip: str | None, classes: int) -> Adaptation:
    """A result by hand."""
    trained = Model.load(model)
    rows = [
        {"samples": n, "accuracy": a, "stream_accuracy": s, "kept": kept, "trials": 2 * n, "updates": n // 5}
        for n, a, s in ((0, 0.637, None), (1000, 0.864, 0.8125))
    ]
    price = (
        None if chip is None else sample_cost(trained.graph, once(chip), trials_per_sample=2, taught_share=0.1)
    )
    result: dict[str, Any] = {
        "accuracy_before": 0.637, "accuracy": 0.864, "stream_accuracy": 0.8125, "kept_before": kept, "kept": kept,
        "samples": 1000, "trials": 2000, "updates": 200, "refit": None, "model": None, "curve": rows,
        "recall": {f"[c]\x1b{i}": 1 - i / 100 for i in range(classes)},
        "energy_j": price and price.energy_j, "latency_s": price and price.latency_s,
        "price": price and price.as_json(), "published": [] if chip is None else list(published(once(chip))),
    }  # fmt: skip
    return Adaptation(trained, result)


SHOWN = [(0.926, "loihi1", 10), (None, "loihi2_oheo_gulch", 40), (0.5, None, 1)]


@pytest.mark.parametrize(("kept", "chip", "classes"), SHOWN)
def test_what_is_shown(kept, chip, classes, model: Path, tmp_path: Path, capfd, monkeypatch) -> None:
    """Every figure of the curve, the recalls, the price with its reasons, and what others measured."""
    monkeypatch.setattr(module, "adapt", lambda *args, **more: made(model, kept, chip, classes))
    monkeypatch.setenv("COLUMNS", "100")
    command = ["adapt", str(model), "--dataset", "digits", "--out", str(tmp_path)]
    assert run(command + ([] if chip is None else ["--hardware", chip])) == 0
    shown = capfd.readouterr().err
    words = " ".join(shown.split())
    assert all(text in shown for text in ("63.70 %", "86.40 %", "81.25 %", "1,000", "2,000"))
    assert ("92.60 %" in shown) == (kept == 0.926)
    assert "\x1b[" not in shown
    assert ("lowest recalls of 40" in words) == (classes == 40)
    assert f"[c]\\x1b{classes - 1}" in shown
    assert ("0.59 mJ" in shown) == ("0.05 mJ" in shown) == ("2511.01553" in shown) == (chip is not None)
    assert ("10.00 % of them teach" in words) == (chip is not None)
    assert (CARRIED in words) == ("16 payload bits > 0" in words) == (chip == "loihi1")
    assert ("energy of synapse on loihi2_oheo_gulch: no figure" in words) == (chip == "loihi2_oheo_gulch")
    assert " None" not in words


BAD = {
    "chip": (["--hardware", "loihi9"], "loihi9"),
    "samples": (["--samples", "0"], "samples"),
    "too many samples": (["--samples", "10000000"], "10000000"),
    "plastic": (["--plastic", "two"], "'two' is not a list of layers; write for example 2,3"),
    "layer": (["--plastic", "7"], "7"),
    "margin": (["--margin", "much"], "'much' is no number; write for example 0.5, or none"),
    "negative margin": (["--margin", "-1"], "margin"),
    "replay of nothing": (["--replay", "5"], "--keep"),
    "eta": (["--eta", "0"], "eta"),
    "engine": (["--engine", "equilibrium"], "equilibrium"),
    "data": (["--keep", "nowhere.npz"], "nowhere.npz"),
    "class": (["--only", "77"], "77"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case, model: Path, tmp_path: Path, capfd) -> None:
    options, word = BAD[case]
    capfd.readouterr()
    assert run(["adapt", str(model), "--dataset", "digits", "--out", str(tmp_path), *options]) == 2
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("lavaghost: ")]
    assert len(said) == 1
    assert word in said[0]
    assert not (tmp_path / "model.yaml").exists()


@pytest.mark.parametrize(
    ("width", "classes", "word"),
    [(63, 10, "63"), (64, 12, "classes")],
    ids=["another size", "classes never declared"],
)
def test_data_that_do_not_fit_are_refused_before_anything_is_learned(
    width, classes, word, model: Path, tmp_path: Path, capfd
) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 17, (60, width)).astype(np.uint8), np.arange(60) % classes
    np.savez(tmp_path / "odd.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    capfd.readouterr()
    out = tmp_path / "out"
    assert run(["adapt", str(model), "--dataset", str(tmp_path / "odd.npz"), "--out", str(out)]) == 2
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("lavaghost: ")]
    assert len(said) == 1
    assert word in said[0]
    assert not list(out.glob("*.safetensors"))
