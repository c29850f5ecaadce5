"""Training on Lava is the online loop of the stepped engine, and learns what the equilibrium engine learns."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lavaghost.base.errors import DivergedError, LavaError, SpecError
from lavaghost.datasets import Dataset
from lavaghost.dynamics import Parameters, initial_parameters
from lavaghost.lava import run_lava
from lavaghost.lava.learner import train_on_lava
from lavaghost.methods.backprop import Backprop
from lavaghost.methods.base import Method
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.ghost.plasticity import GhostSteps, OnlineGhosts
from lavaghost.methods.learning import Learning
from lavaghost.net.network import Network, Schedule
from lavaghost.online.course import course, online_epoch
from lavaghost.run.plots import layer_record
from lavaghost.training.float_learner import FloatLearner
from lavaghost.training.loop import Trained, run
from lavaghost.training.order import shuffled
from tests.networks import parts

pytestmark = [pytest.mark.lava, pytest.mark.usefixtures("nothing_left")]

SHORT = Schedule(tau_steps=1, tau_ghost_steps=1, t_free_steps=3, t_nudge_steps=2)


def network(**fields: Any) -> tuple[Network, Ghost]:
    return parts(
        **{"layers": (64, 32, 10), "rule": "prediction", "lam": 0.25, "beta": 0.5, "schedule": SHORT, **fields}
    )


def train(net: tuple[Network, Method], learning: Learning, data: Dataset, **options: Any) -> Trained:
    return train_on_lava(*net, learning, data, **options)


def online(**fields: Any) -> Learning:
    settings = {"batch_size": 1, "momentum": 0.0, "weight_decay": 0.0, "eta": 0.02, "epochs": 1, "seed": 3}
    return Learning(**{**settings, **fields})


def reference(
    net: tuple[Network, Ghost], learning: Learning, digits: Dataset, limit: int, ghosts=None
) -> Parameters:
    """What the stepped engine makes of the first `limit` samples of each epoch."""
    graph = net[1].graph(net[0])
    params = initial_parameters(graph, learning.seed, np.float64)
    plan = course(graph, net[1], learning, limit * learning.epochs, ghosts=ghosts)
    index = 0
    epochs = [(2**32, plan.pretrain)] if plan.pretrain else []
    for epoch, count in epochs + [(epoch, limit) for epoch in range(learning.epochs)]:
        samples = ((x[0], y[0]) for x, y in shuffled(digits, 1, learning.seed, epoch))
        index = online_epoch(plan, params, itertools.islice(samples, count), index)
    return params


def same(a: Parameters, b: Parameters) -> None:
    for name, array in a.named().items():
        np.testing.assert_array_equal(array, b.named()[name], err_msg=name)


def test_two_hundred_samples_in_both_models(digits, tmp_path: Path):
    net, learning = network(), online(eta_decay="cosine")
    runs, watched = {}, []
    for model in ("fused", "decomposed"):
        runs[model] = train(
            net,
            learning,
            digits,
            processes=model,
            limit=200,
            looks=3,
            out=tmp_path / model,
            record=(1, 2),
            watch=lambda done, accuracy: watched.append((done, accuracy)),
        )
    expected = reference(net, learning, digits, 200)
    for one in runs.values():
        same(one.params, expected)
        assert [row["epoch"] for row in one.history] == [0, 1]
        assert [place for place, _ in one.history[1]["during"]] == [0.25, 0.5, 0.75]
        assert one.history[1]["accuracy"] > 0.4
        assert min(one.history[1]["cosines"]) > 0.98
        assert one.history[1]["residuals"] == [0.0]
    assert [done for done, _ in watched] == [50, 100, 150] * 2
    assert watched[:3] == watched[3:]
    fused, decomposed = (np.load(tmp_path / model / "record.npz") for model in runs)
    assert fused["free_1"].shape == fused["nudged_1"].shape == (200, 32)
    assert fused["weights_2"].shape == (4, 10, 32)
    np.testing.assert_array_equal(fused["trial"], np.arange(200))
    np.testing.assert_array_equal(fused["residual_1"], np.zeros(200))
    np.testing.assert_array_equal(fused["weights_1"][-1], expected.weights[0].astype(np.float32))
    for name in fused:
        np.testing.assert_array_equal(fused[name], decomposed[name])

    picture = layer_record(dict(fused), tmp_path / "record.png")
    assert picture.read_bytes().startswith(b"\x89PNG")

    # and inference with what was learned
    graph = net[1].graph(net[0])
    outputs = [run_lava(graph, expected, digits.x_test[:20], model=m).output for m in ("fused", "decomposed")]
    np.testing.assert_array_equal(outputs[0], outputs[1])


def test_digits_are_learned_as_well_as_at_equilibrium(digits):
    net, learning = network(), online(epochs=2)
    lava = train(net, learning, digits, looks=0).history[-1]
    equilibrium = run(FloatLearner(*net, learning, digits)).history[-1]
    assert lava["accuracy"] > equilibrium["accuracy"] - 0.01
    assert lava["accuracy"] > 0.9
    assert min(lava["cosines"]) > 0.98
    assert lava["residuals"] == [0.0]


def test_learned_ghosts_pretrain_and_then_follow(digits):
    net = network(
        mechanism="learned", feedback="random", rule="temporal", plasticity=GhostSteps(pretrain_batches=10)
    )
    learning = online()
    ghosts = OnlineGhosts(2.0**-7, 2.0**-8)
    progress: list[tuple[int, int]] = []
    run = train(
        net,
        learning,
        digits,
        limit=15,
        ghosts=ghosts,
        report=lambda done, total, row: progress.append((done, total)),
    )
    same(run.params, reference(net, learning, digits, 15, ghosts))
    assert progress[-1] == (25, 25)
    assert [row["epoch"] for row in run.history] == [0, 1]
    chosen = train(net, learning, digits, limit=2, diagnostics=False)  # steps from the activity
    assert all(np.isfinite(a).all() for a in chosen.params.named().values())


def test_an_interrupted_run_resumes_to_the_same_bits(digits, tmp_path: Path):
    net, learning = network(), online(epochs=3)
    whole = train(net, learning, digits, limit=30, diagnostics=False)

    def stop(done: int, total: int, row: Any) -> None:
        if row is not None and row["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(net, learning, digits, limit=30, diagnostics=False, out=tmp_path, report=stop)
    resumed = train(net, learning, digits, limit=30, diagnostics=False, out=tmp_path, resume=True)
    same(resumed.params, whole.params)
    assert [row["accuracy"] for row in resumed.history] == [row["accuracy"] for row in whole.history]

    # a run that was over is the same, and leaves what it recorded
    (tmp_path / "record.npz").write_bytes(b"as it was")
    again = train(net, learning, digits, limit=30, diagnostics=False, out=tmp_path, resume=True, record=[1])
    same(again.params, whole.params)
    assert (tmp_path / "record.npz").read_bytes() == b"as it was"


def test_a_run_that_diverges_says_so(digits):
    wild = pytest.raises(DivergedError, match=r"diverged in epoch 1: .*lower learning\.eta")
    with wild, np.errstate(all="ignore"):  # the processes inherit it
        train(network(loss="squared_error"), online(eta=1e6), digits, limit=60, diagnostics=False)


def test_time_out(digits):
    """A run of fifty epochs ends before its last one does."""
    rows: list[Any] = []
    with pytest.raises(LavaError, match=r"within the time-out of 0\.6 s"):
        train(
            network(), online(epochs=50), digits, diagnostics=False, timeout_s=0.6,
            report=lambda done, total, row: rows.append(row),
        )  # fmt: skip
    assert all(row["epoch"] < 50 for row in rows if row)


@pytest.mark.parametrize(
    ("fields", "options", "text"),
    [
        ({"batch_size": 50, "momentum": 0.9}, {}, r"batch_size 50, momentum 0\.9; use batch"),
        ({}, {"processes": "both"}, "Lava model 'both' is unknown; use fused or decomposed"),
        ({}, {"record": (3,)}, r"record \[3\]: the network has layers 1 to 2"),
        ({}, {"ghosts": OnlineGhosts(0.1, 0.1)}, "ghosts that do not learn take no steps"),
    ],
)
def test_what_does_not_go_together_is_refused(fields, options, text, digits):
    with pytest.raises(SpecError, match=text):
        train(network(), online(**fields), digits, limit=4, **options)


def test_a_method_without_ghosts_is_refused(digits):
    with pytest.raises(SpecError, match="method 'backprop' has no processes or equations for engine 'lava'"):
        train((network()[0], Backprop()), online(), digits, limit=4)
