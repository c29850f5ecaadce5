"""Where a Lava time step lies in its trial. Each process counts for itself; nobody sends control messages."""

from collections.abc import Callable
from typing import NamedTuple

from lavaghost.base.errors import LavaError
from lavaghost.dynamics.errors import Sent
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Array
from lavaghost.online.course import Course
from lavaghost.online.integers.integer_course import AnyCourse


class TrialPhase(NamedTuple):
    """A step of a trial.

    trial      number of the trial, from 0
    reset      its first step
    second     the step after it, in which arrives what was sent in the reset
    nudged     a target is given
    free_end   the last step without a target; a trial without a nudged phase has one too
    end        the last step of a trial that teaches: what learns, learns now
    recorded   the same, of a trial that is recorded
    """

    trial: int
    reset: bool
    second: bool
    nudged: bool
    free_end: bool
    end: bool
    recorded: bool


class Clock:
    """Tells the phase of a time step. A trial has a nudged phase if there is a `course` to learn; of those that teach,
    every `record_every`-th is recorded.
    """

    def __init__(self, graph: Graph, course: AnyCourse | None, first: int = 0, record_every: int = 1) -> None:
        self.free = graph.schedule.t_free_steps
        self.steps = trial_steps(graph, course)
        self.teaches = course is not None
        self.first, self.record_every = first, record_every

    def at(self, time_step: int) -> TrialPhase:
        """The phase of Lava's `time_step` (from 1)."""
        trial, step = divmod(time_step - 1, self.steps)
        trial += self.first
        end = self.teaches and step == self.steps - 1
        return TrialPhase(
            trial,
            step == 0,
            step == 1,
            step >= self.free,
            step == self.free - 1,
            end,
            end and trial % self.record_every == 0,
        )


class Withholding:
    """Whether the target of a trial is withheld from the output; decided once, in the first step that has it."""

    def __init__(self, course: AnyCourse | None) -> None:
        self._course, self._trial, self._withheld = course, -1, False

    def __call__(self, trial: int, free: Array, target: Array) -> bool:
        """Of the output at the end of the free phase of `trial`, and its target, `(1, n_L)`; false without a course."""
        if trial != self._trial:
            self._trial = trial
            self._withheld = self._course is not None and self._course.withholds(free, target)
        return self._withheld


class Sending:
    """What the output sends down in a trial where errors come down; decided once, in the first step with a target."""

    def __init__(self, course: AnyCourse | None) -> None:
        self._course = course if isinstance(course, Course) else None
        self._trial, self._sent = -1, None

    def __call__(self, trial: int, free: Array, target: Array) -> Sent | None:
        """Of the output at the end of the free phase of `trial`, and its target, `(1, n_L)`."""
        if trial != self._trial:
            self._trial = trial
            self._sent = None if self._course is None else self._course.sends(trial, free, target)
        return self._sent


def errors_come_down(graph: Graph, course: AnyCourse | None) -> bool:
    """Whether a network has errors beside its membranes: only one that learns."""
    return course is not None and graph.carries_errors


class Lessons(NamedTuple):
    """Training samples that a network presents to itself, trial by trial.

    samples   (n, n_0) input rates, or messages in integers
    targets   (n, n_L) their targets, one-hot
    order     the row of a trial
    """

    samples: Array
    targets: Array
    order: Callable[[int], int]


def trial_steps(graph: Graph, course: AnyCourse | None) -> int:
    """Lava time steps of one trial."""
    schedule = graph.schedule
    return schedule.t_free_steps + (schedule.t_nudge_steps if course is not None else 0)


def check_nudge(given: bool, phase: TrialPhase) -> None:
    """Refuse a target at the wrong time. Raises `LavaError`."""
    if given == phase.nudged:
        return
    if given:
        raise LavaError(
            f"nudge_in is not 0 in a free phase (trial {phase.trial}); give the target after the schedule's "
            "t_free_steps, and only to a network that has a course to learn"
        )
    raise LavaError(
        f"nudge_in is 0 in the nudged phase of trial {phase.trial}; connect y_in and nudge_in to a source "
        "with the network's schedule, such as TeachingSource"
    )
