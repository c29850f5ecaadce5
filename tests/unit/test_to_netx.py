"""netx files: read back with h5py, held against the integers, and run in Lava's fixed-point simulator."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from lavaghost.base.errors import ExportError, MissingError, SpecError
from lavaghost.datasets import Dataset
from lavaghost.engines.calibration import calibrations
from lavaghost.engines.sigma_delta import reference
from lavaghost.exporters import base, find
from lavaghost.exporters.chain import chain
from lavaghost.exporters.spiking import netx_sigma_delta as sigma_delta
from lavaghost.exporters.spiking import spiking_files
from lavaghost.exporters.spiking.bounded import bounded, saturating, tops_of
from lavaghost.exporters.spiking.netx import LARGEST_SUM
from lavaghost.verification.agreement import prepare
from tests.integer_networks import integer_network
from tests.spiking_networks import LAYERS, exported, hdf5_tree, raw_digits, spiking_network

KINDS = ("netx-sdnn", "netx-cuba")


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_has_the_layout_that_netx_reads(kind, tmp_path):
    tree = hdf5_tree(exported(tmp_path, kind, spiking_network())[0])
    assert {name.split("/")[1] for name in tree if name.startswith("layer/")} == {"0", "1", "2", "3"}
    assert tree["layer/0/type"][0] == b"input"
    assert tree["layer/0/shape"].tolist() == [LAYERS[0]]
    # only a sigma-delta network has neurons at its input
    assert ("layer/0/neuron/type" in tree) == (kind == "netx-sdnn")
    for k in (1, 2, 3):
        assert tree[f"layer/{k}/type"][0] == b"dense"
        assert tree[f"layer/{k}/neuron/type"] == (b"SDNN" if kind == "netx-sdnn" else b"CUBA")
        weights = tree[f"layer/{k}/weight"]
        assert weights.shape == (tree[f"layer/{k}/outFeatures"], tree[f"layer/{k}/inFeatures"])
        assert np.array_equal(weights, np.rint(weights))
        assert np.abs(weights).max() <= 127
    assert ("layer/3/neuron/sigma_output" in tree) == (kind == "netx-sdnn")


def test_a_cuba_file_holds_the_integers_of_the_reference(tmp_path):
    trained = spiking_network()
    path, report = exported(tmp_path, "netx-cuba", trained, steps=20)
    net = spiking_files.spiking_network(chain(trained, "netx-cuba"), report.settings)
    tree = hdf5_tree(path)
    for k, (w, b) in enumerate(zip(net.weights, net.biases, strict=True), start=1):
        assert np.array_equal(tree[f"layer/{k}/weight"], w)
        assert np.array_equal(tree[f"layer/{k}/bias"], b)
        neuron = {key: tree[f"layer/{k}/neuron/{key}"] for key in ("iDecay", "vDecay", "vThMant")}
        # a voltage is an integer, so above the integer below the threshold is above the threshold
        theta = int(net.thresholds[k - 1]) if k < 3 else LARGEST_SUM
        assert neuron == {"iDecay": 4096, "vDecay": 0, "vThMant": theta}
    assert tree["simulation/tSample"] == 20


def test_a_sigma_delta_file_holds_the_integers_and_carries_the_output_bias(tmp_path):
    trained = spiking_network((12, 10, 4))
    path, report = exported(tmp_path, "netx-sdnn", trained)
    net = sigma_delta.delta_network(chain(trained, "netx-sdnn"), report.settings)
    raw = raw_digits(trained)
    tree = hdf5_tree(path)
    w1, b1, w2 = (tree[f"layer/{name}"] for name in ("1/weight", "1/bias", "2/weight"))
    assert "layer/2/bias" not in tree
    assert (w1.shape, w2.shape) == ((11, 12), (4, 11))
    assert not w1[-1].any()
    # one hidden layer telescopes: the sums are those of the static integer network
    hidden = np.maximum(64 * raw @ w1.T + 4096 * b1, 0) // 64
    np.testing.assert_array_equal(reference(net, raw.astype(int) * 64), hidden @ w2.T)
    found = find("netx-sdnn").expected(trained, report.settings, raw)
    np.testing.assert_array_equal(found.logits, hidden @ w2.T)
    # and they are the float network within what 8 bits leave
    x = raw / np.float32(16)
    exact = np.maximum(x @ trained.params.weights[0].T + trained.params.biases[0], 0)
    exact = exact @ trained.params.weights[1].T + trained.params.biases[1]
    assert found.scale is not None
    assert np.abs(found.logits * found.scale - exact).max() < 0.02 * np.abs(exact).max()


def test_messages_of_deeper_networks_lose_what_the_shift_drops(tmp_path):
    trained = spiking_network()
    report = exported(tmp_path, "netx-sdnn", trained)[1]
    net = sigma_delta.delta_network(chain(trained, "netx-sdnn"), report.settings)
    raw = raw_digits(trained).astype(int)
    moved = find("netx-sdnn").expected(trained, report.settings, raw.astype(np.float32))
    assert not moved.independent
    # sample by sample, with the loop written out: each message is a difference, rounded down
    sigma = [np.zeros(len(w), dtype=int) for w in net.weights]
    before = [np.zeros(len(w), dtype=int) for w in net.weights]
    change, answers = np.zeros(LAYERS[0], dtype=int), []
    last = np.zeros(LAYERS[0], dtype=int)
    # biases alone come first, one layer per step
    waiting: list[np.ndarray] = [np.zeros(w.shape[1], dtype=int) for w in net.weights]
    for sample in [*raw, *[raw[-1]] * 3]:
        change, last = 64 * (sample - last), sample
        arrived, waiting = waiting, [change, *[np.zeros(0)] * 2]
        for k, (w, b) in enumerate(zip(net.weights, net.biases, strict=True)):
            sigma[k] = sigma[k] + w.astype(int) @ arrived[k]
            if k < 2:
                act = np.maximum(sigma[k] + b, 0)
                waiting[k + 1] = (act - before[k]) >> 6
                before[k] = act
        answers.append(sigma[2].copy())
    np.testing.assert_array_equal(np.array(answers[3:]), moved.logits)


@pytest.mark.parametrize("options", [{"activation": "hard_sigmoid"}, {"saturation": 0.15}])
@pytest.mark.parametrize("layers", [(12, 10, 4), LAYERS])
def test_a_second_unit_takes_off_what_is_above_the_bound(options, layers, tmp_path):
    """clip(u, 0, r) = relu(u) - relu(u - r), exactly; in a file as near as its biases are."""
    trained = spiking_network(layers, **options)
    raw = raw_digits(trained)
    net, x = chain(trained, "netx-sdnn"), (raw / 16).astype(np.float32)
    tops = tops_of(trained, net)
    held = saturating(net, tops, x)
    assert any(held)
    plain = bounded(net, tops, held)
    assert plain.r_max == np.inf
    assert [len(b) for b in plain.biases] == [n + len(h) for n, h in zip(layers[1:], [*held, []], strict=True)]
    found, wanted = (list(calibrations(c.layers, c.r_max, x))[-1].drives for c in (plain, net))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6 * np.abs(wanted).max())
    report = exported(tmp_path, "netx-sdnn", trained)[1]
    whole = sigma_delta.delta_network(plain, report.settings)
    unit, first, second = report.settings["units"][0], held[0], slice(layers[1], layers[1] + len(held[0]))
    assert report.settings["saturating"] == held
    # the file saturates where two biases, each to the nearest of 2^12 units, are apart
    levels = (whole.biases[0][first] - whole.biases[0][second]) * unit
    np.testing.assert_allclose(levels, tops[0], rtol=0, atol=sigma_delta.BIAS * unit)
    np.testing.assert_array_equal(whole.weights[0][first], whole.weights[0][second])
    np.testing.assert_array_equal(whole.weights[1][:, second], -whole.weights[1][:, first])
    assert "takes off what is above the bound" in report.carries[1].note


@pytest.mark.parametrize("size", [90.0, 20.0])
def test_a_sigma_delta_file_holds_the_mantissas_of_a_network_in_integers(size, tmp_path):
    """Whole where a layer has none beyond 127, else halved to the nearest."""
    trained = integer_network(layers=(12, 10, 4), size=size, saturation=None)
    assert trained.integers is not None
    x = np.random.default_rng(0).integers(0, 17, (40, 12)).astype(np.float32) / 16
    data = Dataset("digits", x, np.arange(40) % 4, x, np.arange(40) % 4, 4, 1 / 16)
    report = base.export(trained, "netx-sdnn", tmp_path / "m.net", calibration=data)
    tree = hdf5_tree(report.paths[0])
    rounded = 0
    for k, (rows, columns) in enumerate([(10, 12), (4, 10)], start=1):
        own = trained.integers.arrays[f"weights.{k}"].astype(int)
        halved = np.abs(own).max() > 128
        assert halved == (size == 90.0)
        wanted = np.clip(np.rint(own / 2) if halved else own, -127, 127)
        np.testing.assert_array_equal(tree[f"layer/{k}/weight"][:rows, :columns], wanted)
        rounded += int((wanted * (2 if halved else 1) != own).sum())
    assert f"{rounded} of 160 are rounded" in report.carries[0].note
    # its messages saturate without a saturation of its neurons
    assert any(report.settings["saturating"]) == (size == 90.0)
    answer = find("netx-sdnn").expected(trained, report.settings, x * 16)
    outputs = trained.outputs(x)
    assert answer.scale is not None
    assert np.abs(answer.logits * answer.scale - outputs).max() < 0.05 * np.abs(outputs).max()


@pytest.mark.parametrize("kind", [*KINDS, "nir-if"])
def test_without_h5py_it_says_what_to_install(kind, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingError, match=r"h5py.*lavaghost\[exporters\]") as caught:
        exported(tmp_path, kind, spiking_network())
    assert caught.value.exit_code == 3
    assert list(tmp_path.iterdir()) == []


def test_states_that_leave_their_bits_are_refused(tmp_path):
    trained = spiking_network()
    report = exported(tmp_path, "netx-sdnn", trained)[1]
    with pytest.raises(SpecError, match="bits"):
        find("netx-sdnn").expected(trained, report.settings, 100 * raw_digits(trained))
    report = exported(tmp_path, "netx-cuba", trained)[1]
    long = {**report.settings, "steps": 3000}
    with pytest.raises(ExportError, match=r"readout.*fewer steps"):
        find("netx-cuba").expected(trained, long, raw_digits(trained))


@pytest.mark.foreign
@pytest.mark.parametrize("kind", KINDS)
def test_lava_computes_the_same_integers(kind, tmp_path):
    """Three layers deep, so that rounded messages and resets of several layers count; 6 samples."""
    trained = spiking_network()
    path, _ = exported(tmp_path, kind, trained, **({"steps": 12} if kind == "netx-cuba" else {}))
    raw = raw_digits(trained)[:6]
    x = raw * np.float32(trained.input_scale)
    case = prepare(path, trained, x, np.arange(6) % 4, np.zeros((6, 4)))
    found = case.on("netx")
    assert found.exact
    assert (found.passed, found.max_abs_difference) == (True, 0.0)
    assert "netx" in found.version
    # weights two units of 127 off are noticed; Lava's answer is the same, so it is not asked for again
    wrong = trained.params.weights[0].copy()
    wrong[0] += np.abs(wrong).max() / 63
    params = trained.params._replace(weights=(wrong, *trained.params.weights[1:]))
    other = find(kind).expected(replace(trained, tensors=params), case.settings, raw)
    assert not np.array_equal(other.logits, case.expected.logits)
