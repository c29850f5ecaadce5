"""`OnlineLearner`: a network that answers and learns, sample by sample, in an application."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from lavaghost.adapting.backends import Backend, backend, number_of
from lavaghost.adapting.beginning import begin, refit_for_chip
from lavaghost.adapting.guard import Guard
from lavaghost.adapting.samples import labels_of, samples_of
from lavaghost.adapting.stored import Stored
from lavaghost.base.errors import ModelFileError, SpecError, join_faults
from lavaghost.base.names import ArithmeticName, LavaModel
from lavaghost.datasets import Dataset
from lavaghost.model.model import Model
from lavaghost.model.widen import widened
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.integers import Integers
from lavaghost.numbers.widths import LoihiWidths
from lavaghost.training.checkpoint import digest, identity, load_checkpoint, save_checkpoint
from lavaghost.training.float_learner import check_tensors

START = "start"
"""In a learner's folder: the network that it began with."""
AT_ONCE = 1000
"""Samples that are handed to the loops together; more change nothing but memory."""
COUNTERS = ("samples", "trials", "taught", "right", "replayed")


class OnlineLearner:
    """A network that goes on learning from single samples, with bounded memory, and can be saved, resumed, taken out.

        learner = lavaghost.OnlineLearner(model, format="loihi", engine="stepped")
        guess = learner.learn(x, y)          # test, then learn; what it answered before
        learner.save("out/edge"); learner = lavaghost.OnlineLearner.load("out/edge")
        learner.model.save("out/adapted")

    format     loihi, float, or the bit widths of a chip
    engine     stepped, or lava with `processes` fused or decomposed; the numbers are the same, to the bit
    plastic    layers, from 1, that learn; all unless given
    margin     no target is given where the answer is right by more than this
    eta        the learning rate; in integers the nearest power of two, 2^-6 unless given
    replay     samples of each class that `remember` keeps
    replays    of these, so many come again after each new sample
    guard      watched samples and labels: when accuracy on them is `guard_drop` below its best after `guard_every`
               samples, the numbers that did best come back
    classes    outputs that are added for classes never seen: their labels, or how many
    old        data like those that it was trained on, for networks of another loss, which must be refitted

    Raises `SpecError` for what cannot learn so, `MissingError` without Lava.
    Example: `OnlineLearner(model, margin=0.5).learn(sample, label)`.
    """

    def __init__(
        self,
        model: Model,
        *,
        format: ArithmeticName | LoihiWidths = "loihi",
        engine: str = "stepped",
        processes: LavaModel = "fused",
        plastic: tuple[int, ...] | None = None,
        margin: float | None = None,
        eta: float | None = None,
        seed: int = 0,
        replay: int = 0,
        replays: int = 1,
        guard: tuple[Any, Any] | None = None,
        guard_every: int = 100,
        guard_drop: float = 0.02,
        classes: int | tuple[int | str, ...] = 0,
        old: Dataset | None = None,
    ) -> None:
        _check_options(format, engine, processes, replay, replays, guard_every, guard_drop)
        arithmetic: ArithmeticName = format if isinstance(format, str) else "loihi"
        ready = refit_for_chip(model, old, seed) if arithmetic == "loihi" else model
        if classes:
            ready = widened(ready, *((classes, ()) if isinstance(classes, int) else (0, classes)), seed=seed)
        lava = engine == "lava"
        self._begin = begin(
            ready,
            arithmetic=arithmetic,
            widths=format if isinstance(format, LoihiWidths) else None,
            plastic=plastic,
            margin=margin,
            eta=eta,
            seed=seed,
            lava=lava,
        )
        self._start = ready
        self._backend: Backend = backend(self._begin, processes if lava else None)
        self._settings = {
            "format": format if isinstance(format, str) else format.as_json(),
            "engine": engine,
            "processes": processes,
            "plastic": None if plastic is None else list(plastic),
            "margin": margin,
            "eta": eta,
            "seed": seed,
            "replay": replay,
            "replays": replays,
        }
        self._replays = replays
        outputs, inputs = ready.network.layers[-1], ready.network.layers[0]
        self._stored = Stored(outputs, replay, inputs, seed)
        self._counts: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self._guard: Guard | None = None
        if guard is not None:
            x, labels = samples_of(ready, guard[0]), labels_of(ready, guard[1])
            _check_count(x, labels)
            self._guard = Guard(x, labels, guard_every, guard_drop, _named(self._backend.numbers), -1.0)
            self._guard.judge(self._backend.outputs(x), _named(self._backend.numbers))

    # ---- what it answers and learns

    @property
    def labels(self) -> tuple[int | str, ...]:
        """The classes that it knows, in the order of its outputs."""
        return self._start.labels

    def predict(self, x: Any) -> Any:
        """The label of a raw sample `(n_0,)`, or of each of `(n, n_0)`; nothing is learned. Raises `SpecError`."""
        rates = samples_of(self._start, x)
        return self._labelled(self._backend.outputs(rates), x)

    def learn(self, x: Any, y: Any) -> Any:
        """Test, then learn: a raw sample `(n_0,)` and its label, or several in their order; what was answered before.

        A sample or a label that cannot be is a `SpecError`, and then nothing of this call was learned.
        """
        rates, labels = samples_of(self._start, x), labels_of(self._start, y)
        _check_count(rates, labels)
        return self._labelled(self.learn_rates(rates, labels), x)

    def follow(self, stream: Iterable[tuple[Any, Any]]) -> int:
        """Learn pairs of sample and label until the stream ends; how many. What fails, fails after all before it."""
        done = 0
        for x, y in stream:
            self.learn(x, y)
            done += 1
        return done

    def remember(self, x: Any, y: Any) -> int:
        """Keep samples against forgetting, as long as their class has room (`replay`); how many were kept."""
        rates, labels = samples_of(self._start, x), labels_of(self._start, y)
        _check_count(rates, labels)
        return self._stored.keep(rates, labels)

    def keep_rates(self, x: Array, labels: Array) -> int:
        """`remember` for rates `(n, n_0)` and outputs' numbers `(n,)`."""
        return self._stored.keep(x, labels)

    def learn_rates(self, x: Array, labels: Array) -> Array:
        """`learn` for rates `(n, n_0)` and outputs' numbers `(n,)`: the outputs `(n, n_L)` before each was learned."""
        found = np.empty((len(x), len(self.labels)))
        done = 0
        while done < len(x):
            count = min(len(x) - done, AT_ONCE, self._until_guard())
            part = slice(done, done + count)
            found[part] = self._learn(x[part], labels[part])
            done += count
            if self._guard is not None and self._until_guard() == self._guard.every:
                self._look(self._guard)
        return found

    def answers(self, x: Array) -> Array:
        """The outputs `(n, n_L)` of rates `(n, n_0)`; nothing is learned."""
        return self._backend.outputs(x)

    def _learn(self, x: Array, labels: Array) -> Array:
        """At most a thousand samples, with stored ones after each, if there are any."""
        counts, fresh, each = self._counts, np.ones(len(x), bool), self._replays
        if len(self._stored):
            rows = self._stored.rows(counts["replayed"], each * len(x)).reshape(-1, each)
            fresh = np.tile(np.arange(1 + each) == 0, len(x))
            x, labels = _between(x, self._stored.x[rows]), _between(labels, self._stored.labels[rows])
        answered = self._backend.learn(x, labels, number_of(counts["trials"]))
        outputs = answered.outputs[fresh]
        counts["samples"] += int(fresh.sum())
        counts["trials"] += len(x)
        counts["replayed"] += int((~fresh).sum())
        counts["taught"] += answered.taught
        counts["right"] += int((outputs.argmax(axis=1) == labels[fresh]).sum())
        return outputs

    def _until_guard(self) -> int:
        """Samples until the guard looks."""
        if self._guard is None:
            return AT_ONCE
        return self._guard.every - self._counts["samples"] % self._guard.every

    def _look(self, guard: Guard) -> None:
        if not guard.judge(self._backend.outputs(guard.x), _named(self._backend.numbers)):
            self._take(guard.best)

    def _labelled(self, outputs: Array, like: Any) -> Any:
        found = self._start.named(outputs)
        return found[0] if np.ndim(like) == 1 else found

    # ---- what it has become

    @property
    def counts(self) -> dict[str, int]:
        """Samples learned, trials (replays included), trials that taught, samples answered right, samples replayed."""
        found = dict(self._counts)
        if self._guard is not None:
            found["rollbacks"] = self._guard.rollbacks
        return found

    @property
    def model(self) -> Model:
        """The network as it is now: with its own integers, to be saved, mapped, exported, or started from again."""
        begin, start = self._begin, self._start
        numbers = self._backend.numbers
        record = {**start.record, "adapted": {**self._settings, **self.counts}}
        if isinstance(numbers, Parameters):
            numbers = numbers.astype(np.float32)
        state = start.state if begin.method.shapes(begin.graph) == start.method.shapes(start.graph) else {}
        return replace(
            start,
            network=begin.network,
            method=begin.method,
            learning=begin.learning,
            tensors=numbers,
            record=record,
            state=state,
        )

    @property
    def state(self) -> dict[str, Array]:
        """All that the rest of its life depends on, by name: numbers, stored samples, counters, guard."""
        found = {f"numbers.{name}": a.copy() for name, a in _named(self._backend.numbers).items()}
        found |= self._stored.tensors() | {"counters": np.array(list(self._counts.values()), np.int64)}
        return found | (self._guard.tensors() if self._guard is not None else {})

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take back a `state` of a learner with the same settings. Raises `ModelFileError` for any other."""
        mine = {name: a for name, a in self.state.items() if not name.startswith(("stored.", "guard."))}
        check_tensors(
            mine, {name: a for name, a in state.items() if not name.startswith(("stored.", "guard."))}
        )
        self._take({n.removeprefix("numbers."): a for n, a in state.items() if n.startswith("numbers.")})
        self._stored.restore(state)
        self._counts = dict(zip(COUNTERS, (int(n) for n in state["counters"]), strict=True))
        self._guard = Guard.of(state) if "guard.state" in state else None

    def _take(self, arrays: Mapping[str, Array]) -> None:
        numbers = self._backend.numbers
        if isinstance(numbers, Integers):
            self._backend.take(Integers(arrays, numbers.formats, numbers.widths))
        else:
            self._backend.take(Parameters.from_named(self._begin.graph, arrays))

    @property
    def identity(self) -> str:
        """What a saved state belongs to: the settings, and the numbers that it began with."""
        return identity(settings=self._settings, start=digest(_named(self._begin.numbers), {}))

    def save(self, folder: Path | str) -> Path:
        """Write what it began with and its `state` into `folder`, whole or not at all. Raises `OutputError`."""
        folder = Path(folder)
        if not (folder / START / "model.yaml").exists() or Model.load(folder / START) != self._start:
            self._start.save(folder / START)
        save_checkpoint(folder, self.identity, self._counts["samples"], self.state, [self._settings])
        return folder

    @classmethod
    def load(cls, folder: Path | str) -> "OnlineLearner":
        """The learner that was saved in `folder`; it goes on to the bit. Raises `ModelFileError`."""
        folder = Path(folder)
        start = Model.load(folder / START)
        saved = load_checkpoint(folder, None)
        if saved is None or not saved.history:
            raise ModelFileError(f"{folder} has no state of a learner; save one there, or name another folder")
        settings = dict(saved.history[0])
        if isinstance(settings["format"], dict):
            settings["format"] = LoihiWidths.parse(settings["format"])
        if settings["plastic"] is not None:
            settings["plastic"] = tuple(settings["plastic"])
        learner = cls(start, **settings)
        if learner.identity != saved.belongs_to:
            raise ModelFileError(f"{folder}: the state belongs to another network than {START}; restore both")
        learner.restore(saved.tensors)
        return learner


def _named(numbers: Parameters | Integers) -> dict[str, Array]:
    return dict(numbers.arrays) if isinstance(numbers, Integers) else numbers.named()


def _between(new: Array, stored: Array) -> Array:
    """`new (n, ...)`, and after each of them its `stored (n, each, ...)`: `(n + n each, ...)`."""
    both = np.concatenate([new[:, np.newaxis], stored.astype(new.dtype)], axis=1)
    return both.reshape(-1, *new.shape[1:])


def _check_count(x: Array, labels: Array) -> None:
    if len(x) != len(labels):
        raise SpecError(f"there are {len(x)} samples and {len(labels)} labels; give one for each")


def _check_options(
    format: Any,
    engine: Any,
    processes: Any,
    replay: Any,
    replays: Any,
    guard_every: Any,
    guard_drop: Any,
) -> None:
    faults = []
    known = get_args(ArithmeticName)
    if not isinstance(format, LoihiWidths) and format not in known:
        faults.append(f"format is {format!r:.40}; use {', '.join(known)}, or LoihiWidths")
    if engine not in ("stepped", "lava"):
        faults.append(f"engine is {engine!r:.40}; single samples are learned by stepped or lava")
    if processes not in get_args(LavaModel):
        faults.append(f"processes is {processes!r:.40}; use {' or '.join(get_args(LavaModel))}")
    for name, value, low in (("replay", replay, 0), ("replays", replays, 1), ("guard_every", guard_every, 1)):
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            faults.append(f"{name} is {value!r:.40}; give a whole number from {low}")
    if not isinstance(guard_drop, int | float) or not 0 <= guard_drop <= 1:
        faults.append(f"guard_drop is {guard_drop!r:.40}; give a share from 0 to 1")
    if faults:
        raise SpecError(join_faults(faults))
