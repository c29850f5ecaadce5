"""The main commands. Each checks its input first, works, and writes its results last."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click

from lavaghost import __version__
from lavaghost.base import names
from lavaghost.cli.console import bar, emit, emit_with_classes, output_folder

PATH = click.Path(path_type=Path)
LAVA_MODEL = click.Choice(get_args(names.LavaModel))


SOURCES = "digits, walks, a folder of IDX files, or an .npz file"
"""What a data set is named by; packages may add formats."""


def choice(kind: Any) -> click.Choice[str]:
    """The names of a `Literal`."""
    return click.Choice(get_args(kind))


def numbers(what: str, example: str) -> Callable[..., tuple[int, ...] | None]:
    """A callback for options that are lists of whole numbers, of `what`, such as `example`."""

    def parsed(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[int, ...] | None:
        if value is None:
            return None
        try:
            return tuple(int(part) for part in value.split(","))
        except ValueError:
            raise click.BadParameter(
                f"{value!r} is not a list of {what}; write for example {example}"
            ) from None

    return parsed


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option that every command has."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")(
        command
    )


def force_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option of commands that leave a network in a folder."""
    return click.option("--force", is_flag=True, help="Overwrite the network that is in --out.")(command)


def dataset_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option --dataset, for commands that need one."""
    return click.option("--dataset", required=True, help=f"{SOURCES}.")(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lavaghost")
def cli() -> None:
    """Ghost-unit learning: train, run in Lava, export and verify one and the same network."""


@cli.command("evaluate")
@click.argument("model", type=PATH)
@dataset_option
@click.option("--engine", type=choice(names.Engine), help="equilibrium, or for a network in integers stepped.")
@click.option("--limit", type=click.IntRange(min=1), help="Use only the first samples of the test set.")
@click.option(
    "--lava-model", type=LAVA_MODEL, default="fused", show_default=True, help="Processes of engine lava."
)
@click.option("--arithmetic", type=choice(names.ArithmeticName), help="That of the network unless given.")
@json_option
def evaluate_command(
    model: Path,
    dataset: str,
    engine: names.Engine | None,
    limit: int | None,
    lava_model: names.LavaModel,
    arithmetic: names.ArithmeticName | None,
    as_json: bool,
) -> None:
    """Classify the test set with the saved network MODEL (model.yaml) in one of the engines.

    A network that was quantised or that learned in integers runs in integers, unless --arithmetic float is given.
    """
    from lavaghost.evaluation.in_engines import evaluate as run
    from lavaghost.lava.available import require_lava
    from lavaghost.run.describe import load_both

    if engine == "lava":
        require_lava()
    trained, data = load_both(model, dataset)
    arithmetic = arithmetic or trained.arithmetic
    engine = engine or ("stepped" if arithmetic == "loihi" else "equilibrium")
    x, y = data.x_test[:limit], data.y_test[:limit]
    with bar(engine, len(x)) as progress:
        found = run(trained, x, y, engine, progress.update, lava_model, arithmetic)
    title = f"{data.name} in the {engine} engine"
    emit_with_classes({**found.as_json(), **found.classes(y)}, as_json, title, trained.labels)


@cli.command()
@click.argument("model", type=PATH)
@json_option
def info(model: Path, as_json: bool) -> None:
    """Show what the saved network MODEL (model.yaml) is and how it was trained."""
    from lavaghost.model.model import Model
    from lavaghost.run.describe import described

    emit(described(Model.load(model)), as_json, str(model))


@cli.command()
@click.option("--out", type=PATH, default=Path("out/demo"), show_default=True, help="Folder for the results.")
@json_option
def demo(out: Path, as_json: bool) -> None:
    """Everything once: train on digits, compare with the controls, run in Lava, export, verify, draw."""
    from lavaghost.cli.demo import run_demo

    with output_folder(out, force=True):
        values, passed = run_demo(out)
    if as_json:
        emit(values, True, "")
    if not passed:
        click.get_current_context().exit(1)
