"""Counts the house: names defined twice, and what is named outside its room.

    python -m benchmarks.house [ROOT] [--inside PREFIX] [--json]

ROOT holds the packages `lavaghost/`, `exporters/` and `hw_configs/`; they are parsed, never imported, so that an old
tree and a new one are counted alike. Counted is, over all their .py files:

classes     names of classes at the top of a module that are defined in more than one file; as for all names, folders
            `programs`, of which nothing is imported, apart
types       the same with aliases in CamelCase (`Report = Callable[..]`)
functions   the same for public functions at the top of a module
file names  that occur more than once, `__init__.py` apart
mechanism   lines with a string that is exactly a ghost mechanism ("duplicate", "learned", "online") or an attribute
            `.mechanism`, outside the rooms that --inside names (a path from ROOT, as lavaghost/methods/ghost; may be
            repeated). It sees no meaning: `feedback == "learned"` counts too.
Loihi       files in whose code an identifier has the word, in any case; and those in whose text it stands at all
methods     files with a string that is exactly a method ("ghost", "backprop", "frozen"). A role or a kind called ghost
            counts too; so those that name one of the others are counted again.
size        files, physical lines, the median file, and the longest function or method, from `def` to its last line

For commit 446ccfc it gives 20 types, 31 functions and 9 file names; 56 lines in 25 files, of
which 51 in 23 files have a string; 158 files of 19,197 lines.
"""

import argparse
import ast
import io
import json
import re
import statistics
import textwrap
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.tables import Table

PACKAGES = ("lavaghost", "exporters", "hw_configs")
PROGRAMS = "programs"
MECHANISMS = {"duplicate", "learned", "online"}
METHODS = {"ghost", "backprop", "frozen"}
ALIAS = re.compile(r"[A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*")
"""CamelCase: a constant is in capitals, a type variable is a single one."""
Found = dict[str, list[str]]
"""A name, and the files that it stands in."""


class Source(NamedTuple):
    """A file: its path from ROOT, its text, and what the text says."""

    path: str
    text: str
    tree: ast.Module


