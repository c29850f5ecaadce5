"""What the runs of a comparison say: a row of figures for each, and a line for each method on each data set.

A line is of the runs that finished: means over seeds, and half of the range of accuracies as their spread. Operations
are multiplications, up to an accuracy that all methods reach which learn as well as the control does (`reached`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lavaghost.studies.compare import Ended
from lavaghost.studies.compare_plan import ComparedRun
from lavaghost.studies.comparison import CompareSpec, PublishedFigure

FORMAT = "lavaghost.comparison"
VERSION = 1
MET = 0.01
"""A row meets the control where its mean accuracy is no more than this below that of the control."""
PER_LAYER = ("cosines", "backprop_cosines", "step_norms", "residuals", "angles", "feedback_scales")
"""Figures of a row of history that are lists, an entry for each layer, of which means are taken."""
RunFigures = dict[str, Any]


def rows(
    cells: Sequence[ComparedRun], found: Mapping[ComparedRun, Ended], comparison: CompareSpec
) -> list[RunFigures]:
    """A row for each of `cells` that has ended, in their order; see the code for what is in it."""
    made = [_row(cell, found[cell]) for cell in cells if cell in found]
    timed = {(row["dataset"], row["seed"]): row for row in made if row["label"] == comparison.measured_by}
    for row in made:
        row["time_ratio"] = _ratio(row, timed.get((row["dataset"], row["seed"])))
    targets = {
        name: reached([r for r in made if r["dataset"] == name], comparison) for name in comparison.datasets
    }
    for row in made:
        row["reach"] = target = targets[row["dataset"]]
        epochs = None if target is None or row["diverged"] else epochs_to(row["history"], target)
        for name in ("operations", "in_time"):
            per_sample = row[f"{name}_per_sample"]
            row[f"{name}_to_reach"] = None if epochs is None else per_sample * samples_until(row, epochs)
    return made


def _row(cell: ComparedRun, ended: Ended) -> RunFigures:
    last = ended.history[-1] if ended.history else {}
    known = [value for value in ended.recall if value is not None]
    return {
        "dataset": cell.dataset,
        "label": cell.label,
        "method": cell.spec.method.name,
        "seed": cell.seed,
        "layers": list(cell.layers),
        "diverged": ended.diverged,
        "why": ended.why,
        "epochs": last.get("epoch", 0),
        "accuracy": None if ended.diverged else last["accuracy"],
        **{name: list(last.get(name, ())) for name in PER_LAYER},
        "recall": list(ended.recall),
        "worst_recall": min(known, default=None),
        "samples": cell.samples,
        "pretraining_samples": cell.before,
        "operations_per_sample": cell.operations,
        "in_time_per_sample": cell.in_time,
        "seconds": ended.seconds,
        "invocation": ended.invocation,
        "history": list(ended.history),
    }


def _ratio(row: RunFigures, control: RunFigures | None) -> float | None:
    """Time beside that of the control; None unless one call ran both, from their beginnings."""
    if control is None or row["invocation"] != control["invocation"]:
        return None
    mine, its = row["seconds"], control["seconds"]
    return mine / its if mine is not None and its else None


def samples_until(row: Mapping[str, Any], epochs: float) -> int:
    """Training samples that a run has seen after `epochs`, those of pre-training included."""
    return round(row["pretraining_samples"] + epochs * row["samples"])


def epochs_to(history: Sequence[Mapping[str, Any]], target: float) -> int | None:
    """The first epoch after which the test accuracy is `target` or more; None if there is none."""
    return next((row["epoch"] for row in history if row["accuracy"] >= target), None)


def reached(made: Sequence[RunFigures], comparison: CompareSpec) -> float | None:
    """The accuracy of which it is told what it took: `reach`, or the smallest last one of rows that meet the control.

    `made` are the rows of one data set. Without a control, those that are as near to the best row. None of no rows.
    """
    if comparison.reach is not None:
        return comparison.reach
    last: dict[str, list[float]] = {}
    for row in made:
        if not row["diverged"]:
            last.setdefault(row["label"], []).append(row["accuracy"])
    means = {label: sum(values) / len(values) for label, values in last.items()}
    if not means:
        return None
    bar = means.get(comparison.measured_by or "", max(means.values()))
    return min(min(values) for label, values in last.items() if means[label] >= bar - MET)


def summary(made: Sequence[RunFigures], comparison: CompareSpec) -> list[RunFigures]:
    """A line for each row of `comparison` on each data set, also of those without runs yet; then what only others have.

    `published` is what stands beside it, `missing` are seeds that have not ended.
    """
    lines = []
    for dataset in comparison.datasets:
        for label in comparison.labels:
            own = [row for row in made if (row["dataset"], row["label"]) == (dataset, label)]
            lines.append(_line(dataset, label, own, comparison.seeds))
        beside = [p for p in comparison.published if p.dataset in (None, dataset)]
        for label in dict.fromkeys(p.label for p in beside if p.label not in comparison.labels):
            lines.append(_line(dataset, label, [], ()))
        for line in lines:
            if line["dataset"] == dataset:
                line["published"] = [_published(p) for p in beside if p.label == line["label"]]
    return lines


def _published(row: PublishedFigure) -> RunFigures:
    return row.model_dump(mode="json", exclude={"label", "dataset"})


def _line(dataset: str, label: str, own: Sequence[RunFigures], seeds: Sequence[int]) -> RunFigures:
    done = [row for row in own if not row["diverged"]]
    accuracies = [row["accuracy"] for row in done]
    first: Mapping[str, Any] = own[0] if own else {}
    return {
        "dataset": dataset,
        "label": label,
        "method": first.get("method"),
        "layers": first.get("layers"),
        "seeds": [row["seed"] for row in done],
        "diverged": [row["seed"] for row in own if row["diverged"]],
        "missing": [seed for seed in seeds if seed not in {row["seed"] for row in own}],
        "accuracy": mean(accuracies),
        "half_range": (max(accuracies) - min(accuracies)) / 2 if accuracies else None,
        "epochs": max((row["epochs"] for row in done), default=None),
        **{name: by_layer([row[name] for row in done]) for name in PER_LAYER},
        "worst_recall": min(
            (row["worst_recall"] for row in done if row["worst_recall"] is not None), default=None
        ),
        "operations_per_sample": first.get("operations_per_sample"),
        "in_time_per_sample": first.get("in_time_per_sample"),
        "reach": first.get("reach"),
        "reached": sum(row["operations_to_reach"] is not None for row in done),
        **{
            name: whole_mean([row[name] for row in done])
            for name in ("operations_to_reach", "in_time_to_reach")
        },
        "time_ratio": mean([row["time_ratio"] for row in done if row["time_ratio"] is not None]),
    }


def mean(values: Sequence[float]) -> float | None:
    """The mean; None of nothing."""
    return sum(values) / len(values) if values else None


def whole_mean(values: Sequence[float | None]) -> float | None:
    """The mean; None if one of them is not known."""
    known = [value for value in values if value is not None]
    return mean(known) if len(known) == len(values) else None


def by_layer(lists: Sequence[Sequence[float | None]]) -> list[float | None]:
    """The mean of each entry; nothing where a list has none."""
    if not lists or len({len(values) for values in lists}) != 1:
        return []
    return [whole_mean(values) for values in zip(*lists, strict=True)]


def as_json(made: Sequence[RunFigures], lines: Sequence[RunFigures], comparison: CompareSpec) -> RunFigures:
    """The contents of `rows.json`: all figures of all runs, and the lines of the tables."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "comparison": comparison.model_dump(mode="json"),
        "control": comparison.measured_by,
        "rows": list(made),
        "summary": list(lines),
    }
