"""What an exporter is, how one is found by its name, and what it must say about its own file.

To add one, write an object with the attributes of `Exporter`; pass it to `export`, or register it in your package:

    [project.entry-points."lavaghost.exporters"]
    mine = "my_package.my_module:exporter"

`tests/conformance/test_exporters.py` checks every registered exporter.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, get_args, runtime_checkable

from lavaghost.base.errors import DataError, ExportError, LavaGhostError, join_faults
from lavaghost.base.registry import Registry
from lavaghost.base.spec import Spec, parse
from lavaghost.datasets import Dataset
from lavaghost.exporters import sidecar
from lavaghost.model.model import Model
from lavaghost.numbers.arithmetic import Array

GROUP = "lavaghost.exporters"
ELEMENTS = ("weights", "activation", "ghosts", "feedback", "learning rule", "input scaling")
"""What every report speaks of, in this order."""

CarriedStatus = Literal["faithful", "approximate", "unsupported"]


class NoOptions(Spec):
    """For an exporter that leaves nothing to choose."""


class Carried(NamedTuple):
    """How one element of the network fares in the exported file."""

    element: str
    status: CarriedStatus
    note: str


class Expected(NamedTuple):
    """What a runtime must answer for some raw samples, by our own reference.

    logits     (samples, n_L), int64 where `exact`, the answer then has to be equal; else float64
    tolerance  (samples, n_L), the largest difference that rounding explains; 0 where `exact`
    labels     (samples,), index of the answered class
    scale      logits * scale are in the units of the network's own outputs; None if they are not comparable
    independent  whether a sample's answer is the same whatever samples came before
    """

    logits: Array
    tolerance: Array
    exact: bool
    labels: Array
    scale: float | None = 1.0
    independent: bool = True


class Outputs(NamedTuple):
    """What a runtime answered: logits `(samples, n_L)` float or int64, and labels `(samples,)`.

    energy_j and latency_s are per sample `(samples,)` where the runtime models them; `version` is its own text.
    """

    logits: Array
    labels: Array
    energy_j: Array | None = None
    latency_s: Array | None = None
    version: str = ""


@dataclass(frozen=True)
class ExportReport:
    """What was written, and what it carries: one entry for each of `ELEMENTS`, in their order.

    paths     the exported file first; `export` adds the sidecar. `bytes` is the size of all of them together
    options   what was chosen, filled in by `export`
    settings  numbers that our reference and a runtime need (steps, scales, readout); whatever JSON can hold

    Raises `ExportError` if the entries are not complete, or if one is approximate and no number says by how much.

    Example: `export(model, "digits.onnx").carries`.
    """

    exporter: str
    paths: tuple[Path, ...]
    bytes: int
    carries: tuple[Carried, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        stated = tuple(entry.element for entry in self.carries)
        if stated != ELEMENTS:
            raise ExportError(
                f"exporter {self.exporter!r} reports on {', '.join(stated) or 'nothing'}; a report "
                f"speaks of {', '.join(ELEMENTS)}, in this order"
            )
        for element, status, note in self.carries:
            if status not in get_args(CarriedStatus) or not note:
                raise ExportError(
                    f"exporter {self.exporter!r} reports {element} as {status!r} ({note!r}); give one of "
                    f"{', '.join(get_args(CarriedStatus))}, and a note"
                )
            if status == "approximate" and not re.search(r"\d", note):
                raise ExportError(
                    f"exporter {self.exporter!r} reports {element} as approximate ({note!r}); say by how much"
                )


@runtime_checkable
class Exporter(Protocol):
    """Writes trained networks in one format, and knows what its file must answer."""

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        ...

    @property
    def suffix(self) -> str:
        """Of the file that it writes, such as `.onnx`; empty if it writes a folder."""
        ...

    @property
    def summary(self) -> str:
        """One line: the format, and who reads it."""
        ...

    @property
    def needs(self) -> str:
        """What writing needs beyond the network: `h5py`, `a data set to calibrate on`, or `nothing`."""
        ...

    @property
    def runtimes(self) -> tuple[str, ...]:
        """Names of the runtimes (`lavaghost.verification`) that run its file, the usual one first; may be empty."""
        ...

    @property
    def options(self) -> type[Spec]:
        """What can be chosen, with defaults; `NoOptions` for nothing."""
        ...

    def write(self, trained: Model, path: Path, options: Any, calibration: Dataset | None) -> ExportReport:
        """Write `trained` to `path`, whole or not at all, and the same bytes for the same values.

        `options` is an instance of the exporter's own class. `calibration` fits the network. Raises
        `ExportError` if the format cannot hold this network or `calibration` is needed and None (`calibrated`),
        `OutputError` if nothing can be written there, `MissingError` if something is not installed.
        """
        ...

    def expected(self, trained: Model, settings: Mapping[str, Any], raw: Array) -> Expected:
        """Our reference for a file of `trained` with these `settings`, on raw samples `(samples, n_0)` float32."""
        ...


def calibrated(exporter: Exporter, calibration: Dataset | None) -> Dataset:
    """`calibration`, for an exporter that needs it. Raises `ExportError` if it is None."""
    if calibration is None:
        raise ExportError(f"exporter {exporter.name!r} needs a data set to calibrate on; add --dataset")
    return calibration


EXPORTERS: Registry[Exporter] = Registry(GROUP, "exporter", Exporter, {}, ExportError)
"""All exporters, ours among those of other packages."""


def available() -> tuple[str, ...]:
    """Names of all registered exporters, sorted. None of them is imported for this."""
    return EXPORTERS.names()


def find(name: str) -> Exporter:
    """The registered exporter `name`. Raises `ExportError` if there is none, or if it does not work."""
    return EXPORTERS.find(name)


def export(
    trained: Model,
    exporter: str | Exporter,
    path: Path | str,
    options: Spec | Mapping[str, Any] | None = None,
    calibration: Dataset | None = None,
) -> ExportReport:
    """Write `trained` to `path`, and a sidecar, with an exporter or with the one registered under that name.

    `options` are values by name. Raises `ExportError`, `SpecError`, `DataError`, `OutputError` or
    `MissingError`; then there is no exported file.
    """
    path = Path(path)
    exporter = find(exporter) if isinstance(exporter, str) else exporter
    if exporter.suffix and path.suffix != exporter.suffix:
        raise ExportError(
            f"exporter {exporter.name!r} writes a {exporter.suffix} file; name the output "
            f"{path.name or 'model'}{exporter.suffix}, not {path}"
        )
    if path.name in ("", ".."):
        raise ExportError(f"exporter {exporter.name!r} writes a sidecar beside {path}; name a folder inside it")
    if not isinstance(options, exporter.options):
        options = parse(exporter.options, dict(options or {}), f"{exporter.name} option")
    if calibration is not None and calibration.n_inputs != trained.network.layers[0]:
        raise DataError(
            f"data set {calibration.name} has {calibration.n_inputs} inputs, the network "
            f"{trained.network.layers[0]}; use the data set that it was trained on"
        )
    try:
        report = exporter.write(trained, path, options, calibration)
    except LavaGhostError:
        raise
    except Exception as error:
        reason = join_faults([f"{type(error).__name__}: {error}"])
        raise ExportError(f"exporter {exporter.name!r} failed: {reason:.300}") from error
    return _with_sidecar(replace(report, options=options.model_dump(mode="json")), path)


def _with_sidecar(report: ExportReport, path: Path) -> ExportReport:
    try:
        beside, data = sidecar.write_sidecar(
            path, report.exporter, report.options, report.settings, report.carries
        )
    except LavaGhostError:
        # a file that nothing can be said about is no result
        for written in report.paths:
            written.unlink(missing_ok=True)
        raise
    return replace(report, paths=(*report.paths, beside), bytes=report.bytes + len(data))
