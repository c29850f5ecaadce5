"""Checkpoints: what is saved comes back to the bit; what is damaged, or of another run, is refused in one line."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lavaghost.base.errors import ModelFileError, OutputError
from lavaghost.datasets import Dataset
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.ghost.plasticity import GhostSteps
from lavaghost.methods.learning import Learning
from lavaghost.net.network import Network
from lavaghost.numbers.arithmetic import Array
from lavaghost.run.job import prepared
from lavaghost.run.spec import RunSpec, merged
from lavaghost.training.checkpoint import FILE_NAME, Checkpoint, load_checkpoint, save_checkpoint
from lavaghost.training.float_learner import FloatLearner

HISTORY = [{"epoch": 0, "accuracy": 0.1}, {"epoch": 1, "accuracy": 1 / 3, "cosines": [0.5, 1e-300]}]


def data(labels: tuple[int, ...] = (0, 1, 2) * 4) -> Dataset:
    """Twelve samples of three classes."""
    x = np.random.default_rng(0).random((12, 5)).astype(np.float32)
    y = np.array(labels)
    return Dataset(name="toy", x_train=x, y_train=y, x_test=x, y_test=y, n_classes=3)


SPEC = RunSpec(
    hidden=(4,),
    # an open gate: the network learns, too
    method=Ghost(mechanism="learned", feedback="random", plasticity=GhostSteps(gate=1e6)),
    learning=Learning(epochs=7, batch_size=6),
)
OWNER = prepared(SPEC, data()).identity()


def learner(dtype: type = np.float32, hidden: int = 4) -> FloatLearner:
    """A run after its first epoch: parameters and velocities that nothing else has."""
    engine = "stepped" if dtype == np.float64 else "equilibrium"
    learning = SPEC.learning.model_copy(update={"engine": engine})
    assert isinstance(learning, Learning)
    found = FloatLearner(Network(layers=(5, hidden, 3)), SPEC.method, learning, data())
    found.epoch(0, lambda done: None)
    return found


def saved(folder: Path, dtype: type = np.float32, owner: str = OWNER) -> Mapping[str, Array]:
    tensors = learner(dtype).tensors()
    save_checkpoint(folder, owner, 1, tensors, HISTORY)
    return tensors


def refused(folder: Path, owner: str = OWNER) -> str:
    with pytest.raises(ModelFileError) as caught:
        load_checkpoint(folder, owner)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder / FILE_NAME) in message
    assert caught.value.exit_code == 2
    return message


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_saved_comes_back_to_the_bit(tmp_path, dtype):
    tensors = saved(tmp_path, dtype)
    assert {name.partition(".")[0] for name in tensors} == {"parameters", "velocity"}
    found = load_checkpoint(tmp_path, OWNER)
    assert isinstance(found, Checkpoint)
    assert (found.epoch, found.history) == (1, HISTORY)
    assert found.tensors.keys() == tensors.keys()
    for name, array in tensors.items():
        back = found.tensors[name]
        np.testing.assert_array_equal(back, array)
        assert back.dtype == dtype
        assert back.flags.writeable
        assert back.flags.c_contiguous
        if name.startswith("velocity.weights"):
            assert back.any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_learner_takes_back_what_it_had(tmp_path, dtype):
    tensors = saved(tmp_path, dtype)
    found = load_checkpoint(tmp_path, OWNER)
    assert found is not None
    other = learner(dtype)
    other.epoch(1, lambda done: None)
    assert any((other.tensors()[name] != array).any() for name, array in tensors.items())
    other.restore(found.tensors)
    for name, array in tensors.items():
        assert other.tensors()[name].tobytes() == array.tobytes()


def test_no_checkpoint_is_none(tmp_path):
    assert load_checkpoint(tmp_path, OWNER) is None
    assert load_checkpoint(tmp_path / "not there", OWNER) is None


def test_saving_replaces_and_leaves_no_other_file(tmp_path):
    saved(tmp_path)
    saved(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [FILE_NAME]


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError) as caught:
        saved(tmp_path / "file" / "below")
    assert "\n" not in str(caught.value)


# ---- damage


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path, share):
    saved(tmp_path)
    path = tmp_path / FILE_NAME
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert "is damaged" in refused(tmp_path)
    assert "without --resume" in refused(tmp_path)


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 100, b"\xff" * 100, b"not a checkpoint at all", b"\x05" + b"\0" * 7]
)
def test_any_other_file_is_refused(tmp_path, data):
    (tmp_path / FILE_NAME).write_bytes(data)
    assert "is damaged" in refused(tmp_path)


def test_a_folder_of_that_name_is_refused(tmp_path):
    (tmp_path / FILE_NAME).mkdir()
    assert "cannot read" in refused(tmp_path)


def flipped(folder: Path, position: int) -> None:
    """The checkpoint in `folder` with one other bit."""
    path = folder / FILE_NAME
    data = path.read_bytes()
    path.write_bytes(data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :])


def test_a_flipped_bit_in_the_header_is_read_as_it_was_or_refused(tmp_path):
    """Whatever it hits (lengths, names, the run's identity, the history), the error is ours."""
    saved(tmp_path)
    kept = (tmp_path / FILE_NAME).read_bytes()
    header = 8 + int.from_bytes(kept[:8], "little")
    for position in range(0, header, 11):
        (tmp_path / FILE_NAME).write_bytes(kept)
        flipped(tmp_path, position)
        # any other error ends the test
        with suppress(ModelFileError):
            load_checkpoint(tmp_path, OWNER)


def test_a_flipped_bit_in_a_weight_is_refused(tmp_path):
    """It must not become a weight: a resumed run ends with the last bit of an uninterrupted one."""
    saved(tmp_path)
    size = len((tmp_path / FILE_NAME).read_bytes())
    flipped(tmp_path, size - 3)
    assert "is damaged" in refused(tmp_path)


def edited(folder: Path, **meta: str) -> None:
    """The checkpoint in `folder` with other metadata."""
    from safetensors.numpy import load, save

    path = folder / FILE_NAME
    data = path.read_bytes()
    old = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    path.write_bytes(save(load(data), metadata=old | meta))


@pytest.mark.parametrize("meta", [{"epoch": "one"}, {"history": "[1,"}, {"history": ""}])
def test_metadata_that_cannot_be_read_is_refused(tmp_path, meta):
    saved(tmp_path)
    edited(tmp_path, **meta)
    assert "is damaged" in refused(tmp_path)


def test_a_file_without_our_metadata_is_refused(tmp_path):
    from safetensors.numpy import save

    (tmp_path / FILE_NAME).write_bytes(save({"a": np.zeros(3)}))
    assert "is damaged" in refused(tmp_path)


def test_another_version_is_refused(tmp_path):
    saved(tmp_path)
    edited(tmp_path, version="99")
    assert "version 99" in refused(tmp_path)


def test_arrays_that_do_not_fit_are_refused_by_name(tmp_path):
    save_checkpoint(tmp_path, OWNER, 1, learner(hidden=6).tensors(), HISTORY)
    found = load_checkpoint(tmp_path, OWNER)
    assert found is not None
    with pytest.raises(ModelFileError) as caught:
        learner().restore(found.tensors)
    message = str(caught.value)
    for part in ("the checkpoint is damaged", "parameters.weights.1 (6, 5)", "without --resume"):
        assert part in message
    assert "\n" not in message


@pytest.mark.parametrize("change", ["less", "more", "other type"])
def test_a_tensor_less_more_or_of_another_type_is_refused(change):
    one = learner()
    tensors = dict(one.tensors())
    if change == "less":
        del tensors["velocity.biases.2"]
    elif change == "more":
        tensors["state.memory"] = np.zeros(3, np.float32)
    else:
        tensors["velocity.biases.2"] = tensors["velocity.biases.2"].astype(np.float64)
    with pytest.raises(
        ModelFileError, match=r"state\.memory \(3,\)" if change == "more" else r"velocity\.biases\.2 \(3,\)"
    ):
        one.restore(tensors)


# ---- ownership


@pytest.mark.parametrize(
    ("changes", "labels", "difference"),
    [
        ({"method": {"lam": 0.5}}, None, "method.lam: 0.03, now 0.5"),
        ({"method": {"schedule": {"tau_steps": 3.0}}}, None, "method.schedule.tau_steps: 2.0, now 3.0"),
        ({"learning": {"seed": 4}}, None, "learning.seed: 0, now 4"),
        ({"method": {"plasticity": {"mu": 0.25}}}, None, "method.plasticity.mu: 0.5, now 0.25"),
        ({"learning": {"epochs": 8}}, None, "learning.epochs: 7, now 8"),
        ({"network": {"saturation": 2.0}}, None, "network.saturation: None, now 2.0"),
        ({}, (0, 1, 2, 2, 1, 0) * 2, "data: toy:"),
    ],
)
def test_another_run_is_refused_by_what_differs(tmp_path, changes: dict[str, Any], labels, difference):
    saved(tmp_path)
    message = refused(tmp_path, prepared(changed(changes), data(labels) if labels else data()).identity())
    assert f"({difference}" in message
    assert ", now" in message
    assert message.count(", now") == 1
    assert "another --out" in message


def changed(changes: dict[str, Any]) -> RunSpec:
    return RunSpec.model_validate(merged(SPEC.model_dump(mode="json"), changes))


def test_another_method_is_another_run():
    frozen = RunSpec(hidden=(4,), method="frozen", learning=SPEC.learning)
    backprop = RunSpec(hidden=(4,), method="backprop", learning=SPEC.learning)
    found = {prepared(spec, data()).identity() for spec in (SPEC, frozen, backprop)}
    assert len(found) == 3


def test_an_identity_is_equal_for_equal_runs_alone():
    assert prepared(changed({}), data()).identity() == OWNER
    assert prepared(SPEC, data((0, 1, 2, 2, 1, 0) * 2)).identity() != OWNER
