"""The command `adapt`: a saved network learns on, sample by sample; what becomes of old data, and what it costs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from lavaghost.base import names
from lavaghost.cli.commands import (
    LAVA_MODEL,
    PATH,
    SOURCES,
    choice,
    dataset_option,
    force_option,
    json_option,
    numbers,
)
from lavaghost.cli.console import LOWEST, bar, emit, milli, output_folder, percent, say, table

REPORT, PICTURE = "adapt.json", "adapt.png"
"""What it leaves in --out beside the network."""
TABLED = ("recall", "curve", "price", "published", "refit", "energy_j", "latency_s", "assumption")
"""Keys of a result that are no single figures."""


def _margin(_context: click.Context, _option: click.Parameter, value: str | None) -> float | str | None:
    if value is None or value == "none":
        return value
    try:
        return float(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no number; write for example 0.5, or none") from None


@click.command("adapt")
@click.argument("model", type=PATH)
@dataset_option
@click.option("--keep", help=f"Old data: tested for forgetting, and stored for --replay; {SOURCES}.")
@click.option("--samples", type=int, help="Training samples that are presented; all unless given.")
@click.option("--shots", type=int, help="At most so many of each class.")
@click.option("--only", callback=numbers("classes", "8,9"), help="Present these classes only, such as 8,9.")
@click.option("--passes", type=int, help="Passes over the samples (1).")
@click.option("--classes", type=int, help="Add so many outputs, for classes never seen.")
@click.option("--arithmetic", type=choice(names.ArithmeticName), help="A chip's integers, loihi, unless given.")
@click.option("--engine", type=click.Choice(["stepped", "lava"]), help="stepped, unless given.")
@click.option("--lava-model", "processes", type=LAVA_MODEL, help="Engine lava: fused (unless given) or many.")
@click.option(
    "--plastic", callback=numbers("layers", "2,3"), help="Layers that learn, such as 2,3; all unless given."
)
@click.option("--replay", type=int, help="Old samples of each class that are stored (20 with --keep, else 0).")
@click.option("--replays", type=int, help="Stored samples that come after each new one (1).")
@click.option("--margin", callback=_margin, help="No step where right by more (0.5 with --replay), or none.")
@click.option("--eta", type=float, help="Learning rate (2^-6 in integers; 2^-7 where nothing is stored).")
@click.option(
    "--at", callback=numbers("samples", "100,300"), help="Take figures after so many samples, such as 100,300."
)
@click.option("--hardware", help="Price a sample on this chip, NAME or FILE (see `lavaghost hardware`).")
@click.option("--seed", type=int, help="Seed of the order of samples and of random numbers (0).")
@click.option("--out", type=PATH, required=True, help=f"Folder for the network, {REPORT} and {PICTURE}.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out, if there is one.")
@force_option
@json_option
def adapt_command(
    model: Path,
    dataset: str,
    keep: str | None,
    out: Path,
    resume: bool,
    force: bool,
    as_json: bool,
    **fields: Any,
) -> None:
    """Let the saved network MODEL (model.yaml) adapt to new data: one sample at a time, tested before it is learned.

    The network that comes out, a report and a picture are left in --out.
    """
    from lavaghost.adapting.adapt import AdaptSpec, adapt
    from lavaghost.base.spec import parse
    from lavaghost.datasets import load, warn_of
    from lavaghost.hardware.catalogue import load_chip
    from lavaghost.lava.available import require_lava
    from lavaghost.model.model import Model

    spec = parse(AdaptSpec, {key: value for key, value in fields.items() if value is not None})
    if spec.engine == "lava":
        require_lava()
    if spec.hardware is not None:
        load_chip(spec.hardware)  # refused here, before anything is learned
    trained = Model.load(model)
    new, old = load(dataset), None if keep is None else load(keep)
    for data in filter(None, (new, old)):
        warn_of(data)
    with output_folder(out, force=force, resume=resume):
        with bar("adapting", None) as progress:

            def report(done: int, total: int, row: dict[str, Any] | None) -> None:
                progress.update(done, total, None if row is None else _note(row))

            found = adapt(trained, new, old, spec, out=out, resume=resume, report=report)
        values = _written(out, found.result, found.model.save(out))
    if as_json:
        emit(values, True, "")
    else:
        _show(values, f"{new.name}, {found.model.network.layers}")


def _written(out: Path, result: Mapping[str, Any], model: Path) -> dict[str, Any]:
    """The figures with the place of the network and the picture, which are written beside it."""
    import json

    from lavaghost.adapting.plots import adaptation
    from lavaghost.base.files import write_atomic

    picture = adaptation(result["curve"], result["recall"], out / PICTURE)
    values = {**result, "model": str(model), "picture": str(picture)}
    write_atomic(out / REPORT, json.dumps(values, indent=1, allow_nan=False).encode())
    return values


def _note(row: Mapping[str, Any]) -> str:
    old = "" if row["kept"] is None else f", old {percent(row['kept'])}"
    return f"after {row['samples']}: new {percent(row['accuracy'])}{old}"


def _show(values: Mapping[str, Any], title: str) -> None:
    _curve(values["curve"], title)
    _recall(values["recall"])
    _price(values["price"], values["published"])
    single = {k: v for k, v in values.items() if k not in TABLED and v is not None}
    refit = {"refit": "before it began; the manifest says how"} if values["refit"] else {}
    emit({**single, **refit}, False, "Adapted")


def _curve(rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """Accuracies against samples; of old data only where there are some."""
    columns = {"new": "accuracy", "on the stream": "stream_accuracy", "old": "kept"}
    shown = {name: key for name, key in columns.items() if any(row[key] is not None for row in rows)}
    table(
        title,
        ("samples", *shown, "trials", "updates"),
        [
            (
                f"{row['samples']:,}",
                *("-" if row[key] is None else percent(row[key]) for key in shown.values()),
                f"{row['trials']:,}",
                f"{row['updates']:,}",
            )
            for row in rows
        ],
    )


def _recall(recall: Mapping[str, float]) -> None:
    rows, what = list(recall.items()), "Recall of each class"
    if len(rows) > LOWEST:
        rows, what = (
            sorted(rows, key=lambda row: row[1])[:LOWEST],
            f"The {LOWEST} lowest recalls of {len(rows)}",
        )
    table(what, ("class", "recall"), [(label, percent(value)) for label, value in rows])


def _price(price: Mapping[str, Any] | None, published: Sequence[Mapping[str, Any]]) -> None:
    """What a sample costs on a chip, beside what others measured, and why a figure is not known."""
    if price is None:
        return
    mine = [(f"{price['hardware']}, estimated", price)]
    if assumed := price["as_if"]:
        mine.append((f"{price['hardware']}, {assumed['assumption']}", assumed))
    rows = [(name, *_both(figures)) for name, figures in mine]
    rows += [(f"{row['hardware']}, measured: {row['what']}", *_both(row)) for row in published]
    trials, taught = price["trials_per_sample"], percent(price["taught_share"])
    table(f"An adapted sample: {trials:.3g} trials, {taught} of them teach", ("on", "energy", "time"), rows)
    sources = [row["source"] for row in published]
    unknown = (assumed or price)["unknown"]
    for heading, lines in (
        ("Does not fit", price["violations"]),
        ("Unknown", unknown),
        ("Measured by", sources),
    ):
        if lines:
            say("")
            say(heading, "bold")
            for line in lines:
                say(f"  {line}")
    say("")
    say("Estimated from published figures; not tested on hardware.")


def _both(figures: Mapping[str, Any]) -> tuple[str, str]:
    return milli(figures["energy_j"], "J"), milli(figures["latency_s"], "s")


COMMANDS = (adapt_command,)
"""What the command line registers."""
