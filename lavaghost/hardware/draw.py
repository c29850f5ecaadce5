"""The placement as a picture: the chip's tiles and cores, coloured by layer, with the traffic between them."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Patch, Rectangle

from lavaghost.base.errors import SpecError
from lavaghost.base.files import write_atomic
from lavaghost.hardware.partition import core_limit
from lavaghost.hardware.placement import Core
from lavaghost.hardware.report import Report

COLOURS = (
    "#4c78a8",
    "#f58518",
    "#54a24b",
    "#b279a2",
    "#e45756",
    "#72b7b2",
    "#eeca3b",
    "#9d755d",
    "#ff9da6",
    "#bab0ac",
)
MOST_CORES_WITH_ARROWS = 16
MOST_CORES = 4096
MOST_INCHES = 1.6
"""Side of a core in the picture."""
REACH = 1.3
"""How far free cores are shown around those in use: the next one, beyond the gap between tiles too."""


def draw(report: Report, path: Path | str) -> Path:
    """Write the picture as PNG or SVG, by the suffix of `path`.

    Raises `SpecError` for another suffix or if there is no placement, `OutputError` if it cannot be written.
    """
    path = Path(path)
    form = path.suffix.lower().removeprefix(".")
    if form not in ("png", "svg"):
        raise SpecError(f"{path}: a picture is .png or .svg; name it {path.stem or 'placement'}.png")
    mapping = report.mapping
    if not 0 < len(mapping.cores) <= MOST_CORES:
        raise SpecError(
            f"{path}: nothing to draw for {len(mapping.cores)} placed cores; mend the violations, or map fewer than "
            f"{MOST_CORES} cores"
        )
    stream = io.BytesIO()
    picture(report).savefig(stream, format=form, dpi=140)
    return write_atomic(path, stream.getvalue())


def picture(report: Report) -> Figure:
    """The figure of `draw`: the cores in use, and the free ones next to them."""
    mapping = report.mapping
    squares = _squares(report)
    shown = _window(squares, report.positions())
    low, high = squares[shown].min(axis=0), squares[shown].max(axis=0) + 1.0
    wide, tall = high - low
    inch = min(MOST_INCHES, 11.0 / max(wide, tall))
    figure = Figure(figsize=(max(7.5, inch * wide + 1.0), inch * tall + 1.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    _draw_cores(axes, report, squares, shown, text_size=float(np.clip(9.0 * inch, 5.5, 10.0)))
    _draw_traffic(axes, report, squares, low + np.array((-0.55, 0.46)))
    layers = "-".join(str(n) for n in report.graph.layers)
    hidden = len(squares) - len(shown)
    axes.set_title(
        f"{layers} for {report.phase} on {mapping.hardware.title}: {mapping.headline}\n"
        f"{len(mapping.cores)} of {len(squares)} cores in use "
        f"(at least {mapping.lower_bound} needed)"
        + (f", {hidden} free ones not shown" if hidden else "")
        + "; arrows: messages per step\nin a core: how full it is of what it has least of",
        fontsize=9,
    )
    axes.set(xlim=(low[0] - 0.9, high[0] + 0.1), ylim=(low[1] - 0.1, high[1] + 0.1), aspect="equal")
    axes.axis("off")
    return figure


def _window(squares: np.ndarray, places: Sequence[int]) -> np.ndarray:
    """Which of `squares (places, 2)` are drawn: those within a core's reach of the box around the used `places`."""
    used = squares[list(places)]
    near = (squares >= used.min(axis=0) - REACH) & (squares <= used.max(axis=0) + REACH)
    return np.flatnonzero(near.all(axis=1))


