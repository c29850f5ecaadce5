"""Pictures of a run: accuracy, 1 - gradient cosine and ghost residual against the epoch, and what Lava recorded."""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from lavaghost.base.files import write_atomic

MOST_NAMES = 8
"""Lines that a legend has room for; of more layers the colour tells the depth."""
History = Sequence[Mapping[str, Any]]
RESIDUAL = "Ghost residual  |B r - i| / |B r|"


def learning_curves(histories: Mapping[str, History], path: Path) -> Path:
    """One line per run in the accuracy panel; 1 - cosine and residual of the first run, per layer, on log axes.

    `histories` maps the name of a run to its rows, as `training.train` returns them. Writes a PNG.
    """
    return written(curves(histories), path, dpi=130)


def curves(histories: Mapping[str, History]) -> Figure:
    """The figure of `learning_curves`."""
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    accuracy, cosine, left_over = figure.subplots(1, 3)
    for i, (name, rows) in enumerate(histories.items()):
        style = {"lw": 2.0} if i == 0 else {"lw": 1.2, "ls": "--"}
        accuracy.plot(_epochs(rows), [100 * row["accuracy"] for row in rows], label=name, **style)
    low, high = _where_runs_differ(histories)
    cut = any(100 * row["accuracy"] < low for rows in histories.values() for row in rows)
    title = "Test accuracy (early epochs lie below)" if cut else "Test accuracy"
    accuracy.set(title=title, ylabel="%", ylim=(low, high))
    accuracy.legend(frameon=False, loc="lower right")
    first = next(iter(histories.values()))
    for panel, key, layer, shown in (
        (cosine, "cosines", "layer", lambda cosine: 1.0 - cosine),
        (left_over, "residuals", "hidden layer", lambda residual: residual),
    ):
        rows = [row for row in first if row.get(key)]
        if not rows:
            panel.text(0.5, 0.5, "not measured", ha="center", transform=panel.transAxes)
            continue
        layers = [[shown(v) for v in values] for values in zip(*(row[key] for row in rows), strict=True)]
        named = {f"{layer} {k}": values for k, values in enumerate(layers, start=1)}
        _on_log(panel, _epochs(rows), named, marker=".")
    cosine.set(title="1 - cosine to the backprop gradient")
    left_over.set(title=RESIDUAL)
    last = max((epoch for rows in histories.values() for epoch in _epochs(rows)), default=0)
    for panel in (accuracy, cosine, left_over):
        panel.set(xlabel="epoch", xlim=(-0.02 * max(last, 1), 1.02 * max(last, 1)))
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    return figure


def _where_runs_differ(histories: Mapping[str, History]) -> tuple[float, float]:
    """Limits in %: all of a single run after its first epoch; of several what lies above the lowest median."""
    later = [
        [100 * row["accuracy"] for row in rows if row["epoch"] > 0] or [100 * row["accuracy"] for row in rows]
        for rows in histories.values()
    ]
    low = min(median(values) if len(later) > 1 else min(values) for values in later)
    high = max(map(max, later))
    room = max(0.5, 0.15 * (high - low))
    return max(0.0, low - room), min(100.0, high) + room


def _named(lines: int) -> set[int]:
    """Which of many lines a legend names: as many as fit, from the first to the last."""
    shown = min(lines, MOST_NAMES)
    return {round(i * (lines - 1) / max(1, shown - 1)) for i in range(shown)}


