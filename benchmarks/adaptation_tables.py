"""The tables of `benchmarks.adaptation`: means over seeds, with the span of the last figure."""

from typing import Any

import numpy as np

from benchmarks.pairs import WITH_CLASSES
from benchmarks.tables import Table

Figures = list[dict[str, Any]]


def tables(found: Figures) -> list[Table]:
    """A table for each pair, in the order in which pairs were run."""
    return [_table(name, [f for f in found if f["pair"] == name]) for name in _unique(found, "pair")]


def _table(name: str, found: Figures) -> Table:
    rows = _few if name in WITH_CLASSES else _shifted
    cases = _unique([{"case": (f["start"], f["case"])} for f in found], "case")
    lines = [rows([f for f in found if (f["start"], f["case"]) == case]) for case in cases]
    head = ["start", "case", "recall of 8, 9", "of 0..7", "before: of 0..7", "seeds"]
    if name not in WITH_CLASSES:
        head = ["start", "case", "new before", *(f"after {n}" for n in _samples(found)), "span"]
        head += ["old before", "old after", "span", "taught", "seeds"]
    return Table(f"Adaptation: {name}", head, lines, [])


def _shifted(found: Figures) -> list[str]:
    """Columns of one start and case of a pair of data sets."""
    new = 100 * np.array([[row["accuracy"] for row in f["curve"]] for f in found])
    kept = [[row["kept"] for row in f["curve"]] for f in found]
    line = [found[0]["start"], found[0]["case"], *(f"{v:.1f}" for v in new.mean(0)), _span(new[:, -1])]
    if kept[0][0] is None:
        line += [""] * 4
    else:
        old = 100 * np.array(kept, float)
        line += [f"{old[:, 0].mean():.1f}", f"{old[:, -1].mean():.1f}", _span(old[:, -1])]
        line += [f"{np.mean([f['updates'] for f in found]):.0f} of {found[0]['trials']}"]
    return [*line, str(len(found))]


def _few(found: Figures) -> list[str]:
    """Columns of one start and number of samples of new classes."""
    new = [100 * np.mean([v for c, v in f["recall"].items() if c in ("8", "9")]) for f in found]
    old = [100 * np.mean([v for c, v in f["recall"].items() if c not in ("8", "9")]) for f in found]
    before = [100 * f["kept_before"] for f in found]
    cells = [f"{np.mean(v):.1f} ({_span(np.array(v))})" for v in (new, old)]
    return [found[0]["start"], found[0]["case"], *cells, f"{np.mean(before):.1f}", str(len(found))]


def _samples(found: Figures) -> list[int]:
    return [row["samples"] for row in found[0]["curve"] if row["samples"]]


def _span(values: Any) -> str:
    return f"{values.min():.1f} to {values.max():.1f}"


def _unique(found: Figures, key: str) -> list[Any]:
    return list(dict.fromkeys(f[key] for f in found))
