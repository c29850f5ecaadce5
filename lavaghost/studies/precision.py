"""The smallest chip that still learns: accuracy and gradient cosine against bits.

A study is a grid of widths. Each point is a run of its own: a network that learns from scratch in these integers,
or a saved one that is quantised to them. Runs are spread over threads: compiled loops release Python's lock, and
processes that are spawned would settle how Lava may start its own. Results come as plain rows. A width limits a
result if the same run with more bits of it, and all else equal, is more accurate (`limited`).
"""

import csv
import io
import itertools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from lavaghost.base.errors import SpecError
from lavaghost.base.files import write_atomic
from lavaghost.base.names import Rounding
from lavaghost.base.spec import Spec
from lavaghost.datasets import Dataset, for_training, load, unsigned, warn_of
from lavaghost.evaluation.quantise import quantise_model
from lavaghost.methods.ghost.method import Ghost
from lavaghost.model.inputs import scaled_for, unsigned_for
from lavaghost.model.model import Model
from lavaghost.numbers.widths import LoihiWidths
from lavaghost.online.integers.compiled_network import CompiledNetwork
from lavaghost.online.integers.formats import suited_fraction
from lavaghost.online.integers.settings import IntegerLearning, adjusted, integer_rule
from lavaghost.run.job import prepared
from lavaghost.run.spec import RunSpec
from lavaghost.training.integer_learner import integer_figures
from lavaghost.training.loop import run as run_loop

COLUMNS: tuple[str, ...] = (
    "weight_bits", "trace_bits", "message_bits", "state_fraction", "rounding", "seed", "accuracy", "cosines",
    "residuals", "saturated_weights", "seconds", "limited_by",
)  # fmt: skip
RAISED: tuple[str, ...] = ("weight_bits", "trace_bits", "message_bits", "state_fraction")
"""Widths that may limit a result."""
MORE_BITS = 2
"""By which a width is raised alone."""
GAIN = 0.01
"""Of accuracy: smaller differences say nothing (360 test samples tell about one point apart)."""


class Study(Spec):
    """The grid: every combination is a run. Bits as in `LoihiWidths`, weights that learn have a sign besides."""

    weight_bits: Annotated[tuple[int, ...], Field(min_length=1)] = (2, 4, 6, 8)
    trace_bits: Annotated[tuple[int, ...], Field(min_length=1)] = (7,)
    message_bits: Annotated[tuple[int, ...], Field(min_length=1)] = (8,)
    rounding: Annotated[tuple[Rounding, ...], Field(min_length=1)] = ("independent",)
    seeds: Annotated[int, Field(ge=1, le=1000)] = 1


class Point(NamedTuple):
    """One run of a study."""

    widths: LoihiWidths
    rounding: Rounding
    seed: int
    raised: str = ""
    """A width that has `MORE_BITS` more than `widths` says, all else being equal."""

    def having(self, state_fraction: int) -> LoihiWidths:
        """The widths of the run, given the usual fraction of a state. Raises `SpecError` if there are no such."""
        widths = replace(self.widths, state_fraction=state_fraction)
        if self.raised:
            widths = replace(widths, **{self.raised: getattr(widths, self.raised) + MORE_BITS})
        if widths.message_bits > widths.trace_bits + 1:
            raise SpecError(
                f"message_bits {widths.message_bits} with trace_bits {widths.trace_bits}: a trace holds half of a "
                f"message, so give messages at most {widths.trace_bits + 1} bits"
            )
        return widths


def points(study: Study) -> list[Point]:
    """All runs of `study`. Raises `SpecError` for widths that cannot work, before anything runs."""
    found = []
    for w, t, m, rounding, seed in itertools.product(
        study.weight_bits, study.trace_bits, study.message_bits, study.rounding, range(study.seeds)
    ):
        found.append(Point(LoihiWidths(weight_bits=w, trace_bits=t, message_bits=m), rounding, seed))
        found[-1].having(found[-1].widths.state_fraction)
    return found


def raised(point: Point) -> list[Point]:
    """`point` with each width raised alone that can be."""
    found = []
    for name in RAISED:
        try:
            more = point._replace(raised=name)
            more.having(point.widths.state_fraction)
        except SpecError:
            continue
        found.append(more)
    return found


def learned_point(run: RunSpec, data: Dataset, point: Point, stop: Event | None = None) -> dict[str, Any]:
    """Learning from scratch at one point: a row of figures. It gives up soon after `stop` is set."""

    def check(_done: int, _total: int, _row: dict[str, Any] | None) -> None:
        if stop is not None and stop.is_set():
            raise CancelledError

    graph = run.method.graph(run.network_for(data.n_inputs, data.n_classes))
    widths = point.having(suited_fraction(graph) if run.state_fraction is None else run.state_fraction)
    seed = run.learning.seed + point.seed
    learning = run.learning.model_copy(update={"rounding": point.rounding, "seed": seed})
    job = prepared(run.model_copy(update={"learning": learning}), data, widths=widths)
    done = run_loop(job.learner(), report=check)
    return row(widths, point.rounding, seed, done.history[-1] | {"seconds": done.seconds})


def held_point(model: Model, data: Dataset, point: Point) -> dict[str, Any]:
    """A saved network at one point: quantised accuracy, and the cosines with which it would go on learning.

    A network whose own method does not learn in integers would go on with `Ghost()`.
    """
    start = time.perf_counter()
    widths = point.having(point.widths.state_fraction)
    found = quantise_model(model, data, widths)
    method = found.model.method if "loihi" in model.method.needs.arithmetics else Ghost()
    method = adjusted(method, lam=0.125, beta=1.0)
    graph = method.graph(found.model.network.model_copy(update={"loss": "squared_error"}))
    if found.model.integers is None or not graph.all_dense:
        raise SpecError(
            "integers learn dense projections alone, so this network could not go on; study another one"
        )
    integers = CompiledNetwork(graph, found.model.integers, point.seed)
    learning = IntegerLearning(rounding=point.rounding, epochs=1)
    figures = integer_figures(integers, integer_rule(method), learning, data, 0)
    figures |= {"accuracy": found.accuracy, "seconds": time.perf_counter() - start}
    return row(widths, point.rounding, point.seed, figures)


