"""`adapt`: a network learns a data set where it runs, one sample at a time, test first, and what became of the old one.

One pass unless more are wanted. After each new sample comes a stored one of the old data, if some may be stored, and no
target is given where the answer is right by a margin. Figures are taken at some numbers of samples (`AdaptSpec.at`).
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from lavaghost.adapting.beginning import refit_for_chip
from lavaghost.adapting.learner import OnlineLearner
from lavaghost.base.errors import DataError, SpecError, join_faults
from lavaghost.base.files import locked
from lavaghost.base.names import ArithmeticName, LavaModel
from lavaghost.base.spec import Count, NotNegative, Positive, Spec, listed
from lavaghost.datasets import Dataset
from lavaghost.hardware.activity import measured_activity
from lavaghost.hardware.adapted import published, sample_cost
from lavaghost.hardware.catalogue import load_chip
from lavaghost.methods.learning import Learning
from lavaghost.model.inputs import scaled_for, unsigned_for
from lavaghost.model.model import Model
from lavaghost.model.widen import widened
from lavaghost.numbers.arithmetic import Array
from lavaghost.online.integers.compiled_network import CompiledNetwork
from lavaghost.online.integers.settings import IntegerLearning, integer_rule
from lavaghost.training.checkpoint import fingerprint, identity, load_checkpoint, save_checkpoint
from lavaghost.training.diagnostics import diagnose
from lavaghost.training.float_learner import probe_of
from lavaghost.training.integer_learner import integer_figures
from lavaghost.training.order import order

REPLAY, MARGIN, NEW_MARGIN = 20, 0.5, 0.25
"""Usual means against forgetting, where old data are given; the second margin is for classes never seen."""
SLOW = 2.0**-7
"""The usual step in integers where nothing is stored: a smaller one forgets less."""
POINTS = (100, 300, 1000, 3000, 10_000, 30_000)
"""Samples after which figures are taken, unless others are named."""
PART = 200
"""Samples between two checkpoints."""
STORED = 5
"""Word of the seed of the choice of stored samples."""
ACTIVE = 64
"""Samples whose activity is priced."""

Samples = Annotated[tuple[Count, ...], BeforeValidator(listed)]
ClassNumbers = Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(listed)]
OnAdapted = Callable[[int, int, dict[str, Any] | None], None]
"""Called as `report(samples_done, samples_in_all, row)`; row is None except where figures were taken."""


class AdaptSpec(Spec):
    """How a network adapts.

    samples    of the training set; all unless given. `shots`: at most so many of each class
    only       classes that are presented; all unless given
    classes    outputs that are added for classes never seen
    passes     over the samples
    replay     old samples of each class that are stored; 20 if there are old data, unless given
    replays    stored samples that come after each new one
    margin     no target where the answer is right by more; `none`, or 0.5 beside stored samples (0.25 with new classes)
    eta        the learning rate; 2^-6 in integers, 2^-7 where nothing is stored, unless given
    at         samples after which figures are taken

    Example: `adapt(model, new, old, AdaptSpec(samples=300, hardware="loihi1")).result["accuracy"]`.
    """

    samples: Count | None = None
    shots: Count | None = None
    only: ClassNumbers = ()
    classes: Annotated[int, Field(ge=0, le=10_000)] = 0
    passes: Annotated[int, Field(ge=1, le=10_000)] = 1
    arithmetic: ArithmeticName = "loihi"
    engine: Literal["stepped", "lava"] = "stepped"
    processes: LavaModel = "fused"
    plastic: Samples | None = None
    replay: Annotated[int, Field(ge=0, le=10**6)] | None = None
    replays: Annotated[int, Field(ge=1, le=1000)] = 1
    margin: NotNegative | Literal["none"] | None = None
    eta: Positive | None = None
    hardware: str | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    at: Samples = POINTS


@dataclass(frozen=True, eq=False)
class Adaptation:
    """What came of it: the network, and figures as plain values (`result`)."""

    model: Model
    result: dict[str, Any]


def adapt(
    model: Model,
    new: Dataset,
    keep: Dataset | None = None,
    spec: AdaptSpec | None = None,
    *,
    out: Path | str | None = None,
    resume: bool = False,
    report: OnAdapted = lambda done, total, row: None,
) -> Adaptation:
    """Let `model` adapt to the training samples of `new`; `keep` are old data, to be tested, and stored if wanted.

    With `out` a checkpoint is left there, from which `resume` goes on to the same bits. Raises `SpecError` for what
    does not go together, `DataError` for the data, `MissingError` without Lava.

    Example: `adapt(model, new, old, AdaptSpec(samples=300)).result["kept"]`.
    """
    spec = spec or AdaptSpec()
    stage = _staged(model, new, keep, spec)
    folder = None if out is None else Path(out)
    with ExitStack() as held:
        if folder is not None:
            held.enter_context(locked(folder))
        rows = stage.run(folder, resume, report)
        return stage.adapted(rows)


@dataclass(frozen=True, eq=False)
class _Stage:
    """A learner and what it will meet; `stream` are rows of `new.x_train`, in order."""

    spec: AdaptSpec
    learner: OnlineLearner
    start: Model
    new: Dataset
    keep: Dataset | None
    stream: Array

    @property
    def identity(self) -> str:
        data = [fingerprint(d) for d in (self.new, self.keep) if d is not None]
        spec = self.spec.model_dump(mode="json", exclude={"hardware"})
        return identity(learner=json.loads(self.learner.identity), spec=spec, data=data)

    def run(self, folder: Path | None, resume: bool, report: OnAdapted) -> list[dict[str, Any]]:
        """Learn the stream, or what is left of it; a row of figures at each point."""
        learner, total = self.learner, len(self.stream)
        saved = load_checkpoint(folder, self.identity) if folder is not None and resume else None
        if saved is not None:
            learner.restore(saved.tensors)
            rows = list(saved.history)
        else:
            rows = [self._row()]
            report(0, total, rows[0])
        points = {p for p in self.spec.at if p < total} | {total}
        for begin, end in self._parts(points, learner.counts["samples"]):
            picked = self.stream[begin:end]
            learner.learn_rates(self.new.x_train[picked], self.new.y_train[picked])
            row = self._row() if end in points else None
            if row is not None:
                rows.append(row)
            if folder is not None:
                save_checkpoint(folder, self.identity, end, learner.state, rows)
            report(end, total, row)
        return rows

    def _parts(self, points: set[int], begin: int) -> Iterator[tuple[int, int]]:
        """What is learned at once: up to the next point, and no more than `PART` where parts cost nothing."""
        while begin < len(self.stream):
            end = min(p for p in points if p > begin)
            if self.spec.engine != "lava":
                end = min(end, begin - begin % PART + PART)
            yield begin, end
            begin = end

    def _row(self) -> dict[str, Any]:
        counts = self.learner.counts
        seen = counts["samples"]
        return {
            "samples": seen,
            "accuracy": _share(self.learner, self.new),
            "kept": None if self.keep is None else _share(self.learner, self.keep),
            "stream_accuracy": counts["right"] / seen if seen else None,
            "updates": counts["taught"],
            "trials": counts["trials"],
        }

    def adapted(self, rows: list[dict[str, Any]]) -> Adaptation:
        """The network, and all figures."""
        first, last, labels = rows[0], rows[-1], self.learner.labels
        found = self.learner.answers(self.new.x_test).argmax(axis=1)
        recall = {
            str(labels[c]): float((found[self.new.y_test == c] == c).mean())
            for c in np.unique(self.new.y_test).tolist()
        }
        result: dict[str, Any] = {
            "accuracy_before": first["accuracy"],
            "accuracy": last["accuracy"],
            "stream_accuracy": last["stream_accuracy"],
            "kept_before": first["kept"],
            "kept": last["kept"],
            "samples": last["samples"],
            "recall": recall,
            "trials": last["trials"],
            "updates": last["updates"],
            **self._diagnosed(),
            "refit": self.start.record.get("refit"),
            **self._price(last),
            "curve": rows,
            "model": None,
        }
        model = self.learner.model
        record = {key: value for key, value in model.record.items() if key not in ("result", "history")}
        record["adapted"] = {**model.record["adapted"], "dataset": self.new.name, "result": dict(result)}
        record["result"] = {"accuracy": last["accuracy"], "samples": len(self.new.x_test)}
        return Adaptation(replace(model, dataset=self.new.name, record=record), result)

    def _diagnosed(self) -> dict[str, Any]:
        """Cosines to the backprop gradient of what it would learn now, and residuals of ghosts, on training samples."""
        model = self.learner.model
        data = self.new
        if model.integers is not None and isinstance(model.learning, IntegerLearning):
            network = CompiledNetwork(model.graph, model.integers, model.learning.seed)
            found = integer_figures(network, integer_rule(model.method), model.learning, data, 1)
        else:
            assert isinstance(model.learning, Learning)
            stepped = model.learning.model_copy(update={"engine": "stepped", "margin": None})
            x, target = probe_of(data)
            target = np.pad(target, ((0, 0), (0, len(model.labels) - target.shape[1])))
            found = diagnose(model.graph, model.method, stepped, model.params, model.state, x, target)
        return {key: found[key] for key in ("cosines", "residuals") if key in found}

    def _price(self, last: Mapping[str, Any]) -> dict[str, Any]:
        """Energy and time of a sample on the chip that is named, and what others measured."""
        if self.spec.hardware is None:
            none = dict.fromkeys(("energy_j", "latency_s", "assumption", "price"))
            return {**none, "published": []}
        chip, model = load_chip(self.spec.hardware), self.learner.model
        x = np.ascontiguousarray(self.new.x_train[self.stream[:ACTIVE]], np.float32)
        goals = np.eye(len(model.labels))[self.new.y_train[self.stream[:ACTIVE]]]
        activity = measured_activity(model.graph, model.params, x, goals)
        samples, trials = max(1, last["samples"]), max(1, last["trials"])
        price = sample_cost(
            model.graph,
            chip,
            activity,
            trials_per_sample=max(1.0, trials / samples),
            taught_share=last["updates"] / trials,
        )
        shown = price.as_if or price  # where bare spikes are all that is in the way; `assumption` says so
        return {
            "energy_j": shown.energy_j,
            "latency_s": shown.latency_s,
            "assumption": shown.assumption,
            "price": price.as_json(),
            "published": list(published(chip)),
        }


def _staged(model: Model, new: Dataset, keep: Dataset | None, spec: AdaptSpec) -> _Stage:
    """Network, learner and data brought together, before anything is learned. Raises `SpecError` for what is unfit."""
    integers = spec.arithmetic == "loihi"
    if integers:
        model = refit_for_chip(model, keep, spec.seed)
    model = widened(model, spec.classes, seed=spec.seed)
    new = scaled_for(model, new, fewer_classes=True)
    if integers and model.integers is None:
        model, new = unsigned_for(model, new)
    keep = None if keep is None else scaled_for(model, keep, fewer_classes=True)
    replay = spec.replay if spec.replay is not None else (REPLAY if keep is not None else 0)
    if replay and keep is None:
        raise SpecError(f"replay {replay}: there are no old samples to store; give --keep OLD, or --replay 0")
    margin = spec.margin
    if margin is None and replay:
        margin = NEW_MARGIN if spec.classes else MARGIN
    eta = spec.eta if spec.eta is not None or replay or not integers else SLOW
    learner = OnlineLearner(
        model,
        format=spec.arithmetic,
        engine=spec.engine,
        processes=spec.processes,
        plastic=spec.plastic,
        margin=None if margin == "none" else margin,
        eta=eta,
        seed=spec.seed,
        replay=replay,
        replays=spec.replays,
    )
    if keep is not None and replay:
        rows = np.random.default_rng([spec.seed, STORED]).permutation(len(keep.x_train))
        picked = _first_of_each(keep.y_train, rows, replay)
        learner.keep_rates(keep.x_train[picked], keep.y_train[picked])
    return _Stage(spec, learner, model, new, keep, _stream(new, spec))


def _stream(new: Dataset, spec: AdaptSpec) -> Array:
    """The rows of the training set that are presented, in order. Raises `DataError` with all faults."""
    faults = [f"there is no class {c} in {new.name}" for c in spec.only if c >= new.n_classes]
    rows = order(spec.seed, 0, len(new.x_train))
    if spec.only:
        rows = rows[np.isin(new.y_train[rows], spec.only)]
    if spec.shots is not None:
        rows = _in_order(rows, _first_of_each(new.y_train, rows, spec.shots))
    if spec.samples is not None:
        if spec.samples > len(rows):
            faults.append(
                f"samples is {spec.samples}, and the training set of {new.name} has {len(rows)} to present"
                + "; ask for fewer, or for more passes"
            )
        rows = rows[: spec.samples]
    if faults:
        raise DataError(join_faults(faults))
    passes = [rows]
    for p in range(1, spec.passes):
        passes.append(rows[order(spec.seed, p, len(rows))])
    return np.concatenate(passes)


def _first_of_each(labels: Array, rows: Array, count: int) -> Array:
    """The first `count` of `rows` of each class, class by class."""
    return np.concatenate([rows[labels[rows] == c][:count] for c in np.unique(labels[rows])])


def _in_order(rows: Array, picked: Array) -> Array:
    return rows[np.isin(rows, picked)]


def _share(learner: OnlineLearner, data: Dataset) -> float:
    return float((learner.answers(data.x_test).argmax(axis=1) == data.y_test).mean())
