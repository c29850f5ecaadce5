"""The command that trains, in floating point and in integers, on each engine."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lavaghost.base import names
from lavaghost.base.errors import SpecError
from lavaghost.cli.commands import LAVA_MODEL, PATH, choice, force_option, json_option
from lavaghost.cli.console import bar, emit_with_classes, output_folder, percent

if TYPE_CHECKING:
    from lavaghost.model.model import Model
    from lavaghost.numbers.widths import LoihiWidths
    from lavaghost.run.config import RunConfig


def _sizes(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a list of sizes; write for example 128,64") from None


@click.command()
@click.argument("config", type=PATH, required=False)
@click.option("--dataset", help="digits (default), a folder of IDX files, or an .npz file.")
@click.option("--layers", callback=_sizes, help="Sizes of the hidden layers, such as 128,64.")
@click.option("--activation", type=choice(names.Activation), help="Rate function of hidden layers.")
@click.option("--saturation", type=float, help="Upper bound of a relu rate.")
@click.option("--mechanism", type=choice(names.Mechanism), help="How ghosts cancel the feedback.")
@click.option("--rule", type=choice(names.RuleName), help="Local learning rule.")
@click.option("--feedback", type=choice(names.Feedback), help="Feedback weights.")
@click.option("--loss", type=choice(names.Loss), help="What the output is nudged towards.")
@click.option("--lam", type=float, help="Feedback gain.")
@click.option("--beta", type=float, help="Nudging strength.")
@click.option("--method", type=choice(names.MethodName), help="Ghost units, or a control.")
@click.option("--engine", type=choice(names.Engine), help="Solve for fixed points, or step in time.")
@click.option("--epochs", type=int, help="Passes over the training set.")
@click.option("--batch-size", type=int, help="Samples per weight change.")
@click.option("--eta", type=float, help="Step size; means what a backprop learning rate means.")
@click.option("--eta-decay", type=choice(names.Decay), help="How eta falls over the run.")
@click.option("--momentum", type=float, help="Momentum of the optimiser.")
@click.option("--weight-decay", type=float, help="Weight decay of the optimiser.")
@click.option("--sweeps", type=int, help="Relaxation sweeps of the equilibrium engine.")
@click.option("--tolerance", type=float, help="Solve the nudged phase to this instead.")
@click.option("--seed", type=int, help="Seed of weights and sample order.")
@click.option("--out", type=PATH, default=Path("out/train"), show_default=True, help="Folder for the results.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out, if there is one.")
@force_option
@click.option("--from", "source", type=PATH, help="Start from this saved network (model.yaml), and its sizes.")
@click.option("--tau-steps", type=float, help="Time constant of neurons and ghosts, in steps.")
@click.option("--t-free-steps", type=int, help="Steps of the free phase, the reset included.")
@click.option("--t-nudge-steps", type=int, help="Steps of the nudged phase.")
@click.option("--arithmetic", type=choice(names.ArithmeticName), help="Floating point, or a chip's integers.")
@click.option("--rounding", type=choice(names.Rounding), help="Arithmetic loihi: random numbers of weights.")
@click.option("--hardware", "chip", help="Arithmetic loihi: take the bit widths of this chip, NAME or FILE.")
@click.option(
    "--state-fraction",
    type=int,
    help="Arithmetic loihi: fractional bits of a state (duplicate 12, else 14).",
)
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
    force: bool,
    source: Path | None,
    diagnostics: bool,
    chip: str | None,
    state_fraction: int | None,
    lava_model: names.LavaModel,
    limit: int | None,
    record: tuple[int, ...] | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a network and save it, its learning curves and a checkpoint in --out.

    CONFIG is a YAML file with keys dataset, hidden, network, learning, arithmetic and integer; options win over it.
    """
    from lavaghost.datasets import for_training, load, unsigned, warn_of
    from lavaghost.lava.available import require_lava
    from lavaghost.model.inputs import scaled_for
    from lavaghost.model.model import Model
    from lavaghost.net.spec import check_together
    from lavaghost.run.config import engine_of, integer_run, read_config
    from lavaghost.run.pipeline import OnLava, check_start, train_and_save, train_integers_and_save
    from lavaghost.train.loop import check_data

    start = None if source is None else Model.load(source)
    run = read_config(config, _overrides(options), _defaults(start))
    data, engine = load(run.dataset), engine_of(run)
    integers = run.arithmetic == "loihi"
    warn_of(data)
    if integers and start is None:
        data = unsigned(data)
    data = for_training(data) if start is None else scaled_for(start, data)
    widths = _widths(chip, state_fraction, run)
    network, integer = run.network_for(data.n_inputs, data.n_classes), run.integer
    if integers:
        network, integer = integer_run(run, data, widths)
    else:
        check_together(network, run.learning)
    check_data(network, data)
    if start is not None:
        if integers:
            raise SpecError(
                "arithmetic loihi learns from scratch; train --from in float, then lavaghost quantize"
            )
        check_start(network, run.learning, start)
    if engine == "lava":
        require_lava()
    elif limit is not None or record is not None:
        raise SpecError("--limit and --record belong to engine 'lava'; add --engine lava or leave them out")
    with output_folder(out, force=force, resume=resume), bar("training", None) as progress:

        def report(done: int, total: int, row: dict[str, Any] | None) -> None:
            note = f"epoch {row['epoch']}: {percent(row['accuracy'])}" if row else None
            progress.update(done, total, note)

        def watch(trials: int, accuracy: float) -> None:
            progress.note(f"after {trials} samples: {percent(accuracy)}")

        common: dict[str, Any] = {
            "resume": resume,
            "diagnostics": diagnostics,
            "report": report,
            "on_lava": OnLava(lava_model, limit, record or (), watch),
        }
        if integers:
            trained, path = train_integers_and_save(
                network, integer, data, out, engine=engine, widths=widths, **common
            )
        else:
            trained, path = train_and_save(network, run.learning, data, out, start=start, **common)
    values = {**trained.record["result"], "arithmetic": run.arithmetic, "model": str(path)}
    emit_with_classes(values, as_json, f"{data.name}, {network.layers}", trained.labels)


