"""The one training loop: pre-training, then epochs, each with a row of figures and a checkpoint.

What learns is a `Learner`: batches in floating point (`float_learner`), samples in integers (`integer_learner`), or
processes of Lava (`lava.learner`). All take samples in the order of `training.order` and keep in `tensors` what the
rest of a run depends on, so that a killed and resumed run ends with the bits of an uninterrupted one.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from lavaghost.datasets import Dataset
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.integers import Integers
from lavaghost.training.checkpoint import load_checkpoint, save_checkpoint

ROWS = 500
"""Most rows of history that a saved network carries; a longer run leaves out rows evenly."""

OnRow = Callable[[int, int, dict[str, Any] | None], None]
"""Called as `report(steps_done, steps_in_all, row)`; row is None except at the end of an epoch."""
Tell = Callable[[int], None]
"""Called with steps done within the present epoch, or within pre-training."""


class Learner(Protocol):
    """What learns. A step is a batch, or a sample where one is learned at a time."""

    pretraining: int
    """Steps before the first epoch in which only the method's own parameters learn."""
    per_epoch: int
    """Steps of an epoch."""
    epochs: int

    def pretrain(self, tell: Tell) -> None:
        """All steps of pre-training."""
        ...

    def epoch(self, epoch: int, tell: Tell) -> dict[str, Any]:
        """The steps of `epoch` (from 0); figures of the epoch itself, such as how often the network waited."""
        ...

    def measure(self, epoch: int) -> dict[str, Any]:
        """Figures after `epoch` epochs: `accuracy` and, if wanted, diagnostics. Raises `DivergedError`."""
        ...

    def tensors(self) -> Mapping[str, Array]:
        """All that the rest of the run depends on, by name."""
        ...

    def restore(self, tensors: Mapping[str, Array]) -> None:
        """Take `tensors` back. Raises `ModelFileError` if they are not those of this run."""
        ...

    def result(self) -> tuple[Parameters | Integers, Mapping[str, Array]]:
        """The network's numbers, and the state of its method."""
        ...

    def record(self) -> Mapping[str, Array]:
        """What was recorded of single layers, by name; nothing where nothing was wanted."""
        ...

    def close(self) -> None:
        """End what it started; twice is harmless."""
        ...


class Trained(NamedTuple):
    """The outcome of a run: numbers, the method's state, one row of figures per epoch (row 0 is before training).

    `learning_seconds` are those of the epochs alone, without measuring and saving; None where it was resumed.
    """

    numbers: Parameters | Integers
    state: Mapping[str, Array]
    history: list[dict[str, Any]]
    seconds: float
    learning_seconds: float | None = None

    @property
    def params(self) -> Parameters:
        """Its numbers in floating point. Raises `TypeError` for integers."""
        if isinstance(self.numbers, Integers):
            raise TypeError("this run learned integers; they are its `integers`")
        return self.numbers

    @property
    def integers(self) -> Integers:
        """Its numbers in integers. Raises `TypeError` for floating point."""
        if not isinstance(self.numbers, Integers):
            raise TypeError("this run learned in floating point; its numbers are its `params`")
        return self.numbers

    def result(self, data: Dataset, **run: Any) -> dict[str, Any]:
        """The figures of the last epoch, with what names the `run`, and each layer's lowest cosine of all epochs."""
        last = self.history[-1]
        cosines = [row["cosines"] for row in self.history if "cosines" in row]
        return {
            "accuracy": last["accuracy"],
            "samples": len(data.x_test),
            "seconds": self.seconds,
            **run,
            "cosines": last.get("cosines", []),
            "lowest_cosines": [min(layer) for layer in zip(*cosines, strict=True)],
            # of ghosts, where there are any
            **({"residuals": last["residuals"]} if "residuals" in last else {}),
        }


def run(
    learner: Learner,
    *,
    out: Path | None = None,
    identity: str = "",
    resume: bool = False,
    report: OnRow = lambda done, total, row: None,
) -> Trained:
    """Let `learner` learn. With `out`, leave a checkpoint there after every epoch; `resume` starts from it.

    `identity` is what a checkpoint belongs to. Raises what the learner raises, `ModelFileError` or `OutputError` for
    a checkpoint that cannot be read or written.
    """
    began = time.perf_counter()
    saved = load_checkpoint(out, identity) if out is not None and resume else None
    history = list(saved.history) if saved else []
    total = learner.pretraining + learner.epochs * learner.per_epoch

    def row(epoch: int, figures: Mapping[str, Any]) -> None:
        history.append({"epoch": epoch, "waited": 0, **learner.measure(epoch), **figures})
        if out is not None:
            save_checkpoint(out, identity, epoch, learner.tensors(), history)
        report(learner.pretraining + epoch * learner.per_epoch, total, history[-1])

    if saved:
        learner.restore(saved.tensors)
    else:
        learner.pretrain(lambda done: report(done, total, None))
        row(0, {})
    learning = 0.0
    for epoch in range(saved.epoch if saved else 0, learner.epochs):
        before, start = learner.pretraining + epoch * learner.per_epoch, time.perf_counter()
        figures = learner.epoch(epoch, lambda done, before=before: report(before + done, total, None))
        learning += time.perf_counter() - start
        row(epoch + 1, figures)
    return Trained(*learner.result(), history, time.perf_counter() - began, None if saved else learning)
