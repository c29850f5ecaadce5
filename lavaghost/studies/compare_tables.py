"""The tables of a comparison: Markdown to read, CSV and JSON to go on with."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lavaghost.base.files import write_atomic
from lavaghost.studies.compare import Ended
from lavaghost.studies.compare_plan import ComparedRun
from lavaghost.studies.compare_plot import draw_comparison
from lavaghost.studies.compare_rows import as_json, rows, summary
from lavaghost.studies.comparison import CompareSpec
from lavaghost.studies.precision import write_table

COLUMNS = (
    "dataset", "label", "method", "seed", "layers", "diverged", "accuracy", "epochs", "cosines", "backprop_cosines",
    "step_norms", "residuals", "worst_recall", "recall", "operations_per_sample", "in_time_per_sample", "reach",
    "operations_to_reach", "in_time_to_reach", "seconds", "time_ratio", "why",
)  # fmt: skip
"""Those of `table.csv`, a row for each run."""
NONE = "-"


def write_all(
    comparison: CompareSpec, cells: Sequence[ComparedRun], found: Mapping[ComparedRun, Ended], out: Path
) -> dict[str, Any]:
    """Leave in `out` the tables of what was `found`; the lines of the tables, what is missing, and paths.

    Raises `OutputError`.
    """
    made = rows(cells, found, comparison)
    lines = summary(made, comparison)
    return {
        "summary": lines,
        "missing": [cell.text for cell in cells if cell not in found],
        "diverged": [cell.text for cell in cells if cell in found and found[cell].diverged],
        "table": str(write_atomic(out / "table.md", markdown(lines, comparison).encode())),
        "csv": str(write_table(made, out / "table.csv", COLUMNS)),
        "plot": str(draw_comparison(made, comparison, out / "compare.png")),
        "rows": str(_write_json(as_json(made, lines, comparison), out / "rows.json")),
    }


def _write_json(values: Mapping[str, Any], path: Path) -> Path:
    return write_atomic(path, (json.dumps(values, allow_nan=False, indent=1) + "\n").encode())


def markdown(lines: Sequence[Mapping[str, Any]], comparison: CompareSpec) -> str:
    """A table for each data set, what is missing or diverged, and what the columns are."""
    parts = [f"# {_cell(comparison.title)}"]
    for dataset in comparison.datasets:
        own = [line for line in lines if line["dataset"] == dataset]
        parts += [f"## {_cell(dataset)}", *_tables(own, comparison), *_notes(own)]
    parts.append(_legend(comparison))
    return "\n\n".join(parts) + "\n"


def _tables(own: Sequence[Mapping[str, Any]], comparison: CompareSpec) -> list[str]:
    reach = next((line["reach"] for line in own if line["reach"] is not None), None)
    to = NONE if reach is None else percent(reach)
    found = [
        _table(
            ("method", "test accuracy", "worst recall", "epochs", "network", "published"),
            [
                (
                    line["label"],
                    accuracy(line),
                    percent(line["worst_recall"]),
                    whole(line["epochs"]),
                    "-".join(map(str, line["layers"] or ())) or NONE,
                    "; ".join(map(published, line["published"])) or NONE,
                )
                for line in own
            ],
        ),
        _table(
            ("method", "cosines to own reference", "cosines to backprop", "step norms", "ghost residuals"),
            [
                (
                    line["label"],
                    numbers(line["cosines"], "{:.4f}"),
                    numbers(line["backprop_cosines"], "{:.4f}"),
                    numbers(line["step_norms"], "{:.3g}"),
                    numbers(line["residuals"], "{:.1e}"),
                )
                for line in own
            ],
        ),
        _table(
            (
                "method",
                "operations a sample",
                "in time",
                f"operations to {to}",
                f"in time to {to}",
                f"time / {comparison.measured_by}" if comparison.measured_by else "time",
            ),
            [
                (
                    line["label"],
                    large(line["operations_per_sample"]),
                    large(line["in_time_per_sample"]),
                    to_reach(line, "operations_to_reach"),
                    to_reach(line, "in_time_to_reach"),
                    NONE if line["time_ratio"] is None else f"{line['time_ratio']:.2f}",
                )
                for line in own
                if line["layers"]
            ],
        ),
    ]
    return found


def _table(names: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    shown = [names, ["---"] * len(names), *body]
    return "\n".join("| " + " | ".join(map(_cell, cells)) + " |" for cells in shown)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _notes(own: Sequence[Mapping[str, Any]]) -> list[str]:
    missing = [f"{line['label']} (seeds {_seeds(line['missing'])})" for line in own if line["missing"]]
    diverged = [f"{line['label']} (seeds {_seeds(line['diverged'])})" for line in own if line["diverged"]]
    sources = [f"{line['label']}: {p['source']}" for line in own for p in line["published"] if p["source"]]
    notes = (("Missing", missing), ("Diverged", diverged), ("Published", list(dict.fromkeys(sources))))
    return [f"{what}: {_cell('; '.join(texts))}." for what, texts in notes if texts]


def _seeds(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _legend(comparison: CompareSpec) -> str:
    control = comparison.measured_by
    lines = [
        "Accuracy of the test set after the last epoch: mean and half range of the seeds. Worst recall: of a "
        "class, of any seed.",
        "Cosines, step norms (of a change, for eta 1) and residuals: of each layer, layer 1 first, after the last "
        "epoch, means of the seeds.",
        "Operations: multiplications of weights for a training sample as computed here; in time: as a chip steps it; "
        "and those of all samples until a test accuracy is first reached, means of the seeds.",
    ]
    if control is not None:
        lines.append(f"Time: of the epochs alone, beside {control} of the same seed, where one call ran both.")
    return "\n".join(f"* {_cell(line)}" for line in lines)


def accuracy(line: Mapping[str, Any]) -> str:
    """Mean and half range in %, with how many seeds diverged."""
    gone = len(line["diverged"])
    all_of_them = gone + len(line["seeds"])
    told = f"{gone} of {all_of_them} diverged" if gone else ""
    if line["accuracy"] is None:
        return told or NONE
    spread = f" ± {100 * line['half_range']:.2f}" if len(line["seeds"]) > 1 else ""
    return f"{100 * line['accuracy']:.2f}{spread} %" + (f" ({told})" if told else "")


def to_reach(line: Mapping[str, Any], name: str) -> str:
    """Operations until `reach`, or how many seeds came so far."""
    if line[name] is not None:
        return large(line[name])
    seeds = len(line["seeds"])
    return f"reached by {line['reached']} of {seeds}" if seeds else NONE


def published(row: Mapping[str, Any]) -> str:
    """A figure of others, and how it came about."""
    share = row["accuracy_percent"]
    how = [row["architecture"], f"{row['epochs']} epochs" if row["epochs"] else ""]
    how.append(f"selected on {row['selected_on']}" if row["selected_on"] else "")
    shown = ", ".join(part for part in how if part)
    figure = "not readable" if share is None else f"{share:g} %"
    return f"{figure} ({shown})" if shown else figure


def percent(value: float | None) -> str:
    """0.972 as 97.20 %."""
    return NONE if value is None else f"{100 * value:.2f} %"


def whole(value: int | None) -> str:
    """A count."""
    return NONE if value is None else str(value)


def large(value: float | None) -> str:
    """A large count, as 1.25e+06."""
    return NONE if value is None else f"{value:.3g}"


def numbers(values: Sequence[float | None], how: str) -> str:
    """Figures of layers, layer 1 first."""
    return " ".join(NONE if value is None else how.format(value) for value in values) or NONE
