"""A run that is killed at any moment, again and again, ends with the bits of one that was not."""

import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lavaghost.base.errors import ModelFileError
from lavaghost.datasets import Dataset
from lavaghost.methods.alignment import KolenPollack
from lavaghost.methods.brainprop import BrainProp
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.ghost.plasticity import GhostSteps
from lavaghost.methods.learning import Learning
from lavaghost.net.network import Physics
from lavaghost.online.integers.settings import IntegerLearning
from lavaghost.run.job import prepared
from lavaghost.run.spec import RunSpec, merged
from lavaghost.training.checkpoint import FILE_NAME, load_checkpoint
from lavaghost.training.loop import OnRow, Trained, run
from tests.strategies import fast

ROOT = Path(__file__).resolve().parents[2]

RUNS = {
    "duplicate": RunSpec(hidden=(32,), learning=Learning(epochs=6, batch_size=48, eta=0.05, momentum=0.9)),
    "learned": RunSpec(
        hidden=(24, 16),
        # some batches wait at the gate, so that its count is resumed too
        method=Ghost(mechanism="learned", lam=0.01, plasticity=GhostSteps(pretrain_batches=40, gate=0.75)),
        learning=Learning(epochs=5, batch_size=48, eta=0.05),
    ),
    "stepped": RunSpec(
        hidden=(12,),
        method=Ghost(schedule=fast()),
        learning=Learning(engine="stepped", epochs=4, batch_size=48, eta=0.05),
    ),
    # what is chosen by chance, and feedback that learns
    "brainprop": RunSpec(
        hidden=(24, 16),
        network=Physics(loss="squared_error"),
        method=BrainProp(epsilon=0.3),
        learning=Learning(epochs=5, batch_size=48, eta=0.02),
    ),
    "kolen-pollack": RunSpec(
        hidden=(24, 16), method=KolenPollack(), learning=Learning(epochs=5, batch_size=48, eta=0.05)
    ),
    "integers": RunSpec(
        hidden=(12,),
        network=Physics(loss="squared_error"),
        learning=IntegerLearning(epochs=3),
    ),
}


def trained(
    spec: RunSpec,
    data: Dataset,
    out: Path | None = None,
    *,
    resume: bool = False,
    diagnostics: bool = True,
    report: OnRow = lambda done, total, row: None,
) -> Trained:
    """The loop of a run, without what is made of it."""
    job = prepared(spec, data)
    return run(job.learner(diagnostics), out=out, identity=job.identity(), resume=resume, report=report)


CHILD = """
import os
import signal
import sys
from pathlib import Path
from lavaghost.datasets import load
from tests.unit.test_resume import RUNS, trained

report_to_die_at, seconds_to_live, write_to_die_at = int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])
reports = writes = 0

def die():
    os.kill(os.getpid(), signal.SIGKILL)

fsync = os.fsync

def counted_fsync(handle):
    # as if the machine failed while it writes, before a file has its name
    global writes
    writes += 1
    if writes == write_to_die_at:
        die()
    fsync(handle)

os.fsync = counted_fsync

def report(done, total, row):
    global reports
    reports += 1
    if reports == 1 and seconds_to_live:
        # unhandled, SIGALRM ends the process at once, wherever it is
        signal.setitimer(signal.ITIMER_REAL, seconds_to_live)
    if reports == report_to_die_at:
        die()

trained(RUNS[sys.argv[1]], load("digits"), Path(sys.argv[2]), resume=True, report=report)
"""


def attempt(name: str, out: Path, *, report: int = 0, seconds: float = 0.0, write: int = 0) -> bool:
    """Train in a process of its own; whether it came to its end.

    It dies at its `report`-th report, `seconds` after its first one, or in its `write`-th write; 0 is never.
    """
    arguments = [name, str(out), str(report), str(seconds), str(write)]
    child = subprocess.run([sys.executable, "-c", CHILD, *arguments], cwd=ROOT, check=False)
    assert child.returncode in (0, -signal.SIGKILL, -signal.SIGALRM)
    return child.returncode == 0


def same_bits(a: Path, b: Path, name: str, data: Dataset) -> None:
    owner = prepared(RUNS[name], data).identity()
    left, right = load_checkpoint(a, owner), load_checkpoint(b, owner)
    assert left is not None
    assert right is not None
    assert left.epoch == right.epoch == RUNS[name].learning.epochs
    assert left.history == right.history
    assert left.tensors.keys() == right.tensors.keys()
    for key, array in left.tensors.items():
        assert array.tobytes() == right.tensors[key].tobytes(), key


@pytest.mark.parametrize("name", ["duplicate", "learned", "brainprop", "kolen-pollack"])
def test_killed_at_any_moment_it_resumes_to_the_same_bits(tmp_path, digits, name):
    spec = RUNS[name]
    plain = trained(spec, digits, tmp_path / "plain")
    out = tmp_path / "killed"
    # before the first checkpoint: of the learned ghosts, in the midst of pre-training
    assert not attempt(name, out, report=20 if name == "learned" else 1)
    assert (out / FILE_NAME).exists() == (name != "learned")
    # in the midst of the first epoch, then of a later one
    assert not attempt(name, out, report=60)
    assert not attempt(name, out, report=45)
    rng = random.Random(name)
    for _ in range(2):  # wherever it happens to be, a step or the writing of a checkpoint
        attempt(name, out, seconds=rng.uniform(0.001, 0.02))
    assert attempt(name, out)
    same_bits(tmp_path / "plain", out, name, digits)
    if name == "learned":
        assert sum(row["waited"] for row in plain.history) > 0


