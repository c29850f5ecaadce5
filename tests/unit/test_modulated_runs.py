"""Modulated methods in descriptions, on the command line, in saved networks, and where they are refused by name."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lavaghost.adapting.learner import OnlineLearner
from lavaghost.base.errors import SpecError
from lavaghost.cli import run
from lavaghost.datasets import Dataset
from lavaghost.evaluation.quantise import quantise_model
from lavaghost.methods.backprop import Backprop, Frozen
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.modulated import OWN, Modulated
from lavaghost.model.model import Model
from lavaghost.net.network import Network
from lavaghost.numbers.widths import DEFAULT
from lavaghost.run.merging import merged, modulating
from lavaghost.run.spec import read_spec, resolved
from lavaghost.run.train import train
from lavaghost.training.start import decided
from tests.unit.test_cli import result

NETWORK = Network(layers=(64, 16, 12, 10))
BOTH = Modulated(
    method=Ghost(lam=0.02), dropout=0.5, dropout_follows=1, rate_end=0.5, hebbian=0.1, gains=(0.5, 1.0, 1.0)
)


@pytest.fixture(scope="module")
def saved(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    """A modulated network, and where it lies."""
    done = train(NETWORK, digits, method=BOTH, epochs=2, eta=0.05)
    return done.model, done.save(tmp_path_factory.mktemp("modulated"))


# ---- descriptions


def described(base: dict[str, Any], *laid: dict[str, Any]) -> Any:
    """The method that descriptions mean together, the last one on top."""
    found = base
    for one in laid:
        found = merged(found, one)
    return resolved(found).method


FILE = {"method": {"name": "modulated", "method": {"name": "ghost", "lam": 0.05, "beta": 0.2}, "dropout": 0.3}}


@pytest.mark.parametrize(
    ("base", "laid", "wanted"),
    [
        # modulation wraps what there is
        ({}, {"method": modulating({}, {"dropout": 0.2})}, Modulated(dropout=0.2)),
        (
            {"method": {"lam": 0.05}},
            {"method": modulating({"beta": 0.2}, {"dropout": 0.2})},
            Modulated(method=Ghost(lam=0.05, beta=0.2), dropout=0.2),
        ),
        (
            {"method": "backprop"},
            {"method": modulating({}, {"rate_end": 0.2})},
            Modulated(method="backprop", rate_end=0.2),
        ),
        (
            {"method": {"lam": 0.05}},
            {"method": modulating({"name": "backprop"}, {"rate_end": 0.2})},
            Modulated(method="backprop", rate_end=0.2),
        ),
        # settings laid over a modulated method reach the one that has them
        (FILE, {"method": {"lam": 0.07}}, Modulated(method=Ghost(lam=0.07, beta=0.2), dropout=0.3)),
        (FILE, {"method": {"dropout": 0.1}}, Modulated(method=Ghost(lam=0.05, beta=0.2), dropout=0.1)),
        (
            FILE,
            {"method": {"lam": 0.07, "gains": [1, 2], "method": {"beta": 0.4}}},
            Modulated(method=Ghost(lam=0.07, beta=0.4), dropout=0.3, gains=(1, 2)),
        ),
        (
            FILE,
            {"method": modulating({"beta": 0.4}, {"hebbian": 0.1})},
            Modulated(method=Ghost(lam=0.05, beta=0.4), dropout=0.3, hebbian=0.1),
        ),
        (
            FILE,
            {"method": modulating({"name": "backprop"}, {})},
            Modulated(method="backprop", dropout=0.3),
        ),
        # a method that is named takes the place of all of it
        (FILE, {"method": {"name": "ghost"}}, Ghost()),
        (FILE, {"method": {"name": "backprop"}}, Backprop()),
        (FILE, {"method": "backprop"}, Backprop()),
    ],
)
def test_descriptions_laid_over_each_other_mean_one_method(base, laid, wanted):
    before = json.dumps([base, laid])
    assert described(base, laid) == wanted
    assert json.dumps([base, laid]) == before


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ({"dropout": 0.2}, r"method\.dropout belongs to method modulated: write .*or --modulate dropout"),
        ({"name": "backprop", "gains": [1, 1]}, r"method\.gains belongs to method modulated"),
        (
            {"name": "modulated", "lam": 0.1, "method": {"hebbian": 0.1}},
            r"method\.lam belongs to the method that is modulated.*; method\.method\.hebbian belongs to method mod",
        ),
        (
            {"name": "modulated", "method": {"lamb": 1}},
            r"method\.method\.lamb: unknown key; known keys are beta",
        ),
        ({"name": "modulated", "method": 3}, r"method\.method is 3; give a name"),
    ],
)
def test_a_setting_in_the_wrong_place_is_told_the_right_one(method: dict[str, Any], said: str):
    with pytest.raises(SpecError, match=said) as caught:
        resolved({"method": method})
    assert "\n" not in str(caught.value)


def test_a_file_says_all_of_it_and_a_run_takes_a_loss_that_the_method_has(tmp_path: Path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "hidden: [8]\nmethod: {name: modulated, method: {name: brainprop, epsilon: 0.2}, gains: [1, 2]}\n"
    )
    found = read_spec(path, {"method": {"epsilon": 0.3}})
    assert found.method.settings()["method"]["epsilon"] == 0.3
    assert found.method.gains == (1.0, 2.0)
    assert found.network.loss == "squared_error"


# ---- the command line


def test_the_shell_modulates_whatever_the_other_options_describe(tmp_path: Path, capsys):
    arguments = ["train", "--layers", "12,8", "--epochs", "1", "--method", "ghost", "--lam", "0.02"]
    more = ["--set", "method.beta=0.2", "--modulate", "dropout=0.2", "--modulate", "gains=[0.5, 1, 1]"]
    found = result(capsys, [*arguments, *more, "--out", str(tmp_path)])
    assert found["method"] == "modulated"
    method = Model.load(tmp_path / "model.yaml").method
    assert method == Modulated(method=Ghost(lam=0.02, beta=0.2), dropout=0.2, gains=(0.5, 1, 1))
    said = result(capsys, ["info", str(tmp_path / "model.yaml")])
    assert (said["method"], said["modulates"], said["dropout"], said["lam"]) == (
        "modulated",
        "ghost",
        0.2,
        0.02,
    )


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        (["--modulate", "dropout"], ["'dropout' is not KEY=VALUE"]),
        (["--modulate", "dropout=1"], ["method.dropout 1 leaves no unit; use a share below 1"]),
        (["--modulate", "dropped=1"], ["method.dropped: unknown key; known keys are dropout"]),
        (["--modulate", "gains=[1]"], ["method.gains has 1 factors, and the network has 2 layers"]),
        (
            ["--modulate", "dropout=0.1", "--arithmetic", "loihi"],
            ["'modulated' of 'ghost'", "'loihi'; use float"],
        ),
        (
            [
                "--modulate",
                "dropout=1",
                "--method",
                "dfa",
                "--set",
                "method.feedback=tied",
                "--engine",
                "stepped",
            ],
            ["method 'dfa' with tied feedback", "method.dropout 1"],
        ),
        (
            ["--modulate", "dropout=1", "--method", "brainprop", "--loss", "cross_entropy", "--engine", "lava"],
            [
                "method.dropout 1",
                "'modulated' of 'brainprop' has no loss",
                "engine 'lava'; use equilibrium or stepped",
            ],
        ),
    ],
)
def test_what_cannot_be_is_refused_together_in_one_line(
    more: list[str], parts: list[str], tmp_path: Path, capsys
):
    assert run(["train", "--layers", "8", "--epochs", "1", *more, "--out", str(tmp_path / "out")]) == 2
    text = capsys.readouterr().err.strip()
    assert text.count("lavaghost: ") == 1
    for part in parts:
        assert part in text.splitlines()[-1]
    assert not (tmp_path / "out" / "model.yaml").exists()


# ---- saved networks


def test_a_saved_network_comes_back_in_another_process_with_its_state(saved, digits: Dataset):
    model, path = saved
    code = (
        "import sys, json, lavaghost as lg; m = lg.load(sys.argv[1]); d = lg.load_data('digits');"
        "print(json.dumps([m.method.settings(), m.score(d), {k: float(v.sum()) for k, v in m.state.items()}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    settings, score, state = json.loads(done.stdout)
    assert settings == model.method.settings()
    assert score == model.score(digits)
    assert state.keys() == {
        OWN + name for name in ("dropout", *(f"trace{s}_{k}" for s in ("", "_share") for k in (1, 2)))
    }
    assert state == {name: float(array.sum()) for name, array in model.state.items()}


def test_training_goes_on_with_its_method_and_its_state(saved, digits: Dataset):
    model, _ = saved
    assert decided(model, integers=False)["method"] == BOTH.settings()
    on = train(model.network, digits, method=model.method, start=model, epochs=0).model
    for name, array in model.state.items():
        np.testing.assert_array_equal(on.state[name], array)


def test_learning_sample_by_sample_and_in_integers_are_refused_with_a_way_out(saved, digits: Dataset, tmp_path):
    model, path = saved
    said = (
        r"method 'modulated' of 'ghost' is for batches.*lavaghost train --from MODEL --method ghost --epochs 0"
    )
    for arithmetic in ("float", "loihi"):
        with pytest.raises(SpecError, match=said):
            OnlineLearner(model, format=arithmetic, old=digits)
    with pytest.raises(SpecError, match=said):
        decided(model, integers=True)
    plain = tmp_path / "plain"
    assert run(["train", "--from", str(path), "--method", "ghost", "--epochs", "0", "--out", str(plain)]) == 0
    found = Model.load(plain / "model.yaml")
    assert type(found.method) is Ghost
    np.testing.assert_array_equal(found.params.weights[0], model.params.weights[0])
    OnlineLearner(found, format="float").learn(digits.x_test[0] * 16, int(digits.y_test[0]))


def test_in_integers_it_answers_as_the_network_of_its_core(saved, digits: Dataset):
    """Gains become powers of two in the method that it wraps, as they do for that method itself."""
    model, _ = saved
    bare = Model(
        model.network,
        model.method.core,
        model.learning,
        model.params,
        model.input_scale,
        model.labels,
        model.dataset,
    )
    found, wanted = (quantise_model(m, digits, DEFAULT).model for m in (model, bare))
    assert found.method.core == wanted.method
    assert found.method.settings()["dropout"] == 0.5
    assert found.integers is not None
    assert wanted.integers is not None
    for name, array in wanted.integers.arrays.items():
        np.testing.assert_array_equal(found.integers.arrays[name], array)


def test_no_error_reaches_the_hidden_layers_of_a_modulated_control_and_nobody_is_warned(digits: Dataset):
    done = train(NETWORK, digits, method=Modulated(method=Frozen(), rate_end=0.5), epochs=1)
    assert done.figures[-1]["cosines"][:2] == [0.0, 0.0]
