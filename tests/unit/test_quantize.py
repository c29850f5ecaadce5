"""Float networks in integers: scales, what is reported, what is refused, and the command."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lavaghost.base.errors import SpecError
from lavaghost.cli import quantize as commands
from lavaghost.dynamics import initial_parameters
from lavaghost.engines.stepped import Stepped
from lavaghost.evaluation.quantise import quantise_model
from lavaghost.methods.backprop import Backprop
from lavaghost.methods.base import Method
from lavaghost.methods.learning import Learning
from lavaghost.model.answers import in_integers
from lavaghost.model.model import Model
from lavaghost.net.network import Network
from lavaghost.numbers.widths import LoihiWidths
from lavaghost.training.float_learner import FloatLearner
from lavaghost.training.loop import run
from tests.networks import parts

MECHANISMS = ("duplicate", "learned", "online")


def as_model(network: Network, method: Method, params) -> Model:
    return Model(network, method, Learning(), params.astype(np.float32), 1 / 16, tuple(range(10)), "digits")


@pytest.fixture(scope="module")
def trained(digits) -> Model:
    network, method = parts(layers=(64, 64, 10))
    learning = Learning(epochs=20, batch_size=32)
    found = run(FloatLearner(network, method, learning, digits, diagnostics=False))
    return as_model(network, method, found.params)


def test_eight_bits_cost_nothing_and_four_little(trained, digits):
    """The target is 0.3 points of 100; a sample of this test set is 0.28 points."""
    eight = quantise_model(trained, digits)
    four = quantise_model(trained, digits, LoihiWidths(weight_bits=4))
    assert eight.float_accuracy > 0.96
    assert eight.accuracy > eight.float_accuracy - 0.003
    assert eight.label_agreement > 0.99
    assert four.accuracy > four.float_accuracy - 0.03
    assert eight.layers[0].error < four.layers[0].error < 0.5
    assert eight.saturated == four.saturated == 0
    assert all(0 < layer.state_range < 0.1 for layer in eight.layers)


def test_weights_are_on_the_grid_of_their_bits(trained, digits):
    for bits in (8, 4, 2):
        found = quantise_model(trained, digits, LoihiWidths(weight_bits=bits)).model
        assert found.integers is not None
        for k, (w, s) in enumerate(zip(found.params.weights, found.integers.formats.weights, strict=True), 1):
            mantissas = found.integers.arrays[f"weights.{k}"]
            np.testing.assert_array_equal(w, mantissas * 2.0**-s)
            assert np.all(mantissas % (2 ** (9 - bits)) == 0)
            assert mantissas.min() >= -256
            assert mantissas.max() <= 256 - 2 ** (9 - bits)


def test_a_quantised_network_is_the_same_integers_after_loading(trained, digits, tmp_path):
    found = quantise_model(trained, digits)
    again = Model.load(found.model.save(tmp_path))
    integers = again.integers
    assert integers == found.model.integers
    assert integers is not None
    outputs = in_integers(again.graph, integers, digits.x_test)
    assert (outputs.argmax(axis=1) == digits.y_test).mean() == found.accuracy
    engine = Stepped(again.graph, integers.arith)
    wanted = engine.output(integers, digits.x_test[:50]) * 2.0**-12
    np.testing.assert_array_equal(outputs[:50], wanted)


def test_a_network_without_ghosts_is_quantised_without_any(digits):
    """Its free phase is the forward pass, an exact one in integers; nothing is changed of its method."""
    network, method = Network(layers=(64, 64, 10)), Backprop()
    learning = Learning(epochs=10, batch_size=32)
    params = run(FloatLearner(network, method, learning, digits, diagnostics=False)).params
    model = as_model(network, method, params)
    found = quantise_model(model, digits)
    assert found.model.method == method
    assert found.model.integers is not None
    assert set(found.model.integers.arrays) == {"weights.1", "weights.2", "biases.1", "biases.2"}
    assert found.accuracy > found.float_accuracy - 0.003 > 0.95
    ghosts = replace(model, method=parts(layers=(64, 64, 10))[1])
    assert quantise_model(ghosts, digits).model.integers == found.model.integers


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("feedback", ["tied", "random"])
def test_every_kind_of_network_can_be_quantised(mechanism, feedback, digits):
    network, method = parts(layers=(64, 9, 8, 10), mechanism=mechanism, feedback=feedback)
    start = initial_parameters(method.graph(network), 0)
    found = quantise_model(as_model(network, method, start), digits, calibration=100)
    # mechanism learned has ghosts that do not cancel yet, so both sides have feedback that is left
    assert found.label_agreement > 0.8
    assert [layer.layer for layer in found.layers] == [1, 2, 3]
    assert found.model.graph.lam == 1 / 32
    json.dumps(found.as_json(), allow_nan=False)


def test_silent_layers_and_zero_weights_have_scales(digits):
    network, method = parts(layers=(64, 8, 10))
    params = initial_parameters(method.graph(network), 0)
    zero = params._replace(weights=tuple(np.zeros_like(w) for w in params.weights))
    found = quantise_model(as_model(network, method, zero), digits, calibration=50)
    assert found.layers[0].error == 0
    assert found.label_agreement == 1


def test_what_does_not_fit_is_refused(trained, digits):
    with pytest.raises(SpecError, match="percentile is 0"):
        quantise_model(trained, digits, percentile=0)
    with pytest.raises(SpecError, match=r"layer 2: a rate of .* is beyond the largest state"):
        quantise_model(trained, digits, LoihiWidths(state_bits=14))


def test_the_command_prints_one_object_and_writes_a_model(trained, tmp_path, capsys):
    model = trained.save(tmp_path / "in")
    arguments = [str(model), "--dataset", "digits", "--out", str(tmp_path / "out"), "--json"]
    commands.quantize_command.main(arguments, standalone_mode=False)
    values = json.loads(capsys.readouterr().out)
    assert set(values) >= {"accuracy", "float_accuracy", "label_agreement", "saturated", "layers", "model"}
    assert Model.load(values["model"]).record["quantised"]["accuracy"] == values["accuracy"]
    commands.quantize_command.main([*arguments[:-1], "--force"], standalone_mode=False)
    assert capsys.readouterr().out == ""
    with pytest.raises(SpecError, match=r"widths\.weight_bits is 9; give a whole number of bits in 1\.\.8"):
        commands.quantize_command.main([*arguments, "--force", "--weight-bits", "9"], standalone_mode=False)