def _squares(report: Report) -> np.ndarray:
    """(places, 2) lower left corners of all cores to draw: the whole mesh, or a square of those in use."""
    count = len(report.mapping.cores)
    mesh = report.mapping.hardware.mesh
    if mesh is None or report.traffic is None or report.traffic.position is None:
        there = int(min(report.mapping.hardware.limits.cores.limit or count, max(count, 128)))
        side = int(np.ceil(np.sqrt(max(there, count))))
        i = np.arange(max(there, count))
        return np.stack([i % side, i // side], axis=1).astype(float)
    width, height, per_tile = mesh.shape
    side = int(np.ceil(np.sqrt(per_tile)))
    i = np.arange(width * height * per_tile)
    tile, inside = i // per_tile, i % per_tile
    x, y = tile // height, tile % height
    y = np.where(x % 2 == 0, y, height - 1 - y)
    gap = 0.25
    return np.stack([x * (side + gap) + inside % side, y * (side + gap) + inside // side], axis=1)


def _draw_cores(axes: Axes, report: Report, squares: np.ndarray, shown: np.ndarray, text_size: float) -> None:
    mapping = report.mapping
    names = [p.name for p in mapping.demand.on_chip]
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    for x, y in squares[shown]:
        axes.add_patch(Rectangle((x, y), 0.92, 0.92, facecolor="#f2f2f2", edgecolor="#d0d0d0", lw=0.5))
    for core, place in zip(mapping.cores, report.positions(), strict=True):
        x, y = squares[place]
        total, bottom = max(1, core.usage.neurons), y
        for part in core.slices:
            # thin slices stay visible
            share = 0.92 * (0.15 + part.size / total) / (1 + 0.15 * len(core.slices))
            axes.add_patch(
                Rectangle((x, bottom), 0.92, share, facecolor=colour[part.population], edgecolor="none")
            )
            bottom += share
        axes.add_patch(Rectangle((x, y), 0.92, 0.92, facecolor="none", edgecolor="#404040", lw=0.8))
        if len(shown) <= 512 and (text := _fullness(report, core)):
            axes.text(
                x + 0.86,
                y + 0.84,
                text,
                ha="right",
                va="top",
                fontsize=text_size,
                color="#202020",
                bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
            )
    handles = [Patch(color=colour[name], label=f"{name} ({size})") for name, size in _sizes(report).items()]
    if len(shown) > len(mapping.cores):
        handles.append(Patch(facecolor="#f2f2f2", edgecolor="#d0d0d0", label="free core"))
    axes.legend(
        handles=handles[:14], loc="upper center", bbox_to_anchor=(0.5, -0.01), ncol=4, frameon=False, fontsize=7
    )


def _sizes(report: Report) -> dict[str, int]:
    return {p.name: p.size for p in report.mapping.demand.on_chip}


def _fullness(report: Report, core: Core) -> str:
    """How full a core is of the resource that it has least of."""
    shares = {}
    for resource in ("neurons", "input_axons", "output_axons", "synapses", "synapse_bits"):
        limit, used = core_limit(report.mapping.hardware, resource), getattr(core.usage, resource)
        if limit and used is not None and limit < float("inf"):
            shares[resource] = used / limit
    return f"{max(shares.values()):.0%}" if shares else ""


def _draw_traffic(axes: Axes, report: Report, squares: np.ndarray, entry: np.ndarray) -> None:
    """Arrows as wide as there are messages: between cores if these are few, or else between layers.

    What comes from outside starts at `entry (2,)`.
    """
    if report.traffic is None:
        return
    places = report.positions()
    centres = np.vstack([squares[places] + 0.46, entry])
    messages = report.traffic.messages
    if len(places) <= MOST_CORES_WITH_ARROWS:
        rows = [
            (centres[i], centres[j], messages[i, j], i == len(places)) for i, j in np.argwhere(messages > 0)
        ]
    else:
        rows = _between_layers(report, centres)
    largest = max((n for _, _, n, _ in rows), default=0.0)
    few = len(places) > MOST_CORES_WITH_ARROWS
    for start, end, n, outside in sorted(rows, key=lambda row: row[2]):
        if np.allclose(start, end):
            continue
        colour = "#a03030" if outside else "#202020"
        axes.add_patch(
            FancyArrowPatch(
                tuple(start),
                tuple(end),
                connectionstyle="arc3,rad=-0.2",
                arrowstyle="-|>",
                mutation_scale=9 if few else 6,
                lw=0.5 + 2.5 * n / largest,
                color=colour,
                alpha=0.75 if few else 0.5,
                shrinkA=3,
                shrinkB=3,
            )
        )
        if few:
            x, y = 0.35 * start + 0.65 * end
            box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": colour, "lw": 0.5}
            axes.text(x, y, f"{n:,.0f}", fontsize=6, ha="center", va="center", color=colour, bbox=box)
    axes.text(float(entry[0]), float(entry[1]), "in", ha="center", va="center", fontsize=7, color="#a03030")


def _between_layers(report: Report, centres: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, float, bool]]:
    """Messages per step from layer to layer, between the middles of their cores."""
    mapping = report.mapping
    middle = {
        name: centres[[i for i, _ in parts]].mean(axis=0) for name, parts in mapping.parts.items() if parts
    }
    middle |= {p.name: centres[-1] for p in mapping.demand.populations if p.role == "input"}
    found = []
    for c in mapping.demand.shares:
        n = c.n_post if c.aligned else c.n_pre * len(mapping.parts[c.target])
        rate = report.activity.rate_of(c.source, mapping.hardware)
        found.append((middle[c.source], middle[c.target], n * rate, c.source == "input"))
    return found
