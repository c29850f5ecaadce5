"""`deploy`: Lava's fixed-point simulator gives the reference's integers; nothing runs on the CPU in secret."""

import itertools
import json
from importlib.resources import files

import numpy as np
import pytest

from lavaghost.base.errors import LavaError, MissingError, SpecError
from lavaghost.cli.hardware import deploy_command, map_command
from lavaghost.datasets import Dataset
from lavaghost.datasets import load as load_data
from lavaghost.engines.forward_integers import forward_integers
from lavaghost.engines.graded import graded_of
from lavaghost.engines.sigma_delta import SigmaDelta, reference
from lavaghost.hardware.catalogue import load_chip
from lavaghost.lava import deploy as module
from lavaghost.lava.deploy import deploy, missing_extension, require_target
from lavaghost.lava.stock import chain_of, refuse_python_models, run_chain, run_graded
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.learning import Learning
from lavaghost.model.model import Model
from lavaghost.net.network import Network
from lavaghost.training.float_learner import FloatLearner
from lavaghost.training.loop import run
from tests.integer_networks import integer_network

pytestmark = [pytest.mark.lava, pytest.mark.usefixtures("nothing_left")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    data = load_data("digits")
    network, method, learning = Network(layers=(64, 48, 10)), Ghost(), Learning(epochs=8, batch_size=32)
    found = run(FloatLearner(network, method, learning, data, diagnostics=False))
    trained = Model(network, method, learning, found.numbers, data.scale, tuple(range(10)), data.name)
    return str(trained.save(tmp_path_factory.mktemp("deploy")))


def made(layers: tuple[int, ...], shifts: tuple[int, ...]) -> SigmaDelta:
    rng = np.random.default_rng(0)
    pairs = list(itertools.pairwise(layers))
    weights = tuple(2 * rng.integers(-127, 128, (b, a)).astype(np.int32) for a, b in pairs)
    biases = tuple(rng.integers(-9000, 9000, b).astype(np.int32) for _, b in pairs)
    return SigmaDelta(weights, biases, shifts, (1.0,) * len(layers))


@pytest.mark.parametrize(("layers", "shifts"), [((5, 7, 4), (0, 0)), ((6, 9, 8, 5), (3, 8, 7))])
def test_the_simulator_computes_the_reference(layers, shifts) -> None:
    net = made(layers, shifts)
    samples = np.random.default_rng(1).integers(0, 17, (40, layers[0])).astype(np.int32)
    told: list[tuple[int, int]] = []
    found = run_chain(net, samples, on_chip=False, report=lambda *at: told.append(at))
    np.testing.assert_array_equal(found, reference(net, samples))
    # the bar begins at 0 and ends at 100 %
    steps = len(samples) + net.depth
    assert told[0] == (0, steps)
    assert told[-1] == (steps, steps)
    assert told == sorted(set(told))


def test_digits(model: str, capsys) -> None:
    code = deploy_command.main(
        [model, "--hardware", "loihi2_oheo_gulch", "--dataset", "digits", "--simulate", "--json"],
        standalone_mode=False,
    )
    found = json.loads(capsys.readouterr().out)
    assert code == 0
    assert (found["fits"], found["headline"]) == (None, "fits, as far as is known: 3 unknown")
    assert found["integer_exact"] is True
    assert found["max_abs_difference"] == 0
    assert found["samples"] == 360
    assert abs(found["accuracy"] - found["float_accuracy"]) <= 0.005
    assert found["status"] == "not tested on hardware"


@pytest.mark.parametrize("layers", [(12, 9, 4), (12, 9, 8, 4)])
def test_a_network_in_integers_answers_by_its_own(layers) -> None:
    """Its mantissas, messages and saturation, in the simulator: the states of the network, to the bit."""
    trained = integer_network(layers=layers)
    assert trained.integers is not None
    net = forward_integers(trained.graph, trained.integers)
    p = np.random.default_rng(2).integers(0, 255, (30, 12))
    graded = graded_of(net, p)
    assert sum(graded.saturating) > 0
    np.testing.assert_array_equal(run_graded(graded, p, on_chip=False), net.outputs(p))
    x = (p * 2.0**-net.input_fraction).astype(np.float32)
    y = np.arange(30) % 4
    data = Dataset("digits", x, y, x, y, 4, 1 / 16)
    found = deploy(trained, data, load_chip("loihi2_oheo_gulch"), simulate=True)
    assert found.integer_exact
    assert found.saturating == graded.saturating
    assert found.float_accuracy == (trained.outputs(x).argmax(axis=1) == y).mean()
    assert found.approximation is not None
    assert found.approximation <= (0.02 if len(layers) == 3 else 0.3)
    assert json.loads(json.dumps(found.as_json()))["saturating"] == list(graded.saturating)


def test_a_chip_without_payload_gets_no_sigma_delta_neurons(model: str, capsys, tmp_path) -> None:
    """`deploy` and `map --messages numbers` say the same; `map` alone sends spike counts, which fit."""
    chip = tmp_path / "bare.yaml"
    text = files("lavaghost.hw_configs").joinpath("lava_cpu.yaml").read_text()
    assert "payload_bits: {value: 24" in text
    chip.write_text(text.replace("payload_bits: {value: 24", "payload_bits: {value: 0"))
    arguments = [model, "--hardware", str(chip), "--json"]
    code = deploy_command.main([*arguments, "--dataset", "digits"], standalone_mode=False)
    refused = json.loads(capsys.readouterr().out)
    assert code == 1
    assert (refused["fits"], refused["headline"]) == (False, "does not fit")
    assert map_command.main([*arguments, "--messages", "numbers"], standalone_mode=False) == 1
    assert json.loads(capsys.readouterr().out)["violations"] == refused["violations"]
    assert "--messages counts" in refused["violations"][0]["remedy"]
    assert map_command.main(arguments, standalone_mode=False) == 0
    assert json.loads(capsys.readouterr().out)["messages"] == "counts"


def test_without_the_extension_one_line_and_code_3(model: str) -> None:
    assert missing_extension()
    with pytest.raises(MissingError, match=r"needs Intel's Lava extension.*or add --simulate") as caught:
        deploy_command.main(
            [model, "--hardware", "loihi2_oheo_gulch", "--dataset", "digits"], standalone_mode=False
        )
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)


def test_an_incomplete_extension_is_no_way_to_the_cpu(model: str, monkeypatch) -> None:
    """Even if the probe were fooled, nothing falls back to Python models."""
    monkeypatch.setattr(module, "missing_extension", list)
    with pytest.raises(MissingError, match="embedded_io"):
        deploy_command.main(
            [model, "--hardware", "loihi2_oheo_gulch", "--dataset", "digits", "--limit", "3"],
            standalone_mode=False,
        )


def test_python_models_are_refused() -> None:
    from lava.magma.core.run_configs import Loihi2SimCfg

    from lavaghost.lava.quiet import quiet

    with quiet():
        _, _, chain = chain_of(made((3, 4, 2), (0, 0)))
        with pytest.raises(LavaError, match="would run on the CPU"):
            refuse_python_models(chain)
        from lavaghost.lava.session import Session

        with Session(chain[0], Loihi2SimCfg(select_tag="fixed_pt")), pytest.raises(LavaError, match="CPU"):
            refuse_python_models(chain)


def test_chips_that_lava_does_not_drive(model: str) -> None:
    with pytest.raises(SpecError, match="Lava does not drive xylo_a2"):
        require_target(load_chip("xylo_a2"), simulate=True)
    require_target(load_chip("lava_cpu"), simulate=False)
