"""`lavaghost import`, and everything that an imported network can do afterwards, by the command line alone."""

import json
from pathlib import Path

import pytest

from lavaghost.cli import run

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "onnx"
PIPELINE = str(GOLDEN / "sklearn_standard_plain.onnx")


def result(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int = 0) -> dict:
    capsys.readouterr()
    assert run([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scikit-learn's pipeline, imported for the digits."""
    out = tmp_path_factory.mktemp("imported")
    assert run(["import", PIPELINE, "--dataset", "digits", "--out", str(out), "--json"]) == 0
    return out / "model.yaml"


def test_it_says_what_it_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = result(capsys, ["import", PIPELINE, "--out", str(tmp_path)])
    assert found["model"] == str(tmp_path / "model.yaml")
    assert found["layers"] == [64, 24, 16, 10]
    assert {"file", "sha256", "producer", "opset", "folded", "input_scale", "labels"} <= set(found)
    # without a data set it takes what the file takes, and evaluation knows that
    assert found["input_scale"] == 1.0
    first = result(capsys, ["evaluate", found["model"], "--dataset", "digits"])
    folded = result(capsys, ["import", PIPELINE, "--dataset", "digits", "--out", str(tmp_path / "b")])
    assert folded["input_scale"] == 1 / 16
    second = result(capsys, ["evaluate", folded["model"], "--dataset", "digits", "--engine", "stepped"])
    assert first["accuracy"] == second["accuracy"] > 0.95


@pytest.mark.slow
def test_an_imported_network_is_quantised_mapped_exported_and_verified(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quantised = result(capsys, ["quantize", str(model), "--dataset", "digits", "--out", str(tmp_path / "q")])
    assert Path(quantised["model"]).exists()
    assert result(capsys, ["map", str(model), "--hardware", "lava_cpu", "--phase", "learning"])["fits"]
    file = tmp_path / "again.onnx"
    result(capsys, ["export", str(model), "--to", "onnx", "--out", str(file)])
    checked = result(capsys, ["verify", str(file), "--model", str(model), "--dataset", "digits"])
    assert checked["label_agreement"] == 1.0


@pytest.mark.parametrize("mechanism", ["duplicate", "learned"])
def test_an_imported_network_learns_on_with_ghosts(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], mechanism: str
) -> None:
    start = result(capsys, ["evaluate", str(model), "--dataset", "digits"])["accuracy"]
    arguments = ["train", "--from", str(model), "--epochs", "2", "--eta", "0.005", "--mechanism", mechanism]
    found = result(capsys, [*arguments, "--out", str(tmp_path)])
    assert found["accuracy"] >= start - 0.01
    assert min(found["cosines"]) > 0.9
    after = result(capsys, ["info", found["model"]])
    assert (after["layers"], after["mechanism"]) == ([64, 24, 16, 10], mechanism)
    # the run is over: resumed, it says the same; from nothing, it is another run
    again = result(capsys, [*arguments, "--resume", "--out", str(tmp_path)])
    assert again["accuracy"] == found["accuracy"]
    arguments[1:3] = ["--layers", "24,16"]
    assert run([*arguments, "--resume", "--out", str(tmp_path)]) == 2
    assert "belongs to another run" in capsys.readouterr().err


def test_a_bundle_is_imported_to_the_byte(model: Path, tmp_path: Path) -> None:
    for number, source in enumerate((model, model.parent)):
        assert run(["import", str(source), "--out", str(tmp_path / str(number)), "--json"]) == 0
        for name in ("model.yaml", "model.safetensors"):
            assert (tmp_path / str(number) / name).read_bytes() == model.with_name(name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["import", str(GOLDEN / "sklearn_logistic_units.onnx")], "node 'Sigmoid' (Sigmoid) is smooth"),
        (["import", str(GOLDEN / "torch_relu_script.onnx"), "--scaled"], "--dataset"),
        (["import", str(GOLDEN / "expected.npz")], "neither an .onnx file nor a saved network"),
        (["import", "none.onnx"], "cannot read none.onnx"),
        (["import", "none.yaml"], "cannot read none.yaml"),
        (["import", str(GOLDEN / "sklearn_binary_mlp.onnx"), "--dataset", "digits"], "digits has 10 classes"),
        (["import", str(GOLDEN / "torch_relu_script.onnx"), "--dataset", "nowhere"], "data set 'nowhere'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*arguments, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_start_that_does_not_go_on_is_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", "--from", str(model), "--out", str(tmp_path / "out")]
    for options, said in (
        (["--layers", "24"], "layers is (64, 24, 10)"),
        (["--activation", "hard_sigmoid"], "activation is 'hard_sigmoid', and 'relu'"),
        (["--saturation", "1.5", "--layers", "8,8"], "layers is"),
    ):
        assert run([*train, *options]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert run(["train", "--from", str(tmp_path / "none.yaml"), "--out", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()
