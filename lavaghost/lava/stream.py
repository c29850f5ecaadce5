"""Samples that come one after another, learned on Lava in one session: test, then learn."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lavaghost.base.errors import DivergedError, SpecError, join_faults
from lavaghost.base.names import LavaModel
from lavaghost.lava.available import require_lava
from lavaghost.lava.lesson_run import LessonRun, lessons_of
from lavaghost.lava.number_systems import AnyNumbers, arrays_of, check_dense
from lavaghost.lava.phases import Lessons
from lavaghost.lava.starts import check_numbers
from lavaghost.lava.trials import check_engine
from lavaghost.lava.vectors import read_record, unflat
from lavaghost.net.graph import Graph
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array
from lavaghost.online.integers.integer_course import AnyCourse, IntegerCourse
from lavaghost.training.divergence import named


class Streamed(NamedTuple):
    """What a stream left: the network's new numbers, and its answers `(n, n_L)`, real, each before it was taught."""

    numbers: AnyNumbers
    outputs: Array


def learn_stream(
    graph: Graph,
    course: AnyCourse,
    numbers: AnyNumbers,
    x: Array,
    labels: Array,
    *,
    first: int = 0,
    processes: LavaModel = "fused",
    timeout_s: float | None = None,
) -> Streamed:
    """Teach the rates `x (n, n_0)` with their `labels (n,)`, in this order, as the trials `first`.. of `course`.

    `numbers` have learned what came before; they stay as they are. What is learned, and each output at the end of its
    free phase, are those of `online_epoch`, or of `CompiledNetwork.learn`, to the bit, however often a stream is cut
    into calls. One session of Lava lasts as long as the call, whatever ends it. `timeout_s` as in `LavaLearner`.

    Raises `MissingError` without Lava, `SpecError` for what does not go together, `LavaError` if a Lava process fails,
    `DivergedError` where a number is no longer finite.
    """
    require_lava()
    from lavaghost.lava.session import configuration

    configuration(processes)
    check_dense(graph)
    if graph != course.graph:
        raise SpecError("the course is of another graph; make it for the one that learns")
    check_numbers(course, numbers)
    if processes == "decomposed" and isinstance(course, IntegerCourse):
        check_engine(course.widths)
    samples, taught = _checked(graph, x, labels, first)
    if isinstance(numbers, Parameters):
        numbers = numbers.astype(np.float64)
    outputs = np.zeros((len(samples), graph.layers[-1]))
    if not len(samples):
        return Streamed(numbers, outputs)
    found = [numbers]

    def recorded(trial: int, vector: Array) -> None:
        (output,) = read_record(graph, (graph.depth,), vector)
        outputs[trial - first] = output.free

    def arrived(trial: int, vector: Array) -> None:
        found[:] = [unflat(graph, vector, numbers)]

    plan = _Stream(graph, course, processes, samples, taught, first, timeout_s)
    with LessonRun(plan, numbers, first, recorded) as run:
        for _ in run.trials(first, plan.total, arrived):
            pass
    broken = [name for name, array in arrays_of(found[0]).items() if not np.isfinite(array).all()]
    if broken:
        raise DivergedError(
            f"learning diverged in trials {first} to {plan.total - 1}: {named(broken)} not finite; lower learning.eta"
        )
    return Streamed(found[0], outputs)


def _checked(graph: Graph, x: Array, labels: Array, first: int) -> tuple[Array, Array]:
    """Samples and labels as arrays. Raises `SpecError` with all faults."""
    samples, taught = np.ascontiguousarray(x, np.float64), np.asarray(labels)
    classes, faults = graph.layers[-1], []
    if samples.ndim != 2 or samples.shape[1] != graph.layers[0]:
        faults.append(f"x has shape {samples.shape}, the network needs (n, {graph.layers[0]})")
    elif not np.isfinite(samples).all():
        row = int(np.flatnonzero(~np.isfinite(samples).all(axis=1))[0])
        faults.append(f"x[{row}] has a number that is NaN or infinite; leave the sample out")
    if taught.shape != samples.shape[:1]:
        faults.append(
            f"labels have shape {taught.shape}, and there are {len(samples)} samples; give one for each"
        )
    elif len(taught) and taught.dtype.kind not in "iu":
        faults.append(f"labels are {taught.dtype}; give whole numbers, the rows of the output")
    elif len(taught) and not 0 <= taught.min() <= taught.max() < classes:
        worst = taught[(taught < 0) | (taught >= classes)][0]
        faults.append(f"label {worst} is outside 0..{classes - 1}; give the rows of the output")
    if first < 0:
        faults.append(f"first is {first}; count trials from 0")
    if faults:
        raise SpecError(join_faults(faults))
    return samples, taught


@dataclass(frozen=True, eq=False)
class _Stream:
    """See `lesson_run.Plan`: the output of every trial is recorded, and the last one's numbers are asked for."""

    graph: Graph
    course: AnyCourse
    processes: LavaModel
    x: Array
    labels: Array
    first: int
    timeout_s: float | None
    record_every = 1

    @property
    def record(self) -> tuple[int, ...]:
        return (self.graph.depth,)

    @property
    def total(self) -> int:
        return self.first + len(self.x)

    def exports(self, first: int) -> list[int]:
        return [self.total - 1]

    def lessons(self, numbers: AnyNumbers) -> Lessons:
        targets = np.eye(self.graph.layers[-1])[self.labels]
        return lessons_of(numbers, self.x, targets, lambda trial: trial - self.first)
