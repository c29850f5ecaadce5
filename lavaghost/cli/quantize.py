"""Commands for integers: `quantize` a trained network, and study the `precision` that learning needs."""

from pathlib import Path
from typing import Any

import click

from lavaghost.cli.commands import PATH, SOURCES, force_option, json_option, numbers
from lavaghost.cli.console import bar, emit, output_folder, percent, table

_integers = numbers("bits", "4,6,8")


def _names(context: click.Context, option: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(value.split(","))


@click.command("quantize")
@click.argument("model", type=PATH)
@click.option("--dataset", required=True, help=f"{SOURCES}.")
@click.option("--hardware", "chip", help="Take the bit widths of this chip, NAME or FILE.")
@click.option("--weight-bits", type=int, help="Bits of a weight, sign included (8).")
@click.option("--message-bits", type=int, help="Bits of a graded spike (8).")
@click.option("--percentile", type=float, default=99.9, show_default=True, help="Of the rates that must fit.")
@click.option(
    "--out", type=PATH, default=Path("out/quantized"), show_default=True, help="Folder for the result."
)
@force_option
@json_option
def quantize_command(
    model: Path,
    dataset: str,
    chip: str | None,
    percentile: float,
    out: Path,
    force: bool,
    as_json: bool,
    **bits: int | None,
) -> None:
    """Put the saved network MODEL (model.yaml) into the integers of a Loihi-class chip.

    Scales come from training samples; accuracies are those of the test set. No chip is used.
    """
    from lavaghost.evaluation.quantise import quantise_model
    from lavaghost.run.describe import load_both
    from lavaghost.verbs import widths_of

    widths = widths_of(chip, **bits)
    trained, data = load_both(model, dataset)
    with output_folder(out, force=force):
        found = quantise_model(trained, data, widths, percentile)
        path = found.model.save(out)
    values = {**found.as_json(), "model": str(path)}
    if as_json:
        emit(values, True, "")
        return
    table(
        f"{data.name} in integers, weights of {widths.weight_bits} bits",
        ("layer", "error", "states use", "saturated states", "saturated messages", "clipped weights"),
        [
            (
                str(layer.layer),
                percent(layer.error),
                percent(layer.state_range),
                str(layer.saturated_states),
                str(layer.saturated_messages),
                str(layer.clipped_weights),
            )
            for layer in found.layers
        ],
    )
    emit({k: v for k, v in values.items() if k != "layers"}, False, "Quantised")


@click.command("precision")
@click.argument("subject", type=PATH)
@click.option("--dataset", help="Overrides the data set that the configuration or the model names.")
@click.option("--weight-bits", callback=_integers, default="2,4,6,8", show_default=True)
@click.option("--trace-bits", callback=_integers, default="7", show_default=True)
@click.option("--message-bits", callback=_integers, default="8", show_default=True)
@click.option(
    "--rounding", callback=_names, default="independent", show_default=True, help="independent,shared,nearest"
)
@click.option("--seeds", type=int, default=1, show_default=True, help="Seeds per point.")
@click.option("--epochs", type=int, help="Epochs of each run; for a configuration only.")
@click.option("--jobs", type=click.IntRange(min=1), help="Runs at a time; one per core unless given.")
@click.option(
    "--raise/--no-raise",
    "raising",
    default=True,
    help="Then run the smallest point that still learns again, with 2 bits more of each width alone.",
)
@click.option(
    "--out", type=PATH, default=Path("out/precision"), show_default=True, help="Folder for the results."
)
@force_option
@json_option
def precision_command(
    subject: Path,
    dataset: str | None,
    epochs: int | None,
    jobs: int | None,
    raising: bool,
    out: Path,
    force: bool,
    as_json: bool,
    **grid: Any,
) -> None:
    """The smallest chip that still learns: accuracy and gradient cosine against bits.

    SUBJECT is a configuration, whose network learns from scratch in integers at every point of the grid, or a
    saved network (model.yaml), which is quantised at every point. A result is limited by the width of which more bits
    alone gain most accuracy, by more than one point.
    """
    from lavaghost.base.spec import parse
    from lavaghost.model.model import MANIFEST_NAME, Model
    from lavaghost.run.plots import against_bits
    from lavaghost.run.spec import read_spec
    from lavaghost.studies.precision import (
        Study,
        limited,
        points,
        raise_alone,
        run_study,
        smallest,
        with_data,
        write_table,
    )

    study = parse(Study, grid)
    points(study)
    found: Any
    if subject.is_dir() or subject.name == MANIFEST_NAME:
        found = Model.load(subject)
        source = dataset or found.dataset
    else:
        overrides: dict[str, Any] = {"learning": {"arithmetic": "loihi"}}
        if epochs is not None:
            overrides["learning"]["epochs"] = epochs
        found = read_spec(subject, overrides | ({} if dataset is None else {"dataset": dataset}))
        source = found.dataset
    with_data(found, source)  # refused here, before anything runs
    with output_folder(out, force=force):
        with bar("precision", None) as progress:
            rows = run_study(found, source, study, jobs, progress.update)
        beside: list[dict[str, Any]] = []
        if raising:
            with bar("each width raised alone", None) as progress:
                beside = raise_alone(found, source, study, rows, jobs, progress.update)
        rows = limited(rows, beside)
        csv_path, plot = write_table(rows, out / "precision.csv"), against_bits(rows, out / "precision.png")
    best = smallest(rows)
    values = {"rows": rows, "raised": beside, "smallest": best, "table": str(csv_path), "plot": str(plot)}
    if as_json:
        emit(values, True, "")
        return
    _show(rows)
    shown = (
        f"{best['weight_bits']} bits of weights, {percent(best['accuracy'])}; limited by: {best['limited_by']}"
    )
    emit({"smallest": shown, "table": str(csv_path), "plot": str(plot)}, False, "Written")


def _show(rows: list[dict[str, Any]]) -> None:
    """A table of what differs between the rows; what does not stands above it."""
    names = {
        "weight_bits": "weights",
        "trace_bits": "traces",
        "message_bits": "messages",
        "state_fraction": "state fraction",
        "rounding": "rounding",
        "seed": "seed",
    }
    same = [name for name in names if len({r[name] for r in rows}) == 1 and name != "weight_bits"]
    columns = [name for name in names if name not in same]
    title = ", ".join(f"{names[name]} {rows[0][name]}" for name in same)
    table(
        f"Precision ({title})" if title else "Precision",
        (*(names[name] for name in columns), "accuracy", "worst cosine", "seconds", "limited by"),
        [
            (
                *(str(r[name]) for name in columns),
                percent(r["accuracy"]),
                f"{min(r['cosines']):.3f}",
                f"{r['seconds']:.1f}",
                r["limited_by"],
            )
            for r in rows
        ],
    )


COMMANDS = (quantize_command, precision_command)
"""What the command line registers."""
