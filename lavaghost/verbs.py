"""The verbs of the public interface, beside `train`: what is done with a trained network.

    import lavaghost as lg
    model = lg.load("out/mine")
    lg.evaluate(model, digits, engine="lava").against_stepped        # 0.0
    chip = lg.quantize(model, digits, weight_bits=8).model
    lg.export(chip, "digits.onnx");  lg.verify("digits.onnx", chip, digits).passed
    lg.map(chip, "loihi1", phase="learning").headline

Each brings the data to the network's scale, checks what it is given, and calls the room that does the work.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from lavaghost.base.errors import SpecError
from lavaghost.base.names import ArithmeticName, Engine, LavaModel, Phase
from lavaghost.datasets import Dataset
from lavaghost.datasets import load as load_data
from lavaghost.evaluation import in_engines, quantise
from lavaghost.evaluation.in_engines import Evaluation
from lavaghost.evaluation.quantise import Quantised
from lavaghost.exporters import base
from lavaghost.exporters.base import ExportReport
from lavaghost.hardware.catalogue import load_chip
from lavaghost.hardware.findings import Plan
from lavaghost.hardware.mapper import map_network
from lavaghost.hardware.placement import Mapping
from lavaghost.hardware.schema import Hardware
from lavaghost.model.inputs import scaled_for
from lavaghost.model.model import Model
from lavaghost.net.graph import Graph
from lavaghost.numbers.widths import DEFAULT, LoihiWidths
from lavaghost.run.describe import import_network
from lavaghost.run.train import train
from lavaghost.verification import Agreement
from lavaghost.verification import verify as compare_file

__all__ = ["evaluate", "export", "import_network", "load", "load_data", "map", "quantize", "train", "verify"]

TARGETS = {".onnx": "onnx", ".net": "netx-cuba", ".nir": "nir-if", "": "yaml"}
"""The exporter of a file's suffix, for where none is named."""


def load(path: Path | str) -> Model:
    """The saved network whose folder, or whose `model.yaml`, is `path`. Raises `ModelFileError`.

    Example: `load("out/mine").predict(samples)`.
    """
    return Model.load(path)


def evaluate(
    model: Model,
    data: Dataset,
    *,
    engine: Engine | None = None,
    arithmetic: ArithmeticName | None = None,
    processes: LavaModel = "fused",
    limit: int | None = None,
) -> Evaluation:
    """Classify the test set of `data`, or its first `limit` samples, in one of the engines.

    Without an engine it is equilibrium, and stepped for a network in integers. On Lava the outputs are compared with
    the stepped engine. Raises `SpecError`, `MissingError` without Lava. Example: `evaluate(model, digits).accuracy`.
    """
    data = scaled_for(model, data)
    x, y = data.x_test[:limit], data.y_test[:limit]
    return in_engines.evaluate(model, x, y, engine, lava_model=processes, arithmetic=arithmetic)


def quantize(
    model: Model,
    data: Dataset,
    *,
    hardware: str | Hardware | None = None,
    percentile: float = 99.9,
    **bits: int,
) -> Quantised:
    """`model` in the integers of a chip, or of Lava's model of Loihi 1, with fields of `LoihiWidths` in `bits`.

    Scales come from training samples, figures from the test set. Raises `SpecError` for what integers cannot hold.
    Example: `quantize(model, digits, weight_bits=6).model`.
    """
    return quantise.quantise_model(model, scaled_for(model, data), widths_of(hardware, **bits), percentile)


def widths_of(hardware: str | Hardware | None = None, **bits: int | None) -> LoihiWidths:
    """The bit widths of a chip, or Lava's of Loihi 1, with those that `bits` name. Raises `SpecError`."""
    chip = load_chip(hardware) if isinstance(hardware, str) else hardware
    widths = DEFAULT if chip is None else chip.integers()
    return replace(widths, **{name: n for name, n in bits.items() if n is not None})


def map(what: Model | Graph, hardware: str | Hardware, *, phase: Phase = "inference", **plan: Any) -> Mapping:
    """Where a network goes on a chip, or every reason why it does not fit; fields of `Plan` in `plan`.

    Raises `SpecError` for a chip that is unknown. Example: `map(model, "loihi1", phase="learning").needed`.
    """
    chip = load_chip(hardware) if isinstance(hardware, str) else hardware
    graph = what.graph if isinstance(what, Model) else what
    return map_network(graph, chip, phase, Plan(**plan))


def export(
    model: Model, path: Path | str, *, to: str | None = None, data: Dataset | None = None, **options: Any
) -> ExportReport:
    """Write `model` in another format, that of the suffix unless `to` names one; `data` calibrates where it must.

    Raises `ExportError`, `OutputError` or `MissingError`; then there is no file.
    Example: `export(model, "digits.onnx")`, `export(model, "digits.net", data=digits, steps=64)`.
    """
    path = Path(path)
    if to is None and path.suffix not in TARGETS:
        raise SpecError(
            f"{path}: no format is known by {path.suffix!r}; name one of {', '.join(base.available())}"
        )
    calibration = None if data is None else scaled_for(model, data)
    return base.export(model, to or TARGETS[path.suffix], path, options, calibration)


def verify(
    file: Path | str, model: Model, data: Dataset, *, runtime: str | None = None, limit: int | None = None
) -> Agreement:
    """Run an exported file on a runtime that is not ours, with the test set, and compare it with our reference for it.

    Raises `ExportError`, `MissingError`. Example: `verify("digits.onnx", model, digits).passed`.
    """
    data = scaled_for(model, data)
    return compare_file(
        Path(file),
        model,
        data.x_test,
        data.y_test,
        reference=model.outputs,
        runtime=runtime,
        limit=limit,
    )