def row(widths: LoihiWidths, rounding: Rounding, seed: int, figures: dict[str, Any]) -> dict[str, Any]:
    """One line of the table; `seconds` are those of this run, beside which others may have run."""
    values = {name: getattr(widths, name) for name in RAISED} | {"rounding": rounding, "seed": seed}
    figures = figures | {"seconds": round(figures["seconds"], 3)}
    return values | {name: figures[name] for name in COLUMNS if name in figures}


def run_study(
    subject: RunSpec | Model,
    dataset: str,
    study: Study,
    jobs: int | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict[str, Any]]:
    """The rows of `study`, in the order of its grid, on `jobs` threads (as many as cores unless told otherwise)."""
    return run_points(subject, dataset, points(study), jobs, report)


def run_points(
    subject: RunSpec | Model,
    dataset: str,
    todo: Sequence[Point],
    jobs: int | None,
    report: Callable[[int, int], None],
) -> list[dict[str, Any]]:
    """A row for each of `todo`."""
    jobs = max(1, min(len(todo), jobs or os.cpu_count() or 1))
    (subject, data), stop = with_data(subject, dataset), Event()
    report(0, len(todo))
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(_one, subject, data, point, stop) for point in todo]
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                report(done, len(todo))
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [future.result() for future in futures]


def raise_alone(
    subject: RunSpec | Model,
    dataset: str,
    study: Study,
    rows: Sequence[dict[str, Any]],
    jobs: int | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict[str, Any]]:
    """Runs like that of `smallest(rows)`, each with `MORE_BITS` more of one width; `rows` are those of `study`."""
    best = _setting(smallest(rows))
    alike = [point for point, r in zip(points(study), rows, strict=True) if _setting(r) == best]
    return run_points(subject, dataset, [more for point in alike for more in raised(point)], jobs, report)


def limited(rows: Sequence[dict[str, Any]], beside: Sequence[dict[str, Any]] = ()) -> list[dict[str, Any]]:
    """`rows` with `limited_by`: the width of which more bits, all else equal, gain most accuracy, if more than `GAIN`.

    Means over seeds are compared, of `rows` and of those `beside` them. Where no width gains so much, those are named
    of which there are rows with more bits.
    """
    found: dict[tuple[Any, ...], list[float]] = {}
    for r in (*rows, *beside):
        found.setdefault(_setting(r), []).append(r["accuracy"])
    means = {setting: sum(values) / len(values) for setting, values in found.items()}
    return [r | {"limited_by": _limit(_setting(r), means)} for r in rows]


def _limit(here: tuple[Any, ...], means: Mapping[tuple[Any, ...], float]) -> str:
    gains: dict[str, float] = {}
    for other, accuracy in means.items():
        differs = [i for i, (a, b) in enumerate(zip(here, other, strict=True)) if a != b]
        if len(differs) == 1 and differs[0] < len(RAISED) and other[differs[0]] > here[differs[0]]:
            name = RAISED[differs[0]]
            gains[name] = max(gains.get(name, -1.0), accuracy - means[here])
    if not gains:
        return "not raised"
    name = max(gains, key=lambda name: gains[name])
    return name if gains[name] > GAIN else f"none of {', '.join(sorted(gains))}"


def _setting(r: Mapping[str, Any]) -> tuple[Any, ...]:
    return (*(r[name] for name in RAISED), r["rounding"])


def _one(subject: RunSpec | Model, data: Dataset, point: Point, stop: Event) -> dict[str, Any]:
    if isinstance(subject, Model):
        return held_point(replace(subject, record={}), data, point)
    return learned_point(subject, data, point, stop)


def with_data(subject: RunSpec | Model, dataset: str) -> tuple[RunSpec | Model, Dataset]:
    """The subject and its data set, brought together. Raises `DataError` or `SpecError` before anything runs."""
    data = load(dataset)
    warn_of(data)
    if isinstance(subject, Model):
        return unsigned_for(subject, scaled_for(subject, data))
    if not isinstance(subject.learning, IntegerLearning) or subject.learning.engine != "stepped":
        raise SpecError(
            "a precision study learns with arithmetic loihi and engine stepped; name these in learning"
        )
    if subject.hardware is not None:
        raise SpecError(
            f"hardware is {subject.hardware}, and a precision study tries widths of its own; leave it out"
        )
    return subject, for_training(unsigned(data))


def write_table(rows: Sequence[dict[str, Any]], path: Path, columns: Sequence[str] = COLUMNS) -> Path:
    """The `columns` of the rows as CSV; a list becomes numbers with blanks between them."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    for values in rows:
        writer.writerow({name: _flat(values[name]) for name in columns if name in values})
    return write_atomic(path, stream.getvalue().encode())


def _flat(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return " ".join("-" if x is None else f"{x:.6g}" for x in value)


def smallest(rows: Sequence[dict[str, Any]], tolerance: float = 0.01) -> dict[str, Any]:
    """The row with the fewest bits whose accuracy is within `tolerance` of the best one."""
    best = max(r["accuracy"] for r in rows)
    good = [r for r in rows if r["accuracy"] >= best - tolerance]
    return min(good, key=lambda r: (r["weight_bits"], r["message_bits"], r["trace_bits"], -r["accuracy"]))
