"""A network that learns in an application: to the bit what a run learns, in bounded memory, and never in silence."""

import gc
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lavaghost.adapting.learner import OnlineLearner
from lavaghost.base.errors import DivergedError, LavaGhostError, ModelFileError, SpecError
from lavaghost.datasets import Dataset
from lavaghost.methods.ghost.rules import RULES
from lavaghost.model.model import Model
from lavaghost.net.network import Network
from lavaghost.numbers.integers import Integers
from lavaghost.online.course import Course, online_epoch
from lavaghost.online.integers.compiled_network import CompiledNetwork
from lavaghost.online.integers.settings import IntegerLearning
from lavaghost.run.train import train

LAYERS = (64, 24, 10)


@pytest.fixture(scope="module")
def squared(digits: Dataset) -> Model:
    """A network that was trained in floating point with the loss that integers learn by."""
    network = Network(layers=LAYERS, loss="squared_error", saturation=3.96875)
    return train(network, digits, epochs=4, eta=0.05, diagnostics=False).model


@pytest.fixture(scope="module")
def softmax(digits: Dataset) -> Model:
    """One that was trained with cross-entropy."""
    return train(Network(layers=LAYERS), digits, epochs=4, diagnostics=False).model


def raw(digits: Dataset, rows: Any) -> Any:
    return digits.x_train[rows] / np.float32(digits.scale), digits.y_train[rows]


