"""Every target on every runtime: one network, exported and run in all the ways that there are."""

import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lavaghost.base.errors import ExportError, LavaGhostError, MissingError
from lavaghost.base.files import read_regular, write_atomic
from lavaghost.datasets import Dataset
from lavaghost.exporters import available, base, find
from lavaghost.model.model import Model
from lavaghost.numbers.arithmetic import Array
from lavaghost.verification.agreement import BATCH, Agreement, checked, prepare

BEGIN, END = "<!-- matrix -->", "<!-- end -->"
MAX_BYTES = 1 << 24

OnEntry = Callable[[int, int, str], None]
"""Called with cells done, cells in all, and what runs next."""


@dataclass(frozen=True)
class MatrixEntry:
    """One target on one runtime: an agreement, or why there is none. `runtime` is "" for a target of our own."""

    target: str
    runtime: str
    agreement: Agreement | None
    reason: str
    missing: bool = False
    """Whether the reason is that something is not installed here."""
    seconds: float = 0.0

    @property
    def text(self) -> str:
        """What stands in the table; the reason stands below it."""
        found = self.agreement
        if found is None:
            return "not installed" if self.missing else "no"
        how = "equal" if found.exact else f"within {found.max_abs_difference:.2g}"
        if not found.passed:
            how = f"DISAGREES by {found.max_abs_difference:.2g}"
        energy = "" if found.energy_j is None else f", {1e6 * found.energy_j:.2g} uJ"
        latency = "" if found.latency_s is None else f", {1e6 * found.latency_s:.3g} us"
        return f"{how}, {100 * found.accuracy:.2f} %{energy}{latency}"

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        values: dict[str, Any] = {"target": self.target, "runtime": self.runtime, "seconds": self.seconds}
        return values | ({"reason": self.reason} if self.agreement is None else self.agreement.as_json())


def run_all(
    trained: Model,
    data: Dataset,
    reference: Callable[[Array], Array],
    limit: int | None = None,
    report: OnEntry = lambda done, total, note: None,
    targets: Iterable[str] | None = None,
) -> list[MatrixEntry]:
    """Export `trained` to every target, and run each on all its runtimes with the test set of `data`.

    Nothing that goes wrong with one cell keeps the others from being filled. Raises `DataError` if the data do
    not fit the network.
    """
    x, y = checked(trained, data.x_test[:limit], data.y_test[:limit])
    free = np.concatenate([np.asarray(reference(x[i : i + BATCH])) for i in range(0, len(x), BATCH)])
    named = {target: _runtimes(target) for target in (available() if targets is None else targets)}
    total = sum(len(found) for found in named.values())
    cells: list[MatrixEntry] = []
    with tempfile.TemporaryDirectory(prefix="lavaghost-") as folder:
        for target, runtimes in named.items():
            case = None
            for runtime in runtimes:
                report(len(cells), total, f"{target} on {runtime}" if runtime else target)
                start = time.perf_counter()
                try:
                    if case is None:
                        exporter = find(target)
                        path = Path(folder) / f"{target}{exporter.suffix}"
                        base.export(trained, exporter, path, calibration=data)
                        case = prepare(path, trained, x, y, free)
                    found, reason, missing = (
                        (case.on(runtime), "", False) if runtime else (None, "LavaGhost alone runs it", False)
                    )
                except LavaGhostError as error:
                    found, reason, missing = None, str(error), isinstance(error, MissingError)
                cells.append(MatrixEntry(target, runtime, found, reason, missing, time.perf_counter() - start))
    report(total, total, "")
    return cells


def _runtimes(target: str) -> Sequence[str]:
    try:
        return find(target).runtimes or ("",)
    except ExportError:
        return ("",)


def notes(cells: Sequence[MatrixEntry]) -> list[str]:
    """Each reason once, after the cells that it is for."""
    where: dict[str, list[str]] = {}
    for cell in cells:
        if cell.agreement is None:
            name = f"{cell.target} on {cell.runtime}" if cell.runtime else cell.target
            where.setdefault(cell.reason, []).append(name)
    return [f"{', '.join(names)}: {reason}" for reason, names in where.items()]


def families(cells: Sequence[MatrixEntry]) -> list[list[str]]:
    """Targets that share runtimes, directly or by way of others; one without a runtime is in none."""
    found: list[list[str]] = []
    runs: dict[str, set[str]] = {}
    for cell in cells:
        if cell.runtime:
            runs.setdefault(cell.target, set()).add(cell.runtime)
    for target, runtimes in runs.items():
        kin = [family for family in found if any(runs[other] & runtimes for other in family)]
        found = [family for family in found if family not in kin]
        found.append([*(other for family in kin for other in family), target])
    return found


def markdown(cells: Sequence[MatrixEntry], title: str) -> str:
    """The matrix as Markdown: a table for each family, a row for each target, the reasons below.

    The columns are the runtimes that some target of the family names; a dash stands where another one does not.
    """
    texts = {(cell.target, cell.runtime): cell.text for cell in cells}
    lines = [title, ""]
    for family in families(cells):
        names = dict.fromkeys(cell.runtime for cell in cells if cell.target in family)
        lines += [f"| target | {' | '.join(names)} |", f"|{'---|' * (1 + len(names))}"]
        lines += [
            f"| {target} | {' | '.join(texts.get((target, name), '-') for name in names)} |"
            for target in family
        ]
        lines.append("")
    versions = sorted({cell.agreement.version for cell in cells if cell.agreement})
    lines += [*(f"* {note}" for note in notes(cells)), f"* Versions: {', '.join(versions) or 'none'}"]
    return "\n".join(lines) + "\n"


def around(path: Path) -> tuple[str, str]:
    """What stands before and after the matrix in the file; nothing for a new file. Raises `ExportError`."""
    if not path.exists():
        return "", "\n"
    try:
        text = read_regular(path, MAX_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(f"cannot read {path}: {error}; name a Markdown file") from error
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ExportError(f"{path} has no lines {BEGIN} and {END}; add them where the matrix belongs")
    return head, tail


def place(path: Path, text: str) -> Path:
    """Put `text` between the markers of the file, or into a new file. Raises `ExportError` or `OutputError`."""
    head, tail = around(path)
    return write_atomic(path, f"{head}{BEGIN}\n{text}{END}{tail}".encode())
