"""The main commands. Each checks its input first, works, and writes its results last."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import click

from lavaghost import __version__, spec
from lavaghost.cli.console import bar, emit, percent
from lavaghost.config import read_config
from lavaghost.errors import OutputError, SpecError
from lavaghost.lava_backend.available import require_lava

PATH = click.Path(path_type=Path)
LAVA_MODEL = click.Choice(["fused", "decomposed"])


def _choice(kind: Any) -> click.Choice[str]:
    return click.Choice(get_args(kind))


def _sizes(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a list of sizes; write for example 128,64") from None


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")(
        command
    )


def dataset_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option --dataset, for commands that need one."""
    return click.option("--dataset", required=True, help="digits, a folder of IDX files, or an .npz file.")(
        command
    )


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lavaghost")
def cli() -> None:
    """Ghost-unit learning: train, run in Lava, export and verify one and the same network."""


@cli.command()
@click.argument("config", type=PATH, required=False)
@click.option("--dataset", help="digits (default), a folder of IDX files, or an .npz file.")
@click.option("--layers", callback=_sizes, help="Sizes of the hidden layers, such as 128,64.")
@click.option("--activation", type=_choice(spec.Activation), help="Rate function of hidden layers.")
@click.option("--saturation", type=float, help="Upper bound of a relu rate.")
@click.option("--mechanism", type=_choice(spec.Mechanism), help="How ghosts cancel the feedback.")
@click.option("--rule", type=_choice(spec.Rule), help="Local learning rule.")
@click.option("--feedback", type=_choice(spec.Feedback), help="Feedback weights.")
@click.option("--loss", type=_choice(spec.Loss), help="What the output is nudged towards.")
@click.option("--lam", type=float, help="Feedback gain.")
@click.option("--beta", type=float, help="Nudging strength.")
@click.option("--method", type=_choice(spec.MethodName), help="Ghost units, or a control.")
@click.option("--engine", type=_choice(spec.Engine), help="Solve for fixed points, or step in time.")
@click.option("--epochs", type=int, help="Passes over the training set.")
@click.option("--batch-size", type=int, help="Samples per weight change.")
@click.option("--eta", type=float, help="Step size; means what a backprop learning rate means.")
@click.option("--eta-decay", type=_choice(spec.Decay), help="How eta falls over the run.")
@click.option("--momentum", type=float, help="Momentum of the optimiser.")
@click.option("--weight-decay", type=float, help="Weight decay of the optimiser.")
@click.option("--sweeps", type=int, help="Relaxation sweeps of the equilibrium engine.")
@click.option("--tolerance", type=float, help="Solve the nudged phase to this instead.")
@click.option("--seed", type=int, help="Seed of weights and sample order.")
@click.option("--out", type=PATH, default=Path("out/train"), show_default=True, help="Folder for the results.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out, if there is one.")
@click.option("--tau-steps", type=float, help="Time constant of neurons and ghosts, in steps.")
@click.option("--t-free-steps", type=int, help="Steps of the free phase, the reset included.")
@click.option("--t-nudge-steps", type=int, help="Steps of the nudged phase.")
@click.option(
    "--lava-model", type=LAVA_MODEL, default="fused", show_default=True, help="Processes of engine lava."
)
@click.option("--limit", type=click.IntRange(min=1), help="Engine lava: training samples of an epoch.")
@click.option("--record", callback=_sizes, help="Engine lava: layers to record, such as 1,2.")
@click.option("--diagnostics/--no-diagnostics", default=True, help="Measure cosines and residuals per epoch.")
@json_option
def train(
    config: Path | None,
    out: Path,
    resume: bool,
    diagnostics: bool,
    lava_model: Literal["fused", "decomposed"],
    limit: int | None,
    record: tuple[int, ...] | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a network and save it, its learning curves and a checkpoint in --out.

    CONFIG is a YAML file with keys dataset, hidden, network and learning; options win over it.
    """
    from lavaghost.datasets import load
    from lavaghost.pipeline import train_and_save
    from lavaghost.training import check_data

    run = read_config(config, _overrides(options))
    data = load(run.dataset)
    network = run.network_for(data.n_inputs, data.n_classes)
    spec.check_together(network, run.learning)
    check_data(network, data)
    if run.learning.engine == "lava":
        require_lava()
    elif limit is not None or record is not None:
        raise SpecError("--limit and --record belong to engine 'lava'; add --engine lava or leave them out")
    check_writable(out)
    with bar("training", None) as progress:

        def report(done: int, total: int, row: dict[str, Any] | None) -> None:
            note = f"epoch {row['epoch']}: {percent(row['accuracy'])}" if row else None
            progress.update(done, total, note)

        trained, path = train_and_save(
            network,
            run.learning,
            data,
            out,
            resume=resume,
            diagnostics=diagnostics,
            report=report,
            lava_model=lava_model,
            limit=limit,
            record=record or (),
        )
    emit({**trained.record["result"], "model": str(path)}, as_json, f"{data.name}, {network.layers}")


def _overrides(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given, in the sections of the configuration."""
    given = {name: value for name, value in options.items() if value is not None}
    sections: dict[str, Any] = {"network": {}, "learning": {}}
    for name, value in given.items():
        if name == "dataset":
            sections["dataset"] = value
        elif name == "layers":
            sections["hidden"] = value
        elif name == "tau_steps":
            sections["network"].setdefault("schedule", {}).update(tau_steps=value, tau_ghost_steps=value)
        elif name in spec.Schedule.model_fields:
            sections["network"].setdefault("schedule", {})[name] = value
        else:
            sections["network" if name in spec.Physics.model_fields else "learning"][name] = value
    return sections


@cli.command()
@click.argument("model", type=PATH)
@dataset_option
@click.option(
    "--engine", type=click.Choice(["equilibrium", "stepped", "lava"]), default="equilibrium", show_default=True
)
@click.option("--limit", type=click.IntRange(min=1), help="Use only the first samples of the test set.")
@click.option(
    "--lava-model", type=LAVA_MODEL, default="fused", show_default=True, help="Processes of engine lava."
)
@json_option
def evaluate(
    model: Path,
    dataset: str,
    engine: str,
    limit: int | None,
    lava_model: Literal["fused", "decomposed"],
    as_json: bool,
) -> None:
    """Classify the test set with the saved network MODEL (model.yaml) in one of the engines."""
    from lavaghost.evaluation import evaluate as run
    from lavaghost.pipeline import load_both

    if engine == "lava":
        require_lava()
    trained, data = load_both(model, dataset)
    x, y = data.x_test[:limit], data.y_test[:limit]
    with bar(engine, len(x)) as progress:
        found = run(trained, x, y, engine, progress.update, lava_model)
    emit(found.as_json(), as_json, f"{data.name} in the {engine} engine")


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


def check_writable(folder: Path) -> None:
    """Make `folder`, and fail before any work is done if nothing can be written there."""
    probe = folder / ".lavaghost-probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"cannot write to {folder}: {error.strerror or error}; choose another folder with --out"
        ) from error
