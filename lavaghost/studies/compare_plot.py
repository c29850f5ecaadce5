"""The picture of a comparison: a column of panels for each data set, a colour for each row, seeds as a band.

Test accuracy against epochs and against operations, the worst layer's cosine to the method's own reference and to
backprop, and the norm of a step. Colours are those of Okabe and Ito, which colour-blind people can tell apart.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lavaghost.run.plots import written
from lavaghost.studies.compare_rows import samples_until
from lavaghost.studies.comparison import CompareSpec

COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#CC79A7", "#0072B2")
"""Black, for the control, orange, sky blue, green, vermilion, purple, blue; yellow is too pale for a line."""
STYLES = ("-", "--", ":", "-.")
"""Of the first rows, as many as there are colours, of the next ones, and so on."""
FAR_BELOW = 12.0
"""Percent below the best row, from where on a row is left out of the panels of accuracy, and named."""
RunRow = Mapping[str, Any]
Points = list[tuple[float, float]]


def draw_comparison(made: Sequence[RunRow], comparison: CompareSpec, path: Path) -> Path:
    """`comparison_figure` as a PNG. Raises `OutputError`."""
    return written(comparison_figure(made, comparison), path, dpi=110)


def comparison_figure(made: Sequence[RunRow], comparison: CompareSpec) -> Figure:
    """The figure of the rows `made` (`compare_rows.rows`); runs that diverged end where they did."""
    datasets, looks = comparison.datasets, _looks(comparison)
    figure = Figure(figsize=(max(8.0, 6.4 * len(datasets)), 15.0), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(PANELS), len(datasets), squeeze=False, sharex=False)
    for column, dataset in enumerate(datasets):
        own = [row for row in made if row["dataset"] == dataset]
        for panel, (title, label, draw) in zip(panels[:, column], PANELS, strict=True):
            draw(panel, own, looks)
            panel.set(title=title, xlabel=label)
            panel.grid(alpha=0.25)
            panel.spines[["top", "right"]].set_visible(False)
        panels[0, column].set_title(f"{dataset}\n\n{PANELS[0][0]}")
    shown = [label for label in comparison.labels if any(row["label"] == label for row in made)]
    handles = [Line2D([], [], label=label, **looks[label]) for label in shown]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(comparison.title)
    return figure


def _looks(comparison: CompareSpec) -> dict[str, dict[str, Any]]:
    """The control is black and wide, below the others, so that it is seen where they lie on it."""
    control, colours = comparison.measured_by, COLOURS[1:]
    found = {control: {"color": COLOURS[0], "ls": "-", "lw": 3.6, "zorder": 1.9}} if control else {}
    for i, label in enumerate(label for label in comparison.labels if label != control):
        style = STYLES[i // len(colours) % len(STYLES)]
        found[label] = {"color": colours[i % len(colours)], "ls": style, "lw": 1.6}
    return found


def _lines(
    panel: Axes,
    own: Sequence[RunRow],
    looks: Mapping[str, Mapping[str, Any]],
    values: Callable[[RunRow], Points],
) -> dict[str, list[float]]:
    """A line of means for each row over a band of its seeds; the means of each row that was drawn."""
    drawn: dict[str, list[float]] = {}
    for label, look in looks.items():
        seeds = [found for row in own if row["label"] == label and (found := values(row))]
        if not seeds:
            continue
        # a run that diverged is shorter, and does not end the others
        longest = max(seeds, key=len)
        at = [[line[i][1] for line in seeds if i < len(line)] for i in range(len(longest))]
        x, means = [point[0] for point in longest], [sum(ys) / len(ys) for ys in at]
        panel.fill_between(
            x, [min(ys) for ys in at], [max(ys) for ys in at], color=look["color"], alpha=0.15, lw=0
        )
        panel.plot(x, means, **look)
        drawn[label] = means
    if not drawn:
        panel.text(0.5, 0.5, "nothing has ended", ha="center", transform=panel.transAxes)
    return drawn


def _accuracy(row: RunRow, x: Callable[[RunRow, int], float]) -> Points:
    """After each epoch from the first: before training all are at chance."""
    return [(x(row, r["epoch"]), 100.0 * r["accuracy"]) for r in row["history"] if r["epoch"] > 0]


def _against_epochs(panel: Axes, own: Sequence[RunRow], looks: Mapping[str, Mapping[str, Any]]) -> None:
    _zoom(panel, _lines(panel, own, looks, lambda row: _accuracy(row, lambda _row, epoch: epoch)))
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))


def _against_operations(panel: Axes, own: Sequence[RunRow], looks: Mapping[str, Mapping[str, Any]]) -> None:
    def spent(row: RunRow, epoch: int) -> float:
        return row["operations_per_sample"] * samples_until(row, epoch)

    _zoom(panel, _lines(panel, own, looks, lambda row: _accuracy(row, spent)))
    panel.set_xscale("log")


def _zoom(panel: Axes, drawn: Mapping[str, Sequence[float]]) -> None:
    """Limits in which rows that learn well can be told apart; rows that end far below are named."""
    if not drawn:
        return
    high, ends = max(map(max, drawn.values())), {label: means[-1] for label, means in drawn.items()}
    low = min(end for end in ends.values() if end >= max(ends.values()) - FAR_BELOW)
    room = max(0.3, 0.08 * (high - low))
    panel.set(ylabel="%", ylim=(max(0.0, low - room), min(100.0, high + room)))
    if below := [label for label, end in ends.items() if end < low]:
        text = f"below: {', '.join(below)}"
        panel.text(0.99, 0.03, text, ha="right", transform=panel.transAxes, fontsize="small")


def _cosines(key: str) -> Callable[[Axes, Sequence[RunRow], Mapping[str, Mapping[str, Any]]], None]:
    def worst(row: RunRow) -> Points:
        found = ((r["epoch"], [c for c in r.get(key, ()) if c is not None]) for r in row["history"])
        return [(epoch, min(cosines)) for epoch, cosines in found if cosines]

    def draw(panel: Axes, own: Sequence[RunRow], looks: Mapping[str, Mapping[str, Any]]) -> None:
        drawn = _lines(panel, own, looks, worst)
        panel.set(ylabel="cosine", ylim=(min([-0.05, *map(min, drawn.values())]) - 0.02, 1.05))
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))

    return draw


def _steps(panel: Axes, own: Sequence[RunRow], looks: Mapping[str, Mapping[str, Any]]) -> None:
    def norm(row: RunRow) -> Points:
        found = ((r["epoch"], [s for s in r.get("step_norms", ()) if s is not None]) for r in row["history"])
        return [(epoch, size) for epoch, norms in found if (size := float(np.linalg.norm(norms))) > 0]

    if _lines(panel, own, looks, norm):
        panel.set_yscale("log")
    panel.set(ylabel="norm")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))


PANELS = (
    ("Test accuracy", "epoch", _against_epochs),
    ("Test accuracy", "multiplications of weights in training", _against_operations),
    ("Worst layer's cosine to the method's own reference", "epoch", _cosines("cosines")),
    ("Worst layer's cosine to backprop", "epoch", _cosines("backprop_cosines")),
    ("Norm of a step, all layers, for eta 1", "epoch", _steps),
)
"""Title, what stands below, and who draws."""
