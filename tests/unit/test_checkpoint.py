"""Checkpoints: what is saved comes back to the bit; what is damaged, or of another run, is refused in one line."""

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from lavaghost.base.errors import ModelFileError, OutputError
from lavaghost.dynamics import initial_parameters
from lavaghost.methods.optimiser import Factors, Momentum
from lavaghost.net.spec import Learning, Network
from lavaghost.training.checkpoint import FILE_NAME, Checkpoint, identity, load_checkpoint, save_checkpoint

NETWORK = Network(layers=(5, 4, 3), mechanism="learned", feedback="random")
LEARNING = Learning(rule="temporal", epochs=7)
OWNER = identity(NETWORK, LEARNING, "digits:0123")
HISTORY = [{"epoch": 0, "accuracy": 0.1}, {"epoch": 1, "accuracy": 1 / 3, "cosines": [0.5, 1e-300]}]


def saved(folder: Path, dtype: type = np.float32, network: Network = NETWORK, owner: str = OWNER) -> Momentum:
    params = initial_parameters(network, 0, dtype)
    optimiser = Momentum(params, 0.9, 1e-4)
    rng = np.random.default_rng(0)
    n = network.layers
    factors: list[Factors | None] = [
        Factors(rng.normal(size=(6, n[k])).astype(dtype), rng.normal(size=(6, n[k - 1])).astype(dtype), 1.0)
        for k in (1, 2)
    ]
    optimiser.apply(params, factors, 0.1)
    save_checkpoint(folder, owner, 1, params, optimiser, HISTORY)
    return optimiser


def refused(folder: Path, network: Network = NETWORK, owner: str = OWNER) -> str:
    with pytest.raises(ModelFileError) as caught:
        load_checkpoint(folder, network, owner)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder / FILE_NAME) in message
    assert caught.value.exit_code == 2
    return message


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_saved_comes_back_to_the_bit(tmp_path, dtype):
    optimiser = saved(tmp_path, dtype)
    params = initial_parameters(NETWORK, 0, dtype)
    found = load_checkpoint(tmp_path, NETWORK, OWNER)
    assert isinstance(found, Checkpoint)
    assert (found.epoch, found.history) == (1, HISTORY)
    assert found.velocity.keys() == optimiser.named().keys()
    for name, velocity in optimiser.named().items():
        np.testing.assert_array_equal(found.velocity[name], velocity)
        assert found.velocity[name].dtype == dtype
    assert found.params.named().keys() == params.named().keys()
    for name, array in found.params.named().items():
        assert array.dtype == dtype
        assert array.flags.writeable
        assert array.flags.c_contiguous
        if name.startswith(("feedback", "ghost")):
            np.testing.assert_array_equal(array, params.named()[name])


def test_no_checkpoint_is_none(tmp_path):
    assert load_checkpoint(tmp_path, NETWORK, OWNER) is None
    assert load_checkpoint(tmp_path / "not there", NETWORK, OWNER) is None


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
            load_checkpoint(tmp_path, NETWORK, OWNER)


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
    other = Network(layers=(5, 6, 3), mechanism="learned", feedback="random")
    saved(tmp_path, network=other)
    message = refused(tmp_path)
    assert "weights.1" in message
    assert "(6, 5)" in message


# ---- ownership


@pytest.mark.parametrize(
    ("network", "learning", "data", "difference"),
    [
        ({"lam": 0.5}, {}, "digits:0123", "network.lam: 0.03, now 0.5"),
        ({"schedule": {"tau_steps": 3.0}}, {}, "digits:0123", "network.schedule.tau_steps: 2.0, now 3.0"),
        ({}, {"seed": 4}, "digits:0123", "learning.seed: 0, now 4"),
        ({}, {"ghosts": {"mu": 0.25}}, "digits:0123", "learning.ghosts.mu: 0.5, now 0.25"),
        ({}, {"epochs": 8}, "digits:0123", "learning.epochs: 7, now 8"),
        ({}, {}, "digits:4567", "data: digits:0123, now digits:4567"),
    ],
)
def test_another_run_is_refused_by_what_differs(tmp_path, network, learning, data, difference):
    saved(tmp_path)
    other = Network.model_validate(NETWORK.model_dump() | network)
    own = Learning.model_validate(LEARNING.model_dump() | learning)
    message = refused(tmp_path, other, identity(other, own, data))
    assert f"({difference})" in message
    assert "another --out" in message


def test_an_identity_is_equal_for_equal_runs_alone():
    assert identity(NETWORK, LEARNING, "a") == identity(
        Network.model_validate(NETWORK.model_dump()), Learning.model_validate(LEARNING.model_dump()), "a"
    )
    assert identity(NETWORK, LEARNING, "a") != identity(NETWORK, LEARNING, "b")
