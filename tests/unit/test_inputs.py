"""The same images in other numbers: one answer, or one line that names both scales; and what is warned of in data."""

import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lavaghost.base.errors import DataError, LavaGhostWarning, SpecError
from lavaghost.cli import run
from lavaghost.cli.console import emit_with_classes
from lavaghost.datasets import Dataset, Range, for_training, load, range_of, unsigned, warn_of
from lavaghost.datasets.channels import split
from lavaghost.dynamics import initial_parameters
from lavaghost.evaluation.in_engines import class_figures
from lavaghost.methods.learning import Learning
from lavaghost.model.inputs import inputs_record, scaled_for, unsigned_for
from lavaghost.model.model import Model
from lavaghost.numbers.loihi import Loihi
from lavaghost.numbers.widths import DEFAULT
from lavaghost.online.integers.formats import default_formats
from lavaghost.training.integer_learner import formats_for
from tests.networks import ghost_graph, parts

TRAIN = ["--layers", "16", "--epochs", "3", "--no-diagnostics"]


def save(path: Path, digits: Dataset, form: Any, **replaced: NDArray) -> str:
    """The digits as an npz file, their ink of 0..1 brought to another form."""
    arrays = {
        "x_train": digits.x_train,
        "y_train": digits.y_train,
        "x_test": digits.x_test,
        "y_test": digits.y_test,
    }
    formed = {key: form(x.astype(np.float64)) if key.startswith("x") else x for key, x in arrays.items()}
    np.savez(path, **(formed | replaced))
    return str(path)


FORMS: dict[str, Any] = {
    "bytes": lambda x: np.rint(x * 240).astype(np.uint8).reshape(-1, 8, 8),
    "floats": lambda x: np.rint(x * 240) / 255,
    "float32": lambda x: (np.rint(x * 240) / 255).astype(np.float32),
    "float16": lambda x: (np.rint(x * 240) / 255).astype(np.float16),
    "overshoot": lambda x: np.rint(x * 240) / 255 * 1.0001 - 1e-6,
    "ink16": lambda x: x * 16,
    "ink_bytes": lambda x: np.rint(x * 16).astype(np.uint8),
    "float255": lambda x: np.rint(x * 240),
    "float254.9": lambda x: x * 240.3,
    "signed": lambda x: 2 * x - 1,
    "standardised": lambda x: (x - 0.3) / 0.37,
}


