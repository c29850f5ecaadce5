"""Runs of a comparison: each in a folder of its own, none twice, and all can be killed and go on to the bit.

A run leaves what `run.train` leaves, and when it has ended, `result.json`: what it belongs to, its figures, and how
long its epochs took. Processes may share the folder of a comparison: each run is locked by the one that runs it.
"""

import json
import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from lavaghost.base.errors import DivergedError, ModelFileError, OutputError, SpecError, join_faults
from lavaghost.base.files import locked, read_regular, write_atomic
from lavaghost.base.spec import Spec, Text, listed, parse
from lavaghost.datasets import Dataset
from lavaghost.run.job import prepared
from lavaghost.run.train import run_job
from lavaghost.studies.compare_plan import ComparedRun
from lavaghost.training.checkpoint import FILE_NAME, differences, load_checkpoint

RESULT = "result.json"
FORMAT: Literal["lavaghost.comparison.run"] = "lavaghost.comparison.run"
MAX_BYTES = 1 << 28
NAMED = 3
"""Runs that a message names; of more it says how many."""
TellEpochs = Callable[[ComparedRun, float, dict[str, Any] | None], None]
"""Called as `tell(cell, epochs_done, row)`; row is None except at the end of an epoch."""


class Ended(Spec):
    """What a run came to: the contents of `result.json`.

    belongs_to   what it is a run of, as a checkpoint has it
    history      rows of figures, one per epoch; of a run that diverged those before
    recall       of each class of the test set; None for a class without samples
    why          what made it diverge; nothing where it finished
    seconds      of its epochs alone; None where it went on from a checkpoint
    invocation   the call that ran it: runs of one call share its conditions, so their times may be compared
    """

    format: Literal["lavaghost.comparison.run"] = FORMAT
    version: Literal[1] = 1
    belongs_to: str
    history: Annotated[tuple[dict[str, Any], ...], BeforeValidator(listed)]
    recall: Annotated[tuple[float | None, ...], BeforeValidator(listed)] = ()
    why: Text = ""
    seconds: float | None = None
    invocation: str = ""

    @property
    def diverged(self) -> bool:
        """Whether it left the finite numbers."""
        return bool(self.why)


def read_ended(out: Path, cell: ComparedRun) -> Ended | None:
    """What the run of `cell` in `out` came to; None if it has not ended.

    Raises `ModelFileError` for a file that is damaged or of another run, which it says how to tell apart.
    """
    path = out / cell.folder / RESULT
    try:
        found = parse(Ended, json.loads(read_regular(path, MAX_BYTES)), str(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror}; check its permissions") from error
    except ValueError as error:  # of JSON, of text, and SpecError
        raise ModelFileError(f"{path} is damaged ({error!s:.200}); run it anew with --force") from error
    if found.belongs_to != cell.identity:
        raise ModelFileError(
            f"{path} is of other settings ({differences(found.belongs_to, cell.identity)}); run it anew with "
            "--force, or choose another --out"
        )
    return found


def refuse(cells: Sequence[ComparedRun], out: Path, *, resume: bool, force: bool) -> list[ComparedRun]:
    """Those of `cells` that have not ended. Raises `ModelFileError` for what cannot go on, all together.

    A run that was begun and did not end needs `resume`; with `force` all run anew.
    """
    if force:
        return list(cells)
    faults, begun, left = [], [], []
    for cell in cells:
        try:
            if read_ended(out, cell) is not None:
                continue
            left.append(cell)
            if not (out / cell.folder / FILE_NAME).exists():
                continue
            load_checkpoint(out / cell.folder, cell.identity)
            begun.append(str(out / cell.folder))
        except ModelFileError as error:
            faults.append(str(error))
    if begun and not resume:
        more = f" and {len(begun) - NAMED} more" if len(begun) > NAMED else ""
        faults.append(
            f"{', '.join(begun[:NAMED])}{more} did not end; go on with --resume, or start anew with --force"
        )
    if faults:
        raise ModelFileError(join_faults(faults))
    return left


def run_cells(
    cells: Sequence[ComparedRun],
    data: Mapping[str, Dataset],
    out: Path,
    *,
    force: bool = False,
    tell: TellEpochs = lambda cell, epochs, row: None,
) -> dict[ComparedRun, Ended]:
    """Run `cells` one after the other, going on where a checkpoint is; runs that diverge do not stop the others.

    With `force` they begin anew. A run that another process has ended meanwhile is taken. Raises `OutputError` for
    one that another process is writing, and what `run_job` raises.
    """
    invocation, found = secrets.token_hex(8), {}
    for cell in cells:
        with locked(out / cell.folder) as folder:
            if force:
                _forget(folder)
            ended = read_ended(out, cell)
            if ended is None:
                ended = _run(cell, data[cell.dataset], folder, invocation, tell)
                values = json.dumps(_finite(ended.model_dump(mode="json")), allow_nan=False)
                write_atomic(folder / RESULT, values.encode())
            found[cell] = ended
        tell(cell, cell.spec.learning.epochs, None)
    return found


def _forget(folder: Path) -> None:
    """Remove what says that a run ended, or how far it came."""
    for path in (folder / RESULT, folder / FILE_NAME):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot remove {path}: {error.strerror}; choose another --out") from error


def _run(cell: ComparedRun, data: Dataset, folder: Path, invocation: str, tell: TellEpochs) -> Ended:
    job, epochs = prepared(cell.spec, data), cell.spec.learning.epochs

    def report(done: int, total: int, row: dict[str, Any] | None) -> None:
        tell(cell, epochs * done / max(1, total), row)

    try:
        result = run_job(job, out=folder, resume=True, report=report)
    except DivergedError as error:
        before = load_checkpoint(folder, cell.identity)
        rows = tuple(before.history) if before is not None else ()
        return Ended(belongs_to=cell.identity, history=rows, why=str(error)[:4000], invocation=invocation)
    return Ended(
        belongs_to=cell.identity,
        history=tuple(dict(row) for row in result.figures),
        recall=tuple(result.model.record["result"]["recall"]),
        seconds=result.learning_seconds,
        invocation=invocation,
    )


def _finite(value: Any) -> Any:
    """`value` with None for what JSON has no number for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list | tuple) else value


def ended(cells: Sequence[ComparedRun], out: Path) -> dict[ComparedRun, Ended]:
    """What has ended of `cells` in `out`. Raises `ModelFileError` with all that cannot be taken."""
    faults: list[str] = []
    found: dict[ComparedRun, Ended] = {}
    for cell in cells:
        try:
            if (one := read_ended(out, cell)) is not None:
                found[cell] = one
        except ModelFileError as error:
            faults.append(str(error))
    if faults:
        raise ModelFileError(join_faults(faults))
    return found


def check_folder(out: Path) -> None:
    """Refuse a place that can be no folder, before anything runs. Raises `SpecError`."""
    if out.exists() and not out.is_dir():
        raise SpecError(f"--out {out} is a file; name a folder")
