"""A network that presents the data set to itself on Lava, trial by trial, and what it sends to the host meanwhile."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

import numpy as np

from lavaghost.base.names import LavaModel
from lavaghost.datasets import Dataset
from lavaghost.engines.threads import suited_threads
from lavaghost.lava.number_systems import AnyNumbers, arithmetic_of
from lavaghost.lava.phases import Lessons, trial_steps
from lavaghost.lava.record import ROWS
from lavaghost.lava.runner import default_timeout_s
from lavaghost.lava.trials import TrialOrder, export_plan
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.integers import Integers
from lavaghost.online.integers.integer_course import AnyCourse

STEPS_AT_ONCE = 2048
"""Time steps of one run of Lava: about a second, in which the host evaluates and reports."""


class Plan(Protocol):
    """What is learned, in which processes, and what the host wants to hear of it.

    record, record_every   layers, and every how many trials
    total       the trial at which all is over
    timeout_s   bounds the whole run, if it is given
    """

    @property
    def graph(self) -> Graph: ...
    @property
    def course(self) -> AnyCourse: ...
    @property
    def processes(self) -> LavaModel: ...
    @property
    def record(self) -> tuple[int, ...]: ...
    @property
    def record_every(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def timeout_s(self) -> float | None: ...

    def exports(self, first: int) -> list[int]:
        """The trials, from `first` on, after which the host wants the parameters."""
        ...

    def lessons(self, numbers: AnyNumbers) -> Lessons:
        """The samples, in the number system of `numbers`."""
        ...


@dataclass(frozen=True)
class LessonPlan:
    """A whole run: see `Plan`, and `LavaLearner` for what is not in it."""

    graph: Graph
    course: AnyCourse
    data: Dataset
    processes: LavaModel
    seed: int
    epochs: int
    per_epoch: int
    looks: int
    record: tuple[int, ...]
    timeout_s: float | None

    @property
    def total(self) -> int:
        """Trials of the whole run."""
        return self.course.pretrain + self.epochs * self.per_epoch

    @property
    def record_every(self) -> int:
        """No more than the recorder keeps."""
        return -(-self.total // ROWS)

    def exports(self, first: int) -> list[int]:
        """See `Plan`."""
        return export_plan(self.course, self.per_epoch, self.epochs, self.looks, first)

    def lessons(self, numbers: AnyNumbers) -> Lessons:
        """See `Plan`."""
        data = self.data
        order = TrialOrder(self.seed, len(data.x_train), self.per_epoch, self.course.pretrain)
        return lessons_of(numbers, data.x_train, np.eye(data.n_classes)[data.y_train], order)


def lessons_of(numbers: AnyNumbers, x: Array, targets: Array, order: Callable[[int], int]) -> Lessons:
    """Rates `x (n, n_0)` and one-hot `targets (n, n_L)` in the number system of `numbers`."""
    arith = arithmetic_of(numbers)
    samples, goals = arith.input(x), arith.array(targets)
    if isinstance(numbers, Integers):
        samples, goals = samples.astype(np.int32), goals.astype(np.int32)
    return Lessons(samples, goals, order)


class LessonRun:
    """One session from trial `first` of `plan` on, for a network that has learned `numbers` before it.

    `recorded(trial, vector)` is called with what the layers of `plan.record` sent. It ends with `close` or with its
    block, with every exception of its session, and with the program.
    """

    def __init__(
        self, plan: Plan, numbers: AnyNumbers, first: int, recorded: Callable[[int, Array], None]
    ) -> None:
        from lavaghost.lava.processes.ghost.ghost_network import ghost_network
        from lavaghost.lava.quiet import quiet
        from lavaghost.lava.session import Session, configuration

        self.plan, self._on_record = plan, recorded
        exports = plan.exports(first)
        self._exports = deque(exports)
        sent = (t for t in range(first, plan.total) if t % plan.record_every == 0)
        self._recorded = deque(sent if plan.record else ())
        with quiet():
            self._network = ghost_network(
                plan.graph,
                numbers,
                plan.course,
                first=first,
                lessons=plan.lessons(numbers),
                export_after=exports,
                record=plan.record,
                record_every=plan.record_every,
            )
        self._stack = ExitStack()
        config = configuration(plan.processes, isinstance(numbers, Integers))
        try:
            self._stack.enter_context(suited_threads(plan.graph, 1))  # the processes inherit it
            self._session = self._stack.enter_context(Session(self._network, config))
        except BaseException:
            self._stack.close()
            raise
        self._started = time.monotonic()

    def trials(self, begin: int, end: int, arrived: Callable[[int, Array], None]) -> Iterator[int]:
        """Run the trials `begin`..`end - 1` and yield how far they are, until all that they send has come.

        `arrived(trial, vector)` is called with the parameters after a trial.
        """
        plan, session = self.plan, self._session
        steps = trial_steps(plan.graph, plan.course)
        at_once = max(1, STEPS_AT_ONCE // steps)

        def drain() -> None:
            while self._recorded and (row := session.poll(self._network.record_out)) is not None:
                self._on_record(self._recorded.popleft(), row)
            if self._exports and (found := session.poll(self._network.params_out)) is not None:
                arrived(self._exports.popleft(), found)

        for done in range(begin, end, at_once):
            now = min(at_once, end - done)
            session.start(now * steps)
            if plan.timeout_s is None:
                timeout_s = default_timeout_s(plan.graph, now * steps, plan.processes)
                session.wait(timeout_s=timeout_s, drain=drain)
            else:
                session.wait(timeout_s=plan.timeout_s, since=self._started, drain=drain)
            yield done + now
        while self._exports and self._exports[0] < end:  # what is still in the pipe
            arrived(self._exports.popleft(), session.receive(self._network.params_out))
        while self._recorded and self._recorded[0] < end:
            self._on_record(self._recorded.popleft(), session.receive(self._network.record_out))

    def __enter__(self) -> "LessonRun":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def close(self) -> None:
        """Stop all processes and end them; twice is harmless."""
        self._stack.close()