@pytest.fixture(scope="module")
def files(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("forms")
    return {name: save(folder / f"{name}.npz", digits, form) for name, form in FORMS.items()} | {
        "digits": "digits"
    }


@pytest.fixture(scope="module")
def models(files: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A network trained on each form that is asked for."""

    class Models(dict[str, str]):
        def __missing__(self, form: str) -> str:
            out = self[form] = str(tmp_path_factory.mktemp("model"))
            assert run(["train", "--dataset", files[form], *TRAIN, "--out", out, "--json"]) == 0
            return out

    return Models()


def result(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    capsys.readouterr()
    assert run([*arguments, "--json"]) == 2
    text = capsys.readouterr().err
    assert text.startswith("lavaghost: ")
    assert text.count("\n") == 1
    return text


def accuracy(capsys: pytest.CaptureFixture[str], model: str, file: str) -> float:
    return result(capsys, ["evaluate", model, "--dataset", file])["accuracy"]


# ---------------------------------------------------------------- one answer, or both scales

SAME = ("bytes", "floats", "float32", "float16", "overshoot", "digits")


@pytest.mark.parametrize("trained_on", ["bytes", "floats", "digits", "ink16", "ink_bytes", "float255"])
@pytest.mark.parametrize("form", SAME)
def test_the_same_images_in_other_numbers_are_classified_alike(
    models: dict[str, str],
    files: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    trained_on: str,
    form: str,
) -> None:
    own = accuracy(capsys, models[trained_on], files[trained_on])
    assert own > 0.8
    # digits differ by 240 / 255 in contrast, half precision by rounding: a label or two of 360
    exact = form in ("bytes", "floats", "float32") and trained_on in ("bytes", "floats", "float255")
    assert abs(accuracy(capsys, models[trained_on], files[form]) - own) <= (0 if exact else 8 / 360)


@pytest.mark.parametrize(
    ("trained_on", "form"),
    [
        ("bytes", "float255"),
        ("bytes", "float254.9"),
        ("digits", "ink16"),
        ("digits", "ink_bytes"),
        ("ink16", "ink16"),
    ],
)
def test_raw_numbers_in_floats_get_the_factor_of_the_network(
    models: dict[str, str],
    files: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    trained_on: str,
    form: str,
) -> None:
    own = accuracy(capsys, models[trained_on], files[trained_on])
    assert abs(accuracy(capsys, models[trained_on], files[form]) - own) <= 1 / 360


UNLIKE = [
    ("floats", "float255", "0..240 (scale 1)", "(scale 1);"),
    ("floats", "ink_bytes", "0..0.0627 (scale 0.00392157)", "(scale 1);"),
    ("bytes", "signed", "-1..1 (scale 1)", "(scale 0.00392157);"),
    ("signed", "floats", "0..0.941 (scale 1)", "-1..1 (scale 1);"),
    ("standardised", "bytes", "0..0.941 (scale 0.00392157)", "-0.811..1.89 (scale 1);"),
    ("floats", "standardised", "-0.811..1.89 (scale 1)", "0..0.941 (scale 1);"),
]


@pytest.mark.parametrize(("trained_on", "form", "data_has", "network_has"), UNLIKE)
def test_other_images_are_refused_by_both_ranges_and_scales(
    models: dict[str, str],
    files: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    trained_on: str,
    form: str,
    data_has: str,
    network_has: str,
) -> None:
    text = refused(capsys, ["evaluate", models[trained_on], "--dataset", files[form]])
    for part in (data_has, network_has, "store the samples as those of"):
        assert part in text


COMMANDS = (
    "evaluate MODEL",
    "train --from MODEL --epochs 1 --out OUT",
    "quantize MODEL --out OUT",
    "export MODEL --to onnx-int --out OUT.onnx",
    "map MODEL --hardware loihi2_oheo_gulch",
    pytest.param("deploy MODEL --hardware loihi2_oheo_gulch --simulate", marks=pytest.mark.lava),
    "verify --all --model MODEL",
    "verify OUT.onnx --model MODEL",
    "precision MODEL --out OUT",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_takes_both_compares_them_first(
    models: dict[str, str],
    files: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    command: str,
) -> None:
    arguments = command.replace("MODEL", models["floats"]).replace("OUT", str(tmp_path / "out")).split()
    text = refused(capsys, [*arguments, "--dataset", files["float255"]])
    assert "inputs of 0..240 (scale 1), and the network was trained on 0..0.941 (scale 1)" in text
    assert not list(tmp_path.rglob("model.yaml"))


def test_training_goes_on_in_the_scale_of_the_start(
    models: dict[str, str], files: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    runs = [
        result(
            capsys,
            ["train", "--from", models["bytes"], "--dataset", files[form], *TRAIN[2:], "--out", str(out)],
        )
        for form, out in (("bytes", tmp_path / "a"), ("floats", tmp_path / "b"))
    ]
    assert runs[0]["accuracy"] == runs[1]["accuracy"] > 0.9
    kept = [Model.load(tmp_path / name) for name in "ab"]
    assert kept[0].input_scale == kept[1].input_scale == 1 / 255
    for name, array in kept[0].params.named().items():
        np.testing.assert_array_equal(array, kept[1].params.named()[name])


def network(scale: float, record: dict[str, Any], inputs: int = 64) -> Model:
    physics, method = parts(layers=(inputs, 8, 10))
    params = initial_parameters(method.graph(physics), 1)
    return Model(physics, method, Learning(), params, scale, tuple(range(10)), "mine", record)


def test_without_a_recorded_range_bytes_and_ink_fill_the_unit_range(
    files: dict[str, str], digits: Dataset
) -> None:
    old = network(1 / 255, {})
    assert scaled_for(old, load(files["bytes"])).x_test.max() == np.float32(240 / 255)
    for form, expected in (("floats", 240 / 255), ("float255", 240 / 255), ("digits", 1.0)):
        found = scaled_for(old, load(files[form]))
        assert found.scale == 1 / 255
        assert found.x_test.max() == pytest.approx(expected, rel=1e-6)
    with pytest.raises(SpecError, match=r"scale 1\), and the network was trained on 0\.\.1 \(scale 0\.0039"):
        scaled_for(old, load(files["signed"]))
    # floats of an unknown range and bytes: either may be meant
    with pytest.raises(SpecError, match=r"scale 0\.0625\).*a range that its record does not name \(scale 1\)"):
        scaled_for(network(1.0, {}), digits)


@pytest.mark.parametrize(("scale", "expected"), [(1.0, 16.0), (2.0, 32.0), (1 / 16, 1.0), (1 / 255, 1.0)])
def test_a_network_imported_without_a_data_set_takes_raw_samples(
    digits: Dataset, scale: float, expected: float
) -> None:
    imported = network(scale, {"imported": {}})
    if scale < 1:
        # a factor of the file's own that makes 0..1 of bytes: these are in 0..1 already
        assert scaled_for(imported, digits).x_test.max() == expected
        return
    with pytest.warns(
        LavaGhostWarning, match=r"raw samples of digits, 0\.\.16; if .* 0\.\.1, import it with --dataset"
    ):
        assert scaled_for(imported, digits).x_test.max() == expected


@pytest.mark.parametrize(
    "record",
    [{"inputs": 3}, {"inputs": {"low": 0}}, {"inputs": {"low": "a", "high": 1, "rms": 1, "channels": 1}}],
)
def test_a_damaged_range_counts_as_none(digits: Dataset, record: dict[str, Any]) -> None:
    assert scaled_for(network(1 / 16, record), digits) is digits


def test_two_scales_that_both_fit_are_refused(digits: Dataset) -> None:
    with pytest.raises(SpecError, match=r"scale 0\.0625\).*fits both x and x / scale \(scale 0\.05\)"):
        scaled_for(network(0.05, {"inputs": inputs_record(digits)}), digits)


def test_a_range_is_of_the_same_kind_within_a_factor_and_with_the_same_sign() -> None:
    unit = Range(0.0, 1.0, 0.4)
    assert unit.like(Range(0.0, 3.9, 1.5))
    assert unit.like(Range(-0.01, 1.02, 0.3))
    assert unit.like(Range(0.0, 1.0, 0.05))  # sparser
    assert unit.like(Range(0.0, 0.0, 0.0))
    for other in (
        Range(0.0, 16.0, 7.0),
        Range(0.0, 1 / 16, 0.02),
        Range(-1.0, 1.0, 0.8),
        Range(-0.4, 2.8, 1.0),
    ):
        assert not unit.like(other)
        assert not other.like(unit)


# ---------------------------------------------------------------- the scale of training from scratch


def data(x_train: NDArray, y_train: NDArray | None = None, scale: float = 1.0, **fields: Any) -> Dataset:
    """Two classes in turn, unless labels are given; the test set is the training set."""
    x = np.ascontiguousarray(x_train, np.float32)
    y = np.arange(len(x)) % 2 if y_train is None else y_train
    return Dataset(
        "mine", x, y, fields.pop("x_test", x), fields.pop("y_test", y), int(y.max()) + 1, scale=scale, **fields
    )


GRID = np.linspace(0.0, 1.0, 40).reshape(8, 5)


@pytest.mark.parametrize(
    ("x", "scale", "expected"),
    [
        (GRID * 240, 1.0, 1 / 255),
        (np.rint(GRID * 255), 1.0, 1 / 255),
        (np.rint(GRID * 16), 1.0, 1 / 16),
        (np.rint(GRID * 16) / 255, 1 / 255, 1 / 16),
        (np.rint(GRID) / 255, 1 / 255, 1.0),
    ],
)
def test_numbers_outside_their_usual_range_are_scaled_with_a_warning(
    x: NDArray, scale: float, expected: float
) -> None:
    given = data(x, scale=scale)
    with pytest.warns(LavaGhostWarning, match=r"mine: x_train has .* of 0\.\.\d+, .*taken as x / \d+"):
        found = for_training(given)
    assert found.scale == expected
    np.testing.assert_allclose(found.x_train, x / scale * expected, rtol=1e-6)
    assert 0.5 < found.x_train.max() <= 1


@pytest.mark.parametrize(
    ("x", "scale"),
    [
        (GRID, 1.0),
        (GRID * 1.0001, 1.0),
        (GRID * 2 - 1, 1.0),
        ((GRID - GRID.mean()) / GRID.std(), 1.0),
        (np.rint(GRID * 240) / 255, 1 / 255),
        (GRID * 0, 1.0),
    ],
)
def test_usual_numbers_stay_as_they_are(x: NDArray, scale: float) -> None:
    given = data(x, scale=scale)
    assert for_training(given) is given


@pytest.mark.parametrize("x", [GRID * 1680, GRID * 255 - 128, GRID * 65535])
def test_numbers_of_no_known_full_scale_are_refused_with_a_remedy_that_works(x: NDArray) -> None:
    with pytest.raises(
        DataError, match=r"mine: x_train has .*far outside 0\.\.1; store it standardised: (.*)"
    ) as info:
        for_training(data(x))
    names: dict[str, Any] = {"x_train": x.copy(), "x_test": x}
    code, _, rest = str(info.value).partition("standardised: ")[2].partition(", then ")
    exec(code, names)
    standard = eval(rest.partition(" and ")[0], names)
    assert for_training(data(standard)).scale == 1.0


# ---------------------------------------------------------------- what is warned of

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "zero": ({"x_train": GRID * 0}, "x_train is all zero"),
    "constant": ({"x_train": GRID * 0 + GRID[3]}, "all 8 samples of x_train are the same"),
    "apart": (
        {"x_train": GRID, "x_test": (GRID * 255).astype(np.float32)},
        r"x_train has 0\.\.1 and x_test 0\.\.255",
    ),
    "imbalance": (
        {"x_train": np.tile(GRID, (3, 1)), "y_train": np.array([0] * 22 + [1, 2])},
        "22 training samples of class 0 and 1 of class 1, 22 times as many",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_most_likely_not_meant_is_warned_of(case: str) -> None:
    fields, text = BAD[case]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of(data(**fields))
    assert [re.search(text, str(w.message)) is not None for w in caught].count(True) == 1
    assert all(w.category is LavaGhostWarning for w in caught)


def test_ten_times_as_many_samples_and_one_sample_are_not_warned_of() -> None:
    warn_of(data(np.tile(GRID, (3, 1))[:11], np.array([0] * 10 + [1])))
    warn_of(data(GRID, x_test=GRID[7:].astype(np.float32), y_test=np.array([1])))


def test_a_dead_network_is_said_to_be_dead(
    digits: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = save(tmp_path / "zero.npz", digits, lambda x: 0 * x)
    out = str(tmp_path / "out")
    found = result(capsys, ["train", "--dataset", file, "--layers", "8", "--epochs", "1", "--out", out])
    assert found["accuracy"] < 0.12
    for text in ("x_train is all zero", "the network is dead", "cosine of hidden layer 1 is 0"):
        assert sum(text in warning for warning in found["warnings"]) == 1
    warnings = result(capsys, ["evaluate", out, "--dataset", file])["warnings"]
    assert any("the network is dead: it gives the same outputs for all 360 samples" in w for w in warnings)


# ---------------------------------------------------------------- each class


def test_recall_and_confusion_stand_beside_accuracy(
    digits: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two classes of which one has 7 training samples, as in reports of rare classes that were never found."""
    keep = {"train": np.isin(digits.y_train, (0, 1)), "test": np.isin(digits.y_test, (0, 1))}
    rare = np.flatnonzero(digits.y_train == 1)[7:]
    keep["train"][rare] = False
    arrays = {
        f"{axis}_{part}": getattr(digits, f"{axis}_{part}")[keep[part]]
        for axis in "xy"
        for part in ("train", "test")
    }
    file, out = tmp_path / "rare.npz", str(tmp_path / "out")
    np.savez(file, **arrays)
    trained = result(capsys, ["train", "--dataset", str(file), "--layers", "8", "--epochs", "4", "--out", out])
    found = result(capsys, ["evaluate", out, "--dataset", str(file)])
    for values in (trained, found):
        confusion = np.array(values["confusion"])
        np.testing.assert_array_equal(confusion.sum(axis=1), np.bincount(arrays["y_test"]))
        assert values["class_counts"] == confusion.sum(axis=1).tolist()
        assert values["recall"] == pytest.approx(np.diag(confusion) / confusion.sum(axis=1))
        assert values["accuracy"] == pytest.approx(np.trace(confusion) / confusion.sum())
        assert any("142 training samples of class 0 and 7 of class 1" in w for w in values["warnings"])
    assert run(["evaluate", out, "--dataset", str(file)]) == 0
    assert "Recall of each class" in capsys.readouterr().err


@pytest.mark.parametrize("n_classes", [3, 50, 51, 1000])
def test_the_figures_of_each_class_stay_bounded(n_classes: int) -> None:
    rng = np.random.default_rng(n_classes)
    y, predicted = rng.integers(0, n_classes, (2, 4 * n_classes))
    y[y == 1] = 0  # a class that the test set lacks
    found = class_figures(predicted, y, n_classes)
    assert (found["class_counts"][1], found["recall"][1]) == (0, None)
    for k in (0, 2, n_classes - 1):
        assert found["class_counts"][k] == (y == k).sum()
        assert found["recall"][k] is None or found["recall"][k] == np.mean(predicted[y == k] == k)
    assert ("confusion" in found) == (n_classes <= 50)
    if n_classes == 3:
        expected = [[int(((y == i) & (predicted == j)).sum()) for j in range(3)] for i in range(3)]
        assert found["confusion"] == expected


def test_a_table_of_many_classes_has_the_lowest_recalls(capsys: pytest.CaptureFixture[str]) -> None:
    values = {
        "accuracy": 0.5,
        "class_counts": [10] * 40,
        "recall": [k / 40 for k in range(40)],
        "confusion": [[7]],
    }
    emit_with_classes(values, False, "many", tuple(range(100, 140)))
    text = capsys.readouterr().err
    assert "The 10 lowest recalls of 40" in text
    assert "109" in text
    assert "110" not in text
    assert "confusion" not in text


# ---------------------------------------------------------------- signed inputs in integers


def test_two_channels_give_the_same_network(digits: Dataset, files: dict[str, str]) -> None:
    signed = load(files["standardised"])
    trained = network(1.0, {"inputs": inputs_record(signed)})
    with pytest.warns(LavaGhostWarning, match="128 inputs for 64"):
        both, wide = unsigned_for(trained, signed)
    assert both.network.layers == (128, 8, 10)
    assert wide.x_train.min() == 0
    np.testing.assert_array_equal(wide.x_test[:, :64] - wide.x_test[:, 64:], signed.x_test)
    np.testing.assert_allclose(both.outputs(wide.x_test), trained.outputs(signed.x_test), rtol=1e-5, atol=1e-5)
    # the record keeps the signed range, and a saved network finds its channels again
    assert range_of(wide.x_train, 2).signed
    assert range_of(wide.x_train, 2)[:2] == pytest.approx(range_of(signed.x_train)[:2])
    np.testing.assert_array_equal(scaled_for(both, signed).x_test, wide.x_test)
    assert unsigned_for(both, wide) == (both, wide)
    assert unsigned_for(network(1 / 16, {}), digits)[1] is unsigned(digits) is digits


@pytest.mark.parametrize("form", ["signed", "standardised"])
def test_signed_inputs_are_quantised_and_stay_one_model(
    models: dict[str, str], files: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path, form: str
) -> None:
    file, out = ["--dataset", files[form]], str(tmp_path / "q")
    found = result(capsys, ["quantize", models[form], *file, "--out", out])
    assert found["float_accuracy"] == accuracy(capsys, models[form], files[form])
    assert found["accuracy"] > found["float_accuracy"] - 0.03
    assert any("two channels" in w for w in found["warnings"])
    evaluated = result(capsys, ["evaluate", out, *file])
    assert (evaluated["arithmetic"], evaluated["accuracy"]) == ("loihi", found["accuracy"])
    deployed = result(capsys, ["map", out, *file, "--hardware", "loihi2_oheo_gulch"])
    assert deployed["headline"].startswith("fits, as far as is known: ")
    for target in ("onnx", "onnx-int"):
        path = str(tmp_path / f"{target}.onnx")
        result(capsys, ["export", out, "--to", target, *file, "--out", path])
        checked = result(capsys, ["verify", path, "--model", out, *file])
        assert checked["passed"]
        assert abs(checked["accuracy"] - found["accuracy"]) < 0.03
    result(capsys, ["export", out, "--to", "sanafe", *file, "--out", str(tmp_path / "net.yaml")])


def test_signed_inputs_are_learned_in_integers(
    files: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file, out = ["--dataset", files["signed"]], str(tmp_path)
    arguments = ["train", *file, "--layers", "64", "--arithmetic", "loihi", "--epochs", "4", "--out", out]
    found = result(capsys, arguments)
    assert found["accuracy"] > 0.8
    assert min(found["cosines"]) > 0.9
    assert result(capsys, ["evaluate", out, *file])["accuracy"] == found["accuracy"]
    assert Model.load(tmp_path).network.layers == (128, 64, 10)
    assert result(capsys, [*arguments, "--resume"])["cosines"] == found["cosines"]


@pytest.mark.parametrize(
    ("largest", "fraction"), [(0.1, 7), (1.0, 7), (1.98, 7), (2.0, 6), (3.9, 6), (31.0, 3)]
)
def test_no_input_saturates_when_learning_in_integers(largest: float, fraction: int) -> None:
    graph, given = ghost_graph(layers=(5, 3, 2)), data(GRID * largest)
    formats = formats_for(graph, given, DEFAULT)
    assert formats.messages[0] == fraction
    assert formats._replace(messages=(7, *formats.messages[1:])) == default_formats(graph)
    top = float(np.percentile(given.x_train, 99.9))
    assert abs(Loihi(formats).input(np.array([[top]]))[0, 0] * 2.0**-fraction - top) <= 2.0 ** -(fraction + 1)


def test_one_channel_in_integers_names_two() -> None:
    arith = Loihi(default_formats(ghost_graph(layers=(4, 3, 2))))
    with pytest.raises(SpecError, match=r"give rates of 0 and above, or two channels, (.*)") as info:
        arith.input(np.array([[0.5, -0.5, 0.0, 1.0]]))
    line = str(info.value).partition("two channels, ")[2]
    x = np.array([[0.5, -0.5]])
    np.testing.assert_array_equal(eval(line, {"np": np, "x": x}), split(x))
