"""Commands about chips: `map`, `hardware` and `deploy`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from lavaghost.base import names
from lavaghost.base.errors import SpecError
from lavaghost.cli.commands import PATH, SOURCES, json_option
from lavaghost.cli.console import bar, emit, milli, percent, say, show, table, write

if TYPE_CHECKING:
    from lavaghost.hardware.activity import Activity
    from lavaghost.hardware.findings import Plan
    from lavaghost.hardware.report import Report
    from lavaghost.methods.base import Method
    from lavaghost.model.manifest import Manifest

SAMPLES = 200
"""Training samples on which activity is measured, unless --limit says otherwise."""

_hardware = click.option(
    "--hardware",
    "chip",
    required=True,
    help="Name of a configuration (see `lavaghost hardware`), or a YAML file.",
)
_limit = click.option("--limit", type=click.IntRange(min=1), help="Use only the first samples.")


@click.command("map")
@click.argument("model", type=PATH)
@_hardware
@click.option("--phase", type=click.Choice(get_args(names.Phase)), default="inference", show_default=True)
@click.option("--dataset", help=f"Measure activity on this data: {SOURCES}.")
@_limit
@click.option(
    "--weight-bits", type=click.IntRange(1, 32), default=8, show_default=True, help="Bits of a weight."
)
@click.option("--cores", type=click.IntRange(min=1), help="Use at most so many cores.")
@click.option("--no-split", is_flag=True, help="Keep every layer whole, on one core.")
@click.option(
    "--messages",
    type=click.Choice(get_args(names.Code)),
    help="Send rates as numbers or as spike counts; usually what the chip can.",
)
@click.option(
    "--apply",
    "apply",
    is_flag=True,
    help="Apply the remedies: split layers, use all cores, other bits, spike counts.",
)
@click.option(
    "--methods",
    help="Phase learning: all methods side by side on the network of MODEL, or those named, such as ghost,fa.",
)
@click.option("--plot", type=PATH, help="Draw the placement into this .png or .svg file.")
@click.option("--keep", is_flag=True, help="Keep the placement in the saved network; its bundle carries it.")
@json_option
@click.pass_context
def map_command(
    context: click.Context,
    model: Path,
    chip: str,
    phase: names.Phase,
    dataset: str | None,
    limit: int | None,
    weight_bits: int,
    cores: int | None,
    no_split: bool,
    messages: names.Code | None,
    apply: bool,
    methods: str | None,
    plot: Path | None,
    keep: bool,
    as_json: bool,
) -> int:
    """Place the network MODEL on a chip and estimate its cost.

    MODEL is a saved network (model.yaml). Exit code 1 if it does not fit; every reason is listed. Exit code 0 if
    it fits, also where that is so only as far as is known: `status` says which, and `undecided` what is not known.
    """
    from lavaghost.hardware.catalogue import load_chip
    from lavaghost.hardware.findings import Plan
    from lavaghost.hardware.report import make

    if plot is not None and plot.suffix.lower() not in (".png", ".svg"):
        raise SpecError(f"{plot}: a picture is .png or .svg; name it {plot.stem or 'placement'}.png")
    if phase == "learning" and messages == "counts":
        raise SpecError("--messages counts goes with --phase inference; learning sends numbers, leave it out")
    if methods is not None:
        if phase != "learning" or plot is not None or keep:
            raise SpecError(
                "--methods compares what learning takes: add --phase learning, without --plot and --keep"
            )
        return _methods(
            model,
            chip,
            methods,
            dataset,
            limit or SAMPLES,
            Plan(weight_bits, cores, not no_split, messages),
            apply,
            as_json,
        )
    hardware = load_chip(chip)
    manifest = _manifest(model)
    graph, activity = manifest.method.graph(manifest.network), None
    footprint = manifest.method.footprint(graph)
    if dataset is not None:
        activity = _measured(model, dataset, phase, limit or SAMPLES)
    plan = Plan(weight_bits=weight_bits, cores=cores, split=not no_split, messages=messages)
    report = make(graph, hardware, phase, plan, activity=activity, apply=apply, footprint=footprint)
    values = report.as_json()
    if plot is not None and report.mapping.cores:
        from lavaghost.hardware.draw import draw

        values["plot"] = str(draw(report, plot))
    if keep and report.mapping.fits is not False:
        values["kept"] = str(_keep(model, hardware.name, report.kept()))
    if as_json:
        emit(values, True, "")
    else:
        _show(report, values)
    return 1 if report.mapping.fits is False else 0


def _manifest(model: Path) -> "Manifest":
    """What the manifest says; the weights are not read."""
    from lavaghost.model.manifest import MAX_BYTES, from_yaml
    from lavaghost.model.model import MANIFEST_NAME
    from lavaghost.model.weights import read_regular

    path = model / MANIFEST_NAME if model.is_dir() else model
    return from_yaml(read_regular(path, MAX_BYTES), str(path))


def _methods(
    model: Path,
    chip: str,
    names: str,
    dataset: str | None,
    limit: int,
    plan: "Plan",
    apply: bool,
    as_json: bool,
) -> int:
    """All methods on one chip; 1 if it is known that none fits."""
    from lavaghost.hardware.catalogue import load_chip
    from lavaghost.hardware.side_by_side import side_by_side

    manifest, hardware, activity = _manifest(model), load_chip(chip), None
    network = manifest.network
    if dataset is not None:
        activity = _measured(model, dataset, "inference", limit)
    found = side_by_side(network, _wanted(manifest, names), hardware, plan, activity, apply)
    rows = [one.as_json() for one in found]
    if as_json:
        emit({"hardware": hardware.name, "layers": list(network.layers), "methods": rows}, True, "")
    else:
        _side_by_side(hardware.title, rows)
    return 1 if all(row["fits"] is False for row in rows) else 0


def _wanted(manifest: "Manifest", names: str) -> "dict[str, Method]":
    """The methods that were named, as they learn one sample at a time: the network's own as it is.

    All are shown with ghosts in their shortest trial too, and with activation relaxation as published.
    """
    from lavaghost.methods.by_name import METHODS, method_of
    from lavaghost.run.spec import RunSpec, one_by_one

    def on_chip(method: Any) -> "Method":
        return one_by_one(RunSpec(hidden=manifest.network.layers[1:-1], method=method_of(method))).method

    own = manifest.method
    wanted = [n for n in METHODS.names() if n != "modulated"] if names == "all" else names.split(",")
    found = {name: own if name == own.name else on_chip(name) for name in wanted}
    if names == "all":
        if found["ghost"] != (shortest := on_chip("ghost")):
            found["ghost, shortest trial"] = shortest
        found["relaxation, 100 steps"] = on_chip({"name": "relaxation", "steps": 100, "rate": 0.1})
    return found


def _side_by_side(title: str, rows: list[dict[str, Any]]) -> None:
    shown = []
    for row in rows:
        phases = " + ".join(f"{p['steps']} {p['name']}" for p in row["phases"])
        energy, time = row["energy_j"], row["latency_s"]
        shown.append(
            [
                row["label"],
                f"{row['neurons']:,}",
                f"{row['synapses']:,} ({row['plastic_synapses']:,})",
                str(len(row["states_per_neuron"])),
                "signed" if row["signed_messages"] else "unsigned",
                phases,
                f"{row['multiplications_per_sample']:,}",
                "unknown" if energy is None else f"{energy * 1e6:.4g} uJ",
                "unknown" if time is None else f"{time * 1e6:.4g} us",
                row["status"],
            ]
        )
    heads = [
        "method",
        "neurons",
        "synapses (plastic)",
        "states",
        "messages",
        "steps",
        "products",
        "energy",
        "time",
        "",
    ]
    table(f"{title}, a training sample", heads, shown)
    for row in rows:
        say(f"  {row['label']}: a synapse reads {row['reads']}")
    for text in dict.fromkeys(v for row in rows for v in row["violations"]):
        say("  " + text)
    if assumed := {row["assumption"] for row in rows} - {None}:
        say(f"Energy and time {', '.join(sorted(assumed))}.")
    say("Estimated from published figures; not tested on hardware.")


def _measured(model: Path, dataset: str, phase: names.Phase, limit: int) -> "Activity":
    import numpy as np

    from lavaghost.hardware.activity import measured_activity
    from lavaghost.run.describe import load_both

    trained, data = load_both(model, dataset)
    x, y = data.x_train[:limit], data.y_train[:limit]
    target = np.eye(data.n_classes)[y] if phase == "learning" else None
    return measured_activity(trained.graph, trained.params, x, target)


def _keep(model: Path, name: str, placement: dict[str, Any]) -> Path:
    """Save the network again, with where it goes on the chip `name`."""
    from dataclasses import replace

    from lavaghost.base.files import locked
    from lavaghost.model.model import Model

    folder = model if model.is_dir() else model.parent
    with locked(folder):
        trained = Model.load(model)
        mappings = {**trained.record.get("mappings", {}), name: placement}
        return replace(trained, record={**trained.record, "mappings": mappings}).save(folder)


def _show(report: "Report", values: dict[str, Any]) -> None:
    from lavaghost.hardware import messages

    m = report.mapping
    rows = []
    for i, (core, place) in enumerate(zip(m.cores, values["placement"], strict=True)):
        if i == 40:
            rows.append([f"... and {len(m.cores) - i} more", "", "", "", "", ""])
            break
        parts = ", ".join(f"{s.population}[{s.start}:{s.stop}]" for s in core.slices)
        used = core.usage
        bits = "unknown" if used.synapse_bits is None else f"{used.synapse_bits:,.0f}"
        axons = f"{used.input_axons:,} / {used.output_axons:,}"
        rows.append([parts, str(place["core"]), f"{used.neurons:,}", axons, f"{used.synapses:,}", bits])
    title = f"{m.hardware.title}, {report.phase}: {m.headline}"
    if rows:
        table(title, ["layer", "core", "neurons", "axons in / out", "synapses", "synapse bits"], rows)
    else:
        say("")
        say(title, "bold")
    for violation in m.violations:
        say("  " + violation.line(m.hardware.name))
    extra = values["overhead_learning"]
    idle = f"; {extra['idle_synapses']:,} synapses below the lowest layer that learns idle"
    figures = {
        "cores": f"{m.needed:,} (lower bound {m.lower_bound:,})",
        "weights": f"{m.plan.weight_bits} bits",
        "messages": messages.words(m.demand, m.hardware, m.messages),
        "utilization": "  ".join(f"{k} {v:.0%}" for k, v in m.utilization.items()) or "unknown",
        "learning adds": f"{extra['neurons']:.1%} neurons, {extra['synapses']:.1%} synapses"
        + (idle if extra["idle_synapses"] else ""),
        "activity": report.activity.origin,
    }
    if report.cost is not None:
        what = "inference" if report.phase == "inference" else "training sample"
        for key, value in (
            ("energy", report.cost.energy_j),
            ("static", report.cost.static_j),
            ("dynamic", report.cost.dynamic_j),
            ("input and output", report.cost.io_j),
        ):
            figures[f"{key} per {what}"] = "unknown" if value is None else f"{value * 1e6:.4g} uJ"
        time = report.cost.latency_s
        figures[f"time per {what}"] = "unknown" if time is None else f"{time * 1e6:.4g} us"
    for row in m.hardware.published:
        figures[f"published: {row.what}"] = (
            f"{milli(row.energy_j, 'J')}, {milli(row.latency_s, 's')} ({row.confidence})"
        )
    if "plot" in values:
        figures["plot"] = values["plot"]
    emit(figures, False, "Summary")
    costs = [text for text in report.unknown if text not in m.unknown]
    deciding = "Unknown, and decides whether it fits" if m.fits is None else "Unknown besides"
    for heading, texts in ((deciding, m.unknown), ("Unknown", costs)):
        if texts:
            say("")
            say(heading, "bold")
            for text in texts:
                say(f"  {text}")
    say("")
    say("Estimated from published figures; not tested on hardware.")


@click.command("hardware")
@click.argument("chip", required=False)
@click.option("--schema", "show_schema", is_flag=True, help="Print the JSON Schema of a configuration.")
@json_option
def hardware_command(chip: str | None, show_schema: bool, as_json: bool) -> None:
    """List the hardware configurations with their figures, sources and confidences.

    CHIP is the name of one of them, or a YAML file of your own; without it all are listed.
    """
    import json

    from lavaghost.hardware.catalogue import CHIPS, load_chip, schema
    from lavaghost.hardware.report import chip_figures

    if show_schema:
        write(json.dumps(schema(), indent=None if as_json else 2))
        return
    names = CHIPS.names() if chip is None else (chip,)
    found = {h.name: h for h in map(load_chip, names)}
    if as_json:
        emit({n: {"title": h.title, "figures": chip_figures(h)} for n, h in found.items()}, True, "")
        return
    for name, h in found.items():
        rows = [
            [f["figure"], show(f["value"]), f["unit"], f["confidence"], f["source"] or ""]
            for f in chip_figures(h)
            if f["value"] is not None
        ]
        missing = [f["figure"] for f in chip_figures(h) if f["value"] is None]
        table(f"{name}: {h.title}", ["figure", "value", "unit", "confidence", "source"], rows)
        say("unknown: " + ", ".join(missing))


@click.command("deploy")
@click.argument("model", type=PATH)
@_hardware
@click.option("--dataset", required=True, help=f"{SOURCES}.")
@click.option("--simulate", is_flag=True, help="Run in Lava's fixed-point simulator instead of on the chip.")
@_limit
@json_option
def deploy_command(
    model: Path, chip: str, dataset: str, simulate: bool, limit: int | None, as_json: bool
) -> int:
    """Run the inference network of MODEL (model.yaml) on Loihi 2, or with --simulate in Lava's simulator.

    It is built from stock Lava processes (Dense and sigma-delta neurons) in integers, and checked against the
    configuration first. Exit code 1 if it does not fit or differs from the integer reference, 3 if the chip
    cannot be reached.
    """
    from lavaghost.hardware.catalogue import load_chip
    from lavaghost.hardware.findings import Plan
    from lavaghost.hardware.mapper import map_network
    from lavaghost.lava.deploy import deploy, require_target
    from lavaghost.run.describe import load_both

    hardware = load_chip(chip)
    require_target(hardware, simulate)
    trained, data = load_both(model, dataset)
    # its sigma-delta neurons send numbers
    mapping = map_network(trained.graph, hardware, plan=Plan(messages="numbers"))
    verdict = {"fits": mapping.fits, "headline": mapping.headline, "undecided": list(mapping.unknown)}
    if mapping.violations:
        for violation in mapping.violations:
            say(violation.line(hardware.name))
        lines = [v.as_json() for v in mapping.violations]
        emit(
            {**verdict, "violations": lines} if as_json else {},
            as_json,
            f"{hardware.title}: {mapping.headline}",
        )
        return 1
    with bar("deploy", None) as progress:
        found = deploy(trained, data, hardware, simulate=simulate, limit=limit, report=progress.update)
    values = {**found.as_json(), **verdict, "cores": mapping.needed}
    title = f"{data.name} on {found.target}: {percent(found.accuracy)}, not tested on hardware"
    emit(values, as_json, title)
    return 0 if found.integer_exact else 1


COMMANDS = (map_command, hardware_command, deploy_command)
