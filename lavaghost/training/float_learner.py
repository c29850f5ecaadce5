"""Learning in floating point: batches through a method and the optimiser."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from lavaghost.base.errors import DivergedError, ModelFileError, SpecError, join_faults
from lavaghost.datasets import Dataset
from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.engines.threads import suited_threads
from lavaghost.methods.base import Batch, Method, Moment, OwnState
from lavaghost.methods.by_name import check_together
from lavaghost.methods.ghost.depth import check_depth
from lavaghost.methods.learning import Learning
from lavaghost.methods.optimiser import Momentum, learning_rate
from lavaghost.net.graph import Graph
from lavaghost.net.network import Network
from lavaghost.net.parameters import Parameters, initial_parameters
from lavaghost.numbers.arithmetic import Array
from lavaghost.training.diagnostics import PROBE, diagnose
from lavaghost.training.divergence import advice, named
from lavaghost.training.loop import Tell
from lavaghost.training.order import PRETRAINING, shuffled

STATE_STREAM = 8
"""First word of the seed of a method's own initial arrays."""


class FloatLearner:
    """See `Learner`. Raises `SpecError` if network, method, learning and data do not go together."""

    def __init__(
        self,
        network: Network,
        method: Method,
        learning: Learning,
        data: Dataset,
        *,
        diagnostics: bool = True,
        start: Parameters | None = None,
        state: OwnState | None = None,
    ) -> None:
        self.method, self.learning, self.data, self.diagnostics = method, learning, data, diagnostics
        self.graph = graph = method.graph(network)
        check_together(method, graph, learning)
        check_depth(graph, method, learning)
        if learning.engine == "lava":
            raise SpecError("engine 'lava' trains through lava.learner; here use equilibrium or stepped")
        # what steps in time is compared with Lava to the bit, and Lava computes in double precision
        precision = np.float64 if learning.engine == "stepped" else np.float32
        self.params = initial_parameters(graph, learning.seed, precision, start, learning.init_std)
        rng = np.random.default_rng([STATE_STREAM, learning.seed])
        self.state: OwnState = method.init(graph, self.params, rng) if state is None else state
        self.optimiser = Momentum(graph, self.params, learning.momentum, learning.weight_decay)
        self.work = method.prepare(graph, learning)
        self.pretraining = method.pretrain_batches(graph)
        self.epochs, self.per_epoch = learning.epochs, -(-len(data.x_train) // learning.batch_size)
        self.last: dict[str, Any] = {}

    def pretrain(self, tell: Tell) -> None:
        """See `Learner`."""
        done, epoch = 0, PRETRAINING
        with self._batches():
            while done < self.pretraining:
                for i, (x, target) in enumerate(
                    shuffled(self.data, self.learning.batch_size, self.learning.seed, epoch)
                ):
                    if done == self.pretraining:
                        break
                    self._step(Batch(x, target, Moment(self.learning.seed, epoch, i), "pretrain"), 0.0)
                    done += 1
                    tell(done)
                epoch += 1

    def epoch(self, epoch: int, tell: Tell) -> dict[str, Any]:
        """See `Learner`: `waited`, the batches in which the network did not learn."""
        learning, waited = self.learning, 0
        with self._batches():
            for i, (x, target) in enumerate(shuffled(self.data, learning.batch_size, learning.seed, epoch)):
                progress = (epoch * self.per_epoch + i) / (learning.epochs * self.per_epoch)
                eta = learning_rate(learning.eta, learning.eta_decay, progress)
                waited += not self._step(Batch(x, target, Moment(learning.seed, epoch, i)), eta)
                tell(i + 1)
        return {"waited": waited}

    def _step(self, batch: Batch, eta: float) -> bool:
        """One batch; whether the network learned from it."""
        changes, self.state = self.method.update(self.work, self.params, self.state, batch)
        self.optimiser.apply(self.params, changes, eta)
        return bool(changes.factors)

    @contextmanager
    def _batches(self) -> Iterator[None]:
        """Threads by the size of batches. Numbers may leave the finite range, which `measure` finds."""
        with np.errstate(over="ignore", invalid="ignore"), suited_threads(self.graph, self.learning.batch_size):
            yield

    def measure(self, epoch: int) -> dict[str, Any]:
        """See `Learner`: accuracy by the equilibrium engine, and diagnostics of the live method."""
        when = f"epoch {epoch}" if epoch else "pre-training"
        check_finite(self.graph, self.params, self.state, when, self.method, self.learning, self.last)
        params = self.params.astype(np.float32)
        with self._batches():
            found: dict[str, Any] = {
                "accuracy": accuracy(self.graph, params, self.data.x_test, self.data.y_test)
            }
            if self.diagnostics:
                found |= diagnose(
                    self.graph, self.method, self.learning, params, self.state, *probe_of(self.data)
                )
        self.last = found
        return found

    def tensors(self) -> dict[str, Array]:
        """See `Learner`: parameters, velocities, the method's state."""
        found = {f"parameters.{name}": array for name, array in self.params.named().items()}
        found |= {f"velocity.{name}": array for name, array in self.optimiser.named().items()}
        return found | {f"state.{name}": array for name, array in self.state.items()}

    def restore(self, tensors: Mapping[str, Array]) -> None:
        """See `Learner`."""
        check_tensors(self.tensors(), tensors)
        groups: dict[str, dict[str, Array]] = {"parameters": {}, "velocity": {}, "state": {}}
        for name, array in tensors.items():
            group, _, rest = name.partition(".")
            groups[group][rest] = np.array(array)
        self.params = Parameters.from_named(self.graph, groups["parameters"])
        self.optimiser.restore(groups["velocity"])
        self.state = groups["state"]

    def result(self) -> tuple[Parameters, OwnState]:
        """See `Learner`."""
        return self.params, self.state

    def record(self) -> dict[str, Array]:
        """See `Learner`; nothing."""
        return {}

    def close(self) -> None:
        """See `Learner`; nothing was started."""


def probe_of(data: Dataset) -> tuple[Array, Array]:
    """The training samples on which diagnostics are measured, and their one-hot targets."""
    x = np.ascontiguousarray(data.x_train[:PROBE], np.float32)
    return x, np.eye(data.n_classes, dtype=np.float32)[data.y_train[:PROBE]]


def accuracy(graph: Graph, params: Parameters, x: Array, y: Array) -> float:
    """Share of samples whose largest free-phase output is their label, solved to equilibrium."""
    engine = Equilibrium(graph, min(len(x), 500))
    return float((engine.output(params, x).argmax(axis=1) == y).mean())


def check_tensors(wanted: Mapping[str, Array], found: Mapping[str, Array]) -> None:
    """Raise `ModelFileError` unless the tensors of a checkpoint are, by name, shape and type, those of its run."""
    a = {(name, array.shape, array.dtype.name) for name, array in wanted.items()}
    b = {(name, array.shape, array.dtype.name) for name, array in found.items()}
    if a != b:
        faults = [f"unexpected {name} {shape} {kind}" for name, shape, kind in sorted(a ^ b)]
        raise ModelFileError(
            f"the checkpoint is damaged: {join_faults(faults)}; remove it and train without --resume"
        )


def check_finite(
    graph: Graph,
    params: Parameters,
    state: OwnState,
    when: str,
    method: Method,
    learning: Learning,
    last: Mapping[str, Any],
) -> None:
    """Raise `DivergedError` if a number of network or method is not finite, with what to lower by what `last` shows.

    `last` is the last row of history, measured while all numbers were finite.
    """
    arrays = {**params.named(), **state}
    broken = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if broken:
        raise DivergedError(
            f"training diverged in {when}: {named(broken)} not finite; "
            f"{advice(graph, broken, method, learning, last)}"
        )
