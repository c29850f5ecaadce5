"""From a description to a result: the one way in which anything is trained, from the shell, Python or a file."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lavaghost.base.errors import SpecError
from lavaghost.base.files import locked
from lavaghost.datasets import Dataset
from lavaghost.evaluation.in_engines import class_figures, warn_of_dead
from lavaghost.lava.record import save_arrays
from lavaghost.methods.base import Method
from lavaghost.methods.ghost.method import Ghost
from lavaghost.model.inputs import check_data, inputs_record
from lavaghost.model.model import Model
from lavaghost.net.network import Network, Physics
from lavaghost.numbers.integers import Integers
from lavaghost.run.job import Job, Watch, prepared
from lavaghost.run.plots import layer_record, learning_curves
from lavaghost.run.spec import Lava, RunSpec, resolved
from lavaghost.training.loop import ROWS, OnRow, Trained
from lavaghost.training.loop import run as run_loop

Row = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Result:
    """What a run gave.

    spec     its description
    model    the trained network
    figures  a row for each epoch, row 0 before training: `accuracy`, `cosines`, `residuals`, `norms`..
    seconds  wall-clock time of this process
    path     where it was saved, if it was
    learning_seconds   of its epochs alone, without measuring and saving; None where it was resumed

    Example: `train(network, digits).save("out/mine")`.
    """

    spec: RunSpec
    model: Model
    figures: tuple[Row, ...]
    seconds: float
    path: Path | None = None
    learning_seconds: float | None = None

    def save(self, folder: Path | str) -> Path:
        """Write the network and its learning curves into `folder`; the path of its manifest. Raises `OutputError`."""
        learning_curves({self.model.method.name: self.figures}, Path(folder) / "curves.png")
        return self.model.save(folder)

    def plot(self, path: Path | str) -> Path:
        """Draw the learning curves into a PNG file. Raises `OutputError`."""
        return learning_curves({self.model.method.name: self.figures}, Path(path))


def run_spec(
    spec: RunSpec,
    data: Dataset | None = None,
    *,
    start: Model | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    diagnostics: bool = True,
    report: OnRow = lambda done, total, row: None,
    watch: Watch = lambda samples, accuracy: None,
) -> Result:
    """Run `spec`, on `data` and from `start` in the place of what it names.

    With `out`, leave there `model.yaml`, `model.safetensors`, `curves.png`, a checkpoint after every epoch, which
    `resume` starts from, and with recorded layers `record.npz` and `record.png`. Raises any `LavaGhostError`.
    Example: `run_spec(RunSpec(hidden=(64,)), out="out/mine").model.score(data)`.
    """
    return run_job(
        prepared(spec, data, start), out=out, resume=resume, diagnostics=diagnostics, report=report, watch=watch
    )


def run_job(
    job: Job,
    *,
    out: Path | str | None = None,
    resume: bool = False,
    diagnostics: bool = True,
    report: OnRow = lambda done, total, row: None,
    watch: Watch = lambda samples, accuracy: None,
) -> Result:
    """`run_spec` for a job that is prepared."""
    folder = None if out is None else Path(out)
    with ExitStack() as held:
        if folder is not None:
            held.enter_context(locked(folder))
        learner = job.learner(diagnostics, watch)
        held.callback(learner.close)
        trained = run_loop(learner, out=folder, identity=job.identity(), resume=resume, report=report)
        found = Result(
            spec=job.spec,
            model=_model(job, trained),
            figures=tuple(trained.history),
            seconds=trained.seconds,
            learning_seconds=trained.learning_seconds,
        )
        if folder is None:
            return found
        if arrays := learner.record():
            save_arrays(arrays, folder / "record.npz")
            layer_record(arrays, folder / "record.png")
        return replace(found, path=found.save(folder))


def _model(job: Job, run: Trained) -> Model:
    """The trained network, with the figures of the last epoch and of each class in its record."""
    data, start, learning = job.data, job.start, job.spec.learning
    numbers = run.numbers if isinstance(run.numbers, Integers) else run.params.astype(np.float32)
    record: dict[str, Any] = {
        "result": run.result(data, epochs=learning.epochs, method=job.method.name, seed=learning.seed),
        "history": run.history[:: -(-len(run.history) // ROWS)],
        "inputs": inputs_record(data),
    }
    if start is not None and "imported" in start.record:
        record["imported"] = start.record["imported"]
    if job.refit is not None:
        record["refit"] = dict(job.refit)
    model = Model(
        network=job.network,
        method=job.method,
        learning=learning,
        tensors=numbers,
        input_scale=data.scale,
        labels=tuple(range(data.n_classes)) if start is None else start.labels,
        dataset=data.name,
        record=record,
        state=run.state,
    )
    found = model.outputs(data.x_test)
    warn_of_dead(model, found)
    record["result"] |= class_figures(found.argmax(axis=1), data.y_test, data.n_classes)
    return replace(model, record=record)


def train(
    network: Network | RunSpec,
    data: Dataset | None = None,
    *,
    method: Method | str | None = None,
    start: Model | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    diagnostics: bool = True,
    report: OnRow = lambda done, total, row: None,
    hardware: str | None = None,
    state_fraction: int | None = None,
    lava: Lava | Mapping[str, Any] | None = None,
    **learning: Any,
) -> Result:
    """Train `network` on `data` with `method`; `learning` are fields of `Learning`, or of `IntegerLearning` with
    `arithmetic="loihi"`. A `RunSpec` in the place of the network says all of this itself.

    Raises any `LavaGhostError`. Example: `train(Network(layers=(64, 128, 10)), load_data("digits"), epochs=15)`.
    """
    if isinstance(network, RunSpec):
        apart = {"method": method, "hardware": hardware, "state_fraction": state_fraction, "lava": lava}
        if given := [*(name for name, value in apart.items() if value is not None), *learning]:
            raise SpecError(f"a RunSpec holds {', '.join(given)} itself; change them there")
        spec = network
    else:
        if data is None:
            raise SpecError("train needs data; give a Dataset, such as load_data('digits')")
        physics = network.model_dump(exclude={"layers"}, include=network.model_fields_set)
        spec = resolved(
            {
                "dataset": data.name,
                "hidden": network.layers[1:-1],
                "network": Physics(**physics),
                "method": method if method is not None else Ghost(),
                "learning": learning,
                "lava": lava if isinstance(lava, Lava) else dict(lava or {}),
                "hardware": hardware,
                "state_fraction": state_fraction,
            }
        )
        check_data(network, data)
    return run_spec(spec, data, start=start, out=out, resume=resume, diagnostics=diagnostics, report=report)
