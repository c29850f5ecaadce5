"""What to say when training leaves the finite numbers: which arrays, and the advice that is right for the cause.

Gains that undo the attenuation are never too large for float32 (`dynamics.fixed_point.units`). What is left:

    only what is the method's own broke   in pre-training: its own steps are too large (`Method.remedy`)
    a loop gain of 1 or more              feedback that no ghost cancels goes round and grows: lower lam
    otherwise                             the weights took steps that are too large: lower eta
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lavaghost.methods.base import Method
from lavaghost.methods.learning import Learning
from lavaghost.net.graph import Graph


def named(arrays: Iterable[str]) -> str:
    """`weights.1`, `weights.2`, `weights.3` as `weights.1-3`; a name without a number as it is."""
    layers: dict[str, list[int]] = {}
    for name in arrays:
        field, _, k = name.partition(".")
        layers.setdefault(field, []).extend([int(k)] if k else [])

    def runs(numbers: list[int]) -> str:
        found: list[list[int]] = []
        for n in numbers:
            if found and n == found[-1][-1] + 1:
                found[-1].append(n)
            else:
                found.append([n])
        return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in found)

    return ", ".join(f"{field}.{runs(sorted(ks))}" if ks else field for field, ks in layers.items())


def advice(
    graph: Graph, broken: Sequence[str], method: Method, learning: Learning, last: Mapping[str, Any]
) -> str:
    """What to lower, by value; `last` is the row of history before, with its loop gains and residuals."""
    if not last and (remedy := method.remedy(broken)):
        return remedy
    said = []
    gain, k = loop(graph, learning, last)
    if gain >= 1.0:
        said.append(
            f"feedback that was not cancelled went round with a gain of {gain:.2g} in layer {k}; lower method.lam "
            f"({graph.lam:g}) below {graph.lam / gain:.2g}"
        )
    usual = method.usual_eta(graph.depth)
    target = min(usual, learning.eta / 2)
    said.append(f"lower learning.eta ({learning.eta:g}), for {graph.depth} layers to {target:.2g} or less")
    return ", and ".join(said)


def loop(graph: Graph, learning: Learning, last: Mapping[str, Any]) -> tuple[float, int]:
    """The largest loop gain that ghosts leave open, and its layer: none with duplicates, all of it with online
    ones, and with learned ones the share that is their residual.
    """
    gains = list(last.get("loop_gain", ()))
    if not gains or graph.copies:
        return 0.0, 0
    if graph.ghosts_learn:
        gains = [g * r for g, r in zip(gains, last.get("residuals", ()), strict=False)]
    worst = max(gains, default=0.0)
    return worst, gains.index(worst) + 1 if gains else 0
