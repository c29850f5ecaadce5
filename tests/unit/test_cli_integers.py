"""Learning and answering in integers from the command line."""

import json
import re
from pathlib import Path

import pytest

from lavaghost.cli import run

TRAIN = ["train", "--dataset", "digits", "--layers", "12", "--arithmetic", "loihi", "--epochs", "1"]


def result(capsys, arguments, code=0):
    capsys.readouterr()
    assert run([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    out = tmp_path_factory.mktemp("integers")
    assert run([*TRAIN, "--out", str(out), "--json"]) == 0
    return out / "model.yaml"


def test_a_network_that_learned_in_integers_answers_in_integers(learned, capsys):
    trained = result(capsys, [*TRAIN, "--force", "--out", str(learned.parent)])
    assert trained["arithmetic"] == "loihi"
    assert len(trained["cosines"]) == 2
    assert min(trained["cosines"]) > 0.9
    arguments = ["evaluate", str(learned), "--dataset", "digits", "--engine", "stepped"]
    found = result(capsys, arguments)
    assert found["arithmetic"] == "loihi"
    assert found["accuracy"] == trained["accuracy"]
    as_float = result(capsys, [*arguments, "--arithmetic", "float"])
    assert as_float["arithmetic"] == "float"
    assert abs(as_float["accuracy"] - found["accuracy"]) < 0.02


def test_it_goes_on_from_its_checkpoint(learned, tmp_path, capsys):
    longer = [*TRAIN[:-1], "2", "--out"]
    whole = result(capsys, [*longer, str(tmp_path)])
    again = result(capsys, [*longer, str(tmp_path), "--resume"])
    assert whole["cosines"] == again["cosines"]
    assert result(capsys, [*TRAIN, "--out", str(tmp_path / "other"), "--rounding", "shared"])["accuracy"] > 0.3


def test_a_file_says_the_same_as_options(learned, tmp_path, capsys):
    file = tmp_path / "run.yaml"
    text = "hidden: [12]\nlearning: {arithmetic: loihi, epochs: 1, rounding: independent}\n"
    file.write_text(text)
    result(capsys, ["train", str(file), "--out", str(tmp_path)])
    for name in ("model.safetensors",):
        assert (tmp_path / name).read_bytes() == (learned.parent / name).read_bytes()


def test_widths_come_from_a_hardware_configuration(learned, tmp_path, capsys):
    """Those of Loihi 2, as Lava models it, are the defaults; other ones give another network."""
    result(capsys, [*TRAIN, "--hardware", "loihi2_oheo_gulch", "--out", str(tmp_path / "a")])
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == learned.with_suffix(
        ".safetensors"
    ).read_bytes()
    own = Path(__file__).parents[2] / "hw_configs" / "loihi2_oheo_gulch.yaml"
    text = own.read_text().replace("message_bits: {value: 8", "message_bits: {value: 6")
    (tmp_path / "own.yaml").write_text(text)
    result(capsys, [*TRAIN, "--hardware", str(tmp_path / "own.yaml"), "--out", str(tmp_path / "b")])
    assert (tmp_path / "b" / "model.safetensors").read_bytes() != learned.with_suffix(
        ".safetensors"
    ).read_bytes()
    assert "message_bits: 6" in (tmp_path / "b" / "model.yaml").read_text()


BAD = {
    "equilibrium": ([*TRAIN, "--engine", "equilibrium"], "equilibrium has no integers; use stepped or lava"),
    "cross entropy": ([*TRAIN, "--loss", "cross_entropy"], "cross_entropy needs a softmax"),
    "online prediction": (
        [*TRAIN, "--mechanism", "online", "--rule", "prediction"],
        "prediction' needs ghosts that predict",
    ),
    "no graded spikes": ([*TRAIN, "--hardware", "loihi1"], "loihi1: widths.state_bits, widths.decay_bits"),
    "hardware without integers": ([*TRAIN[:-4], "--hardware", "loihi1"], "belong to --arithmetic loihi"),
    "a fraction beyond the state": ([*TRAIN, "--state-fraction", "30"], "widths.state_fraction is 30"),
    "gain": ([*TRAIN, "--lam", "0.3"], "lam.* is 0.3.*use a power of two such as 0.25"),
    "tau": ([*TRAIN, "--tau-steps", "100000"], "longer than 12 bits of decay"),
    "unknown key": (["train", "FILE", "--dataset", "digits"], "learning.speed: unknown key"),
    "too large a layer": ([*TRAIN[:-6], "--layers", "70000", *TRAIN[-4:]], "can add up to 2"),
}


@pytest.mark.parametrize("case", list(BAD))
def test_bad_input_is_one_line(case, tmp_path, capfd):
    arguments, said = BAD[case]
    (tmp_path / "run.yaml").write_text("learning: {arithmetic: loihi, speed: 3}\n")
    arguments = [str(tmp_path / "run.yaml") if a == "FILE" else a for a in arguments]
    capfd.readouterr()
    assert run([*arguments, "--out", str(tmp_path / "out")]) == 2
    error = capfd.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert re.search(said, error[0]), error[0]
    assert not (tmp_path / "out" / "model.yaml").exists()


@pytest.mark.parametrize(("mechanism", "fraction"), [("duplicate", 12), ("online", 14), ("learned", 14)])
def test_states_are_as_fine_as_the_mechanism_needs(mechanism, fraction, tmp_path, capsys):
    file = tmp_path / "run.yaml"
    file.write_text("hidden: [8]\nlearning: {arithmetic: loihi, epochs: 0, pretrain_samples: 10}\n")
    result(capsys, ["train", str(file), "--mechanism", mechanism, "--out", str(tmp_path)])
    assert f"state_fraction: {fraction}" in (tmp_path / "model.yaml").read_text()
    again = ["train", str(file), "--mechanism", mechanism, "--state-fraction", "10", "--force"]
    result(capsys, [*again, "--out", str(tmp_path)])
    assert "state_fraction: 10" in (tmp_path / "model.yaml").read_text()
