"""What a person asks about a saved network first, and the ways in which one comes from elsewhere."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from lavaghost.base.errors import SpecError
from lavaghost.datasets import Dataset, warn_of
from lavaghost.datasets import load as load_data
from lavaghost.exporters.onnx_import.from_onnx import import_onnx
from lavaghost.model.inputs import inputs_record, range_seen, scaled_for
from lavaghost.model.model import Model


def described(model: Model) -> dict[str, Any]:
    """Name and value of each figure, in the order in which they are shown. Ghosts appear where there are any."""
    graph, learning, method = model.graph, model.learning, model.method.settings()
    named = model.params.named()
    beside = [p for p in graph.populations if p.role == "ghost"]
    found: dict[str, Any] = {
        "layers": list(graph.layers),
        "activation": graph.activation,
        "loss": graph.loss,
        "neurons": sum(graph.layers[1:]),
    }
    if beside:
        found["ghosts"] = sum(p.size for p in beside)
    if model.network.plastic:
        found["plastic"] = list(model.network.plastic)
    return {
        **found,
        "parameters": sum(array.size for array in named.values()),
        "arithmetic": model.arithmetic,
        "method": method.pop("name"),
        **_plain(method),
        **_modulated(model),
        "engine": learning.engine,
        "epochs": learning.epochs,
        "seed": learning.seed,
        "dataset": model.dataset,
        "input_scale": model.input_scale,
        "input_range": str(seen) if (seen := range_seen(model)) else "unknown",
        "labels": list(model.labels),
        **{
            k: v
            for k, v in model.record.get("result", {}).items()
            if k in ("accuracy", "cosines", "lowest_cosines", "residuals")
        },
    }


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if isinstance(value, str | int | float)}


def _modulated(model: Model) -> dict[str, Any]:
    """The method that is modulated, if one is, and its settings."""
    core = model.method.core
    if core is model.method:
        return {}
    settings = core.settings()
    return {"modulates": settings.pop("name"), **_plain(settings)}


def load_both(model: Path, dataset: str) -> tuple[Model, Dataset]:
    """A saved network and a data set that fits it, scaled as the network was trained."""
    trained = Model.load(model)
    data = load_data(dataset)
    warn_of(data)
    return trained, scaled_for(trained, data)


def import_network(source: Path | str, dataset: str | None = None, scaled: bool = False) -> Model:
    """The network in an ONNX file (`import_onnx`), or in a bundle, as it was saved.

    Raises `SpecError` for arguments that do not go with it, `ExportError` or `ModelFileError` for a file that
    cannot be imported. Example: `import_network("net.onnx", "digits", scaled=True)`.
    """
    source = Path(source)
    if source.suffix.lower() == ".onnx":
        if scaled and dataset is None:
            raise SpecError("--scaled speaks of a data set's samples; name the data set with --dataset")
        if dataset is None:
            return import_onnx(source)
        data = load_data(dataset)
        warn_of(data)
        trained = import_onnx(source, data, scaled=scaled)
        return replace(trained, record={**trained.record, "inputs": inputs_record(data)})
    if not (source.is_dir() or source.suffix.lower() in (".yaml", ".yml")):
        raise SpecError(f"{source} is neither an .onnx file nor a saved network (model.yaml, or its folder)")
    if dataset is not None or scaled:
        raise SpecError("a saved network names its own data set; leave out --dataset and --scaled")
    return Model.load(source)
