"""LavaGhost's own bundle: `model.yaml` and `model.safetensors`, which can be loaded and run again."""

from dataclasses import dataclass
from pathlib import Path

from lavaghost.exporters.base import Carried, ExportReport
from lavaghost.trained import WEIGHTS_NAME, TrainedNetwork


@dataclass(frozen=True)
class YamlExporter:
    """The network as it was saved after training; nothing is lost."""

    name: str = "yaml"
    suffix: str = ""
    summary: str = "LavaGhost's bundle, a YAML manifest beside safetensors weights; loads again"

    def write(self, trained: TrainedNetwork, path: Path) -> ExportReport:
        """See `Exporter`. `path` is the folder."""
        manifest = trained.save(path)
        paths = (manifest, manifest.with_name(WEIGHTS_NAME))
        return ExportReport(
            exporter=self.name,
            paths=paths,
            bytes=sum(file.stat().st_size for file in paths),
            carries=(
                Carried("weights", "faithful", "float32, as trained"),
                Carried("activation", "faithful", "named in the manifest, with its saturation"),
                Carried("ghosts", "faithful", "as populations and projections, with all their weights"),
                Carried("feedback", "faithful", "as projections, with its weights if they are its own"),
                Carried("learning rule", "faithful", "named in the manifest, with all settings"),
                Carried("input scaling", "faithful", "named in the manifest"),
            ),
        )


exporter = YamlExporter()
