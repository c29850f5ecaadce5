"""The commands `export` and `verify`: a saved network in another format, and that file on a foreign runtime."""

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from lavaghost.base.errors import ExportError, SpecError
from lavaghost.cli.commands import PATH, SOURCES, dataset_option, force_option, json_option
from lavaghost.cli.console import bar, emit, output_folder, say, table


def _key_values(_context: click.Context, _option: click.Parameter, value: tuple[str, ...]) -> dict[str, Any]:
    """`key=value` texts; a value is read as JSON where it is JSON, else it is the text."""
    import json

    found: dict[str, Any] = {}
    for text in value:
        key, equals, right = text.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{text!r} is not key=value; write for example steps=64")
        try:
            found[key] = json.loads(right)
        except (ValueError, RecursionError):
            found[key] = right
    return found


@click.command("export")
@click.argument("model", type=PATH, required=False)
@click.option("--to", "target", help="Target format; --list shows them.")
@click.option("--out", type=PATH, help="File or folder to write.")
@click.option("--dataset", help=f"To calibrate on: {SOURCES}.")
@click.option("--option", "options", multiple=True, callback=_key_values, help="key=value, as --list shows.")
@click.option("--list", "show_list", is_flag=True, help="List the target formats.")
@force_option
@json_option
def export_command(
    model: Path | None,
    target: str | None,
    out: Path | None,
    dataset: str | None,
    options: dict[str, Any],
    show_list: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Write the saved network MODEL (model.yaml) in another format."""
    from lavaghost.exporters import base
    from lavaghost.model.model import Model
    from lavaghost.run.describe import load_both

    if show_list:
        _list_formats(as_json)
        return
    missing = [name for name, value in (("MODEL", model), ("--to", target), ("--out", out)) if value is None]
    if model is None or target is None or out is None:
        raise SpecError(f"export needs {' and '.join(missing)}; see lavaghost export --help")
    start = time.perf_counter()
    exporter = base.find(target)
    trained, data = load_both(model, dataset) if dataset else (Model.load(model), None)
    # a target without a suffix is a folder, in which a network may lie
    with nullcontext() if exporter.suffix else output_folder(out, force=force):
        report = base.export(trained, exporter, out, options, data)
    values = {
        "target": target,
        "files": [str(path) for path in report.paths],
        "bytes": report.bytes,
        "seconds": time.perf_counter() - start,
    }
    carries = [{"element": e, "status": s, "note": n} for e, s, n in report.carries]
    chosen = dict(report.options)
    if as_json:
        emit({**values, "options": chosen, "carries": carries}, True, "")
    else:
        notes = {e: f"{s}: {n}" for e, s, n in report.carries}
        emit({**values, **chosen, **notes}, False, "Exported")


def _list_formats(as_json: bool) -> None:
    """Every registered exporter; one that cannot be loaded is shown with its reason."""
    from lavaghost.exporters import base

    formats: dict[str, Any] = {}
    for name in base.available():
        try:
            exporter = base.find(name)
        except ExportError as error:
            formats[name] = {"summary": str(error), "needs": "", "runtimes": [], "options": {}}
            continue
        formats[name] = {
            "summary": exporter.summary,
            "needs": exporter.needs,
            "runtimes": list(exporter.runtimes),
            "options": {key: field.default for key, field in exporter.options.model_fields.items()},
        }
    if as_json:
        emit(formats, True, "")
        return
    rows = [
        (
            name,
            entry["summary"],
            entry["needs"],
            ", ".join(entry["runtimes"]),
            ", ".join(f"{key}={value}" for key, value in entry["options"].items()),
        )
        for name, entry in formats.items()
    ]
    table("Target formats", ("target", "what", "needs", "runtimes", "options"), rows)


@click.command("verify")
@click.argument("file", type=PATH, required=False)
@click.option("--model", type=PATH, required=True, help="The saved network that FILE was exported from.")
@dataset_option
@click.option("--runtime", help="What runs FILE; the usual one of its format unless given.")
@click.option("--all", "everything", is_flag=True, help="Instead of FILE: every target on every runtime.")
@click.option(
    "--write", type=PATH, help="With --all: put the matrix between the markers of this Markdown file."
)
@click.option("--limit", type=click.IntRange(min=1), help="Use only the first samples of the test set.")
@json_option
def verify_command(
    file: Path | None,
    model: Path,
    dataset: str,
    runtime: str | None,
    everything: bool,
    write: Path | None,
    limit: int | None,
    as_json: bool,
) -> int:
    """Run the exported FILE on a runtime that is not ours and compare; exit code 1 if it disagrees."""
    from lavaghost.run.describe import load_both
    from lavaghost.verbs import verify as verify_file

    if everything and (file is not None or runtime is not None):
        raise SpecError("verify --all exports by itself and uses every runtime; leave out FILE and --runtime")
    if not everything and (file is None or write is not None):
        raise SpecError("verify needs an exported FILE; or --all, to which --write belongs")
    trained, data = load_both(model, dataset)
    if file is None:
        return _verify_all(trained, data, limit, write, as_json)
    start = time.perf_counter()
    found = verify_file(file, trained, data, runtime=runtime, limit=limit)
    values = {**found.as_json(), "seconds": time.perf_counter() - start}
    emit(values, as_json, f"{file.name} on {found.runtime}: {'agrees' if found.passed else 'DISAGREES'}")
    return 0 if found.passed else 1


def _verify_all(trained: Any, data: Any, limit: int | None, write: Path | None, as_json: bool) -> int:
    """The matrix; exit code 1 if a cell disagrees, or if not one could be filled."""
    from lavaghost.verification import matrix, run_all

    if write is not None:
        matrix.around(write)
        with output_folder(write.absolute().parent, force=True):
            pass  # refused here, before anything runs
    start = time.perf_counter()
    with bar("verifying", None) as progress:
        cells = run_all(trained, data, trained.outputs, limit, progress.update)
    agreements = [cell.agreement for cell in cells if cell.agreement]
    samples = agreements[0].samples if agreements else 0
    title = f"{data.name}, {'-'.join(map(str, trained.network.layers))}, {samples} test samples"
    if agreements:
        numbers = "float" if trained.integers is None else "in its own integers"
        title += f", {numbers} {100 * agreements[0].float_accuracy:.2f} %"
    if write is not None:
        matrix.place(write, matrix.markdown(cells, f"{title}:"))
    if as_json:
        values = {"cells": [cell.as_json() for cell in cells], "seconds": time.perf_counter() - start}
        emit(values, True, "")
    else:
        rows = [(cell.target, cell.runtime, cell.text, f"{cell.seconds:.1f}") for cell in cells if cell.runtime]
        table(title, ("target", "runtime", "result", "seconds"), rows)
        for note in matrix.notes(cells):
            say(note)
    return 0 if agreements and all(found.passed for found in agreements) else 1


COMMANDS = (export_command, verify_command)
