"""The main path as functions: data set -> trained network on disk -> the same network in other hands."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lavaghost import lava_backend
from lavaghost.datasets import Dataset, load
from lavaghost.evaluation import outputs
from lavaghost.plots import layer_record, learning_curves
from lavaghost.spec import Learning, Network
from lavaghost.trained import TrainedNetwork
from lavaghost.training import Report, check_data, train
from lavaghost.verify import Agreement, Cell, run_all, verify

ROWS = 500
"""Most rows of history that a saved network carries; a longer run leaves out rows evenly."""


def train_and_save(
    network: Network,
    learning: Learning,
    data: Dataset,
    out: Path,
    *,
    resume: bool = False,
    diagnostics: bool = True,
    report: Report = lambda done, total, row: None,
    lava_model: Literal["fused", "decomposed"] = "fused",
    limit: int | None = None,
    record: Sequence[int] = (),
) -> tuple[TrainedNetwork, Path]:
    """Train, and leave `model.yaml`, `model.safetensors`, `curves.png` and a checkpoint in `out`.

    With engine 'lava', `lava_model` chooses the processes, `limit` the training samples of an epoch, and `record`
    the layers whose rates, residuals and weights go to `record.npz` and `record.png`. The record of the returned
    network has `result`, the figures of the last epoch, and `history`, all rows.
    """
    if learning.engine == "lava":
        run = lava_backend.train(
            network,
            learning,
            data,
            model=lava_model,
            limit=limit,
            out=out,
            resume=resume,
            diagnostics=diagnostics,
            report=report,
            record=record,
        )
        if record:
            with np.load(out / "record.npz", allow_pickle=False) as arrays:
                layer_record(arrays, out / "record.png")
    else:
        run = train(network, learning, data, out=out, resume=resume, diagnostics=diagnostics, report=report)
    last = run.history[-1]
    result = {
        "accuracy": last["accuracy"],
        "samples": len(data.x_test),
        "seconds": run.seconds,
        "epochs": learning.epochs,
        "method": learning.method,
        "seed": learning.seed,
        "cosines": last.get("cosines", []),
        "residuals": last.get("residuals", []),
    }
    trained = TrainedNetwork(
        network=network,
        learning=learning,
        params=run.params.astype(np.float32),
        input_scale=data.scale,
        labels=tuple(range(data.n_classes)),
        dataset=data.name,
        record={"result": result, "history": run.history[:: -(-len(run.history) // ROWS)]},
    )
    learning_curves({learning.method: run.history}, out / "curves.png")
    return trained, trained.save(out)


def load_both(model: Path, dataset: str) -> tuple[TrainedNetwork, Dataset]:
    """A saved network and a data set that fits it."""
    trained = TrainedNetwork.load(model)
    data = load(dataset)
    check_data(trained.network, data)
    return trained, data


def verify_export(
    file: Path, trained: TrainedNetwork, data: Dataset, runtime: str | None = None, limit: int | None = None
) -> Agreement:
    """Compare an exported file, run by `runtime` on the test set, with the network itself."""
    return verify(
        file,
        trained,
        data.x_test,
        data.y_test,
        reference=lambda x: outputs(trained, x),
        runtime=runtime,
        limit=limit,
    )


def verify_all(
    trained: TrainedNetwork,
    data: Dataset,
    limit: int | None = None,
    report: Callable[[int, int, str], None] = lambda done, total, note: None,
) -> list[Cell]:
    """Every export of a network on every runtime that runs it, with the test set."""
    return run_all(trained, data, lambda x: outputs(trained, x), limit, report)


def describe(trained: TrainedNetwork) -> dict[str, Any]:
    """What a person asks about a saved network first."""
    network, learning = trained.network, trained.learning
    named = trained.params.named()
    hidden = network.layers[1:-1]
    ghosts = hidden if network.mechanism == "online" else network.layers[2:]
    return {
        "layers": list(network.layers),
        "activation": network.activation,
        "mechanism": network.mechanism,
        "feedback": network.feedback,
        "loss": network.loss,
        "lam": network.lam,
        "beta": network.beta,
        "neurons": sum(network.layers[1:]),
        "ghosts": sum(ghosts),
        "parameters": sum(array.size for array in named.values()),
        "method": learning.method,
        "rule": learning.rule,
        "engine": learning.engine,
        "epochs": learning.epochs,
        "seed": learning.seed,
        "dataset": trained.dataset,
        "input_scale": trained.input_scale,
        "labels": list(trained.labels),
        **{
            k: v
            for k, v in trained.record.get("result", {}).items()
            if k in ("accuracy", "cosines", "residuals")
        },
    }
