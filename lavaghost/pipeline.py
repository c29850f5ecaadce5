"""The main path as functions: data set -> trained network on disk -> the same network in other hands."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lavaghost import lava_backend
from lavaghost.datasets import Dataset, load
from lavaghost.errors import SpecError, join_faults
from lavaghost.evaluation import outputs
from lavaghost.exporters.from_onnx import import_onnx
from lavaghost.plots import layer_record, learning_curves
from lavaghost.spec import Learning, Network
from lavaghost.trained import TrainedNetwork
from lavaghost.training import Report, Trained, check_data, train
from lavaghost.verify import Agreement, Cell, raw_samples, run_all, verify

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
    start: TrainedNetwork | None = None,
) -> tuple[TrainedNetwork, Path]:
    """Train, and leave `model.yaml`, `model.safetensors`, `curves.png` and a checkpoint in `out`.

    With engine 'lava', `lava_model` chooses the processes, `limit` the training samples of an epoch, and `record`
    the layers whose rates, residuals and weights go to `record.npz` and `record.png`. The record of the returned
    network has `result`, the figures of the last epoch, and `history`, all rows.

    `start` is a network that training goes on from (`check_start`); `data` must be scaled as it is (`scaled_for`).
    """
    if start is not None:
        check_start(network, learning, start)
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
        run = train(
            network,
            learning,
            data,
            out=out,
            resume=resume,
            diagnostics=diagnostics,
            report=report,
            start=None if start is None else start.params,
        )
    trained = TrainedNetwork(
        network=network,
        learning=learning,
        params=run.params.astype(np.float32),
        input_scale=data.scale,
        labels=tuple(range(data.n_classes)) if start is None else start.labels,
        dataset=data.name,
        record=_record(run, learning, data, start),
    )
    learning_curves({learning.method: run.history}, out / "curves.png")
    return trained, trained.save(out)


def _record(run: Trained, learning: Learning, data: Dataset, start: TrainedNetwork | None) -> dict[str, Any]:
    """The figures of a run, and where the network that it started from was imported from."""
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
    record = {"result": result, "history": run.history[:: -(-len(run.history) // ROWS)]}
    if start is not None and "imported" in start.record:
        record["imported"] = start.record["imported"]
    return record


def check_start(network: Network, learning: Learning, start: TrainedNetwork) -> None:
    """Refuse, with all faults, a start of which `network` is not a continuation. Raises `SpecError`."""
    faults = [
        f"{key} is {now!r}, and {was!r} in the network that training starts from"
        for key in ("layers", "activation", "saturation")
        if (now := getattr(network, key)) != (was := getattr(start.network, key))
    ]
    if learning.engine == "lava":
        faults.append("engine 'lava' starts from its own weights; use equilibrium or stepped")
    if faults:
        raise SpecError(join_faults([*faults, "leave out what the start decides"]))


def scaled_for(trained: TrainedNetwork, data: Dataset) -> Dataset:
    """`data` with samples raw * trained.input_scale, whatever factor they were read with."""
    if np.float32(data.scale) == np.float32(trained.input_scale):
        return data
    factor = np.float32(trained.input_scale)
    x_train, x_test = (raw_samples(x, data.scale) * factor for x in (data.x_train, data.x_test))
    return replace(data, x_train=x_train, x_test=x_test, scale=trained.input_scale)


def load_both(model: Path, dataset: str) -> tuple[TrainedNetwork, Dataset]:
    """A saved network and a data set that fits it, scaled as the network was trained."""
    trained = TrainedNetwork.load(model)
    data = load(dataset)
    check_data(trained.network, data)
    return trained, scaled_for(trained, data)


def import_network(source: Path, dataset: str | None = None, scaled: bool = False) -> TrainedNetwork:
    """The network in an ONNX file (`import_onnx`), or in a bundle, as it was saved.

    Raises `SpecError` for arguments that do not go with it, `ExportError` or `ModelFileError` for a file that
    cannot be imported.
    """
    if source.suffix.lower() == ".onnx":
        if scaled and dataset is None:
            raise SpecError("--scaled speaks of a data set's samples; name the data set with --dataset")
        return import_onnx(source, None if dataset is None else load(dataset), scaled=scaled)
    if not (source.is_dir() or source.suffix.lower() in (".yaml", ".yml")):
        raise SpecError(f"{source} is neither an .onnx file nor a saved network (model.yaml, or its folder)")
    if dataset is not None or scaled:
        raise SpecError("a saved network names its own data set; leave out --dataset and --scaled")
    return TrainedNetwork.load(source)


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
