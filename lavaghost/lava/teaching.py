"""A run of online learning on Lava as the host sees it: what it starts, keeps, measures and saves.

The network is a `GhostNetwork` that presents the data set to itself, and what the host wants to know comes
through pipes while the run goes on: the parameters, several times an epoch, and what is recorded. `train` says what
is different in floating point and in integers (`NumberSystem`).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lavaghost.base.errors import SpecError
from lavaghost.datasets import Dataset
from lavaghost.dynamics import Parameters
from lavaghost.engines.threads import suited_threads
from lavaghost.lava.phases import Lessons, trial_steps
from lavaghost.lava.record import ROWS, Recorder
from lavaghost.lava.runner import Model, default_timeout_s
from lavaghost.lava.vectors import unflat
from lavaghost.methods.optimiser import Momentum
from lavaghost.net.spec import Network
from lavaghost.numbers.arithmetic import Arithmetic, Array
from lavaghost.numbers.loihi import Loihi
from lavaghost.online.integers.integer_course import AnyCourse
from lavaghost.train.checkpoint import load_checkpoint, save_checkpoint
from lavaghost.train.loop import OnRow, Trained, check_finite

STEPS_AT_ONCE = 2048
"""Time steps of one run of Lava: about a second, in which the host evaluates and reports."""
PRETRAINING = 2**32
"""The first epoch of the random stream that pre-training takes its samples from, as `training` does."""


@dataclass(frozen=True)
class Watching:
    """What the host does beside a run on Lava.

    limit      training samples of each epoch (all)
    out        folder for a checkpoint after every epoch, and for `record.npz`
    resume     start from the checkpoint
    diagnostics   measure cosines and residuals at the end of every epoch
    report     as in `training.train`; a trial counts as a batch
    watch      called as `watch(trials, accuracy)` `looks` times an epoch, while Lava runs on; the history has these
               figures under `during`
    record     layers (from 1) whose rates, residuals and weights are recorded, of at most `ROWS` trials of the run
    timeout_s  bounds the whole run; if not given, `default_timeout_s` bounds each `STEPS_AT_ONCE`
    """

    limit: int | None = None
    out: Path | None = None
    resume: bool = False
    diagnostics: bool = True
    report: OnRow = lambda done, total, row: None
    watch: Callable[[int, float], None] = lambda done, accuracy: None
    looks: int = 5
    record: Sequence[int] = ()
    timeout_s: float | None = None

    def per_epoch(self, data: Dataset) -> int:
        """Training samples of an epoch."""
        n = len(data.x_train)
        return n if self.limit is None else min(self.limit, n)


@dataclass(frozen=True)
class NumberSystem:
    """What a run in one number system has of its own.

    measure   the row of figures of an epoch, from parameters and the number of the epoch
    look      test accuracy, from parameters
    decode    parameters as real numbers, from those that the network sends
    identity  what a checkpoint belongs to
    """

    plan: AnyCourse
    arith: Arithmetic
    params: Parameters
    epochs: int
    seed: int
    measure: Callable[[Parameters, int], dict[str, Any]]
    look: Callable[[Parameters], float]
    decode: Callable[[Parameters], Parameters]
    identity: str


def teach(network: Network, data: Dataset, kind: NumberSystem, model: Model, settings: Watching) -> Trained:
    """Train on Lava, from the start or from a checkpoint; see `train.train`."""
    _check_layers(network, settings.record)
    start = time.perf_counter()
    out, n = settings.out, settings.per_epoch(data)
    saved = load_checkpoint(out, network, kind.identity) if out is not None and settings.resume else None
    log = Log(
        network=network,
        kind=kind,
        settings=settings,
        per_epoch=n,
        params=saved.params if saved else kind.params,
        history=list(saved.history) if saved else [],
        recorder=Recorder(network, settings.record),
    )
    first = kind.plan.pretrain + saved.epoch * n if saved else 0
    if not saved and not kind.plan.pretrain:
        log.end_of_epoch(0)
    if n and first < log.total:
        _run(log, data, model, first)
    if out is not None and settings.record:
        log.recorder.save(out / "record.npz")
    return Trained(log.params, log.history, time.perf_counter() - start)


@dataclass
class Log:
    """What the host keeps of a run."""

    network: Network
    kind: NumberSystem
    settings: Watching
    per_epoch: int
    params: Parameters
    history: list[dict[str, Any]]
    recorder: Recorder
    during: list[list[float]] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Trials of the whole run."""
        return self.kind.plan.pretrain + self.kind.epochs * self.per_epoch

    def arrived(self, after: int, vector: Array) -> None:
        """`vector` holds the parameters after trial `after`."""
        self.params = params = self.kind.decode(unflat(self.network, vector))
        learned = after + 1 - self.kind.plan.pretrain
        self.recorder.add_weights(after, params)
        if learned >= 0 and learned % self.per_epoch == 0:
            self.end_of_epoch(learned // self.per_epoch)
        elif learned > 0:
            found = self.kind.look(params)
            self.during.append([learned / self.per_epoch, found])
            self.settings.watch(learned, found)

    def end_of_epoch(self, epoch: int) -> None:
        """Check, measure, save and report."""
        check_finite(self.network, self.params, f"epoch {epoch}")
        found = self.kind.measure(self.params, epoch)
        row = {"epoch": epoch, "waited": 0, **found, "during": self.during}
        self.during = []
        self.history.append(row)
        if self.settings.out is not None:
            idle = Momentum(self.params, 0.0, 0.0)
            save_checkpoint(self.settings.out, self.kind.identity, epoch, self.params, idle, self.history)
        self.settings.report(self.kind.plan.pretrain + epoch * self.per_epoch, self.total, row)


def _run(log: Log, data: Dataset, model: Model, first: int) -> None:
    """Trials `first` and all later ones, on Lava."""
    from lavaghost.lava.processes.ghost.ghost_network import ghost_network
    from lavaghost.lava.quiet import quiet
    from lavaghost.lava.session import Session, configuration

    network, kind, settings = log.network, log.kind, log.settings
    plan, arith, fixed = kind.plan, kind.arith, isinstance(kind.arith, Loihi)
    due = export_plan(plan, log.per_epoch, kind.epochs, settings.looks, first)
    samples, targets = arith.input(data.x_train), arith.array(np.eye(data.n_classes)[data.y_train])
    lessons = Lessons(
        samples.astype(np.int32) if fixed else samples,
        targets.astype(np.int32) if fixed else targets,
        Order(kind.seed, len(data.x_train), log.per_epoch, plan.pretrain),
    )
    # no more than the recorder keeps
    layers, every = log.recorder.layers, -(-log.total // ROWS)
    with quiet():
        ghosts = ghost_network(
            network,
            log.params,
            plan,
            arith,
            first=first,
            lessons=lessons,
            export_after=due,
            record=layers,
            record_every=every,
        )
    steps = trial_steps(network, plan)
    at_once = max(1, STEPS_AT_ONCE // steps)
    waiting, recorded = iter(due), (t for t in range(first, log.total) if t % every == 0)
    # the processes inherit it
    with suited_threads(network, 1), Session(ghosts, configuration(model, fixed)) as session:

        def drain() -> None:
            while layers and (row := session.poll(ghosts.record_out)) is not None:
                log.recorder.add(next(recorded), row)
            if (found := session.poll(ghosts.params_out)) is not None:
                log.arrived(next(waiting), found)

        start = time.monotonic()
        for done in range(first, log.total, at_once):
            now = min(at_once, log.total - done)
            session.start(now * steps)
            if settings.timeout_s is None:
                session.wait(timeout_s=default_timeout_s(network, now * steps, model), drain=drain)
            else:
                session.wait(timeout_s=settings.timeout_s, since=start, drain=drain)
            settings.report(done + now, log.total, None)
        for after in waiting:  # what is still in the pipe
            log.arrived(after, session.receive(ghosts.params_out))
        for trial in recorded if layers else ():
            log.recorder.add(trial, session.receive(ghosts.record_out))


@dataclass
class Order:
    """The row of the training set that a trial presents: the order of `training.shuffled`."""

    seed: int
    rows: int
    per_epoch: int
    pretrain: int
    _epoch: int = -1
    _order: Array | None = None

    def __call__(self, trial: int) -> int:
        """The row of `trial`."""
        if trial < self.pretrain:
            epoch, i = divmod(trial, self.rows)
            epoch += PRETRAINING
        else:
            epoch, i = divmod(trial - self.pretrain, self.per_epoch)
        if self._order is None or epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng([self.seed, epoch]).permutation(self.rows)
        return int(self._order[i])


def export_plan(plan: AnyCourse, per_epoch: int, epochs: int, looks: int, first: int) -> list[int]:
    """After which trials the host wants the parameters: `looks` times in each epoch, and at its end."""
    wanted = {plan.pretrain - 1} if plan.pretrain else set[int]()
    for epoch in range(epochs):
        begin = plan.pretrain + epoch * per_epoch
        wanted |= {begin + per_epoch * (i + 1) // (looks + 1) - 1 for i in range(looks)}
        wanted.add(begin + per_epoch - 1)
    return sorted(trial for trial in wanted if trial >= first)


def _check_layers(network: Network, record: Sequence[int]) -> None:
    wrong = [k for k in record if not 1 <= k <= network.depth]
    if wrong or len(set(record)) != len(record):
        raise SpecError(
            f"record {list(record)}: the network has layers 1 to {network.depth}; name each at most once"
        )
