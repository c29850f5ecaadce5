"""The main path as functions: data set -> trained network on disk -> the same network in other hands."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lavaghost import lava as lava_backend
from lavaghost.base.errors import SpecError, join_faults
from lavaghost.base.files import locked
from lavaghost.base.names import Engine
from lavaghost.datasets import Dataset, for_training, load, warn_of
from lavaghost.evaluate.evaluation import class_figures, integer_outputs, outputs, warn_of_dead
from lavaghost.exporters.onnx_import.from_onnx import import_onnx
from lavaghost.model.inputs import inputs_record, range_seen, scaled_for
from lavaghost.model.model import Model
from lavaghost.net.spec import Learning, Network
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.widths import DEFAULT, LoihiWidths
from lavaghost.online.integers.settings import IntegerLearning
from lavaghost.run.plots import layer_record, learning_curves
from lavaghost.train.integer_loop import as_trained, formats_for, train_integers
from lavaghost.train.loop import ROWS, OnRow, Trained, train
from lavaghost.verify import Agreement, MatrixEntry, run_all, verify


@dataclass(frozen=True)
class OnLava:
    """How engine 'lava' trains: its processes, training samples of an epoch (all), layers to record, and who is told
    `(trials, accuracy)` while it runs.
    """

    model: Literal["fused", "decomposed"] = "fused"
    limit: int | None = None
    record: Sequence[int] = ()
    watch: Callable[[int, float], None] = lambda trials, accuracy: None


def train_and_save(
    network: Network,
    learning: Learning,
    data: Dataset,
    out: Path,
    *,
    resume: bool = False,
    diagnostics: bool = True,
    report: OnRow = lambda done, total, row: None,
    on_lava: OnLava = OnLava(),
    start: Model | None = None,
) -> tuple[Model, Path]:
    """Train, and leave `model.yaml`, `model.safetensors`, `curves.png` and a checkpoint in `out`.

    With engine 'lava', records of layers go to `record.npz` and `record.png`. The record of the returned network has
    `result`, the figures of the last epoch, and `history`, all rows; and `imported`, where `start` has it.

    `start` is a network that training goes on from (`check_start`); `data` must be scaled as it is (`scaled_for`).
    Without it, `data` are taken in the scale of `for_training`.
    """
    with locked(out):
        data = for_training(data) if start is None else data
        common: dict[str, Any] = {"out": out, "resume": resume, "diagnostics": diagnostics, "report": report}
        if learning.engine == "lava":
            run = lava_backend.train(network, learning, data, **asdict(on_lava), **common)
        else:
            run = train(network, learning, data, start=None if start is None else start.params, **common)
        result = run.result(data, epochs=learning.epochs, method=learning.method, seed=learning.seed)
        record: dict[str, Any] = {"result": result, "history": run.history[:: -(-len(run.history) // ROWS)]}
        record["inputs"] = inputs_record(data)
        if start is not None and "imported" in start.record:
            record["imported"] = start.record["imported"]
        trained = Model(
            network=network,
            learning=learning,
            params=run.params.astype(np.float32),
            input_scale=data.scale,
            labels=tuple(range(data.n_classes)) if start is None else start.labels,
            dataset=data.name,
            record=record,
        )
        found = outputs(trained, data.x_test)
        return _saved(trained, run, data, found, out, learning.method, on_lava)


def train_integers_and_save(
    network: Network,
    learning: IntegerLearning,
    data: Dataset,
    out: Path,
    *,
    engine: Engine = "stepped",
    widths: LoihiWidths = DEFAULT,
    resume: bool = False,
    diagnostics: bool = True,
    report: OnRow = lambda done, total, row: None,
    on_lava: OnLava = OnLava(),
) -> tuple[Model, Path]:
    """`train_and_save` in the integers of a chip; engine stepped or lava; no value of `data` is below 0."""
    with locked(out):
        data = for_training(data)
        common: dict[str, Any] = {"out": out, "resume": resume, "diagnostics": diagnostics, "report": report}
        if engine == "lava":
            run = lava_backend.train_integers(
                network, learning, data, widths=widths, **asdict(on_lava), **common
            )
        else:
            run = train_integers(network, learning, data, widths=widths, **common)
        form = (formats_for(network, data, widths), widths)
        trained = as_trained(network, learning, data, run, form, engine)
        return _saved(trained, run, data, integer_outputs(trained, data.x_test), out, "integers", on_lava)


def _saved(
    trained: Model, run: Trained, data: Dataset, found: Array, out: Path, title: str, on_lava: OnLava
) -> tuple[Model, Path]:
    """Save `trained` with the figures of each class, from the outputs `found (samples, n_L)` for the test set."""
    warn_of_dead(trained, found)
    result = {**trained.record["result"], **class_figures(found.argmax(axis=1), data.y_test, data.n_classes)}
    trained = replace(trained, record={**trained.record, "result": result})
    if on_lava.record:
        with np.load(out / "record.npz", allow_pickle=False) as arrays:
            layer_record(arrays, out / "record.png")
    learning_curves({title: run.history}, out / "curves.png")
    return trained, trained.save(out)


def check_start(network: Network, learning: Learning, start: Model) -> None:
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


def load_both(model: Path, dataset: str) -> tuple[Model, Dataset]:
    """A saved network and a data set that fits it, scaled as the network was trained."""
    trained = Model.load(model)
    data = load(dataset)
    warn_of(data)
    return trained, scaled_for(trained, data)


def import_network(source: Path, dataset: str | None = None, scaled: bool = False) -> Model:
    """The network in an ONNX file (`import_onnx`), or in a bundle, as it was saved.

    Raises `SpecError` for arguments that do not go with it, `ExportError` or `ModelFileError` for a file that
    cannot be imported.
    """
    if source.suffix.lower() == ".onnx":
        if scaled and dataset is None:
            raise SpecError("--scaled speaks of a data set's samples; name the data set with --dataset")
        if dataset is None:
            return import_onnx(source)
        data = load(dataset)
        warn_of(data)
        trained = import_onnx(source, data, scaled=scaled)
        return replace(trained, record={**trained.record, "inputs": inputs_record(data)})
    if not (source.is_dir() or source.suffix.lower() in (".yaml", ".yml")):
        raise SpecError(f"{source} is neither an .onnx file nor a saved network (model.yaml, or its folder)")
    if dataset is not None or scaled:
        raise SpecError("a saved network names its own data set; leave out --dataset and --scaled")
    return Model.load(source)


def verify_export(
    file: Path, trained: Model, data: Dataset, runtime: str | None = None, limit: int | None = None
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
    trained: Model,
    data: Dataset,
    limit: int | None = None,
    report: Callable[[int, int, str], None] = lambda done, total, note: None,
) -> list[MatrixEntry]:
    """Every export of a network on every runtime that runs it, with the test set."""
    return run_all(trained, data, lambda x: outputs(trained, x), limit, report)


def describe(trained: Model) -> dict[str, Any]:
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
        "input_range": str(seen) if (seen := range_seen(trained)) else "unknown",
        "labels": list(trained.labels),
        **{
            k: v
            for k, v in trained.record.get("result", {}).items()
            if k in ("accuracy", "cosines", "lowest_cosines", "residuals")
        },
    }
