"""Pictures of a run: accuracy, gradient cosine and ghost residual against the epoch."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lavaghost.files import write_atomic

History = Sequence[Mapping[str, Any]]


def learning_curves(histories: Mapping[str, History], path: Path) -> Path:
    """One line per run in the accuracy panel; cosines and residuals of the first run, per layer.

    `histories` maps the name of a run to its rows, as `training.train` returns them. Writes a PNG.
    """
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    accuracy, cosine, left_over = figure.subplots(1, 3)
    for i, (name, rows) in enumerate(histories.items()):
        style = {"lw": 2.0} if i == 0 else {"lw": 1.2, "ls": "--"}
        accuracy.plot(_epochs(rows), [100 * row["accuracy"] for row in rows], label=name, **style)
    accuracy.set(title="Test accuracy", xlabel="epoch", ylabel="%")
    accuracy.legend(frameon=False)
    first = next(iter(histories.values()))
    for panel, key, layer in ((cosine, "cosines", "layer"), (left_over, "residuals", "hidden layer")):
        rows = [row for row in first if key in row]
        if not rows:
            panel.text(0.5, 0.5, "not measured", ha="center", transform=panel.transAxes)
            continue
        for k, values in enumerate(zip(*(row[key] for row in rows), strict=True), start=1):
            panel.plot(_epochs(rows), values, marker=".", label=f"{layer} {k}")
        panel.legend(frameon=False)
    cosine.set(title="Cosine to the backprop gradient", xlabel="epoch", ylim=(min(0.0, *_low(first)), 1.05))
    left_over.set(title="Ghost residual  |B r - i| / |B r|", xlabel="epoch")
    left_over.set_ylim(bottom=0, top=max(0.05, left_over.get_ylim()[1]))
    for panel in (accuracy, cosine, left_over):
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=130)
    return write_atomic(path, stream.getvalue())


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
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=130)
    return write_atomic(path, stream.getvalue())


def layer_record(arrays: Mapping[str, Any], path: Path) -> Path:
    """What a run on Lava recorded of single layers (`lava_backend.record.Recorder.arrays`), a row for each.

    Mean rates of both phases, the ghost residual, and the last weights, against the trial. Writes a PNG.
    """
    layers = sorted(int(name.removeprefix("free_")) for name in arrays if name.startswith("free_"))
    trials = arrays["trial"]
    figure = Figure(figsize=(12, 2.8 * max(1, len(layers))), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(max(1, len(layers)), 3, squeeze=False)
    for k, (rates, left_over, weights) in zip(layers, panels, strict=True):
        rates.plot(trials, arrays[f"free_{k}"].mean(axis=1), lw=0.8, label="free phase")
        rates.plot(trials, arrays[f"nudged_{k}"].mean(axis=1), lw=0.8, label="nudged phase")
        rates.set(title=f"Layer {k}: mean rate", xlabel="trial")
        rates.legend(frameon=False)
        if f"residual_{k}" in arrays:
            left_over.plot(trials, arrays[f"residual_{k}"], lw=0.8)
            left_over.set_ylim(bottom=0, top=max(0.05, left_over.get_ylim()[1]))
        else:
            left_over.text(0.5, 0.5, "the output has no ghosts", ha="center", transform=left_over.transAxes)
        left_over.set(title="Ghost residual  |B r - i| / |B r|", xlabel="trial")
        if len(arrays[f"weights_{k}"]):
            image = weights.imshow(arrays[f"weights_{k}"][-1], aspect="auto", cmap="RdBu_r")
            figure.colorbar(image, ax=weights)
            weights.set(title=f"W_{k} after trial {arrays['weights_after'][-1]}", xlabel="from", ylabel="to")
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    return write_atomic(path, stream.getvalue())


def _epochs(rows: History) -> list[int]:
    return [row["epoch"] for row in rows]


def _low(rows: History) -> list[float]:
    return [min(row["cosines"]) for row in rows if "cosines" in row] or [0.0]
