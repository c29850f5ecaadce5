"""The command that trains: every option is a field of the run's description, and `run.train` does the rest."""

from pathlib import Path
from typing import Any, NamedTuple

import click

from lavaghost.base import names
from lavaghost.cli.commands import LAVA_MODEL, PATH, SOURCES, choice, force_option, json_option, numbers
from lavaghost.cli.console import bar, emit_with_classes, output_folder, percent

_sizes = numbers("sizes", "128,64")


def _settings(_context: click.Context, _option: click.Parameter, value: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in value:
        import yaml

        path, equals, right = text.partition("=")
        if not path or not equals:
            raise click.BadParameter(f"{text!r} is not KEY=VALUE; write for example method.plasticity.mu=0.3")
        try:
            _put(found, path, yaml.safe_load(right))
        except yaml.YAMLError:
            raise click.BadParameter(f"{right!r:.80} is not a value; write for example {path}=0.3") from None
    return found


class Field(NamedTuple):
    """An option, and the field of a `RunSpec` that it sets, by its path."""

    flag: str
    kind: Any
    path: str
    help: str


FIELDS = (
    Field("--dataset", str, "dataset", f"{SOURCES}; digits unless named."),
    Field("--layers", _sizes, "hidden", "Sizes of the hidden layers, such as 128,64."),
    Field("--activation", choice(names.Activation), "network.activation", "Rate function of hidden layers."),
    Field("--saturation", float, "network.saturation", "Upper bound of a relu rate."),
    Field("--loss", choice(names.Loss), "network.loss", "What the output is nudged towards."),
    Field("--plastic", _sizes, "network.plastic", "Layers that learn, such as 2,3; all unless given."),
    Field(
        "--method", str, "method.name", "ghost (default), another one of docs/methods.md, or one of your own."
    ),
    Field("--mechanism", choice(names.Mechanism), "method.mechanism", "How ghosts cancel the feedback."),
    Field("--rule", choice(names.RuleName), "method.rule", "Local learning rule."),
    Field("--feedback", choice(names.Feedback), "method.feedback", "Feedback weights."),
    Field("--lam", float, "method.lam", "Feedback gain."),
    Field("--beta", float, "method.beta", "Nudging strength."),
    Field("--tau-steps", float, "method.schedule.tau", "Time constant of neurons and ghosts, in steps."),
    Field(
        "--t-free-steps", int, "method.schedule.t_free_steps", "Steps of the free phase, the reset included."
    ),
    Field("--t-nudge-steps", int, "method.schedule.t_nudge_steps", "Steps of the nudged phase."),
    Field("--engine", choice(names.Engine), "learning.engine", "Solve for fixed points, or step in time."),
    Field("--epochs", int, "learning.epochs", "Passes over the training set."),
    Field("--batch-size", int, "learning.batch_size", "Samples per weight change."),
    Field("--eta", float, "learning.eta", "Step size; means what a backprop learning rate means."),
    Field("--eta-decay", choice(names.Decay), "learning.eta_decay", "How eta falls over the run."),
    Field("--momentum", float, "learning.momentum", "Momentum of the optimiser."),
    Field("--weight-decay", float, "learning.weight_decay", "Weight decay of the optimiser."),
    Field("--sweeps", int, "learning.sweeps", "Relaxation sweeps of the equilibrium engine."),
    Field("--tolerance", float, "learning.tolerance", "Solve the nudged phase to this instead."),
    Field("--seed", int, "learning.seed", "Seed of weights and sample order."),
    Field(
        "--arithmetic",
        choice(names.ArithmeticName),
        "learning.arithmetic",
        "Floating point, or a chip's integers.",
    ),
    Field(
        "--rounding",
        choice(names.Rounding),
        "learning.rounding",
        "Arithmetic loihi: random numbers of weights.",
    ),
    Field("--hardware", str, "hardware", "Arithmetic loihi: take the bit widths of this chip, NAME or FILE."),
    Field(
        "--state-fraction", int, "state_fraction", "Arithmetic loihi: fractional bits of a state (12, or 14)."
    ),
    Field("--from", str, "start", "Start from this saved network (model.yaml), and its sizes."),
    Field("--lava-model", LAVA_MODEL, "lava.processes", "Engine lava: one fused process, or many."),
    Field("--limit", click.IntRange(min=1), "lava.limit", "Engine lava: training samples of an epoch."),
    Field("--record", _sizes, "lava.record", "Engine lava: layers to record, such as 1,2."),
)
"""Every option that describes the run; what else a run may have, `--set` reaches."""


def _with_fields(command: Any) -> Any:
    for flag, kind, path, text in reversed(FIELDS):
        how = {"callback": kind} if kind is _sizes else {"type": kind}
        command = click.option(flag, path.replace(".", "__"), help=text, **how)(command)
    return command


@click.command("train")
@click.argument("config", type=PATH, required=False)
@_with_fields
@click.option(
    "--set",
    "more",
    multiple=True,
    callback=_settings,
    metavar="KEY=VALUE",
    help="Any key of the configuration.",
)
@click.option(
    "--modulate",
    "modulation",
    multiple=True,
    callback=_settings,
    metavar="KEY=VALUE",
    help="Modulate the method: dropout=0.2, gains=[0.5,1] ...",
)
@click.option("--out", type=PATH, default=Path("out/train"), show_default=True, help="Folder for the results.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out, if there is one.")
@force_option
@click.option("--diagnostics/--no-diagnostics", default=True, help="Measure cosines and residuals per epoch.")
@json_option
def train_command(
    config: Path | None,
    more: dict[str, Any],
    modulation: dict[str, Any],
    out: Path,
    resume: bool,
    force: bool,
    diagnostics: bool,
    as_json: bool,
    **fields: Any,
) -> None:
    """Train a network and save it, its learning curves and a checkpoint in --out.

    CONFIG is a YAML file with keys dataset, hidden, network, method, learning and others; options win over it.
    """
    from lavaghost.run.job import prepared
    from lavaghost.run.merging import merged, modulating
    from lavaghost.run.spec import continued, read_spec
    from lavaghost.run.train import run_job

    given = merged(_sections(fields), more)
    if modulation:
        given["method"] = modulating(given.get("method", {}), modulation)
    spec, start = continued(config, given)
    job = prepared(read_spec(config, given, spec), start=start)
    with output_folder(out, force=force, resume=resume), bar("training", None) as progress:

        def report(done: int, total: int, row: dict[str, Any] | None) -> None:
            note = f"epoch {row['epoch']}: {percent(row['accuracy'])}" if row else None
            progress.update(done, total, note)

        def watch(trials: int, accuracy: float) -> None:
            progress.note(f"after {trials} samples: {percent(accuracy)}")

        found = run_job(job, out=out, resume=resume, diagnostics=diagnostics, report=report, watch=watch)
    model = found.model
    values = {**model.record["result"], "arithmetic": model.arithmetic, "model": str(found.path)}
    emit_with_classes(values, as_json, f"{job.data.name}, {model.network.layers}", model.labels)


def _sections(fields: dict[str, Any]) -> dict[str, Any]:
    """The options that were given, in the sections of the configuration."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if value is None:
            continue
        path = name.replace("__", ".")
        if path.endswith("schedule.tau"):
            _put(found, path + "_steps", value)
            path = path.replace("tau", "tau_ghost_steps")
        _put(found, path, value)
    return found


def _put(values: dict[str, Any], path: str, value: Any) -> None:
    *sections, key = path.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise click.BadParameter(f"{section} is set to a value and has keys besides")
    values[key] = value


COMMANDS = (train_command,)
"""What the command line registers."""
