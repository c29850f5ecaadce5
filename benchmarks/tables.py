"""A table of figures, printed for a terminal or as Markdown."""

from typing import NamedTuple


class Table(NamedTuple):
    """Head and rows of text, with a title above and notes below."""

    title: str
    head: list[str]
    rows: list[list[str]]
    notes: list[str]

    def text(self) -> str:
        """Aligned columns."""
        widths = [max(len(line[i]) for line in [self.head, *self.rows]) for i in range(len(self.head))]
        lines = [
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
            for row in [self.head, ["-" * w for w in widths], *self.rows]
        ]
        return "\n".join([self.title, *lines, *self.notes, ""])

    def markdown(self) -> str:
        """The same as a Markdown section."""
        lines = ["| " + " | ".join(row) + " |" for row in [self.head, ["---"] * len(self.head), *self.rows]]
        return "\n".join([f"### {self.title}", "", *lines, "", *self.notes, ""])


def span(values: list[float], digits: int = 2) -> str:
    """`smallest to largest`."""
    return f"{min(values):.{digits}f} to {max(values):.{digits}f}"
