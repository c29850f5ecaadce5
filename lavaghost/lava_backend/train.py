"""Online learning on Lava: one sample at a time, both phases of every trial driven by Lava's time step.

The data set sits in a source process, the network is a `GhostNetwork`, and what the host wants to know comes
through pipes while the run goes on: the parameters, several times an epoch, and what is recorded.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lavaghost.arithmetic import Array
from lavaghost.checkpoint import identity, load_checkpoint, save_checkpoint
from lavaghost.datasets import Dataset
from lavaghost.dynamics import Parameters, initial_parameters
from lavaghost.engines.stepped import Stepped
from lavaghost.errors import DivergedError, SpecError
from lavaghost.lava_backend.available import require_lava
from lavaghost.lava_backend.exports import unflat
from lavaghost.lava_backend.phases import Clock, trial_steps
from lavaghost.lava_backend.record import Recorder
from lavaghost.lava_backend.runner import Model, default_timeout_s
from lavaghost.learning.ghosts import OnlineGhosts, online_steps
from lavaghost.learning.online import Course, course
from lavaghost.learning.optimiser import Momentum
from lavaghost.learning.rules import Rule
from lavaghost.spec import Learning, Network
from lavaghost.training import Report, Trained, accuracy, check_data, fingerprint, measure

STEPS_AT_ONCE = 2048
"""Time steps of one run of Lava: about a second, in which the host evaluates and reports."""
PRETRAINING = 2**32
"""The first epoch of the random stream that pre-training takes its samples from, as `training` does."""
SAMPLES_SEEN = 64
"""Training samples whose activity sets the constant steps of learned ghosts."""


def train(
    network: Network,
    learning: Learning,
    data: Dataset,
    *,
    model: Model = "fused",
    limit: int | None = None,
    out: Path | None = None,
    resume: bool = False,
    diagnostics: bool = True,
    report: Report = lambda done, total, row: None,
    watch: Callable[[int, float], None] = lambda done, accuracy: None,
    looks: int = 5,
    record: Sequence[int] = (),
    rule: Rule | None = None,
    ghosts: OnlineGhosts | None = None,
    timeout_s: float | None = None,
) -> Trained:
    """Train `network` on Lava, as `learning.online_epoch` would on the stepped engine, to the bit.

    limit    training samples of each epoch (all)
    out      folder for a checkpoint after every epoch, and for `record.npz`; `resume` starts from the checkpoint
    report   as in `training.train`; a trial counts as a batch
    watch    called as `watch(trials, accuracy)` `looks` times an epoch, while Lava runs on; the history has these
             figures under `during`
    record   layers (from 1) whose rates, residuals and weights are recorded
    rule     a local rule of your own, in place of the one that `learning` names
    ghosts   steps of learned ghosts, which are otherwise set from the activity of the first training samples

    `timeout_s` bounds the whole run (`default_timeout_s` if not given). Ctrl-C ends all processes and passes
    through; the last checkpoint stays. Raises `MissingError` without Lava, `SpecError` for what does not go
    together, `LavaError` if a Lava process fails, `DivergedError` when a weight is no longer finite.
    """
    require_lava()
    check_data(network, data)
    _check_layers(network, record)
    start = time.perf_counter()
    n = len(data.x_train) if limit is None else min(limit, len(data.x_train))
    params = initial_parameters(network, learning.seed, np.float64)
    belongs_to = identity(network, learning, f"{fingerprint(data)}:lava:{limit}")
    saved = load_checkpoint(out, network, belongs_to) if out is not None and resume else None
    if network.mechanism == "learned" and ghosts is None:
        ghosts = online_steps(learning.ghosts, _first_trial(network, params, data))
    plan = course(network, learning, n * learning.epochs, rule=rule, ghosts=ghosts)
    log = _Log(
        network=network,
        learning=learning,
        data=data,
        plan=plan,
        per_epoch=n,
        out=out,
        belongs_to=belongs_to,
        diagnostics=diagnostics,
        report=report,
        watch=watch,
        params=saved.params if saved else params,
        history=list(saved.history) if saved else [],
        recorder=Recorder(network, record),
    )
    first = plan.pretrain + saved.epoch * n if saved else 0
    if not saved and not plan.pretrain:
        log.end_of_epoch(0)
    if n and first < log.total:
        _run(log, model, first, looks, timeout_s)
    if out is not None and record:
        log.recorder.save(out / "record.npz")
    return Trained(log.params, log.history, time.perf_counter() - start)


@dataclass
class _Log:
    """What the host keeps of a run."""

    network: Network
    learning: Learning
    data: Dataset
    plan: Course
    per_epoch: int
    out: Path | None
    belongs_to: str
    diagnostics: bool
    report: Report
    watch: Callable[[int, float], None]
    params: Parameters
    history: list[dict[str, Any]]
    recorder: Recorder
    during: list[list[float]] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Trials of the whole run."""
        return self.plan.pretrain + self.learning.epochs * self.per_epoch

    def arrived(self, after: int, params: Parameters) -> None:
        """`params` are those after trial `after`."""
        self.params = params
        learned = after + 1 - self.plan.pretrain
        self.recorder.add_weights(after, params)
        if learned >= 0 and learned % self.per_epoch == 0:
            self.end_of_epoch(learned // self.per_epoch)
        elif learned > 0:
            x, y = self.data.x_test, self.data.y_test
            found = accuracy(self.network, self.learning, params.astype(np.float32), x, y)
            self.during.append([learned / self.per_epoch, found])
            self.watch(learned, found)

    def end_of_epoch(self, epoch: int) -> None:
        """Check, measure, save and report."""
        broken = [name for name, array in self.params.named().items() if not np.isfinite(array).all()]
        if broken:
            raise DivergedError(
                f"training diverged in epoch {epoch}: {', '.join(broken)} not finite; lower learning.eta or "
                f"network.lam ({self.network.lam}), or the steps of learned ghosts"
            )
        # the engine that takes the very steps of Lava
        stepped = self.learning.model_copy(update={"engine": "stepped", "tolerance": None})
        found = measure(self.network, stepped, self.params, self.data, self.diagnostics, self.plan.rule)
        row = {"epoch": epoch, "waited": 0, **found, "during": self.during}
        self.during = []
        self.history.append(row)
        if self.out is not None:
            idle = Momentum(self.params, 0.0, 0.0)
            save_checkpoint(self.out, self.belongs_to, epoch, self.params, idle, self.history)
        self.report(self.plan.pretrain + epoch * self.per_epoch, self.total, row)


def _run(log: _Log, model: Model, first: int, looks: int, timeout_s: float | None) -> None:
    """Trials `first` and all later ones, on Lava."""
    from lavaghost.lava_backend.proc.ghost.process import ghost_network
    from lavaghost.lava_backend.proc.io.process import TeachingSource
    from lavaghost.lava_backend.quiet import quiet
    from lavaghost.lava_backend.session import Session, configuration

    network, plan, data = log.network, log.plan, log.data
    due = export_plan(plan, log.per_epoch, log.learning.epochs, looks, first)
    order = Order(log.learning.seed, len(data.x_train), log.per_epoch, plan.pretrain)
    with quiet():
        source = TeachingSource(
            samples=data.x_train,
            targets=np.eye(data.n_classes)[data.y_train],
            order=order,
            clock=Clock(network, plan, first),
        )
        layers = log.recorder.layers
        ghosts = ghost_network(network, log.params, plan, first=first, export_after=due, record=layers)
    source.x_out.connect(ghosts.x_in)
    source.y_out.connect(ghosts.y_in)
    source.nudge_out.connect(ghosts.nudge_in)

    steps = trial_steps(network, plan)
    at_once = max(1, STEPS_AT_ONCE // steps)
    waiting, recorded = iter(due), iter(range(first, log.total))
    with Session(ghosts, configuration(model)) as session:

        def drain() -> None:
            while layers and (row := session.poll(ghosts.record_out)) is not None:
                log.recorder.add(next(recorded), row)
            if (found := session.poll(ghosts.params_out)) is not None:
                log.arrived(next(waiting), unflat(network, found))

        start = time.monotonic()
        allowed = timeout_s or default_timeout_s(network, (log.total - first) * steps, model)
        for done in range(first, log.total, at_once):
            now = min(at_once, log.total - done)
            session.start(now * steps)
            session.wait(timeout_s=allowed, since=start, drain=drain)
            log.report(done + now, log.total, None)
        for after in waiting:  # what is still in the pipe
            log.arrived(after, unflat(network, session.receive(ghosts.params_out)))
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


def export_plan(plan: Course, per_epoch: int, epochs: int, looks: int, first: int) -> list[int]:
    """After which trials the host wants the parameters: `looks` times in each epoch, and at its end."""
    wanted = {plan.pretrain - 1} if plan.pretrain else set[int]()
    for epoch in range(epochs):
        begin = plan.pretrain + epoch * per_epoch
        wanted |= {begin + per_epoch * (i + 1) // (looks + 1) - 1 for i in range(looks)}
        wanted.add(begin + per_epoch - 1)
    return sorted(trial for trial in wanted if trial >= first)


def _first_trial(network: Network, params: Parameters, data: Dataset) -> Any:
    x = np.asarray(data.x_train[:SAMPLES_SEEN], np.float64)
    return Stepped(network).trial(params, x, np.eye(data.n_classes)[data.y_train[:SAMPLES_SEEN]])


def _check_layers(network: Network, record: Sequence[int]) -> None:
    wrong = [k for k in record if not 1 <= k <= network.depth]
    if wrong or len(set(record)) != len(record):
        raise SpecError(
            f"record {list(record)}: the network has layers 1 to {network.depth}; name each at most once"
        )