def sources(root: Path) -> list[Source]:
    """Every .py file of the packages under `root`, by path. Raises `SystemExit` where there is none."""
    paths = sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))
    if not paths:
        raise SystemExit(
            f"benchmarks.house: {root} has no .py file in {' or '.join(PACKAGES)}; name a checkout"
        )
    texts = [(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")) for path in paths]
    return [Source(path, text, ast.parse(text, path)) for path, text in texts]


def repeated(places: Iterable[tuple[str, str]]) -> Found:
    """Of pairs `(name, path)` the names that stand in more than one file."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name, path in places:
        if path not in found[name]:
            found[name].append(path)
    often = {name: paths for name, paths in found.items() if len(paths) > 1}
    return dict(sorted(often.items(), key=lambda item: (-len(item[1]), item[0])))


def classes(tree: ast.Module) -> Iterator[str]:
    """Classes at the top of a module."""
    return (node.name for node in tree.body if isinstance(node, ast.ClassDef))


def types(tree: ast.Module) -> Iterator[str]:
    """Classes and aliases at the top of a module."""
    yield from classes(tree)
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            yield from (name for name in names if ALIAS.fullmatch(name))


def functions(tree: ast.Module) -> Iterator[str]:
    """Public functions at the top of a module."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node.name


def strings(tree: ast.Module, names: set[str]) -> Iterator[tuple[int, str]]:
    """Line and value of each string that is exactly one of `names`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names:
            yield node.lineno, node.value


def mechanism_lines(tree: ast.Module) -> list[int]:
    """The lines that compare with or name a ghost mechanism."""
    lines = {line for line, _ in strings(tree, MECHANISMS)}
    attributes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return sorted(lines | {node.end_lineno or 0 for node in attributes if node.attr == "mechanism"})


def identifiers(text: str) -> set[str]:
    """All names in the code of a file, without its strings and comments."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {token.string for token in tokens if token.type == tokenize.NAME}


def longest_function(found: Sequence[Source]) -> dict[str, Any]:
    """Its length in lines, its name and its file."""
    lengths = [
        ((node.end_lineno or node.lineno) - node.lineno + 1, node.name, source.path)
        for source in found
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    lines, name, path = max(lengths, default=(0, "", ""))
    return {"lines": lines, "name": name, "file": path}


def count(root: Path, inside: Sequence[str] = ()) -> dict[str, Any]:
    """Everything, as the head of this file says; `inside` are the rooms of the mechanisms."""
    found = sources(root)
    rooms = [Path(room).parts for room in inside]
    outside = [s for s in found if not any(Path(s.path).parts[: len(room)] == room for room in rooms)]
    mechanism = {s.path: lines for s in outside if (lines := mechanism_lines(s.tree))}
    in_strings = {s.path: lines for s in outside if (lines := {n for n, _ in strings(s.tree, MECHANISMS)})}
    modules = [s for s in found if PROGRAMS not in Path(s.path).parts]
    methods = {s.path: sorted({name for _, name in strings(s.tree, METHODS)}) for s in found}
    sizes = [len(s.text.splitlines()) for s in found]
    return {
        "classes": repeated((name, s.path) for s in modules for name in classes(s.tree)),
        "types": repeated((name, s.path) for s in modules for name in types(s.tree)),
        "functions": repeated((name, s.path) for s in modules for name in functions(s.tree)),
        "file_names": repeated(
            (Path(s.path).name, s.path) for s in modules if Path(s.path).name != "__init__.py"
        ),
        "mechanism": mechanism,
        "mechanism_lines": sum(map(len, mechanism.values())),
        "mechanism_strings": sum(map(len, in_strings.values())),
        "mechanism_string_files": len(in_strings),
        "loihi_code": [s.path for s in found if any("loihi" in n.lower() for n in identifiers(s.text))],
        "loihi_text": [s.path for s in found if "loihi" in s.text.lower()],
        "methods": {path: names for path, names in methods.items() if names},
        "size": {
            "files": len(found),
            "lines": sum(sizes),
            "median_file": statistics.median(sizes),
            "longest_function": longest_function(found),
        },
    }


def listed(what: str, found: Found) -> str:
    """`Types: Report 5, Rule 4`, in lines."""
    names = ", ".join(f"{name} {len(paths)}" for name, paths in found.items())
    return textwrap.fill(f"{what}: {names or 'none'}", 112, subsequent_indent="  ")


def table(values: dict[str, Any]) -> Table:
    """The counts, with what they are made of below."""
    size, longest, lines = values["size"], values["size"]["longest_function"], values["mechanism"]
    others = [path for path, names in values["methods"].items() if names != ["ghost"]]
    with_string = f"{values['mechanism_strings']} in {values['mechanism_string_files']} files with a string"
    rows = [
        ("classes defined twice or more", len(values["classes"]), ""),
        ("types, so with aliases", len(values["types"]), ""),
        ("public functions", len(values["functions"]), ""),
        ("file names", len(values["file_names"]), ""),
        ("lines that name a mechanism", values["mechanism_lines"], f"in {len(lines)} files; {with_string}"),
        *((f"  {path}", len(numbers), "") for path, numbers in lines.items()),
        ("files whose code names Loihi", len(values["loihi_code"]), ""),
        ("files whose text names Loihi", len(values["loihi_text"]), ""),
        ("files that name a method", len(values["methods"]), f"{len(others)} of them another than ghost"),
        ("files", size["files"], f"median {size['median_file']:g} lines"),
        ("lines", size["lines"], ""),
        ("longest function", longest["lines"], f"{longest['name']} in {longest['file']}"),
    ]
    notes = [
        listed(key.replace("_", " "), values[key]) for key in ("classes", "types", "functions", "file_names")
    ]
    cells = [[what, f"{number:,}", note] for what, number, note in rows]
    return Table("The house", ["what", "count", ""], cells, ["", *notes])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, or JSON with the names and files of every count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "root", nargs="?", type=Path, default=Path(), help="a checkout; this folder if left out"
    )
    parser.add_argument(
        "--inside", action="append", default=[], metavar="PREFIX", help="a room of the mechanisms"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(arguments)
    values = count(options.root, options.inside)
    print(json.dumps(values, indent=2) if options.json else table(values).text())


if __name__ == "__main__":
    main()
