"""The picture of an adaptation: accuracies against samples seen, and the recall of each class at its end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lavaghost.run.plots import History, written

LINES = {
    "accuracy": ("new, held out", {"color": "C0", "lw": 2.0, "marker": "."}),
    "stream_accuracy": ("new, on the stream", {"color": "C0", "lw": 1.2, "ls": "--", "marker": ".", "ms": 4}),
    "kept": ("old, held out", {"color": "C1", "lw": 2.0, "marker": "."}),
}
"""Keys of a row, what a legend calls them, and how they look; one that no row has is not drawn."""
MOST_NAMED = 24
"""Classes whose names find room beside their bars."""
LONGEST = 12
"""Characters of a class's name."""


def adaptation(rows: History, recall: Mapping[Any, float | None], path: Path) -> Path:
    """Write the figure of `course` as a PNG. Raises `OutputError` if that cannot be."""
    return written(course(rows, recall), path, dpi=130)


def course(rows: History, recall: Mapping[Any, float | None]) -> Figure:
    """Accuracy on new and on old data that is held out, and on the stream, against samples; recall of each class.

    Each row has `samples`, `accuracy`, `stream_accuracy` and `kept`, shares or None where there is no figure;
    `recall` is that of each class by its label, None of one that was not tested.
    """
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _lines(left, rows)
    _bars(right, recall)
    for panel in (left, right):
        panel.grid(alpha=0.25, axis="both" if panel is left else "x")
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    return figure


def _lines(panel: Axes, rows: History) -> None:
    shown = []
    for key, (label, look) in LINES.items():
        points = [(row["samples"], 100 * row[key]) for row in rows if row.get(key) is not None]
        if points:
            panel.plot(*zip(*points, strict=True), label=label, **look)
            shown += [value for _, value in points]
    last = max((row["samples"] for row in rows), default=0)
    low, high = min(shown, default=0.0), max(shown, default=100.0)
    room = max(0.5, 0.08 * (high - low))
    panel.set(title="Accuracy while it adapts", xlabel="samples seen", ylabel="%")
    panel.set(
        xlim=(-0.02 * max(last, 1), 1.02 * max(last, 1)), ylim=(max(0.0, low - room), min(100.0, high) + room)
    )
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    if shown:
        panel.legend(frameon=False)


def _bars(panel: Axes, recall: Mapping[Any, float | None]) -> None:
    tested = [(i, 100 * value) for i, value in enumerate(recall.values()) if value is not None]
    if tested:
        panel.barh(*zip(*tested, strict=True), height=0.7, color="C0")
    panel.set(title="Recall of each class at the end", ylabel="class", xlabel="%", xlim=(0, 102))
    panel.set_ylim(max(1, len(recall)) - 0.4, -0.6)
    if len(recall) > MOST_NAMED:
        panel.yaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        panel.set_ylabel(f"class, by its place among {len(recall)}")
        return
    names = [ascii(str(label))[1:-1][:LONGEST] for label in recall]
    panel.set_yticks(range(len(names)), names, parse_math=False, fontsize=min(10, 180 / max(1, len(names))))
