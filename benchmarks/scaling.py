"""How the time of an epoch grows with depth and with width, for ghost learning and for PyTorch.

A power law is fitted to the medians: log(seconds) on log(size), least squares. The exponent of the arithmetic
(multiplications of the three matrix products per layer) is the one that a program without overhead would have.
"""

import itertools
import statistics
from typing import Any

import numpy as np

from benchmarks.sides import BATCH, Ours, Pairs, Torch
from benchmarks.tables import Table
from lavaghost.datasets import Dataset

SAMPLES, INPUTS, CLASSES = 4000, 784, 10
DEPTHS, WIDTH = range(2, 9), 256
WIDTHS = (256, 512, 1024, 2048)


def networks() -> dict[str, dict[int, tuple[int, ...]]]:
    """Layer sizes under their hidden layers, and under their hidden units."""
    return {
        f"hidden layers of {WIDTH}": {d: (INPUTS, *[WIDTH] * d, CLASSES) for d in DEPTHS},
        "units of one hidden layer": {w: (INPUTS, w, CLASSES) for w in WIDTHS},
    }


def run(rounds: int) -> list[dict[str, Any]]:
    """Seconds for random inputs in MNIST's shape; time does not depend on what they show.

    A round goes through all sizes, so that a busy minute of the machine bends no curve. The first does not count.
    """
    data = _random_data()
    cases = [(series, size, layers) for series, group in networks().items() for size, layers in group.items()]
    sides = [(Ours(layers, data), Torch(layers, data, once=True, fused=True)) for _, _, layers in cases]
    pairs = [Pairs([], [], [], []) for _ in cases]
    for i in range(rounds + 1):
        for (ours, theirs), pair in zip(sides, pairs, strict=True):
            (pair if i else Pairs([], [], [], [])).turn(ours, theirs)
    return [
        {"series": series, "size": size, "products": products(layers), **pair.figures()}
        for (series, size, layers), pair in zip(cases, pairs, strict=True)
    ]


def products(layers: tuple[int, ...]) -> int:
    """Multiplications per sample: forward, backward but for the first layer, and weight change."""
    sizes = [a * b for a, b in itertools.pairwise(layers)]
    return 3 * sum(sizes) - sizes[0]


def exponent(sizes: list[float], values: list[float]) -> float:
    """Slope of log(values) on log(sizes)."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def table(rows: list[dict[str, Any]]) -> Table:
    """Times, and under each series the fitted exponents."""
    keys = ("seconds", "torch_seconds", "cpu_seconds", "torch_cpu_seconds")
    lines = []
    for series, group in itertools.groupby(rows, key=lambda row: row["series"]):
        found = list(group)
        for row in found:
            times = [f"{1e3 * row[key]:.0f}" for key in keys]
            lines.append([f"{row['size']} {series}", *times, f"{row['ratio']:.2f}", ""])
        sizes = [row["size"] for row in found]
        slopes = [f"{exponent(sizes, [row[key] for row in found]):.2f}" for key in (*keys, "products")]
        lines.append([f"exponent, {series}", *slopes[:-1], "", slopes[-1]])
    ratio = statistics.median(row["ratio"] for row in rows)
    return Table(
        "Scaling with depth and width",
        ["size", "ms", "PyTorch ms", "CPU ms", "PyTorch CPU ms", "ratio", "arithmetic"],
        lines,
        [
            f"An epoch of {SAMPLES} random samples, {INPUTS} inputs, batch {BATCH}, rule prediction against PyTorch "
            f"(fused SGD); medians of {len(rows[0]['ratios'])} pairs. Median of all ratios {ratio:.2f}.",
        ],
    )


def _random_data() -> Dataset:
    rng = np.random.default_rng(0)
    x, y = rng.random((SAMPLES, INPUTS), np.float32), np.arange(SAMPLES) % CLASSES
    return Dataset("random", x, y, x[:BATCH], y[:BATCH], CLASSES)
