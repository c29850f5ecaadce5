"""NIR files: read back with h5py, and every number such that float32 cannot round."""

from itertools import pairwise

import numpy as np
import pytest

from lavaghost.base.errors import ExportError
from lavaghost.exporters import find
from lavaghost.exporters.chain import chain
from lavaghost.exporters.spiking import spiking_files
from lavaghost.verification import RUNTIMES
from tests.spiking_networks import LAYERS, exported, hdf5_tree, raw_digits, spiking_network

KINDS = {"nir-if": b"IF", "nir-cubalif": b"CubaLIF"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_is_that_of_the_network(kind, tmp_path):
    tree = hdf5_tree(exported(tmp_path, kind, spiking_network())[0])
    assert tree["version"] == b"1.0.4"
    assert tree["node/type"] == b"NIRGraph"
    chain = ["input", "fc1", "neurons1", "fc2", "neurons2", "fc3", "output"]
    assert [(a.decode(), b.decode()) for a, b in tree["node/edges"]] == list(pairwise(chain))
    nodes = {name.split("/")[2] for name in tree if name.startswith("node/nodes/")}
    assert nodes == set(chain)
    assert tree["node/nodes/input/shape"].tolist() == [LAYERS[0]]
    assert tree["node/nodes/output/shape"].tolist() == [LAYERS[-1]]
    assert all(tree[f"node/nodes/fc{k}/type"] == b"Affine" for k in (1, 2, 3))
    for k in (1, 2):
        neuron = {name: v for name, v in tree.items() if name.startswith(f"node/nodes/neurons{k}/")}
        assert neuron.pop(f"node/nodes/neurons{k}/type") == KINDS[kind]
        assert {value.shape for value in neuron.values()} == {(LAYERS[k],)}


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_are_the_integers_times_a_power_of_two(kind, tmp_path):
    trained = spiking_network()
    path, report = exported(tmp_path, kind, trained)
    net = spiking_files.spiking_network(chain(trained, kind), report.settings)
    tree = hdf5_tree(path)
    for k, (w, b) in enumerate(zip(net.weights, net.biases, strict=True), start=1):
        found = tree[f"node/nodes/fc{k}/weight"]
        assert found.dtype == np.float32
        scale = 1.0
        if k <= len(net.thresholds):
            theta = tree[f"node/nodes/neurons{k}/v_threshold"]
            scale = float(theta[0]) / net.thresholds[k - 1]
            assert np.all(theta == theta[0])
            assert 0.5 < theta[0] <= 1
        assert np.frexp(scale)[0] == 0.5
        np.testing.assert_array_equal(found / scale, w)
        np.testing.assert_array_equal(tree[f"node/nodes/fc{k}/bias"] / scale, b)


def test_one_step_of_a_neuron_adds_its_current(tmp_path):
    """dv = dt r I for IF; for CubaLIF a synapse of one step and (dt / tau_mem) r = 1, with no leak in float32."""
    dt = np.float32(1e-4)
    tree = hdf5_tree(exported(tmp_path, "nir-if", spiking_network())[0])
    assert np.all(tree["node/nodes/neurons1/r"] * dt == 1)
    tree = hdf5_tree(exported(tmp_path, "nir-cubalif", spiking_network())[0])
    node = {key: tree[f"node/nodes/neurons1/{key}"] for key in ("tau_syn", "tau_mem", "r", "v_leak", "w_in")}
    np.testing.assert_allclose(dt / node["tau_mem"] * node["r"], 1, rtol=1e-7)
    assert np.all(node["tau_syn"] == dt)
    assert np.all(np.float32(1) - dt / node["tau_mem"] == 1)
    assert np.all(node["v_leak"] == 0)
    assert np.all(node["w_in"] == 1)


@pytest.mark.parametrize("order", ["forward", "backward"])
def test_float32_gives_the_same_spikes_in_any_order_of_adding(order, tmp_path):
    """The file, in float32, with the additions of each product one after another: the logits are equal."""
    trained = spiking_network()
    path, report = exported(tmp_path, "nir-if", trained, steps=16)
    raw = raw_digits(trained)[:5]
    tree = hdf5_tree(path)
    layers = [(tree[f"node/nodes/fc{k}/weight"], tree[f"node/nodes/fc{k}/bias"]) for k in (1, 2, 3)]
    thresholds = [tree[f"node/nodes/neurons{k}/v_threshold"] for k in (1, 2)]
    v = [np.zeros((5, len(b)), np.float32) for _, b in layers]
    for _ in range(16):
        s = raw
        for k, (w, b) in enumerate(layers):
            drive = np.tile(b, (5, 1))
            for i in range(w.shape[1])[:: 1 if order == "forward" else -1]:
                drive = drive + s[:, i : i + 1] * w[:, i]
            v[k] = v[k] + drive
            if k < 2:
                s = (v[k] > thresholds[k]).astype(np.float32)
                v[k] = v[k] * (1 - s)
    assert v[2].dtype == np.float32
    np.testing.assert_array_equal(v[2], find("nir-if").expected(trained, report.settings, raw).logits)


def test_sums_that_float32_would_round_are_refused(tmp_path):
    trained = spiking_network()
    report = exported(tmp_path, "nir-if", trained)[1]
    with pytest.raises(ExportError, match=r"16777216.*fewer steps"):
        find("nir-if").expected(trained, {**report.settings, "steps": 50_000}, raw_digits(trained))


def test_a_runtime_decides_the_reset_that_the_format_leaves_open(tmp_path):
    trained = spiking_network()
    report = exported(tmp_path, "nir-cubalif", trained)[1]
    soft = dict(report.settings) | dict(RUNTIMES["rockpool"].settings)
    assert soft["reset"] == "soft"
    hard, fall = (
        find("nir-cubalif").expected(trained, s, raw_digits(trained)).logits for s in (report.settings, soft)
    )
    assert not np.array_equal(hard, fall)
