"""`adapt`: what is presented, tested and stored, in every pair of engine and arithmetic; resumed to the bit."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lavaghost.adapting.adapt import AdaptSpec, adapt
from lavaghost.adapting.stored import Stored
from lavaghost.base.errors import LavaGhostError
from lavaghost.datasets import Dataset
from lavaghost.datasets.channels import two_channels
from lavaghost.evaluation.quantise import quantise_model
from lavaghost.methods.backprop import Backprop
from lavaghost.methods.ghost.method import Ghost
from lavaghost.model.model import Model
from lavaghost.model.widen import widened
from lavaghost.net.network import Network
from lavaghost.run.train import train

SIZES = {"epochs": 3, "eta": 0.05, "diagnostics": False}


@pytest.fixture(scope="module")
def moved(digits: Dataset) -> Dataset:
    """The digits, one pixel further right."""

    def further(x: Any) -> Any:
        return np.ascontiguousarray(np.roll(x.reshape(-1, 8, 8), 1, axis=2).reshape(-1, 64))

    return replace(digits, name="moved", x_train=further(digits.x_train), x_test=further(digits.x_test))


@pytest.fixture(scope="module")
def start(digits: Dataset) -> Model:
    network = Network(layers=(64, 32, 10), loss="squared_error", saturation=3.96875)
    return train(network, digits, epochs=8, eta=0.05, diagnostics=False).model


def test_it_learns_the_new_and_keeps_the_old_where_it_may_store_some(digits, moved, start):
    plain = adapt(start, moved, digits, AdaptSpec(samples=600, replay=0, margin="none", eta=2.0**-6))
    stored = adapt(start, moved, digits, AdaptSpec(samples=600))
    for found in (plain, stored):
        assert found.result["accuracy"] > found.result["accuracy_before"] + 0.1
        assert [row["samples"] for row in found.result["curve"]] == [0, 100, 300, 600]
        assert found.result["curve"][-1]["accuracy"] == found.model.score(moved)
        assert found.result["kept"] == found.model.score(digits)
    assert stored.result["kept"] > plain.result["kept"]
    assert plain.result["trials"] == plain.result["updates"] == 600
    assert stored.result["trials"] == 1200
    assert stored.result["updates"] < stored.result["trials"]
    by_class = stored.result["recall"]
    counts = np.bincount(moved.y_test, minlength=10)
    assert sum(by_class[str(c)] * counts[c] for c in range(10)) / counts.sum() == pytest.approx(
        stored.result["accuracy"]
    )


def starts(digits: Dataset) -> dict[str, Model]:
    """A network of every kind that people bring."""
    layers = (64, 16, 10)
    squared = train(Network(layers=layers, loss="squared_error"), digits, **SIZES).model
    made = {
        "squared": squared,
        "softmax": train(Network(layers=layers), digits, **SIZES).model,
        "backprop": train(Network(layers=layers), digits, method=Backprop(), **SIZES).model,
        "hard": train(Network(layers=layers, activation="hard_sigmoid"), digits, **SIZES).model,
        "learned ghosts": train(
            Network(layers=layers), digits, method=Ghost(mechanism="learned", feedback="random"), **SIZES
        ).model,
        "online": train(Network(layers=layers), digits, method=Ghost(mechanism="online"), **SIZES).model,
        "deep": train(Network(layers=(64, 16, 12, 10)), digits, **SIZES).model,
        "quantised": quantise_model(squared, digits).model,
        "integers": train(
            Network(layers=layers), digits, arithmetic="loihi", epochs=1, diagnostics=False
        ).model,
    }
    made["softmax quantised"] = quantise_model(made["softmax"], digits).model
    return made


@pytest.mark.filterwarnings("ignore:the start was quantised in formats that cannot learn")
@pytest.mark.parametrize("arithmetic", ["loihi", "float"])
def test_every_kind_of_start_adapts_and_comes_out_as_a_network(digits, moved, arithmetic, tmp_path):
    for name, model in starts(digits).items():
        spec = AdaptSpec(samples=120, at=(60,), arithmetic=arithmetic, hardware="loihi1")
        found = adapt(model, moved, digits, spec)
        result = found.result
        assert result["kept_before"] > model.score(digits) - 0.1, name
        assert len(result["cosines"]) == model.graph.depth, name
        assert result["cosines"][-1] > 0.95, name
        assert len(result["residuals"]) == (model.graph.depth - 1), name
        assert result["kept"] > 0.5 * result["kept_before"], name
        assert found.model.arithmetic == arithmetic, name
        assert (result["refit"] is not None) == (
            arithmetic == "loihi" and model.network.loss == "cross_entropy"
        ), name
        again = Model.load(found.model.save(tmp_path / name))
        assert again == found.model, name
        assert again.score(moved) == result["accuracy"], name
        further = adapt(again, moved, digits, AdaptSpec(samples=10, arithmetic=arithmetic))
        assert further.result["refit"] is None or arithmetic == "loihi", name
        assert further.result["accuracy_before"] == result["accuracy"], name


@pytest.mark.parametrize(
    "spec", [{}, {"arithmetic": "float"}, {"replay": 3, "replays": 2, "passes": 2}], ids=str
)
def test_a_run_that_was_cut_goes_on_to_the_same_bits(digits, moved, start, spec, tmp_path):
    values: Any = {"samples": 450, "at": (100, 300), **spec}
    plan = AdaptSpec(**values)
    whole = adapt(start, moved, digits, plan, out=tmp_path / "whole")
    for cut in (100, 200, 400):

        class Cut(Exception):
            pass

        def stop(done: int, total: int, row: Any, at: int = cut, error: type[Exception] = Cut) -> None:
            if done == at:
                raise error

        folder = tmp_path / str(cut)
        with pytest.raises(Cut):
            adapt(start, moved, digits, plan, out=folder, report=stop)
        resumed = adapt(start, moved, digits, plan, out=folder, resume=True)
        assert resumed.model == whole.model
        assert resumed.result == whole.result
    with pytest.raises(LavaGhostError, match="belongs to another run"):
        adapt(start, moved, digits, AdaptSpec(**{**values, "seed": 1}), out=tmp_path / "whole", resume=True)


def test_new_classes_are_learned_from_a_few_samples(digits, tmp_path):
    fewer = replace(
        digits,
        name="eight",
        **{
            key: getattr(digits, key)[digits.y_train < 8 if "train" in key else digits.y_test < 8]
            for key in ("x_train", "y_train", "x_test", "y_test")
        },
        n_classes=8,
    )
    network = Network(layers=(64, 48, 8), loss="squared_error", saturation=3.96875)
    known = train(network, fewer, epochs=10, eta=0.05, diagnostics=False).model
    spec = AdaptSpec(classes=2, only=(8, 9), shots=20, passes=5)
    found = adapt(known, digits, fewer, spec)
    assert found.result["samples"] == 200
    assert found.model.labels == tuple(range(10))
    recall = found.result["recall"]
    assert np.mean([recall["8"], recall["9"]]) > 0.6
    assert np.mean([recall[str(c)] for c in range(8)]) > 0.8
    assert found.result["curve"][0]["kept"] == pytest.approx(known.score(fewer), abs=0.03)


def test_outputs_that_wait_answer_nothing(digits, start):
    wide = widened(start, labels=("a", "b"))
    np.testing.assert_array_equal(wide.outputs(digits.x_test)[:, :10], start.outputs(digits.x_test))
    assert not wide.outputs(digits.x_test)[:, 10:].any()
    bad: Any
    for bad in ({"classes": -1}, {"labels": (3,)}):
        with pytest.raises(LavaGhostError):
            widened(start, **bad)


def test_stored_samples_all_come_again_before_one_comes_twice():
    stored = Stored(3, 4, 2, seed=5)
    labels = np.array([0, 0, 0, 0, 0, 1, 2, 2])
    assert stored.keep(np.arange(16.0).reshape(8, 2), labels) == 7  # one of class 0 has no room
    for cycle in range(3):
        assert sorted(stored.rows(7 * cycle, 7)) == list(range(7))
    whole = stored.rows(0, 30)
    np.testing.assert_array_equal(np.concatenate([stored.rows(0, 11), stored.rows(11, 19)]), whole)
    again = Stored(3, 4, 2, seed=5)
    again.restore(stored.tensors())
    np.testing.assert_array_equal(again.rows(0, 30), whole)
    assert stored.counts.tolist() == again.counts.tolist() == [4, 1, 2]


def test_signed_samples_come_in_two_channels(digits):
    centred = replace(
        digits,
        name="centred",
        x_train=digits.x_train - np.float32(0.5),
        x_test=digits.x_test - np.float32(0.5),
        scale=1.0,
    )
    model = train(Network(layers=(64, 16, 10), loss="squared_error"), centred, **SIZES).model
    with pytest.warns(UserWarning, match="two channels"):
        found = adapt(model, centred, centred, AdaptSpec(samples=50))
    assert found.model.network.layers[0] == 128
    assert found.model.score(two_channels(centred)) == found.result["accuracy"]


@pytest.mark.parametrize(
    ("spec", "keep", "text"),
    [
        ({"replay": 3}, False, "no old samples to store"),
        ({"samples": 10**6}, True, "has 1437 to present"),
        ({"only": (11,)}, True, "no class 11"),
        ({"plastic": (4,)}, True, "layers 1 to 2"),
        ({"hardware": "loihi9"}, True, "loihi9"),
    ],
    ids=str,
)
def test_what_cannot_be_is_said_before_anything_is_learned(digits, moved, start, spec, keep, text):
    with pytest.raises(LavaGhostError, match=text) as caught:
        adapt(start, moved, digits if keep else None, AdaptSpec(**spec))
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
