"""LavaGhost's own bundle: `model.yaml` and `model.safetensors`, which can be loaded and run again."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lavaghost.base.spec import Spec
from lavaghost.datasets import Dataset
from lavaghost.exporters.base import Carried, Expected, ExportReport, NoOptions
from lavaghost.exporters.carried import NONE
from lavaghost.exporters.floats import float_expected
from lavaghost.model.model import WEIGHTS_NAME, Model
from lavaghost.numbers.arithmetic import Array


@dataclass(frozen=True)
class YamlExporter:
    """The network as it was saved after training; nothing is lost. LavaGhost alone runs it."""

    name: str = "yaml"
    suffix: str = ""
    summary: str = "LavaGhost's bundle, a YAML manifest beside safetensors weights; loads again"
    needs: str = "nothing"
    runtimes: tuple[str, ...] = ()
    options: type[Spec] = NoOptions

    def write(
        self, trained: Model, path: Path, options: NoOptions, calibration: Dataset | None
    ) -> ExportReport:
        """See `Exporter`. `path` is the folder."""
        manifest = trained.save(path)
        paths = (manifest, manifest.with_name(WEIGHTS_NAME))
        graph = trained.graph
        ghosts = "as populations and projections, with all their weights" if graph.has_ghosts else NONE
        feedback = "as projections, with its weights if they are its own" if graph.back else NONE
        return ExportReport(
            exporter=self.name,
            paths=paths,
            bytes=sum(file.stat().st_size for file in paths),
            carries=(
                Carried("weights", "faithful", _numbers(trained)),
                Carried("activation", "faithful", "named in the manifest, with its saturation"),
                Carried("ghosts", "faithful", ghosts),
                Carried("feedback", "faithful", feedback),
                Carried("learning rule", "faithful", "named in the manifest, with all settings"),
                Carried("input scaling", "faithful", "named in the manifest"),
            ),
        )

    def expected(self, trained: Model, settings: Mapping[str, Any], raw: Array) -> Expected:
        """See `Exporter`: the feedforward pass, within rounding."""
        return float_expected(trained, raw)


def _numbers(trained: Model) -> str:
    if trained.integers is None:
        return "float32, as trained"
    return "the integers themselves, mantissas of 16 bits and biases of 32, with what they stand for in the manifest"


exporter = YamlExporter()
