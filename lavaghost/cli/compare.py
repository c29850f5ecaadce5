"""The command that shows methods together: `compare`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lavaghost.cli.commands import PATH, json_option
from lavaghost.cli.console import Bar, bar, emit, percent, table

if TYPE_CHECKING:
    from lavaghost.studies.compare import Ended
    from lavaghost.studies.compare_plan import ComparedRun


def _sources(_context: click.Context, _option: click.Parameter, value: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in value:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise click.BadParameter(f"{text!r} is not NAME=PATH; write for example mnist=data/mnist")
        if name in found:
            raise click.BadParameter(f"{name} is given twice")
        found[name] = path
    return found


@click.command("compare")
@click.argument("spec", type=PATH)
@click.option(
    "--out", type=PATH, default=Path("out/compare"), show_default=True, help="Folder for the results."
)
@click.option(
    "--dataset",
    "sources",
    multiple=True,
    callback=_sources,
    metavar="NAME=PATH",
    help="Where a data set of SPEC lies: a folder of IDX files, or an .npz file.",
)
@click.option(
    "--only", multiple=True, metavar="LABEL", help="Run this row alone, and leave the tables as they are."
)
@click.option("--seed", "seeds", multiple=True, type=int, help="Run this seed alone, likewise.")
@click.option("--collect", is_flag=True, help="Run nothing; make the tables of what has ended.")
@click.option("--resume", is_flag=True, help="Go on with runs that did not end.")
@click.option("--force", is_flag=True, help="Run anew, also what has ended.")
@json_option
@click.pass_context
def compare_command(
    context: click.Context,
    spec: Path,
    out: Path,
    sources: dict[str, str],
    only: tuple[str, ...],
    seeds: tuple[int, ...],
    collect: bool,
    resume: bool,
    force: bool,
    as_json: bool,
) -> int:
    """Run the methods of SPEC on its data sets and seeds, and show them together.

    SPEC is a YAML file with keys title, datasets, seeds, base, methods, control, reach and published. Every run has a
    folder in --out; what has ended is not run again. Processes may share --out: give each its --only and --seed,
    and call once more for table.md, table.csv, rows.json and compare.png. Exit code 1 if a run diverged.
    """
    from lavaghost.base.files import locked
    from lavaghost.studies import compare
    from lavaghost.studies.compare_plan import chosen, loaded, planned
    from lavaghost.studies.compare_tables import write_all
    from lavaghost.studies.comparison import read_comparison

    if collect and (only or seeds or resume or force):
        raise click.UsageError("--collect runs nothing; leave out --only, --seed, --resume and --force")
    comparison = read_comparison(spec)
    compare.check_folder(out)
    data = loaded(comparison, sources)
    cells = planned(comparison, data)
    part = chosen(comparison, cells, only, seeds)
    left = [] if collect else compare.refuse(part, out, resume=resume, force=force)
    if left:
        with bar("comparing", sum(cell.spec.learning.epochs for cell in left)) as progress:
            compare.run_cells(left, data, out, force=force, tell=_teller(progress, left))
    found = compare.ended(part, out)
    if only or seeds:
        emit(_of_part(found), as_json, f"{comparison.title}: {len(found)} of {len(cells)} runs")
    else:
        with locked(out):
            values = write_all(comparison, cells, found, out)
        if not as_json:
            _show(values["summary"])
            values = {k: v for k, v in values.items() if v and k != "summary"}
        emit(values, as_json, comparison.title)
    return 1 if any(one.diverged for one in found.values()) else 0


def _of_part(found: "Mapping[ComparedRun, Ended]") -> dict[str, Any]:
    """The last accuracy of each run, and where it is."""
    runs = {
        cell.text: f"diverged: {one.why}" if one.diverged else percent(one.history[-1]["accuracy"])
        for cell, one in found.items()
    }
    return {**runs, "tables": "made by --collect, of all that has ended"}


def _show(lines: list[dict[str, Any]]) -> None:
    """The tables in short."""
    from lavaghost.studies.compare_tables import accuracy, to_reach

    for dataset in dict.fromkeys(line["dataset"] for line in lines):
        own = [line for line in lines if line["dataset"] == dataset and line["layers"]]
        reach = next((percent(line["reach"]) for line in own if line["reach"] is not None), "")
        table(
            dataset,
            (
                "method",
                "seeds",
                "test accuracy",
                "worst cosine",
                "to backprop",
                f"operations to {reach}",
                "time",
            ),
            [
                (
                    line["label"],
                    str(len(line["seeds"])),
                    accuracy(line),
                    _worst(line["cosines"]),
                    _worst(line["backprop_cosines"]),
                    to_reach(line, "operations_to_reach"),
                    "-" if line["time_ratio"] is None else f"{line['time_ratio']:.2f}",
                )
                for line in own
            ],
        )


def _worst(cosines: list[float | None]) -> str:
    known = [value for value in cosines if value is not None]
    return f"{min(known):.4f}" if known else "-"


def _teller(
    progress: Bar, cells: "list[ComparedRun]"
) -> "Callable[[ComparedRun, float, dict[str, Any] | None], None]":
    """What moves the bar: epochs of all runs."""
    before, total = {}, 0
    for cell in cells:
        before[cell] = total
        total += cell.spec.learning.epochs

    def tell(cell: "ComparedRun", epochs: float, row: dict[str, Any] | None) -> None:
        note = f"{cell.text}: {percent(row['accuracy'])}" if row else None
        progress.update(before[cell] + epochs, total, note)

    return tell


COMMANDS = (compare_command,)
"""What the command line registers."""
