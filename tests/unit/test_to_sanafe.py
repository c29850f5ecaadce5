"""SANA-FE files: read back with a YAML parser, on the cores that our own mapper gives them."""

from itertools import pairwise

import numpy as np
import pytest
import yaml

from lavaghost.base.errors import ExportError
from lavaghost.exporters import export, find
from lavaghost.exporters.chain import chain
from lavaghost.exporters.spiking import spiking_files
from lavaghost.exporters.spiking.sanafe import CORES, INPUTS_PER_CORE, placed
from tests.spiking_networks import LAYERS, data_for, exported, raw_digits, spiking_network

NAMES = ("input", "hidden1", "hidden2", "output")


def parts(entry: dict) -> dict:
    """One key and its list of attributes as one dictionary."""
    (attributes,) = entry.values()
    return {key: value for part in attributes for key, value in part.items()}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    trained = spiking_network()
    path, report = exported(tmp_path_factory.mktemp("sanafe"), "sanafe", trained)
    return trained, yaml.safe_load(path.read_text()), report


def test_groups_hold_the_integers_of_the_reference(written):
    trained, tree, report = written
    net = spiking_files.spiking_network(chain(trained, "sanafe"), report.settings)
    groups = {group["name"]: group for group in tree["network"]["groups"]}
    assert tuple(groups) == NAMES
    for name, biases, theta in zip(NAMES[1:], net.biases, (*net.thresholds, None), strict=True):
        somas = [parts(neuron)["soma"] for neuron in groups[name]["neurons"]]
        assert [soma["bias"] for soma in somas] == biases.tolist()
        assert {soma["threshold"] for soma in somas} == {theta if theta else 1 << 30}
        # a neuron with a bias must be updated even if nothing arrives; the others need not
        assert [soma["force_update"] for soma in somas] == (biases != 0).tolist()
        assert {soma["reset_mode"] for soma in somas} == {"hard"}
        assert groups[name]["attributes"]["log_potential"] == (name == "output")
    assert not all(net.biases[0])


def test_weights_come_source_by_source(written):
    trained, tree, report = written
    net = spiking_files.spiking_network(chain(trained, "sanafe"), report.settings)
    edges = tree["network"]["edges"]
    assert [next(iter(edge)) for edge in edges] == [f"{a} -> {b}" for a, b in pairwise(NAMES)]
    for edge, w in zip(edges, net.weights, strict=True):
        flat = parts(edge)["weight"]
        for j, i in ((0, 0), (1, 0), (0, 1), (len(w) - 1, w.shape[1] - 1)):
            assert flat[i * len(w) + j] == w[j, i]
        assert len(flat) == w.size


def test_every_neuron_has_a_core_and_every_input_a_unit_of_its_own(written):
    _, tree, _ = written
    found = {next(iter(entry)): parts(entry) for entry in tree["mappings"]}
    assert len(found) == sum(LAYERS)
    assert {name.split(".")[0] for name in found} == set(NAMES)
    units = {(str(p["core"]), p["soma"]) for name, p in found.items() if name.startswith("input")}
    assert len(units) == LAYERS[0]
    assert all(soma.startswith("loihi_inputs[") for _, soma in units)
    assert {p["soma"] for name, p in found.items() if not name.startswith("input")} == {"loihi_lif"}


def test_a_layer_that_does_not_fit_a_core_is_spread():
    inputs, hidden, output = placed(spiking_network((784, 500, 10)), 8)
    assert len(set(hidden)) == 4
    assert hidden == sorted(hidden)
    assert len(set(output)) == 1
    assert not set(inputs) & (set(hidden) | set(output))
    wide, _, _ = placed(spiking_network((INPUTS_PER_CORE + 1, 20, 4)), 8)
    assert len(set(wide)) == 2
    assert max(wide) < CORES


def test_a_network_larger_than_the_chip_is_refused_with_both_numbers(tmp_path):
    trained = spiking_network((784, 18_000, 4))
    raw = np.zeros((8, 784), np.float32)
    with pytest.raises(ExportError, match=r"need \d+ cores of 128.*smaller layers"):
        export(trained, "sanafe", tmp_path / "model.yaml", calibration=data_for(trained, raw))
    assert list(tmp_path.iterdir()) == []


def test_negative_samples_are_refused_for_spikes_have_no_sign(tmp_path):
    trained = spiking_network()
    data = data_for(trained, raw_digits(trained) - 3)
    with pytest.raises(ExportError, match=r"-0\.188.*no sign.*nir-if"):
        export(trained, "sanafe", tmp_path / "model.yaml", calibration=data)


def test_the_reference_counts_the_step_that_each_layer_takes(written):
    trained, _, report = written
    raw = raw_digits(trained)
    found = find("sanafe").expected(trained, report.settings, raw)
    at_once = spiking_files.spiking_run(chain(trained, "sanafe"), report.settings, raw)
    assert found.exact
    # biases fill the layers before the sample arrives, so it is another answer
    assert not np.array_equal(found.logits, at_once.sums)
    assert np.mean(found.labels == at_once.sums.argmax(axis=1)) > 0.8
