"""A network in integers in the files of integrate-and-fire formats: its mantissas, read back, and how near it stays."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from lavaghost.base.errors import ExportError
from lavaghost.engines.forward_integers import forward_integers
from lavaghost.exporters import export, find
from lavaghost.exporters.chain import Chain, chain
from lavaghost.exporters.spiking import nir, spiking_files
from lavaghost.exporters.spiking.neurons import FormatLimits, Spiking, regular_spikes, simulate
from lavaghost.exporters.spiking.own_integers import own_scales
from lavaghost.model.model import Model
from lavaghost.net.network import Schedule
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.integers import Integers
from lavaghost.numbers.widths import DEFAULT, LoihiWidths
from lavaghost.online.integers.compiled_network import initial_integers
from lavaghost.online.integers.formats import default_formats
from lavaghost.online.integers.settings import IntegerLearning
from lavaghost.verification.agreement import prepare
from tests.networks import parts
from tests.spiking_networks import data_for, hdf5_tree, raw_digits

Layers = list[tuple[Array, Array, float | None]]
"""(weights, biases, threshold) of a file, as it holds them; an output has no threshold."""


def in_integers(
    layers: tuple[int, ...] = (12, 10, 8, 4), spread: float = 70, widths: LoihiWidths = DEFAULT, **physics: Any
) -> Model:
    """Random mantissas, odd ones too, with the largest and the smallest that there are, and biases of both signs."""
    settled = Schedule(t_free_steps=96)
    values = {"loss": "squared_error", "lam": 0.125, "beta": 1.0, "saturation": 3.96875, "schedule": settled}
    values |= physics
    network, method = parts(layers=layers, **values)
    graph, rng = method.graph(network), np.random.default_rng(4)
    formats = default_formats(graph, widths)
    low, high = widths.weight_limits
    step = widths.weight_step
    arrays: dict[str, Array] = {}
    for name, start in initial_integers(graph, 0, formats, widths).arrays.items():
        if "biases" in name:
            arrays[name] = rng.integers(-900, 901, start.shape)
            continue
        arrays[name] = np.clip(np.rint(rng.normal(0, spread, start.shape) / step) * step, low, high).astype(int)
        if spread > 50:
            arrays[name].flat[:2] = low, high
    integers = Integers(arrays, formats, widths)
    labels = tuple(range(layers[-1]))
    return Model(network, method, IntegerLearning(), integers, 1 / 16, labels, "digits")


def netx_layers(path: Path) -> Layers:
    tree = hdf5_tree(path)
    count = sum(name.endswith("/weight") for name in tree)
    parts_of = [(tree[f"layer/{k}/weight"], tree[f"layer/{k}/bias"]) for k in range(1, count + 1)]
    thresholds = [float(tree[f"layer/{k}/neuron/vThMant"]) + 0.5 for k in range(1, count)]
    return [(w, b, theta) for (w, b), theta in zip(parts_of, (*thresholds, None), strict=True)]


def nir_layers(path: Path) -> Layers:
    tree, found = hdf5_tree(path), []
    for k in range(1, 1 + sum(name.endswith("/weight") for name in tree)):
        w, b = (tree[f"node/nodes/fc{k}/{name}"].astype(np.float64) for name in ("weight", "bias"))
        theta = tree.get(f"node/nodes/neurons{k}/v_threshold")
        # the power of two by which a layer is divided, so that its threshold lies in 1/2..1
        power = 1.0
        while theta is not None and (w * power % 1).any():
            power *= 2
        while theta is not None and float(theta[0]) * power % 1 != 0.5:
            power *= 2
        found.append((w * power, b * power, None if theta is None else float(theta[0]) * power))
    return found


def sanafe_layers(path: Path) -> Layers:
    network = yaml.safe_load(path.read_text())["network"]
    found: Layers = []
    for group, edge in zip(network["groups"][1:], network["edges"], strict=True):
        somas = [next(iter(neuron.values()))[0]["soma"] for neuron in group["neurons"]]
        flat = next(part["weight"] for part in next(iter(edge.values())) if "weight" in part)
        biases = np.array([soma["bias"] for soma in somas])
        theta = None if group["name"] == "output" else somas[0]["threshold"]
        found.append((np.array(flat).reshape(-1, len(somas)).T, biases, theta))
    return found


READ: dict[str, Callable[[Path], Layers]] = {
    "netx-cuba": netx_layers,
    "nir-if": nir_layers,
    "nir-cubalif": nir_layers,
    "sanafe": sanafe_layers,
}
KINDS = tuple(READ)


def written(folder: Path, kind: str, trained: Model, **options: Any) -> tuple[Layers, Any]:
    path = folder / f"model{find(kind).suffix}"
    report = export(trained, kind, path, options, data_for(trained, raw_digits(trained)))
    return READ[kind](path), report


def own_mantissas(trained: Model) -> list[Array]:
    assert trained.integers is not None
    return [layer.mantissas for layer in forward_integers(trained.graph, trained.integers).layers]


def note(report: Any, element: str) -> str:
    return next(f"{entry.status}: {entry.note}" for entry in report.carries if entry.element == element)


# ---- what the files hold


@pytest.mark.parametrize("kind", ["nir-if", "nir-cubalif", "sanafe"])
@pytest.mark.parametrize("widths", [DEFAULT, LoihiWidths(weight_bits=4), LoihiWidths(weight_range=10)])
def test_the_weights_of_a_file_are_the_mantissas(kind, widths, tmp_path):
    trained = in_integers(widths=widths)
    layers, report = written(tmp_path, kind, trained)
    for (w, _, _), own in zip(layers, own_mantissas(trained), strict=True):
        np.testing.assert_array_equal(w, own)
        assert np.abs(own).max() > 127
    assert "the network's own mantissas" in note(report, "weights")
    assert "halved" not in note(report, "weights")
    odd = sum(int(np.count_nonzero(own % 2)) for own in own_mantissas(trained))
    assert (f"drop the lowest bit of {odd}" in note(report, "weights")) == (kind == "sanafe" and odd > 0)


@pytest.mark.parametrize("spread", [15, 70])
def test_netx_halves_the_layers_that_it_has_no_room_for_and_counts_what_that_changes(spread, tmp_path):
    trained = in_integers(spread=spread)
    layers, report = written(tmp_path, "netx-cuba", trained)
    for k, ((w, _, _), own) in enumerate(zip(layers, own_mantissas(trained), strict=True), start=1):
        assert np.abs(w).max() <= 127
        if np.abs(own).max() <= 127:
            np.testing.assert_array_equal(w, own)
            assert f"layer {k}" not in note(report, "weights")
            continue
        changed = np.count_nonzero(2 * w != own)
        # all that are even stay, but -256, which netx has as a file only of -128
        inside = np.abs(own) <= 254
        np.testing.assert_array_equal((2 * w != own)[inside], (own % 2 != 0)[inside])
        assert f"layer {k} are halved, which changes {changed} of {own.size}" in note(report, "weights")
        assert note(report, "weights").startswith("approximate")
    assert ("halved" in note(report, "weights")) == (spread == 70)


def test_mantissas_that_are_even_are_all_kept_by_netx(tmp_path):
    trained = in_integers(widths=LoihiWidths(weight_bits=6))
    layers, report = written(tmp_path, "netx-cuba", trained)
    for (w, _, _), own in zip(layers, own_mantissas(trained), strict=True):
        assert not (own % 4).any()
        inside = own > -256
        np.testing.assert_array_equal((2 * w)[inside], own[inside])
        assert np.count_nonzero(~inside) == 1
    assert "changes 1 of" in note(report, "weights")


@pytest.mark.parametrize("kind", KINDS)
def test_biases_and_thresholds_are_the_nearest_in_the_unit_of_their_layer(kind, tmp_path):
    trained = in_integers()
    layers, report = written(tmp_path, kind, trained, threshold="bound")
    assert trained.integers is not None
    own = forward_integers(trained.graph, trained.integers)
    off = 0.0
    for (_, b, theta), layer, unit in zip(layers, own.layers, report.settings["units"], strict=True):
        error = np.abs(b * unit - layer.biases * own.unit)
        assert error.max() <= 0.5 * unit * (1 + 1e-12)
        off = max(off, float(error.max()))
        if theta is not None:
            # a half-integer, so within a unit; the largest rate is that of the largest message
            assert abs(theta * unit - 254 / 64) <= unit
    assert f"biases are off by up to {off:.2g}" in note(report, "weights")


@pytest.mark.parametrize("kind", KINDS)
def test_the_input_is_the_messages_of_the_chip(kind, tmp_path):
    """`rint(x 2^f_0)`, also of samples that are no integers; netx drops lowest bits where its sums have no room."""
    trained = in_integers(layers=(64, 40, 4))
    assert trained.integers is not None
    raw = np.random.default_rng(8).uniform(0, 16, (40, 64)).astype(np.float32)
    path = tmp_path / f"model{find(kind).suffix}"
    report = export(trained, kind, path, {}, data_for(trained, raw))
    own = trained.integers.arith.input(raw * np.float32(1 / 16))
    dropped = round(math.log2(report.settings["input"] * 2 ** trained.integers.formats.messages[0]))
    assert (dropped > 0) == (kind == "netx-cuba")
    given = spiking_files.whole_samples(raw, report.settings)
    assert np.abs(given * 2**dropped - own).max() <= 2**dropped / 2
    assert report.settings["top"] == round(own.max() / 2**dropped)
    text = note(report, "input scaling")
    assert ("without their lowest" in text) == (dropped > 0)
    assert (f"larger than {own.max()}" in text) == (kind == "sanafe")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("threshold", ["bound", "percentile"])
def test_the_reference_is_what_the_numbers_of_the_file_compute(kind, threshold, tmp_path):
    trained = in_integers()
    layers, report = written(tmp_path, kind, trained, steps=20, threshold=threshold)
    raw = raw_digits(trained, 12)
    weights, biases, thetas = zip(*layers, strict=True)
    thetas = tuple(float(theta) for theta in thetas if theta is not None)
    held = np.rint(raw.astype(np.float64) * report.settings["factor"])
    spikes = kind == "sanafe"
    inputs: Iterator[Array] = repeat(held, 20)
    if spikes:
        inputs = regular_spikes(held, report.settings["top"], 20)
    found = simulate(Spiking(weights, biases, thetas, 1.0), inputs, limit=(2**23 - 1) / 64, delayed=spikes)
    assert min(float(c.sum()) for c in found.counts) > 0
    expected = find(kind).expected(trained, report.settings, raw)
    assert expected.exact
    np.testing.assert_array_equal(found.sums, expected.logits)


# ---- how near they are to the network in integers


def one_hidden(steps: int, raw: Array, trained: Model) -> tuple[Array, Array, Array]:
    """(outputs of the file by a soft reset, outputs in integers, the bound on their difference)."""
    assert trained.integers is not None
    data, own = data_for(trained, raw), forward_integers(trained.graph, trained.integers)
    net = chain(trained, "nir-if")
    scales = own_scales("nir-if", net, own, data.x_train, None, nir.LIMITS, "current", 8)
    whole = spiking_files.spiking_integers(net, scales)
    held = np.rint(raw.astype(np.float64) * (trained.input_scale / scales.input))
    found = simulate(whole, repeat(held, steps), "soft").sums * (scales.units[-1] / steps)
    unit, state = scales.units[0], own.unit
    theta = whole.thresholds[0] * unit
    # a count is cut, a message rounded; a membrane rests two states below its drive; bound, and bias, are rounded
    per_rate = theta / steps + 0.5 / 64 + 2 * state + unit + 0.5 * unit
    reach = np.abs(trained.params.weights[1]).sum(axis=1).astype(np.float64)
    return found, trained.outputs(data.x_train), per_rate * reach + 0.5 * scales.units[1] + 2 * state


@pytest.mark.parametrize(
    "physics", [{"saturation": 1.5}, {"saturation": 1.0}, {"activation": "hard_sigmoid", "saturation": None}]
)
def test_with_a_soft_reset_outputs_come_within_a_derived_bound_of_the_network_in_integers(physics):
    """|outputs| <= sum |W_2| (theta / T + half a message + two states + 3/2 units) + half a unit + two states."""
    trained = in_integers(layers=(12, 10, 4), spread=60, **physics)
    raw = raw_digits(trained)
    rates = np.clip(raw / 16 @ trained.params.weights[0].T + trained.params.biases[0], 0, None)
    assert (rates > trained.graph.r_max).any()
    errors = []
    for steps in (16, 64, 256):
        found, wanted, bound = one_hidden(steps, raw, trained)
        assert np.all(np.abs(found - wanted) <= bound)
        errors.append(np.abs(found - wanted).mean())
    assert errors[0] > 2 * errors[1] > 2 * errors[2]


@pytest.mark.parametrize("kind", KINDS)
def test_the_sidecar_measures_the_gap_to_the_network_in_integers(kind, tmp_path):
    trained = in_integers()
    raw = raw_digits(trained)
    _, report = written(tmp_path, kind, trained)
    found, wanted = find(kind).expected(trained, report.settings, raw), trained.outputs(raw / np.float32(16))
    assert found.scale is not None
    gap = np.abs(found.logits * found.scale - wanted).max()
    same = np.mean(found.labels == wanted.argmax(axis=1))
    text = note(report, "activation")
    assert f"in integers by up to {gap:.2g} of {np.abs(wanted).max():.2g}, and {same:.1%} of the labels" in text
    # thresholds are those whose labels are nearer
    alike = report.settings["labels_alike"]
    assert set(alike) == {"bound", "percentile"}
    assert alike[report.settings["thresholds_by"]] == max(alike.values())
    assert alike[report.settings["thresholds_by"]] == round(same, 4)


@pytest.mark.foreign
@pytest.mark.parametrize("kind", KINDS)
def test_a_runtime_gives_the_integers_of_the_reference(kind, tmp_path):
    """The usual runtime of each format, 6 samples; mantissas of nine bits, and a low bound of the rates."""
    trained = in_integers(saturation=0.5)
    path = tmp_path / f"model{find(kind).suffix}"
    raw = raw_digits(trained)
    export(trained, kind, path, {"steps": 12, "threshold": "bound"}, data_for(trained, raw))
    x = raw[:6] * np.float32(trained.input_scale)
    found = prepare(path, trained, x, np.arange(6) % 4, trained.outputs(x)).on(None)
    assert (found.exact, found.passed, found.max_abs_difference) == (True, True, 0.0)


# ---- what has no room


def test_a_layer_that_a_format_has_no_room_for_is_refused_by_number_and_remedy():
    trained = in_integers()
    assert trained.integers is not None
    net, own = chain(trained, "nir-if"), forward_integers(trained.graph, trained.integers)
    x = raw_digits(trained) / np.float32(16)
    tight = FormatLimits(weight=127, bias=4095, threshold=1 << 17, drive=900)
    with pytest.raises(ExportError, match=r"'mine': layer 2 has mantissas up to 256.* sum .*quantise"):
        own_scales("mine", net, own, x, None, tight, "current", 8)
    narrow = replace(tight, weight=31, drive=1 << 17)
    with pytest.raises(ExportError, match=r"'mine': layer 1 has mantissas up to 256.* 3 bits more.*'nir-if'"):
        own_scales("mine", net, own, x, None, narrow, "current", 8)


@pytest.mark.parametrize("kind", KINDS)
def test_other_bits_than_its_own_are_refused(kind, tmp_path):
    with pytest.raises(ExportError, match=rf"{kind}.*weight_bits is 4.*quantize --weight-bits 4"):
        written(tmp_path, kind, in_integers(), weight_bits=4)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_weights_that_are_kept_and_biases_that_need_no_rounding_are_faithful(kind, tmp_path):
    trained = in_integers(spread=15)
    assert trained.integers is not None
    held = trained.integers
    bare = {name: 0 * a if "biases" in name else a for name, a in held.arrays.items()}
    _, report = written(tmp_path, kind, replace(trained, tensors=Integers(bare, held.formats, held.widths)))
    assert note(report, "weights") == "faithful: the network's own mantissas, as integers; biases are exact"


def test_a_chain_of_integers_is_that_of_its_real_numbers():
    """Mantissas times powers of two are float32 exactly, so a chain loses nothing of them."""
    trained = in_integers()
    net: Chain = chain(trained, "nir-if")
    assert trained.integers is not None
    for w, own, s in zip(net.weights, own_mantissas(trained), trained.integers.formats.weights, strict=True):
        np.testing.assert_array_equal(w.astype(np.float64) * 2.0**s, own)
