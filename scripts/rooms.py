"""Write the table of rooms into docs/architecture.md, from the packages themselves.

    python -m scripts.rooms [--check]

A room is a folder of lavaghost/ (or exporters/). What it is for is the first paragraph of its docstring; what it
may import stands in `tests/test_imports.py`: the rooms above it in the table.
"""

import ast
import sys
from pathlib import Path

from tests.test_imports import ROOMS

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- rooms -->", "<!-- /rooms -->"


def purpose(room: str) -> str:
    """The first paragraph of a room's docstring."""
    folder = ROOT / room if room == "exporters" else ROOT / "lavaghost" / room
    file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


def table() -> str:
    """The table, in Markdown."""
    rows = [f"| `{room}` | {purpose(room)} |" for room in ROOMS]
    return "\n".join(["| room | what it is for |", "|---|---|", *rows])


def placed(text: str) -> str:
    """`text` with the table between its markers."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> int:
    """Write, or with --check say whether there is anything to write."""
    text = FILE.read_text(encoding="utf-8")
    if "--check" in sys.argv:
        return int(placed(text) != text)
    FILE.write_text(placed(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