def test_killed_while_a_checkpoint_is_written_the_one_before_is_whole(tmp_path, digits):
    spec = RUNS["duplicate"]
    trained(spec, digits, tmp_path / "plain")
    out = tmp_path / "killed"
    assert not attempt("duplicate", out, write=3)
    found = load_checkpoint(out, prepared(spec, digits).identity())
    assert found is not None
    assert found.epoch == 1
    assert attempt("duplicate", out)
    same_bits(tmp_path / "plain", out, "duplicate", digits)


@pytest.mark.parametrize("name", list(RUNS))
def test_resumed_after_every_epoch_it_ends_with_the_same_bits(tmp_path, digits, name):
    """The same promise without processes, for every epoch: stopped right after each checkpoint."""
    spec = RUNS[name]
    plain = trained(spec, digits, tmp_path / "plain")

    class Stop(Exception):
        pass

    def stop(done: int, total: int, row: object) -> None:
        if row is not None:
            raise Stop

    for _ in range(spec.learning.epochs + 1):
        with pytest.raises(Stop):
            trained(spec, digits, tmp_path / "cut", resume=True, report=stop)
    resumed = trained(spec, digits, tmp_path / "cut", resume=True)
    same_bits(tmp_path / "plain", tmp_path / "cut", name, digits)
    assert resumed.history == plain.history


def test_a_finished_run_resumes_to_itself_at_once(tmp_path, digits):
    spec = RUNS["duplicate"]
    first = trained(spec, digits, tmp_path, diagnostics=False)
    before = (tmp_path / FILE_NAME).read_bytes()
    calls = []
    again = trained(
        spec,
        digits,
        tmp_path,
        resume=True,
        diagnostics=False,
        report=lambda *a: calls.append(a),
    )
    assert calls == []
    assert again.history == first.history
    for a, b in zip(again.params.weights, first.params.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_progress_goes_on_from_where_it_was(tmp_path, digits):
    spec = RUNS["learned"]
    batches = 40 + 5 * 30
    calls: list[tuple[int, int]] = []

    class Stop(Exception):
        pass

    def stop(done: int, total: int, row: dict | None) -> None:
        calls.append((done, total))
        if row is not None and row["epoch"] == 2:
            raise Stop

    with pytest.raises(Stop):
        trained(spec, digits, tmp_path, diagnostics=False, report=stop)
    assert calls[-1] == (40 + 60, batches)
    calls.clear()
    trained(spec, digits, tmp_path, resume=True, diagnostics=False, report=stop)
    assert calls[0] == (40 + 61, batches)
    assert calls[-1] == (batches, batches)


def test_without_resume_a_run_starts_anew(tmp_path, digits):
    spec = RUNS["duplicate"]
    trained(spec, digits, tmp_path, diagnostics=False)
    again = trained(changed(spec, learning={"epochs": 1}), digits, tmp_path, diagnostics=False)
    assert [row["epoch"] for row in again.history] == [0, 1]


def changed(spec: RunSpec, **sections: Any) -> RunSpec:
    return RunSpec.model_validate(merged(spec.model_dump(), sections))


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"learning": {"eta": 0.06}}, "learning.eta: 0.05, now 0.06"),
        ({"learning": {"seed": 7}}, "learning.seed: 0, now 7"),
        ({"method": {"lam": 0.02}}, "method.lam: 0.03, now 0.02"),
        ({"hidden": (33,)}, "network.layers"),
        ({"method": {"beta": 0.2}, "learning": {"momentum": 0.8}}, "method.beta: 0.1, now 0.2"),
        ({"method": {"name": "backprop"}}, "method.name: ghost, now backprop"),
    ],
)
def test_another_configuration_is_refused_by_what_differs(tmp_path, digits, changes, difference):
    spec = changed(RUNS["duplicate"], learning={"epochs": 1})
    trained(spec, digits, tmp_path, diagnostics=False)
    kept = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(ModelFileError) as caught:
        trained(changed(spec, **changes), digits, tmp_path, resume=True)
    assert difference in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (tmp_path / FILE_NAME).read_bytes() == kept


def test_other_data_are_refused(tmp_path, digits):
    spec = changed(RUNS["duplicate"], learning={"epochs": 1})
    trained(spec, digits, tmp_path, diagnostics=False)
    labels = digits.y_train.copy()
    labels[[0, 1, 2]] = labels[[1, 2, 0]]
    other = Dataset("digits", digits.x_train, labels, digits.x_test, digits.y_test, 10, digits.scale)
    with pytest.raises(ModelFileError, match="data: digits:"):
        trained(spec, other, tmp_path, resume=True)


def test_a_truncated_checkpoint_stops_a_resumed_run(tmp_path, digits):
    spec = changed(RUNS["duplicate"], learning={"epochs": 1})
    trained(spec, digits, tmp_path, diagnostics=False)
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelFileError, match="is damaged") as caught:
        trained(spec, digits, tmp_path, resume=True)
    assert "\n" not in str(caught.value)