def _on_log(panel: Axes, x: Sequence[int], lines: Mapping[str, Sequence[float]], **style: Any) -> None:
    """Lines on a logarithmic axis. What is 0, or below it by rounding, stands in a row of its own, called 0."""
    values = [v for line in lines.values() for v in line]
    positive = [v for v in values if v > 0]
    least = 10.0 ** math.floor(math.log10(min(positive, default=1.0)))
    most = max(10.0 * least, 10.0 ** math.ceil(math.log10(max(positive, default=1.0))))
    zero, zeros = least / 10.0, len(positive) < len(values)
    panel.set_yscale("log")
    # before the lines, of which one that is constant has no range to choose from
    panel.set_ylim(0.6 * (zero if zeros else least), 1.5 * most)
    named, colours = _named(len(lines)), matplotlib.colormaps["viridis"]
    for i, (name, line) in enumerate(lines.items()):
        if len(lines) > MOST_NAMES:
            style["color"] = colours(i / (len(lines) - 1))
        panel.plot(x, [v if v > 0 else zero for v in line], label=name if i in named else None, **style)
    decades = round(math.log10(most / least))
    ticks = [least * 10.0**n for n in range(0, decades + 1, 1 + decades // 6)] if positive else []
    panel.yaxis.set_minor_locator(NullLocator())
    panel.set_yticks([zero, *ticks] if zeros else ticks)
    if zeros:
        panel.set_yticklabels(["0", *(f"$10^{{{round(math.log10(tick))}}}$" for tick in ticks)])
        panel.axhline(zero, color="0.7", lw=0.8, zorder=0)
    panel.legend(frameon=False)


def against_bits(rows: History, path: Path) -> Path:
    """Accuracy and worst gradient cosine against the bits of weights; a line per other setting. Writes a PNG.

    Each row has `weight_bits`, `trace_bits`, `message_bits`, `rounding`, `accuracy` and `cosines`. A point is the mean
    over seeds, its bar their range. Colours tell the bits, the style of a line the rounding.
    """
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    accuracy, cosine = figure.subplots(1, 2)
    points: dict[tuple[Any, ...], dict[int, list[Mapping[str, Any]]]] = {}
    for row in rows:
        line = points.setdefault((row["message_bits"], row["trace_bits"], row["rounding"]), {})
        line.setdefault(row["weight_bits"], []).append(row)
    colours = {bits: f"C{i}" for i, bits in enumerate(dict.fromkeys(key[:2] for key in points))}
    styles = dict(zip(dict.fromkeys(key[2] for key in points), ("-", "--", ":"), strict=False))
    for (message, trace, rounding), line in points.items():
        look = {"color": colours[message, trace], "ls": styles[rounding], "marker": ".", "capsize": 2}
        label = f"messages {message}, traces {trace}, {rounding}"
        for panel, value in (
            (accuracy, lambda row: 100 * row["accuracy"]),
            (cosine, lambda row: min(row["cosines"])),
        ):
            bits = sorted(line)
            found = [[value(row) for row in line[n]] for n in bits]
            mean = [sum(v) / len(v) for v in found]
            low = [m - min(v) for m, v in zip(mean, found, strict=True)]
            high = [max(v) - m for m, v in zip(mean, found, strict=True)]
            panel.errorbar(bits, mean, yerr=(low, high), label=label, **look)
    accuracy.set(title="Test accuracy", xlabel="bits of a weight", ylabel="%")
    cosine.set(title="Worst layer's cosine to backprop", xlabel="bits of a weight", ylim=(None, 1.02))
    figure.legend(
        *accuracy.get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize="small"
    )
    for panel in (accuracy, cosine):
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
        panel.xaxis.get_major_locator().set_params(integer=True)
    return written(figure, path, dpi=130)


def layer_record(arrays: Mapping[str, Any], path: Path) -> Path:
    """What a run on Lava recorded of single layers (`lava.record.Recorder.arrays`), a row for each.

    Mean rates of both phases, the ghost residual, and the last weights, against the trial. Writes a PNG.
    """
    return written(record(arrays), path, dpi=110)


def record(arrays: Mapping[str, Any]) -> Figure:
    """The figure of `layer_record`."""
    layers = sorted(int(name.removeprefix("free_")) for name in arrays if name.startswith("free_"))
    trials = arrays["trial"]
    figure = Figure(figsize=(12, 2.8 * max(1, len(layers))), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(max(1, len(layers)), 3, squeeze=False)
    for k, (rates, left_over, weights) in zip(layers, panels, strict=True):
        rates.plot(trials, arrays[f"free_{k}"].mean(axis=1), lw=0.8, label="free phase")
        rates.plot(trials, arrays[f"nudged_{k}"].mean(axis=1), lw=0.8, label="nudged phase")
        rates.set(title=f"Layer {k}: mean rate", xlabel="trial", ylabel="rate")
        rates.legend(frameon=False)
        if f"residual_{k}" in arrays:
            line = {f"hidden layer {k}": arrays[f"residual_{k}"].tolist()}
            _on_log(left_over, trials.tolist(), line, lw=0.8, marker=".", ms=2)
        else:
            left_over.text(0.5, 0.5, "the output has no ghosts", ha="center", transform=left_over.transAxes)
            left_over.set_yticks([])
        left_over.set(title=RESIDUAL, xlabel="trial")
        for panel in (rates, left_over):
            panel.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        if len(arrays[f"weights_{k}"]):
            last = arrays[f"weights_{k}"][-1]
            # white is 0
            most = float(abs(last).max()) or 1.0
            image = weights.imshow(last, aspect="auto", cmap="RdBu_r", vmin=-most, vmax=most)
            figure.colorbar(image, ax=weights, label="weight")
            weights.set(title=f"W_{k} after trial {arrays['weights_after'][-1]}", xlabel="from", ylabel="to")
    return figure


def written(figure: Figure, path: Path, dpi: int) -> Path:
    """Write a PNG. Raises `OutputError` if that cannot be."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi)
    return write_atomic(path, stream.getvalue())


def _epochs(rows: History) -> list[int]:
    return [row["epoch"] for row in rows]
