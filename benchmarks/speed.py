"""Seconds of an epoch on MNIST: ghost learning against backprop in PyTorch, and against our own backprop."""

from typing import Any

from benchmarks.sides import Ours, fastest_torch, in_turns
from benchmarks.tables import Table, span
from lavaghost.datasets import Dataset
from lavaghost.methods.backprop import Backprop
from lavaghost.methods.base import Method
from lavaghost.methods.ghost.method import Ghost

LAYERS = {(784, 500, 10): 0.9, (784, 500, 500, 500, 10): 1.0}
"""Networks, and the ratio to PyTorch that an epoch of ghost learning shall not exceed."""
METHODS: dict[str, Method] = {
    "ghosts, rule prediction": Ghost(rule="prediction"),
    "ghosts, rule temporal": Ghost(rule="temporal"),
    "backprop, the same code": Backprop(),
}


def run(data: Dataset, rounds: int) -> list[dict[str, Any]]:
    """One row per network and method; each is measured in turns with PyTorch."""
    rows = []
    for layers, target in LAYERS.items():
        theirs = fastest_torch(layers, data)
        for name, method in METHODS.items():
            ours = Ours(layers, data, method)
            pairs = in_turns(ours, theirs, rounds)
            rows.append(
                {
                    "layers": layers,
                    "method": name,
                    "target": target if method.needs.ghosts else None,
                    "torch": theirs.name,
                    "accuracy": ours.accuracy(),
                    "torch_accuracy": theirs.accuracy(),
                    **pairs.figures(),
                }
            )
    return rows


def table(rows: list[dict[str, Any]]) -> Table:
    """The ratios, each with the target that it shall not exceed."""
    lines = []
    for row in rows:
        target = row["target"]
        verdict = "" if target is None else f"{target} {'met' if row['ratio'] <= target else 'MISSED'}"
        lines.append(
            [
                "-".join(map(str, row["layers"])),
                row["method"],
                f"{row['ratio']:.2f}",
                span(row["ratios"]),
                verdict,
                f"{row['cpu_ratio']:.2f}",
                f"{row['seconds']:.2f}",
                f"{row['torch_seconds']:.2f}",
                f"{100 * row['accuracy']:.1f}",
            ]
        )
    variants = {"-".join(map(str, row["layers"])): row["torch"] for row in rows}
    fastest = "; ".join(f"{layers}: {name}" for layers, name in variants.items())
    head = ["network", "method", "ratio", "from to", "target", "CPU ratio", "s", "PyTorch s", "accuracy %"]
    return Table(
        "An epoch of MNIST against backprop in PyTorch",
        head,
        lines,
        [
            f"Median of {len(rows[0]['ratios'])} pairs of epochs, measured in turns in one process; batch 100, "
            "momentum 0.9, cross-entropy.",
            f"PyTorch in the fastest of four ways ({fastest}). Accuracy after {len(rows[0]['ratios']) + 1} epochs.",
        ],
    )