def _widths(chip: str | None, state_fraction: int | None, run: "RunConfig") -> "LoihiWidths":
    """The bit widths of a chip by its name or file; Lava's model of Loihi where none is named."""
    from dataclasses import replace

    from lavaghost.hardware.catalogue import load_chip
    from lavaghost.numbers.widths import DEFAULT
    from lavaghost.online.integers.settings import suited_fraction

    if (chip is not None or state_fraction is not None) and run.arithmetic == "float":
        raise SpecError(
            "--hardware and --state-fraction belong to --arithmetic loihi; add that or leave them out"
        )
    widths = DEFAULT if chip is None else load_chip(chip).integers()
    if state_fraction is None:
        state_fraction = suited_fraction(run.network)
    return replace(widths, state_fraction=state_fraction)


def _defaults(start: "Model | None") -> dict[str, Any]:
    """What a network that training starts from decides, unless the configuration says otherwise."""
    if start is None:
        return {}
    physics = start.network.model_dump()
    return {"hidden": physics.pop("layers")[1:-1], "network": physics}


def _overrides(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given, in the sections of the configuration."""
    from lavaghost.net.spec import Physics, Schedule

    given = {name: value for name, value in options.items() if value is not None}
    sections: dict[str, Any] = {"network": {}, "learning": {}}
    for name, value in given.items():
        if name in ("dataset", "arithmetic"):
            sections[name] = value
        elif name == "rounding":
            sections["integer"] = {"rounding": value}
        elif name == "layers":
            sections["hidden"] = value
        elif name == "tau_steps":
            sections["network"].setdefault("schedule", {}).update(tau_steps=value, tau_ghost_steps=value)
        elif name in Schedule.model_fields:
            sections["network"].setdefault("schedule", {})[name] = value
        else:
            sections["network" if name in Physics.model_fields else "learning"][name] = value
    return sections


COMMANDS = (train,)
"""What the command line registers."""
