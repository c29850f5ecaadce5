"""Float networks in integers: scales, what is reported, what is refused, and the command."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lavaghost.base.errors import ModelFileError, SpecError
from lavaghost.cli import quantize as commands
from lavaghost.dynamics import initial_parameters
from lavaghost.engines.stepped import Stepped
from lavaghost.evaluate.evaluation import integer_form, integer_outputs
from lavaghost.evaluate.quantise import quantize
from lavaghost.model.model import Model
from lavaghost.net.spec import Learning, Network
from lavaghost.numbers.widths import LoihiWidths
from lavaghost.train.loop import train

MECHANISMS = ("duplicate", "learned", "online")


def as_network(network: Network, params) -> Model:
    return Model(
        network, Learning(rule="temporal"), params.astype(np.float32), 1 / 16, tuple(range(10)), "digits"
    )


@pytest.fixture(scope="module")
def trained(digits) -> Model:
    network = Network(layers=(64, 64, 10))
    run = train(network, Learning(epochs=20, batch_size=32), digits, diagnostics=False)
    return as_network(network, run.params)


def test_eight_bits_cost_nothing_and_four_little(trained, digits):
    """The target is 0.3 points of 100; a sample of this test set is 0.28 points."""
    eight = quantize(trained, digits)
    four = quantize(trained, digits, LoihiWidths(weight_bits=4))
    assert eight.float_accuracy > 0.96
    assert eight.accuracy > eight.float_accuracy - 0.003
    assert eight.label_agreement > 0.99
    assert four.accuracy > four.float_accuracy - 0.03
    assert eight.layers[0].error < four.layers[0].error < 0.5
    assert eight.saturated == four.saturated == 0
    assert all(0 < layer.state_range < 0.1 for layer in eight.layers)


def test_weights_are_on_the_grid_of_their_bits(trained, digits):
    for bits in (8, 4, 2):
        found = quantize(trained, digits, LoihiWidths(weight_bits=bits)).trained
        form = integer_form(found)
        for w, s in zip(found.params.weights, form.formats.weights, strict=True):
            mantissas = w.astype(np.float64) * 2.0**s
            assert np.all(mantissas % (2 ** (9 - bits)) == 0)
            assert mantissas.min() >= -256
            assert mantissas.max() <= 256 - 2 ** (9 - bits)


def test_a_quantised_network_is_the_same_integers_after_loading(trained, digits, tmp_path):
    found = quantize(trained, digits)
    again = Model.load(found.trained.save(tmp_path))
    outputs = integer_outputs(again, digits.x_test)
    assert (outputs.argmax(axis=1) == digits.y_test).mean() == found.accuracy
    engine = Stepped(again.network, integer_form(again))
    wanted = engine.output(again.params, digits.x_test[:50]) * 2.0**-12
    np.testing.assert_array_equal(outputs[:50], wanted)


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("feedback", ["tied", "random"])
def test_every_kind_of_network_can_be_quantised(mechanism, feedback, digits):
    network = Network(layers=(64, 9, 8, 10), mechanism=mechanism, feedback=feedback)
    found = quantize(as_network(network, initial_parameters(network, 0)), digits, calibration=100)
    # mechanism learned has ghosts that do not cancel yet, so both sides have feedback that is left
    assert found.label_agreement > 0.8
    assert [layer.layer for layer in found.layers] == [1, 2, 3]
    assert found.trained.network.lam == 1 / 32
    json.dumps(found.as_json(), allow_nan=False)


def test_silent_layers_and_zero_weights_have_scales(digits):
    network = Network(layers=(64, 8, 10))
    params = initial_parameters(network, 0)
    zero = params._replace(weights=tuple(np.zeros_like(w) for w in params.weights))
    found = quantize(as_network(network, zero), digits, calibration=50)
    assert found.layers[0].error == 0
    assert found.label_agreement == 1


def test_what_does_not_fit_is_refused(trained, digits):
    with pytest.raises(SpecError, match="percentile is 0"):
        quantize(trained, digits, percentile=0)
    with pytest.raises(SpecError, match=r"layer 2: a rate of .* is beyond the largest state"):
        quantize(trained, digits, LoihiWidths(state_bits=14))
    with pytest.raises(ModelFileError, match="no usable integer form: it was not quantised"):
        integer_form(trained)
    for form in ({}, {"widths": {"bits": 3}, "formats": {}}, {"widths": {}, "formats": {"messages": 3}}, 7):
        with pytest.raises(ModelFileError, match="no usable integer form"):
            integer_form(replace(trained, record={"integer": form}))


def test_the_command_prints_one_object_and_writes_a_model(trained, tmp_path, capsys):
    model = trained.save(tmp_path / "in")
    arguments = [str(model), "--dataset", "digits", "--out", str(tmp_path / "out"), "--json"]
    commands.quantize.main(arguments, standalone_mode=False)
    values = json.loads(capsys.readouterr().out)
    assert set(values) >= {"accuracy", "float_accuracy", "label_agreement", "saturated", "layers", "model"}
    assert Model.load(values["model"]).record["quantised"]["accuracy"] == values["accuracy"]
    commands.quantize.main([*arguments[:-1], "--force"], standalone_mode=False)
    assert capsys.readouterr().out == ""
    with pytest.raises(SpecError, match=r"widths\.weight_bits is 9; give a whole number of bits in 1\.\.8"):
        commands.quantize.main([*arguments, "--force", "--weight-bits", "9"], standalone_mode=False)
