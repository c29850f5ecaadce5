"""Training in integers: one sample at a time, the rows of `training.train`, resumable to the same bits.

Everything random is a function of seed, epoch and sample, and weights leave and enter as real numbers that hold
the integers exactly, so a checkpoint needs no more than `lavaghost.train.checkpoint` keeps.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lavaghost.base.names import Engine
from lavaghost.datasets import Dataset
from lavaghost.methods.optimiser import Momentum
from lavaghost.model.inputs import inputs_record
from lavaghost.model.model import Model
from lavaghost.net.spec import Learning, Network
from lavaghost.numbers.widths import DEFAULT, Formats, LoihiWidths
from lavaghost.online.integers.compiled_network import CompiledNetwork, initial_integers
from lavaghost.online.integers.integer_course import PRETRAINING
from lavaghost.online.integers.probe import probe
from lavaghost.online.integers.settings import (
    IntegerLearning,
    check_integer,
    default_formats,
)
from lavaghost.train import checkpoint
from lavaghost.train.checkpoint import load_checkpoint, save_checkpoint
from lavaghost.train.diagnostics import backprop_gradient, cosine, norms
from lavaghost.train.loop import PROBE, ROWS, Trained, check_data, fingerprint

SCALED = 2000
"""Training samples from which the format of the inputs is chosen."""

OnRow = Callable[[int, int, dict[str, Any] | None], None]
"""Called as `report(samples_done, samples_in_all, row)`; row is None except at the end of an epoch."""


def train_integers(
    network: Network,
    learning: IntegerLearning,
    data: Dataset,
    *,
    widths: LoihiWidths = DEFAULT,
    formats: Formats | None = None,
    out: Path | None = None,
    resume: bool = False,
    diagnostics: bool = True,
    report: OnRow = lambda done, total, row: None,
) -> Trained:
    """Train `network` on `data` in the integers of `widths`; see `training.train` for `out` and `resume`.

    The parameters returned are real numbers, float64, that hold the integers exactly. Each row has `accuracy` in
    integers, and of the first 500 training samples `cosines` of the expected weight change to backprop at the
    same weights, `sampled_cosines` of one draw of the random numbers, `residuals`, and the shares of saturated
    weights and messages. Raises `SpecError` for what integers cannot do.
    """
    formats = formats or formats_for(network, data, widths)
    check_integer(network, learning, formats, widths)
    check_data(network, data)
    start = time.perf_counter()
    belongs_to = identity(network, learning, data, widths, formats) if out is not None else ""
    saved = load_checkpoint(out, network, belongs_to) if out is not None and resume else None
    params = saved.params if saved else initial_integers(network, learning.seed, formats, widths)
    integers = CompiledNetwork(network, formats, widths, params, learning.seed)
    history = list(saved.history) if saved else []
    inputs = integers.spikes(integers.arith.input(data.x_train))
    count, first = len(inputs), saved.epoch if saved else 0
    pretraining = learning.pretrain_samples if network.mechanism == "learned" else 0
    total = pretraining + learning.epochs * count
    done = pretraining + first * count

    def row(epoch: int, saturated: float) -> dict[str, Any]:
        found = measure(integers, learning, data, epoch, diagnostics)
        history.append({"epoch": epoch, "waited": 0, **found, "saturated_errors": saturated})
        if out is not None:
            still = Momentum(integers.params, 0.0, 0.0)  # integers have no momentum
            save_checkpoint(out, belongs_to, epoch, integers.params, still, history)
        return history[-1]

    if not saved:
        done = 0
        for picked in _chunks(learning, count, 2**32, pretraining):
            # sample numbers of their own: no random number is used twice
            integers.learn(learning, inputs[picked], data.y_train[picked], PRETRAINING + done, 0, network=False)
            done += len(picked)
            report(done, total, None)
        report(done, total, row(0, 0.0))
    for epoch in range(first, learning.epochs):
        saturated, begin = 0, done
        for picked in _chunks(learning, count, epoch, count):
            number = epoch * count + done - begin
            halvings = learning.halvings(epoch)
            _, clipped = integers.learn(learning, inputs[picked], data.y_train[picked], number, halvings)
            saturated += clipped
            done += len(picked)
            report(done, total, None)
        report(done, total, row(epoch + 1, saturated / (count * sum(network.layers[1:]))))
    return Trained(integers.params, history, time.perf_counter() - start)


def formats_for(network: Network, data: Dataset, widths: LoihiWidths) -> Formats:
    """`default_formats` in which all but 0.1 % of the inputs of the first training samples are held."""
    largest = float(np.percentile(data.x_train[:SCALED], 99.9))
    return default_formats(network, widths, largest_input=largest)


def _chunks(learning: IntegerLearning, count: int, epoch: int, samples: int) -> Any:
    """`samples` sample indices in random order, in chunks; more than `count` goes round again."""
    while samples > 0:
        order = np.random.default_rng([learning.seed, epoch]).permutation(count)[:samples]
        for i in range(0, len(order), learning.chunk):
            yield order[i : i + learning.chunk]
        samples, epoch = samples - len(order), epoch + 1


def measure(
    integers: CompiledNetwork, learning: IntegerLearning, data: Dataset, epoch: int, diagnostics: bool = True
) -> dict[str, Any]:
    """Test accuracy in integers and, if wanted, the diagnostics on the first training samples."""
    output = integers.outputs(integers.arith.input(data.x_test))
    low, high = integers.widths.weight_limits
    weights = integers.mantissas.w
    found: dict[str, Any] = {
        "accuracy": float((output.argmax(axis=1) == data.y_test).mean()),
        "saturated_weights": [float(((w <= low) | (w >= high)).mean()) for w in weights],
    }
    if not diagnostics:
        return found
    x, labels = data.x_train[:PROBE], data.y_train[:PROBE]
    halvings = learning.halvings(max(0, epoch - 1))
    found_by = probe(integers, learning, integers.arith.input(x), labels, halvings)
    params = integers.params.astype(np.float32)
    gradient = backprop_gradient(
        integers.network,
        params,
        np.ascontiguousarray(x, np.float32),
        np.eye(data.n_classes, dtype=np.float32)[labels],
    )
    return found | {
        "cosines": [cosine(d, g) for d, g in zip(found_by.expected, gradient, strict=True)],
        "sampled_cosines": [cosine(d, g) for d, g in zip(found_by.sampled, gradient, strict=True)],
        "residuals": found_by.residuals,
        "saturated_messages": found_by.saturated_messages,
        "norms": list(norms(params)),
    }


def as_trained(
    network: Network,
    learning: IntegerLearning,
    data: Dataset,
    run: Trained,
    form: tuple[Formats, LoihiWidths],
    engine: Engine = "stepped",
) -> Model:
    """A run as a value to save: real numbers that hold the integers, and in the record what they mean.

    float32 is exact: mantissas have 9 bits, and biases are mantissas.
    """
    formats, widths = form
    result = run.result(data, method="ghost", epochs=learning.epochs, seed=learning.seed)
    return Model(
        network=network,
        learning=Learning(
            rule=learning.rule,
            engine=engine,
            epochs=learning.epochs,
            batch_size=1,
            eta=2.0**learning.eta_exponent,
            momentum=0.0,
            weight_decay=0.0,
            seed=learning.seed,
        ),
        params=run.params.astype(np.float32),
        input_scale=data.scale,
        labels=tuple(range(data.n_classes)),
        dataset=data.name,
        record={
            "result": result,
            "history": run.history[:: -(-len(run.history) // ROWS)],
            "integer": {"widths": asdict(widths), "formats": formats._asdict()},
            "integer_learning": learning.model_dump(),
            "inputs": inputs_record(data),
        },
    )


def identity(
    network: Network,
    learning: IntegerLearning,
    data: Dataset,
    widths: LoihiWidths,
    formats: Formats,
    more: str = "",
) -> str:
    """What a checkpoint belongs to; see `checkpoint.identity`."""
    base = json.loads(checkpoint.identity(network, learning, fingerprint(data) + more))
    return json.dumps(base | {"widths": asdict(widths), "formats": formats._asdict()}, sort_keys=True)
