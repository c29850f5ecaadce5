"""What an exporter is, how one is found by its name, and what it must say about its own file.

To add one, write an object with the attributes of `Exporter` and pass it to `export`, or register it in a
package of your own, so that it is found by name:

    [project.entry-points."lavaghost.exporters"]
    mine = "my_package.my_module:exporter"

`tests/conformance/test_exporters.py` checks every registered exporter.
"""

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, get_args, runtime_checkable

from lavaghost.errors import ExportError, LavaGhostError, join_faults
from lavaghost.trained import TrainedNetwork

GROUP = "lavaghost.exporters"
ELEMENTS = ("weights", "activation", "ghosts", "feedback", "learning rule", "input scaling")
"""What every report speaks of, in this order."""

Status = Literal["faithful", "approximate", "unsupported"]


class Carried(NamedTuple):
    """How one element of the network fares in the exported file."""

    element: str
    status: Status
    note: str


@dataclass(frozen=True)
class ExportReport:
    """What was written, and what it carries: one entry for each of `ELEMENTS`, in their order.

    `bytes` is the size of all files together. Raises `ExportError` if the entries are not complete.
    """

    exporter: str
    paths: tuple[Path, ...]
    bytes: int
    carries: tuple[Carried, ...]

    def __post_init__(self) -> None:
        stated = tuple(entry.element for entry in self.carries)
        if stated != ELEMENTS:
            raise ExportError(
                f"exporter {self.exporter!r} reports on {', '.join(stated) or 'nothing'}; a report "
                f"speaks of {', '.join(ELEMENTS)}, in this order"
            )
        for element, status, note in self.carries:
            if status not in get_args(Status) or not note:
                raise ExportError(
                    f"exporter {self.exporter!r} reports {element} as {status!r} ({note!r}); give one of "
                    f"{', '.join(get_args(Status))}, and a note"
                )


@runtime_checkable
class Exporter(Protocol):
    """Writes trained networks in one format."""

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

    def write(self, trained: TrainedNetwork, path: Path) -> ExportReport:
        """Write `trained` to `path`, whole or not at all, and the same bytes for the same value.

        Raises `ExportError` if the format cannot hold this network, `OutputError` if nothing can be
        written there.
        """
        ...


def available() -> tuple[str, ...]:
    """Names of all registered exporters, sorted. None of them is imported for this."""
    return tuple(sorted({entry.name for entry in entry_points(group=GROUP)}))


def find(name: str) -> Exporter:
    """The registered exporter `name`. Raises `ExportError` if there is none, or if it does not work."""
    entries = {entry.value: entry for entry in entry_points(group=GROUP) if entry.name == name}
    if not entries:
        raise ExportError(f"no exporter {name!r}; there are {', '.join(available()) or 'none'}")
    if len(entries) > 1:
        raise ExportError(
            f"exporter {name!r} is registered as {' and '.join(sorted(entries))}; uninstall all but one"
        )
    return _load(*entries.values())


def _load(entry: EntryPoint) -> Exporter:
    try:
        found = entry.load()
    # whatever goes wrong while a foreign module is imported
    except Exception as error:
        reason = join_faults([f"{type(error).__name__}: {error}"])
        raise ExportError(
            f"exporter {entry.name!r} ({entry.value}) cannot be loaded: {reason:.300}; mend or uninstall "
            "its package"
        ) from error
    if not isinstance(found, Exporter) or isinstance(found, type):
        raise ExportError(
            f"exporter {entry.name!r} ({entry.value}) is a {type(found).__name__}, not an object with "
            "name, suffix, summary and write; mend or uninstall its package"
        )
    return found


def export(trained: TrainedNetwork, exporter: str | Exporter, path: Path | str) -> ExportReport:
    """Write `trained` to `path` with an exporter, or with the one registered under a name.

    Raises `ExportError` or `OutputError`.
    """
    path = Path(path)
    exporter = find(exporter) if isinstance(exporter, str) else exporter
    if exporter.suffix and path.suffix != exporter.suffix:
        raise ExportError(
            f"exporter {exporter.name!r} writes a {exporter.suffix} file; name the output "
            f"{path.name or 'model'}{exporter.suffix}, not {path}"
        )
    try:
        return exporter.write(trained, path)
    except LavaGhostError:
        raise
    except Exception as error:
        reason = join_faults([f"{type(error).__name__}: {error}"])
        raise ExportError(f"exporter {exporter.name!r} failed: {reason:.300}") from error
