"""The commands. Each checks its input first, works, and writes its results last."""

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, get_args

import click

from lavaghost import __version__, spec
from lavaghost.cli.console import bar, check_writable, emit
from lavaghost.errors import SpecError
from lavaghost.lava_backend.available import require_lava

PATH = click.Path(path_type=Path)
LAVA_MODEL = click.Choice(["fused", "decomposed"])


def choice(kind: Any) -> click.Choice[str]:
    """The names of a `Literal`."""
    return click.Choice(get_args(kind))


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option that every command has."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")(
        command
    )


def _dataset_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--dataset", required=True, help="digits, a folder of IDX files, or an .npz file.")(
        command
    )


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lavaghost")
def cli() -> None:
    """Ghost-unit learning: train, run in Lava, export and verify one and the same network."""


@cli.command()
@click.argument("model", type=PATH)
@_dataset_option
@click.option(
    "--engine", type=click.Choice(["equilibrium", "stepped", "lava"]), default="equilibrium", show_default=True
)
@click.option("--limit", type=click.IntRange(min=1), help="Use only the first samples of the test set.")
@click.option(
    "--lava-model", type=LAVA_MODEL, default="fused", show_default=True, help="Processes of engine lava."
)
@click.option("--arithmetic", type=choice(spec.ArithmeticName), help="That of the network unless given.")
@json_option
def evaluate(
    model: Path,
    dataset: str,
    engine: str,
    limit: int | None,
    lava_model: Literal["fused", "decomposed"],
    arithmetic: spec.ArithmeticName | None,
    as_json: bool,
) -> None:
    """Classify the test set with the saved network MODEL (model.yaml) in one of the engines.

    A network that was quantised or that learned in integers runs in integers, unless --arithmetic float is given.
    """
    from lavaghost.evaluation import evaluate as run
    from lavaghost.pipeline import load_both

    if engine == "lava":
        require_lava()
    trained, data = load_both(model, dataset)
    x, y = data.x_test[:limit], data.y_test[:limit]
    with bar(engine, len(x)) as progress:
        found = run(trained, x, y, engine, progress.update, lava_model, arithmetic)
    emit(found.as_json(), as_json, f"{data.name} in the {engine} engine")


@cli.command()
@click.argument("model", type=PATH, required=False)
@click.option("--to", "target", help="Target format; --list shows them.")
@click.option("--out", type=PATH, help="File or folder to write.")
@click.option("--list", "show_list", is_flag=True, help="List the target formats.")
@json_option
def export(model: Path | None, target: str | None, out: Path | None, show_list: bool, as_json: bool) -> None:
    """Write the saved network MODEL (model.yaml) in another format."""
    from lavaghost.exporters import base
    from lavaghost.trained import TrainedNetwork

    if show_list:
        formats = {name: base.find(name).summary for name in base.available()}
        emit(formats, as_json, "Target formats")
        return
    missing = [name for name, value in (("MODEL", model), ("--to", target), ("--out", out)) if value is None]
    if model is None or target is None or out is None:
        raise SpecError(f"export needs {' and '.join(missing)}; see lavaghost export --help")
    start = time.perf_counter()
    exporter = base.find(target)
    report = base.export(TrainedNetwork.load(model), exporter, out)
    values = {
        "target": target,
        "files": [str(path) for path in report.paths],
        "bytes": report.bytes,
        "seconds": time.perf_counter() - start,
    }
    carries = [{"element": e, "status": s, "note": n} for e, s, n in report.carries]
    if as_json:
        emit({**values, "carries": carries}, True, "")
    else:
        emit({**values, **{e: f"{s}: {n}" if n else s for e, s, n in report.carries}}, False, "Exported")


@cli.command()
@click.argument("file", type=PATH)
@click.option("--model", type=PATH, required=True, help="The saved network that FILE was exported from.")
@_dataset_option
@click.option("--runtime", default="onnxruntime", show_default=True, help="What runs FILE.")
@click.option("--limit", type=click.IntRange(min=1), help="Use only the first samples of the test set.")
@json_option
@click.pass_context
def verify(
    context: click.Context,
    file: Path,
    model: Path,
    dataset: str,
    runtime: str,
    limit: int | None,
    as_json: bool,
) -> int:
    """Run the exported FILE on a runtime that is not ours and compare; exit code 1 if it disagrees."""
    from lavaghost.pipeline import load_both, verify_export

    trained, data = load_both(model, dataset)
    start = time.perf_counter()
    found = verify_export(file, trained, data, runtime, limit)
    values = {**asdict(found), "seconds": time.perf_counter() - start}
    emit(values, as_json, f"{file.name} on {runtime}: {'agrees' if found.passed else 'DISAGREES'}")
    return 0 if found.passed else 1


@cli.command()
@click.argument("model", type=PATH)
@json_option
def info(model: Path, as_json: bool) -> None:
    """Show what the saved network MODEL (model.yaml) is and how it was trained."""
    from lavaghost.pipeline import describe
    from lavaghost.trained import TrainedNetwork

    emit(describe(TrainedNetwork.load(model)), as_json, str(model))


@cli.command()
@click.option("--out", type=PATH, default=Path("out/demo"), show_default=True, help="Folder for the results.")
@json_option
def demo(out: Path, as_json: bool) -> None:
    """Everything once: train on digits, compare with the controls, run in Lava, export, verify, draw."""
    from lavaghost.cli.demo import run_demo

    check_writable(out)
    values, passed = run_demo(out)
    if as_json:
        emit(values, True, "")
    if not passed:
        click.get_current_context().exit(1)