SETTINGS: list[dict[str, Any]] = [
    {},
    {"margin": 0.25, "replay": 2},
    {"plastic": (2,)},
    {"format": "float"},
    {"format": "float", "margin": 0.1, "replay": 1, "plastic": (1,)},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_one_by_one_is_as_many_at_once_and_as_cut_by_a_save(digits, squared, settings, tmp_path):
    x, y = raw(digits, slice(0, 30))
    whole, single = (OnlineLearner(squared, **settings) for _ in range(2))
    for learner in (whole, single):
        learner.remember(*raw(digits, slice(100, 160)))
    answers = whole.learn(x, y)
    found = [single.learn(x[i], int(y[i])) for i in range(12)]
    single.save(tmp_path)
    single = OnlineLearner.load(tmp_path)
    found += [single.learn(x[i], int(y[i])) for i in range(12, 30)]
    assert found == answers.tolist()
    assert single.model == whole.model
    assert single.counts == whole.counts
    assert whole.counts["samples"] == 30
    assert whole.counts["trials"] == (60 if settings.get("replay") else 30)


def test_it_learns_what_the_loops_of_integers_learn(digits, squared):
    x, y = raw(digits, slice(0, 25))
    learner = OnlineLearner(squared, margin=0.5, seed=3)
    before = learner.model
    assert isinstance(before.integers, Integers)
    assert isinstance(before.learning, IntegerLearning)
    network = CompiledNetwork(before.graph, before.integers, 3)
    messages = network.arith.input(digits.x_train[:25])
    done = network.learn(RULES["prediction"], before.learning, messages, y, 0)
    learner.learn(x, y)
    assert learner.model.integers == network.integers
    assert learner.counts["taught"] == 25 - done.withheld
    assert 0 < done.withheld < 25


def test_it_learns_what_a_course_in_floating_point_teaches(digits, squared):
    x, y = raw(digits, slice(0, 20))
    learner = OnlineLearner(squared, format="float", margin=0.3)
    params = squared.params.astype(np.float64)
    course = learner._begin.course
    assert isinstance(course, Course)
    goals = np.eye(10)[y]
    online_epoch(course, params, zip(digits.x_train[:20].astype(np.float64), goals, strict=True))
    learner.learn(x, y)
    for a, b in zip(learner.model.params.weights, params.weights, strict=True):
        np.testing.assert_array_equal(a, b.astype(np.float32))


def test_frozen_layers_stay_and_the_others_move(digits, squared):
    learner = OnlineLearner(squared, plastic=(2,))
    before = learner.model
    learner.learn(*raw(digits, slice(0, 40)))
    after = learner.model
    assert before.integers is not None
    assert after.integers is not None
    moved = {n for n, a in after.integers.arrays.items() if not np.array_equal(a, before.integers.arrays[n])}
    assert moved == {"weights.2", "biases.2"}
    assert after.network.plastic == (2,)


def test_predicting_teaches_nothing(digits, squared):
    learner = OnlineLearner(squared)
    before = learner.model
    answers = learner.predict(digits.x_test / np.float32(digits.scale))
    assert learner.model == before
    assert float((answers == digits.y_test).mean()) == before.score(digits)
    assert learner.predict(digits.x_test[0] / np.float32(digits.scale)) == answers[0]


def test_another_loss_is_refitted_where_there_are_data_and_told_where_there_are_none(digits, softmax):
    with pytest.raises(SpecError, match=r"trained with cross_entropy.*--keep"):
        OnlineLearner(softmax)
    learner = OnlineLearner(softmax, old=digits)
    record = learner.model.record["refit"]
    assert record["kept"] in ("ridge", "tuned")
    assert learner.model.score(digits) > softmax.score(digits) - 0.05
    before = learner.model.score(digits)
    learner.learn(*raw(digits, slice(0, 100)))
    assert learner.model.score(digits) > before - 0.05  # which fell by 25 points without


def test_a_learned_network_starts_as_it_is(digits, squared):
    learner = OnlineLearner(squared)
    learner.learn(*raw(digits, slice(0, 30)))
    taken = learner.model
    again = OnlineLearner(taken)
    assert again.model.integers == taken.integers


def test_classes_are_added_and_the_old_answers_stay(digits, squared):
    learner = OnlineLearner(squared, classes=("frog", "newt"))
    assert learner.labels == (*range(10), "frog", "newt")
    plain, x = OnlineLearner(squared), digits.x_test[:50]
    np.testing.assert_array_equal(learner.answers(x)[:, :10], plain.answers(x))
    assert not learner.answers(x)[:, 10:].any()
    assert learner.learn(x[0] / np.float32(digits.scale), "frog") in learner.labels
    for _ in range(60):
        learner.learn(x[0] / np.float32(digits.scale), "frog")
    assert learner.predict(x[0] / np.float32(digits.scale)) == "frog"


def test_a_guard_takes_back_what_does_harm(digits, squared):
    x, y = raw(digits, slice(0, 300))
    watched = raw(digits, slice(400, 500))
    wrong = (y + 1) % 10
    plain, guarded = (OnlineLearner(squared, guard=g, guard_every=50) for g in (None, watched))
    for learner in (plain, guarded):
        learner.learn(x, wrong)
    assert guarded.counts["rollbacks"] > 0
    assert guarded.model.score(digits) > squared.score(digits) - 0.05
    assert plain.model.score(digits) < 0.5


def test_a_guard_is_saved_too(digits, squared, tmp_path):
    x, y = raw(digits, slice(0, 200))
    learners = [OnlineLearner(squared, guard=raw(digits, slice(400, 450)), guard_every=40) for _ in range(2)]
    learners[0].learn(x, (y + 1) % 10)
    learners[1].learn(x[:90], (y[:90] + 1) % 10)
    learners[1].save(tmp_path)
    resumed = OnlineLearner.load(tmp_path)
    resumed.learn(x[90:], (y[90:] + 1) % 10)
    assert resumed.model == learners[0].model
    assert resumed.counts == learners[0].counts


def test_memory_does_not_grow_with_the_stream(digits, squared):
    learner = OnlineLearner(squared, margin=0.25, replay=1)
    learner.remember(*raw(digits, slice(100, 200)))
    x, y = raw(digits, slice(0, 50))
    for _ in range(4):
        learner.learn(x, y)
    sizes = []
    for _ in range(4):
        for i in range(500):
            learner.learn(x[i % 50], int(y[i % 50]))
        gc.collect()
        sizes.append(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize())
    assert sizes[-1] - sizes[0] < 500_000, sizes  # 1 kB of each of 1500 samples would be more
    assert sum(a.nbytes for a in learner.state.values()) < 200_000


BAD = [
    (lambda x, y: (x[:, :60], y), "shape"),
    (lambda x, y: (x * 255, y), "bring it to their scale"),
    (lambda x, y: (x * np.float32(np.nan), y), "NaN or infinite"),
    (lambda x, y: (x, [*y[:-1], 11]), "label 11 of sample 9 is no class"),
    (lambda x, y: (x, [*y[:-1], None]), "label of sample 9 is missing"),
    (lambda x, y: (x, y.astype(float) * np.nan), "missing"),
    (lambda x, y: (x, y[:-1]), "10 samples and 9 labels"),
    (lambda x, y: (["a"] * 10, y), "no array of numbers"),
]


@pytest.mark.parametrize(("spoil", "text"), BAD, ids=[text for _, text in BAD])
@pytest.mark.parametrize("format", ["loihi", "float"])
def test_what_cannot_be_a_sample_is_one_line_and_nothing_is_learned(digits, squared, spoil, text, format):
    learner = OnlineLearner(squared, format=format)
    before, counts = learner.model, learner.counts
    with pytest.raises(SpecError, match=text) as caught:
        learner.learn(*spoil(*raw(digits, slice(0, 10))))
    assert "\n" not in str(caught.value)
    assert (learner.model, learner.counts) == (before, counts)


def test_a_stream_that_breaks_leaves_what_came_before(digits, squared):
    x, y = raw(digits, slice(0, 10))

    def stream():
        yield from ((x[i], int(y[i])) for i in range(6))
        raise ConnectionError("the sensor is gone")

    broken, whole = OnlineLearner(squared), OnlineLearner(squared)
    with pytest.raises(ConnectionError):
        broken.follow(stream())
    assert whole.follow((x[i], int(y[i])) for i in range(6)) == 6
    assert broken.model == whole.model


@pytest.mark.parametrize(
    "settings",
    [
        {"format": "double"},
        {"engine": "equilibrium"},
        {"engine": "lava", "processes": "both"},
        {"replay": -1},
        {"guard": ([], []), "guard_every": 0},
        {"guard_drop": 2.0},
        {"plastic": (3,)},
        {"plastic": (2, 2)},
        {"classes": -1},
        {"classes": (1, "a")},
        {"eta": 0.0},
        {"margin": -0.5},
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused_in_one_line(squared, settings):
    with pytest.raises(LavaGhostError) as caught:
        OnlineLearner(squared, **settings)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_a_damaged_state_is_refused(digits, squared, tmp_path: Path):
    learner = OnlineLearner(squared)
    with pytest.raises(ModelFileError):
        OnlineLearner.load(tmp_path)
    learner.save(tmp_path)
    file = tmp_path / "checkpoint.safetensors"
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(ModelFileError, match="damaged"):
        OnlineLearner.load(tmp_path)
    other = OnlineLearner(replace(squared, labels=tuple(range(1, 11))), seed=1)
    learner.learn(*raw(digits, slice(0, 1)))
    learner.save(tmp_path)
    other._start.save(tmp_path / "start")
    assert OnlineLearner.load(tmp_path).labels == other.labels  # its numbers are the same ones
    changed = train(replace_network(squared), digits, epochs=0, diagnostics=False).model
    changed.save(tmp_path / "start")
    with pytest.raises(ModelFileError):
        OnlineLearner.load(tmp_path)


def replace_network(model: Model) -> Network:
    return model.network.model_copy(update={"layers": (64, 20, 10)})


def test_floating_point_that_diverges_says_so_and_keeps_what_was(digits, squared):
    learner = OnlineLearner(squared, format="float", eta=1e9)
    before = learner.model
    with pytest.raises(DivergedError, match="lower eta"):
        learner.learn(*raw(digits, slice(0, 40)))
    assert learner.model == before
