"""What methods cannot do, as a user meets it: exit code 2, and all faults together in one line."""

import json

import pytest

from lavaghost.cli import run
from lavaghost.model.model import Model

TRAIN = ["train", "--dataset", "digits", "--layers", "12,8", "--epochs", "1"]
SOFTMAX = "method 'brainprop' has no loss 'cross_entropy'; use squared_error"
STEPS = ("--set", "method.steps=1")

REFUSED = {
    "brainprop-softmax": (["--method", "brainprop", "--loss", "cross_entropy"], [SOFTMAX]),
    "brainprop-epsilon": (["--method", "brainprop", "--set", "method.epsilon=2"], ["method.epsilon", "1", "2"]),
    "brainprop-both": (
        ["--method", "brainprop", "--set", "method.epsilon=2", "--set", "method.temperature=0"],
        ["method.epsilon", "method.temperature"],
    ),
    "dfa-tied": (
        ["--method", "dfa", "--feedback", "tied"],
        ["'dfa' with tied feedback", "use feedback random"],
    ),
    "dfa-learned": (["--method", "dfa", "--feedback", "learned"], ["'dfa' with learned feedback"]),
    "fa-tied": (
        ["--method", "fa", "--feedback", "tied"],
        ["'fa' with tied feedback is 'backprop'", "--method backprop"],
    ),
    "fa-learned": (
        ["--method", "fa", "--feedback", "learned"],
        ["'fa' with learned feedback is 'kolen-pollack'", "--method kolen-pollack"],
    ),
    "kolen-pollack-tied": (
        ["--method", "kolen-pollack", "--feedback", "tied"],
        ["'backprop'", "feedback learned"],
    ),
    "relaxation-rate": (
        ["--method", "relaxation", "--set", "method.rate=0"],
        ["method.rate: input should be greater than 0, got 0"],
    ),
    "relaxation-steps": (["--method", "relaxation", "--set", "method.steps=0"], ["method.steps", "1", "0"]),
    "relaxation-all": (
        ["--method", "relaxation", "--set", "method.rate=0", "--set", "method.steps=0", "--epochs", "-1"],
        ["method.rate", "method.steps", "learning.epochs"],
    ),
    "relaxation-too-few": (
        ["--method", "relaxation", *STEPS],
        ["method.steps 1:", "2 hidden layers; use 2 or more"],
    ),
    "magnitudes": (
        ["--method", "sign-symmetric", "--set", "method.magnitudes=odd"],
        ["method.magnitudes", "fresh"],
    ),
    "no-setting-of-it": (["--method", "fa", "--set", "method.epsilon=0.1"], ["method", "epsilon"]),
    "no-ghosts-in-it": (["--method", "dfa", "--mechanism", "online"], ["method", "mechanism"]),
    "unknown": (["--method", "hebb"], ["'hebb'", "brainprop", "kolen-pollack", "relaxation", "sign-symmetric"]),
    # an impossible pair and other faults at once
    "pair-and-pair": (
        ["--method", "relaxation", *STEPS, "--engine", "stepped", "--tolerance", "1e-3"],
        ["method.steps 1:", "learning.tolerance belongs to engine 'equilibrium'"],
    ),
    "dfa-and-tolerance": (
        ["--method", "dfa", "--feedback", "tied", "--engine", "stepped", "--tolerance", "1e-3"],
        ["'dfa' with tied feedback", "learning.tolerance belongs to engine 'equilibrium'"],
    ),
    "brainprop-and-margin": (
        ["--method", "brainprop", "--loss", "cross_entropy", "--set", "learning.margin=0.5"],
        [SOFTMAX, "learning.margin withholds"],
    ),
    "learned-on-lava": (
        ["--method", "ghost", "--feedback", "learned", "--engine", "lava"],
        ["method 'ghost'", "engine 'lava'"],
    ),
}


@pytest.mark.parametrize(("arguments", "parts"), REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_go_together_is_refused_in_one_line(arguments, parts, tmp_path, capfd):
    out = tmp_path / "out"
    assert run([*TRAIN, *arguments, "--out", str(out)]) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("lavaghost: ")
    assert captured.err.count("\n") == 1
    for part in parts:
        assert part in captured.err
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("relaxation", ["--set", "method.steps=5", "--set", "method.rate=0.5", "--set", "method.start=rates"]),
        ("brainprop", ["--set", "method.epsilon=0.2", "--eta", "0.01"]),
        ("fa", []),
        ("dfa", []),
        ("sign-symmetric", ["--set", "method.magnitudes=fresh"]),
        ("kolen-pollack", ["--feedback", "learned"]),
    ],
)
def test_a_method_trains_from_the_shell_and_brings_the_loss_that_it_has(name, arguments, tmp_path, capfd):
    out = str(tmp_path / "out")
    assert run([*TRAIN, "--method", name, *arguments, "--out", out, "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["method"] == name
    assert len(found["cosines"]) == 3
    assert "residuals" not in found
    assert not [key for key in found if "ghost" in key]
    assert run(["info", out, "--json"]) == 0
    described = json.loads(capfd.readouterr().out)
    assert described["layers"] == [64, 12, 8, 10]
    network = Model.load(out).network
    assert network.loss == ("squared_error" if name == "brainprop" else "cross_entropy")
