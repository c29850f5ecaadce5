"""onnx-int of a network in integers: its own mantissas, equal outputs, and what the operators cannot hold."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from lavaghost.base.errors import ExportError, SpecError
from lavaghost.engines.forward_integers import forward_integers, unsettled
from lavaghost.exporters import base, find, sidecar
from lavaghost.model.model import Model
from lavaghost.net.network import Schedule
from lavaghost.numbers.integers import Integers
from lavaghost.numbers.widths import LoihiWidths
from lavaghost.verification import Agreement, verify
from tests.integer_networks import SCHEDULE, integer_network
from tests.unit.onnx_networks import data, exported, samples, trained_network

pytest.importorskip("onnxruntime")

TAU_1 = Schedule(tau_steps=1.0, tau_ghost_steps=1.0, t_free_steps=8)
TAU_4 = Schedule(tau_steps=4.0, tau_ghost_steps=4.0, t_free_steps=60)
CASES = {
    "one hidden layer": integer_network(layers=(12, 9, 4)),
    "deep": integer_network(layers=(12, 9, 8, 7, 4)),
    "tau 1": integer_network(layers=(12, 9, 4), schedule=TAU_1),
    "tau 4": integer_network(layers=(12, 9, 7, 4), schedule=TAU_4),
    "hard sigmoid": integer_network(layers=(12, 9, 4), saturation=None, activation="hard_sigmoid"),
    "products to the left": integer_network(layers=(12, 9, 4), formats={"weights": (4, 2)}),
    "products to the right": integer_network(layers=(12, 9, 4), formats={"weights": (9, 8)}),
    "finer states": integer_network(layers=(12, 9, 4), widths=LoihiWidths(state_fraction=14)),
    "messages of 6 bits": integer_network(layers=(12, 9, 4), widths=LoihiWidths(message_bits=6)),
    "floored messages": integer_network(layers=(12, 9, 4), widths=LoihiWidths(round_messages=False)),
    "mantissas of 8 bits": integer_network(layers=(12, 9, 4), size=20.0),
    "learned ghosts": integer_network(layers=(12, 9, 7, 4), mechanism="learned", lam=0.0625),
    "scale of its own": integer_network(layers=(12, 9, 4), scale=0.3),
}


def integers_of(trained: Model) -> Integers:
    assert trained.integers is not None
    return trained.integers


def carried(file: Path) -> dict[str, sidecar.Element]:
    known = sidecar.read_sidecar(file)
    assert known is not None
    return {entry.element: entry for entry in known.carries}


def run(folder: Path, trained: Model, raw: np.ndarray) -> tuple[Path, Agreement]:
    file = exported(folder, "onnx-int", trained, raw)
    x = raw * np.float32(trained.input_scale)
    y = trained.outputs(x).argmax(axis=1)
    return file, verify(file, trained, x, y, reference=trained.outputs)


@pytest.mark.parametrize("name", CASES)
def test_onnxruntime_gives_the_states_of_the_network(tmp_path, name):
    trained = CASES[name]
    raw = samples(trained, 200)
    file, found = run(tmp_path, trained, raw)
    assert (found.exporter, found.exact, found.passed, found.max_abs_difference) == (
        "onnx-int",
        True,
        True,
        0.0,
    )
    net = forward_integers(trained.graph, integers_of(trained))
    expected = find("onnx-int").expected(trained, {"numbers": "own"}, raw)
    assert expected.scale == net.unit
    if net.cancels:
        p = net.arith.input(raw * np.float32(trained.input_scale))
        (low, high), left = net.resting(p), unsettled(net, p, trained.graph.schedule.t_free_steps)
        bound = np.maximum(high - expected.logits, expected.logits - low) + left
        assert found.approximation is not None
        assert found.approximation <= bound.max() * net.unit
        assert found.accuracy > 0.9
    assert file.suffix == ".onnx"


@pytest.mark.parametrize("size", [90.0, 20.0])
def test_the_file_holds_the_mantissas_themselves(tmp_path, size):
    trained = integer_network(layers=(12, 9, 4), size=size)
    model = onnx.load(exported(tmp_path, "onnx-int", trained, samples(trained)))
    kept = {t.name: numpy_helper.to_array(t).astype(np.int64) for t in model.graph.initializer}
    for k in (1, 2):
        weights = kept[f"weights.{k}"] - 128
        if size == 90.0:
            weights = 2 * weights + kept[f"weights.{k}.lowest"]
        np.testing.assert_array_equal(weights.T, integers_of(trained).arrays[f"weights.{k}"])
    assert ("weights.1.lowest" in kept) == (size == 90.0)


def test_a_network_without_odd_mantissas_has_one_product_a_layer(tmp_path):
    trained = integer_network(layers=(12, 9, 4))
    own = integers_of(trained)
    arrays = {k: a if "bias" in k else a // 2 * 2 for k, a in own.arrays.items()}
    trained = replace(trained, tensors=Integers(arrays, own.formats, own.widths))
    raw = samples(trained)
    file, found = run(tmp_path, trained, raw)
    operators = [node.op_type for node in onnx.load(file).graph.node]
    assert operators.count("MatMulInteger") == 2
    assert found.passed


def test_saturation_reaches_the_file(tmp_path):
    """Without its Min the answers would be others: some units are at their bound on these samples."""
    trained = integer_network(layers=(12, 9, 4))
    raw = samples(trained, 200)
    net = forward_integers(trained.graph, integers_of(trained))
    assert (net.messages(net.arith.input(raw / np.float32(16)))[0] == 254).any()
    file = exported(tmp_path, "onnx-int", trained, raw)
    model, known = onnx.load(file), sidecar.read_sidecar(file)
    assert known is not None
    top = next(t for t in model.graph.initializer if t.name == "top.1")
    top.CopyFrom(numpy_helper.from_array(np.array(255, np.int32), "top.1"))
    file.write_bytes(model.SerializeToString())
    beside = sidecar.beside(file)
    beside.write_text(beside.read_text().replace(known.sha256, sidecar.digest_of(file)))
    x = raw / np.float32(16)
    assert not verify(file, trained, x, np.zeros(200, int), reference=trained.outputs).passed


def test_the_sidecar_says_what_is_the_same_and_what_is_not(tmp_path):
    trained = integer_network(layers=(12, 9, 4))
    raw = samples(trained)
    found = carried(exported(tmp_path, "onnx-int", trained, raw))
    for element in ("weights", "activation", "ghosts", "feedback", "input scaling"):
        assert found[element].status == "faithful"
    assert "own mantissas of 9 bits" in found["weights"].note
    assert "at most" in found["activation"].note
    learned = integer_network(layers=(12, 9, 7, 4), mechanism="learned")
    found = carried(exported(tmp_path, "onnx-int", learned, raw))
    assert (found["ghosts"].status, found["feedback"].status) == ("approximate", "approximate")
    assert "do not cancel the feedback to the bit" in found["feedback"].note


def test_what_it_cannot_hold_is_refused(tmp_path):
    trained = integer_network(layers=(12, 9, 4))
    raw = samples(trained)
    with pytest.raises(ExportError, match="this one has mantissas and ranges of its own; leave them out"):
        exported(tmp_path, "onnx-int", trained, raw, weight_bits=6)
    slow = integer_network(layers=(12, 9, 4), schedule=SCHEDULE.model_copy(update={"tau_steps": 3.0}))
    with pytest.raises(
        ExportError, match=r"tau_steps 3: .* power of two.*; layer 1: its messages are no shift"
    ):
        exported(tmp_path, "onnx-int", slow, raw)
    wide = integer_network(layers=(12, 9, 4), widths=LoihiWidths(message_bits=10))
    with pytest.raises(ExportError, match="messages of 10 bits, and a product takes 8"):
        exported(tmp_path, "onnx-int", wide, raw)
    with pytest.raises(SpecError, match="two channels"):
        exported(tmp_path, "onnx-int", trained, samples(trained, low=-8, whole=False))


def test_a_file_and_a_network_of_other_numbers_do_not_go_together():
    floats = trained_network(layers=(12, 9, 4))
    with pytest.raises(ExportError, match="this network is in real numbers"):
        find("onnx-int").expected(floats, {"numbers": "own"}, samples(floats))


def test_it_needs_no_data_set(tmp_path):
    trained = integer_network(layers=(12, 9, 4))
    report = base.export(trained, "onnx-int", tmp_path / "a.onnx")
    assert "samples of noise" in report.carries[1].note
    with_data = base.export(
        trained, "onnx-int", tmp_path / "b.onnx", calibration=data(trained, samples(trained))
    )
    assert report.paths[0].read_bytes() == with_data.paths[0].read_bytes()
