"""Learning on Lava, in floating point and in integers: one sample at a time, by Lava's time step.

The network is a `GhostNetwork` that presents the data set to itself, and what the host wants to know comes through
pipes while the run goes on: the parameters, several times an epoch, and records. The loop is `training.loop`'s.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from lavaghost.base.errors import ModelFileError, SpecError
from lavaghost.base.names import LavaModel
from lavaghost.datasets import Dataset
from lavaghost.dynamics import Parameters
from lavaghost.engines.threads import suited_threads
from lavaghost.lava.available import require_lava
from lavaghost.lava.lesson_run import LessonPlan, LessonRun
from lavaghost.lava.number_systems import AnyNumbers, arrays_of, check_dense
from lavaghost.lava.record import Recorder
from lavaghost.lava.starts import begun
from lavaghost.lava.trials import check_engine, check_layers
from lavaghost.lava.vectors import unflat
from lavaghost.methods.base import Method, OwnState
from lavaghost.methods.ghost.plasticity import OnlineGhosts
from lavaghost.methods.learning import Learning
from lavaghost.net.network import Network
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.integers import Integers
from lavaghost.numbers.widths import DEFAULT, Formats, LoihiWidths
from lavaghost.online.integers.compiled_network import CompiledNetwork
from lavaghost.online.integers.integer_course import IntegerCourse
from lavaghost.online.integers.settings import IntegerLearning
from lavaghost.training.checkpoint import digest, fingerprint
from lavaghost.training.checkpoint import identity as identity_of
from lavaghost.training.diagnostics import diagnose
from lavaghost.training.float_learner import accuracy, check_finite, check_tensors, probe_of
from lavaghost.training.integer_learner import accuracy_figures, integer_figures
from lavaghost.training.loop import OnRow, Tell, Trained, run


class LavaLearner:
    """See `Learner`; a context manager, with whose block all processes end. A step is a trial.

    processes  fused, or the network of processes that stands for it
    widths, formats   of integers, where `learning` is theirs
    start      the numbers that learning begins with, in the arithmetic, formats and widths of the run; else drawn
    ghosts     steps of learned ghosts, which are otherwise set from the activity of the first training samples
    limit      training samples of each epoch (all)
    watch      called as `watch(trials, accuracy)` `looks` times an epoch, while Lava runs on; the history has these
               figures under `during`
    record     layers (from 1) whose rates, residuals and weights are recorded, of at most `ROWS` trials of the run
    timeout_s  bounds the whole run; if not given, `default_timeout_s` bounds each `STEPS_AT_ONCE`

    Learning is that of `online.course`, or of `training.integer_learner`, to the bit. Ctrl-C ends all processes and
    passes through. Raises `MissingError` without Lava, `SpecError` for what does not go together, `LavaError` if a Lava
    process fails.
    """

    def __init__(
        self,
        network: Network,
        method: Method,
        learning: Learning | IntegerLearning,
        data: Dataset,
        *,
        processes: LavaModel = "fused",
        widths: LoihiWidths = DEFAULT,
        formats: Formats | None = None,
        start: AnyNumbers | None = None,
        ghosts: OnlineGhosts | None = None,
        limit: int | None = None,
        record: Sequence[int] = (),
        watch: Callable[[int, float], None] = lambda trials, accuracy: None,
        looks: int = 5,
        diagnostics: bool = True,
        timeout_s: float | None = None,
    ) -> None:
        require_lava()
        from lavaghost.lava.session import configuration

        configuration(processes)
        self.graph, self.method, self.data = method.graph(network), method, data
        check_dense(self.graph)
        self.watch, self.diagnostics = watch, diagnostics
        self.learning = learning.model_copy(update={"engine": "lava"})
        n = len(data.x_train)
        self.per_epoch = n if limit is None else min(limit, n)
        self.epochs = learning.epochs
        self.numbers, self.course = begun(
            self.graph,
            method,
            self.learning,
            data,
            self.per_epoch,
            widths=widths,
            formats=formats,
            start=start,
            ghosts=ghosts,
        )
        if processes == "decomposed" and isinstance(self.course, IntegerCourse):
            check_engine(self.course.widths)
        owner = dict(self.numbers.form()) if isinstance(self.numbers, Integers) else {}
        if start is not None:
            owner["start"] = digest(arrays_of(start), {})
        check_layers(self.graph, tuple(record))
        self.pretraining = self.course.pretrain
        self.recorder = Recorder(self.graph, record)
        self.identity = identity_of(
            network=network.model_dump(mode="json"),
            method=method.settings(),
            learning=self.learning.model_dump(mode="json"),
            data=f"{fingerprint(data)}:lava:{limit}",
            **owner,
        )
        self.plan = LessonPlan(
            graph=self.graph,
            course=self.course,
            data=data,
            processes=processes,
            seed=learning.seed,
            epochs=self.epochs,
            per_epoch=self.per_epoch,
            looks=looks,
            record=self.recorder.layers,
            timeout_s=timeout_s,
        )
        self._last: Mapping[str, Any] = {}
        self._run: LessonRun | None = None

    # ---- the loop's side

    def pretrain(self, tell: Tell) -> None:
        """See `Learner`."""
        self._advance(0, self.pretraining, tell)

    def epoch(self, epoch: int, tell: Tell) -> dict[str, Any]:
        """See `Learner`: `during`, the looks of the epoch, pairs of a share of the run's epochs and an accuracy."""
        begin = self.pretraining + epoch * self.per_epoch
        return {"during": self._advance(begin, begin + self.per_epoch, tell)}

    def measure(self, epoch: int) -> dict[str, Any]:
        """See `Learner`: in floating point by the method on the engine that takes the very steps of Lava."""
        if isinstance(self.course, IntegerCourse):
            rule, learning = self.course.rule, self.course.learning
            return integer_figures(self._compiled(), rule, learning, self.data, epoch, self.diagnostics)
        return self._measured(self.params, self.learning, epoch)

    def _measured(self, params: Parameters, learning: Any, epoch: int) -> dict[str, Any]:
        when = f"epoch {epoch}" if epoch else "pre-training"
        check_finite(self.graph, params, {}, when, self.method, learning, self._last)
        with suited_threads(self.graph, 1):
            found: dict[str, Any] = {"accuracy": self._accuracy(params)}
            if self.diagnostics:
                stepped = learning.model_copy(update={"engine": "stepped"})
                state = self.result()[1]
                found |= diagnose(
                    self.graph, self.method, stepped, params.astype(np.float32), state, *probe_of(self.data)
                )
        self._last = found
        return found

    def tensors(self) -> dict[str, Array]:
        """See `Learner`: the parameters."""
        return {f"parameters.{name}": array for name, array in arrays_of(self.numbers).items()}

    def restore(self, tensors: Mapping[str, Array]) -> None:
        """See `Learner`."""
        check_tensors(self.tensors(), tensors)
        arrays = {name.partition(".")[2]: array for name, array in tensors.items()}
        if not isinstance(self.numbers, Integers):
            self.numbers = Parameters.from_named(self.graph, arrays)
            return
        try:
            self.numbers = Integers(arrays, self.numbers.formats, self.numbers.widths)
        except SpecError as error:
            raise ModelFileError(
                f"the checkpoint is damaged: {error}; remove it and train without --resume"
            ) from error

    def result(self) -> tuple[AnyNumbers, OwnState]:
        """See `Learner`; what runs on Lava has no arrays beside the network's."""
        return self.numbers, {}

    def record(self) -> dict[str, Array]:
        """See `Learner`."""
        return {} if self.recorder.empty else self.recorder.arrays()

    # ---- Lava's side

    def __enter__(self) -> "LavaLearner":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """See `Learner`: all processes end."""
        if self._run is not None:
            self._run.close()
            self._run = None

    def _advance(self, begin: int, end: int, tell: Tell) -> list[list[float]]:
        """The trials `begin`..`end - 1` on Lava, and the looks on the way."""
        during: list[list[float]] = []
        if end <= begin:
            return during
        if self._run is None:
            self._run = LessonRun(self.plan, self.numbers, begin, self.recorder.add)

        def arrived(after: int, vector: Array) -> None:
            self.numbers = unflat(self.graph, vector, self.numbers)
            self.recorder.add_weights(after, self.numbers)
            learned = after + 1 - self.pretraining
            if learned > 0 and after + 1 < end:
                found = self._look()
                during.append([learned / self.per_epoch, found])
                self.watch(learned, found)

        for done in self._run.trials(begin, end, arrived):
            tell(done - begin)
        return during

    def _look(self) -> float:
        """Test accuracy of the present numbers."""
        if isinstance(self.numbers, Integers):
            return accuracy_figures(self._compiled(), self.data)["accuracy"]
        return self._accuracy(self.params)

    def _accuracy(self, params: Parameters) -> float:
        return accuracy(self.graph, params.astype(np.float32), self.data.x_test, self.data.y_test)

    def _compiled(self) -> CompiledNetwork:
        return CompiledNetwork(self.graph, self.integers, self.learning.seed)

    @property
    def params(self) -> Parameters:
        """The present numbers, of a run in floating point."""
        assert isinstance(self.numbers, Parameters)
        return self.numbers

    @property
    def integers(self) -> Integers:
        """The present numbers, of a run in integers."""
        assert isinstance(self.numbers, Integers)
        return self.numbers


def train_on_lava(
    network: Network,
    method: Method,
    learning: Learning | IntegerLearning,
    data: Dataset,
    *,
    out: Path | None = None,
    resume: bool = False,
    report: OnRow = lambda done, total, row: None,
    **settings: Any,
) -> Trained:
    """A whole run of a `LavaLearner` with `settings`; see `training.loop.run`. Records go to `record.npz` in `out`."""
    with LavaLearner(network, method, learning, data, **settings) as learner:
        found = run(learner, out=out, identity=learner.identity, resume=resume, report=report)
    if out is not None and not learner.recorder.empty:
        learner.recorder.save(out / "record.npz")
    return found
