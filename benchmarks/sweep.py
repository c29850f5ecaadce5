"""How far one top-down sweep is from the nudged fixed point, layer by layer.

Training makes one sweep per batch. Here the postsynaptic factor that it gives to the local rule is compared
with the one of the converged fixed point in double precision: |one - converged| / |converged|, Frobenius norms.
"""

from typing import Any

import numpy as np

from benchmarks.sides import BATCH, Ours
from benchmarks.tables import Table
from lavaghost.datasets import Dataset
from lavaghost.dynamics import Parameters
from lavaghost.engines.equilibrium import Equilibrium
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.ghost.rules import RULES
from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Array

LAYERS = {
    "digits": [(64, 128, 10), (64, 128, 128, 128, 10)],
    "mnist": [(784, 500, 10), (784, 500, 500, 500, 10)],
}
EPOCHS = {"digits": 10, "mnist": 2}
MAX_SWEEPS, TIGHT, FLOAT32_TIGHT = 500, 1e-12, 1e-6


def run(name: str, data: Dataset) -> list[dict[str, Any]]:
    """Rows for each network of this data set, rule, and state of training."""
    rows = []
    for layers in LAYERS[name]:
        for rule in ("prediction", "temporal"):
            side = Ours(layers, data, Ghost(rule=rule))
            for state, epochs in (("initial", 0), (f"{EPOCHS[name]} epochs", EPOCHS[name])):
                for _ in range(epochs):
                    side.epoch()
                found = differences(side.learner.graph, rule, side.learner.params, data)
                rows.append({"data": name, "layers": layers, "rule": rule, "state": state, **found})
    return rows


def differences(graph: Graph, rule: str, params: Parameters, data: Dataset) -> dict[str, Any]:
    """Relative differences per layer on the first batch, and the sweeps that the fixed point took."""
    x, target = data.x_train[:BATCH], np.eye(data.n_classes)[data.y_train[:BATCH]]
    push = RULES[rule].needs_push

    def solve(dtype: type, tolerance: float | None) -> tuple[list[Array], int]:
        sweeps = 1 if tolerance is None else MAX_SWEEPS
        engine = Equilibrium(graph, BATCH, sweeps=sweeps, tolerance=tolerance, push=push, dtype=dtype)
        trial = engine.trial(params.astype(dtype), x.astype(dtype), target.astype(dtype))
        layers = range(1, graph.depth + 1)
        return [RULES[rule].post(trial.local(k)).astype(np.float64) for k in layers], engine.sweeps_done

    exact, sweeps = solve(np.float64, TIGHT)
    return {
        "sweeps": sweeps,
        "converged": sweeps < MAX_SWEEPS,
        "one_float64": _relative(solve(np.float64, None)[0], exact),
        "one_float32": _relative(solve(np.float32, None)[0], exact),
        "converged_float32": _relative(solve(np.float32, FLOAT32_TIGHT)[0], exact),
    }


def _relative(found: list[Array], exact: list[Array]) -> list[float]:
    return [float(np.linalg.norm(f - e) / np.linalg.norm(e)) for f, e in zip(found, exact, strict=True)]


def table(rows: list[dict[str, Any]]) -> Table:
    """Differences in percent, layer 1 first."""

    def percent(values: list[float]) -> str:
        return " ".join(f"{100 * v:.2g}" for v in values)

    lines = [
        [
            f"{row['data']} {'-'.join(map(str, row['layers']))}",
            row["rule"],
            row["state"],
            percent(row["one_float64"]),
            percent(row["one_float32"]),
            percent(row["converged_float32"]),
            str(row["sweeps"]) if row["converged"] else f"not in {MAX_SWEEPS}",
        ]
        for row in rows
    ]
    method = Ghost()
    head = [
        "network",
        "rule",
        "training",
        "one sweep, float64 %",
        "one sweep, float32 %",
        "fixed point, float32 %",
    ]
    return Table(
        "One sweep against the converged fixed point",
        [*head, "sweeps to converge"],
        lines,
        [
            "Relative difference of the rule's postsynaptic factor to the fixed point in float64, per layer, layer 1 "
            f"first; duplicate ghosts, lam {method.lam}, beta {method.beta}, cross-entropy; {BATCH} samples."
        ],
    )
