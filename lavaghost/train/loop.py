"""Training: spec + method + engine + batches -> trained parameters and an honest history.

The order of the samples is a function of seed and epoch. Together with checkpoints at the end of every epoch
that makes a killed and resumed run end with the weights of an uninterrupted one, to the last bit.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lavaghost.base.errors import DivergedError, SpecError, join_faults
from lavaghost.datasets import Dataset
from lavaghost.dynamics import Parameters, initial_parameters
from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.engines.threads import suited_threads
from lavaghost.methods.ghost.depth import check_depth
from lavaghost.methods.ghost.rules import Rule
from lavaghost.methods.methods import make_method
from lavaghost.methods.optimiser import Momentum, learning_rate
from lavaghost.net.spec import Learning, Network, check_together
from lavaghost.numbers.arithmetic import Array
from lavaghost.train.checkpoint import digest, identity, load_checkpoint, save_checkpoint
from lavaghost.train.diagnostics import diagnose
from lavaghost.train.divergence import advice, named

PROBE = 500
"""Training samples on which the diagnostics are measured, the first of the data set."""
ROWS = 500
"""Most rows of history that a saved network carries; a longer run leaves out rows evenly."""
GATHER = 10
"""Batches gathered from the data set at a time: one copy of shuffled rows, small enough for the cache."""


class Trained(NamedTuple):
    """The outcome of a run: parameters, and one row of figures per epoch (row 0 is before training)."""

    params: Parameters
    history: list[dict[str, Any]]
    seconds: float

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
            "residuals": last.get("residuals", []),
        }


OnRow = Callable[[int, int, dict[str, Any] | None], None]
"""Called as `report(batches_done, batches_in_all, row)`; row is None except at the end of an epoch."""


def train(
    network: Network,
    learning: Learning,
    data: Dataset,
    *,
    out: Path | None = None,
    resume: bool = False,
    diagnostics: bool = True,
    report: OnRow = lambda done, total, row: None,
    rule: Rule | None = None,
    start: Parameters | None = None,
) -> Trained:
    """Train `network` on `data`. With `out`, leave a checkpoint there after every epoch; `resume` starts from it.
    `rule` is a local rule of your own, in place of the one that `learning` names. `start` holds the numbers that
    training starts from; arrays that it lacks, such as those of ghosts, are initialised.

    Raises `SpecError` if network, learning and data do not go together, `DivergedError` when a weight is no
    longer finite, `ModelFileError` or `OutputError` for a checkpoint that cannot be read or written.
    """
    check_together(network, learning)
    check_depth(network, learning)
    check_data(network, data)
    if learning.engine == "lava":
        raise SpecError("engine 'lava' trains through lava_backend.train; here use equilibrium or stepped")
    began = time.perf_counter()
    method = make_method(network, learning, rule)
    belongs_to = ""
    if out is not None:
        own = f" with rule {rule.name}" if rule is not None else ""
        origin = f" from {digest(start.named(), {})}" if start is not None else ""
        belongs_to = identity(network, learning, fingerprint(data) + own + origin)
    saved = load_checkpoint(out, network, belongs_to) if out is not None and resume else None
    # what steps in time is compared with Lava to the bit, and Lava computes in double precision
    precision = np.float64 if learning.engine == "stepped" else np.float32
    params = saved.params if saved else initial_parameters(network, learning.seed, precision, start)
    optimiser = Momentum(params, learning.momentum, learning.weight_decay)
    history = list(saved.history) if saved else []
    if saved:
        optimiser.restore(saved.velocity)
    first = saved.epoch if saved else 0
    batches = -(-len(data.x_train) // learning.batch_size)
    pretraining = method.pretrain_batches
    total = pretraining + learning.epochs * batches
    done = 0

    def row(epoch: int, waited: int) -> dict[str, Any]:
        found = measure(network, learning, params, data, diagnostics, rule)
        history.append({"epoch": epoch, "waited": waited, **found})
        if out is not None:
            save_checkpoint(out, belongs_to, epoch, params, optimiser, history)
        return history[-1]

    # numbers may leave the finite range inside an epoch; that is looked for, and named, at its end
    with np.errstate(over="ignore", invalid="ignore"), suited_threads(network, learning.batch_size):
        if saved:
            done = pretraining + first * batches
        else:
            for x, target in _endless(data, learning, pretraining):
                method.pretrain(params, x, target)
                done += 1
                report(done, total, None)
            method.waited()
            check_finite(network, params, "pre-training", learning)
            report(done, total, row(0, 0))
        for epoch in range(first, learning.epochs):
            for i, (x, target) in enumerate(shuffled(data, learning.batch_size, learning.seed, epoch)):
                progress = (epoch * batches + i) / (learning.epochs * batches)
                eta = learning_rate(learning.eta, learning.eta_decay, progress)
                optimiser.apply(params, method.factors(params, x, target), eta)
                method.after_step(params, optimiser, eta)
                done += 1
                report(done, total, None)
            check_finite(network, params, f"epoch {epoch + 1}", learning, history[-1])
            report(done, total, row(epoch + 1, method.waited()))
    return Trained(params, history, time.perf_counter() - began)


def check_data(network: Network, data: Dataset) -> None:
    """Refuse a network whose input or output does not fit the data set."""
    faults = []
    if network.layers[0] != data.n_inputs:
        faults.append(f"layers[0] is {network.layers[0]}, but {data.name} has {data.n_inputs} inputs")
    if network.layers[-1] != data.n_classes:
        faults.append(f"layers[-1] is {network.layers[-1]}, but {data.name} has {data.n_classes} classes")
    if faults:
        raise SpecError(join_faults(faults) + "; give the sizes of the data set")


def fingerprint(data: Dataset) -> str:
    """A short hash of the training set: labels in full, and every 97th value of the inputs."""
    digest = hashlib.sha256(f"{data.x_train.shape}".encode())
    digest.update(data.y_train.tobytes())
    digest.update(np.ascontiguousarray(data.x_train.reshape(-1)[::97]).tobytes())
    return f"{data.name}:{digest.hexdigest()[:16]}"


def shuffled(data: Dataset, batch_size: int, seed: int, epoch: int) -> Iterator[tuple[Array, Array]]:
    """Every training sample once, as `(x (batch, n_0), one-hot target (batch, n_L))`.

    The arrays hold until a few batches later: rows are gathered into one small buffer, not copied per batch.
    """
    n, one_hot = len(data.x_train), np.eye(data.n_classes, dtype=np.float32)
    order = np.random.default_rng([seed, epoch]).permutation(n)
    span = GATHER * batch_size
    rows = np.empty((min(span, n), data.n_inputs), np.float32)
    for start in range(0, n, span):
        picked = order[start : start + span]
        x = np.take(data.x_train, picked, axis=0, out=rows[: len(picked)], mode="clip")
        target = one_hot[data.y_train[picked]]
        for i in range(0, len(picked), batch_size):
            yield x[i : i + batch_size], target[i : i + batch_size]


def _endless(data: Dataset, learning: Learning, count: int) -> Iterator[tuple[Array, Array]]:
    """`count` batches for pre-training, from epochs that training itself never reaches."""
    epoch = 2**32
    while count > 0:
        for batch in shuffled(data, learning.batch_size, learning.seed, epoch):
            if count == 0:
                return
            count -= 1
            yield batch
        epoch += 1


def measure(
    network: Network,
    learning: Learning,
    params: Parameters,
    data: Dataset,
    diagnostics: bool = True,
    rule: Rule | None = None,
) -> dict[str, Any]:
    """Test accuracy by the equilibrium engine and, if wanted, the diagnostics on the first training samples."""
    params = params.astype(np.float32)
    found: dict[str, Any] = {"accuracy": accuracy(network, learning, params, data.x_test, data.y_test)}
    if diagnostics:
        x = np.ascontiguousarray(data.x_train[:PROBE], np.float32)
        target = np.eye(data.n_classes, dtype=np.float32)[data.y_train[:PROBE]]
        values = diagnose(network, learning, params, x, target, rule)
        found |= {name: list(value) for name, value in values._asdict().items()}
    return found


def accuracy(network: Network, learning: Learning, params: Parameters, x: Array, y: Array) -> float:
    """Share of samples whose largest free-phase output is their label, solved to equilibrium."""
    engine = Equilibrium(network, min(len(x), 500), free_sweeps=learning.free_sweeps)
    return float((engine.output(params, x).argmax(axis=1) == y).mean())


def check_finite(
    network: Network,
    params: Parameters,
    when: str,
    learning: Learning | None = None,
    last: Mapping[str, Any] | None = None,
) -> None:
    """Raise `DivergedError` if a number of the network is not finite, with what to lower by what `last` shows.

    `last` is the last row of history, measured while all numbers were finite.
    """
    broken = [name for name, array in params.named().items() if not np.isfinite(array).all()]
    if broken:
        raise DivergedError(
            f"training diverged in {when}: {named(broken)} not finite; "
            f"{advice(network, broken, learning or Learning(), last or {})}"
        )
