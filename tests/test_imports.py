"""The one-way arrows of docs/architecture.md, read from the source: no module is imported here."""

import ast
import inspect
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import lavaghost

ROOT = Path(__file__).resolve().parents[1]

ROOMS = (
    "base",
    "numbers",
    "datasets",
    "net",
    "dynamics",
    "engines",
    "methods",
    "online",
    "model",
    "training",
    "hardware",
    "lava",
    "exporters",
    "verification",
    "evaluation",
    "run",
    "adapting",
    "studies",
    "verbs",
    "cli",
    "__main__",
)
"""Lowest first; a module imports rooms below its own, and its own."""

FOREIGN = {
    "lava": {"lava"},
    "onnx": {"exporters", "verification"},
    "onnxruntime": {"exporters", "verification"},
    "h5py": {"exporters"},
    "torch": set[str](),
    # under GPL or AGPL, or of simulators: only programs in lavaghost/verification/programs import them
    **{
        name: set[str]()
        for name in (
            "nengo",
            "nengo_loihi",
            "nir",
            "norse",
            "rockpool",
            "samna",
            "sanafe",
            "sinabs",
            "snntorch",
            "spikingjelly",
        )
    },
    "sklearn": set[str](),
    "click": {"cli"},
    "rich": {"cli"},
    "matplotlib": {"run", "hardware", "adapting", "studies"},
}
"""Packages that only these rooms may import."""


PROGRAMS = ROOT / "lavaghost" / "verification" / "programs"
"""Foreign runtimes: programs for environments of their own, no modules, and so without a room."""


def modules() -> dict[Path, str]:
    """Every source file of the package, and its room."""
    found = {}
    for path in sorted(set((ROOT / "lavaghost").rglob("*.py")) - set(PROGRAMS.glob("*.py"))):
        parts = path.relative_to(ROOT / "lavaghost").with_suffix("").parts
        if parts != ("__init__",):  # which loads the public names when they are asked for
            found[path] = parts[0]
    return found | dict.fromkeys(sorted((ROOT / "exporters").rglob("*.py")), "exporters")


def imported(source: str) -> Iterator[str]:
    """Dotted names that `source` imports, wherever in the file; `from a import b` gives `a.b`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            dots = "." * node.level
            yield from (f"{dots}{node.module or ''}.{alias.name}" for alias in node.names)


def faults(room: str, source: str) -> list[str]:
    """Which imports of a module of `room` go the wrong way."""
    found = []
    for name in imported(source):
        top, _, rest = name.partition(".")
        if top == "lavaghost":
            other = rest.split(".")[0]
            if other not in ROOMS and other != "__version__":
                found.append(f"{name}: {other!r} is not a room")
            elif other in ROOMS and ROOMS.index(other) > ROOMS.index(room):
                found.append(f"{name}: room {other!r} stands above {room!r}")
        elif top in ("", "exporters", "hw_configs", "tests", "benchmarks", "scripts"):
            found.append(f"{name}: name the installed package in full")
        elif top in FOREIGN and room not in FOREIGN[top]:
            allowed = ", ".join(sorted(FOREIGN[top])) or "nobody"
            found.append(f"{name}: {top} is for {allowed}")
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_stands_below_it(path: Path) -> None:
    room = modules()[path]
    assert room in ROOMS, f"room {room!r} has no rank: add it here and to docs/architecture.md"
    assert faults(room, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", sorted(PROGRAMS.iterdir()), ids=lambda path: path.name)
def test_a_program_stands_alone_and_pins_what_it_needs(path: Path) -> None:
    assert re.fullmatch(r"run_[a-z0-9_]+\.py", path.name)
    source = path.read_text(encoding="utf-8")
    head = re.match(r"# /// script\n((?:#(?: .*)?\n)+?)# ///\n", source)
    assert head, "no PEP 723 head"
    needs = re.search(r"(?s)dependencies = \[(.*?)\]", head[1])
    assert needs
    assert "requires-python" in head[1]
    pinned = re.findall(r'"([^"]+)"', needs[1])
    assert pinned
    assert [entry for entry in pinned if not re.fullmatch(r"[A-Za-z0-9_.-]+(\[\w+\])?==[\w.+]+", entry)] == []
    assert [name for name in imported(source) if name.startswith(("lavaghost", ".", "exporters"))] == []


def test_every_runtime_is_a_program_and_no_module_imports_one() -> None:
    listed = re.findall(
        r'_script\("([a-z0-9-]+)"', (PROGRAMS.parent / "runtimes.py").read_text(encoding="utf-8")
    )
    assert {f"run_{name.replace('-', '_')}.py" for name in listed} == {path.name for path in PROGRAMS.iterdir()}
    for path in modules():
        names = imported(path.read_text(encoding="utf-8"))
        assert [name for name in names if name.startswith("lavaghost.verification.programs.run_")] == [], path


def test_the_package_itself_loads_nothing_before_it_is_asked() -> None:
    code = (
        "import sys, lavaghost; print([m for m in sys.modules if m.startswith('lavaghost.') or m == 'numpy'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there_and_explains_itself() -> None:
    assert set(lavaghost.__all__) == {"__version__", *lavaghost._WHERE}
    assert 20 <= len(lavaghost._WHERE) <= 32
    assert not set(lavaghost._WHERE) & set(ROOMS), "a room that is imported would hide the name"
    source = (ROOT / "lavaghost" / "__init__.py").read_text(encoding="utf-8")
    for name in lavaghost._WHERE:
        thing = getattr(lavaghost, name)
        assert f"{name} as {name}" in source, "type checkers do not see it"
        text = thing.__doc__ or ""
        assert text, name
        assert "Example: `" in text or issubclass(thing, Exception), name
        if inspect.isfunction(thing):
            assert "Raises" in text, name
    with pytest.raises(AttributeError, match="no attribute 'trian'; it has"):
        getattr(lavaghost, "trian")  # noqa: B009 - a misspelled name


def test_the_documentation_has_the_table_of_rooms_that_the_code_makes() -> None:
    from scripts.rooms import FILE, placed

    text = FILE.read_text(encoding="utf-8")
    assert placed(text) == text, "run python -m scripts.rooms"
    assert all(f"| `{room}` | " in text for room in ROOMS)


def names_at_the_top(path: Path) -> list[str]:
    """Classes, and aliases of types, that a module defines."""
    found = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            found.append(node.name)
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id[0].isupper() and not target.id.isupper():
            found.append(target.id)
    return found


def test_no_class_has_the_name_of_another_and_no_file_of_four_others() -> None:
    classes, files = Counter[str](), Counter[str]()
    for path in modules():
        classes.update(names_at_the_top(path))
        files[path.name] += path.name != "__init__.py"
    assert [name for name, count in classes.items() if count > 1] == []
    assert [name for name, count in files.items() if count > 2] == []


def test_what_names_a_mechanism_or_a_method_is_a_method() -> None:
    """A graph says what is there; which mechanism put it there is known in its own room."""
    said = re.compile(r"mechanism (==|!=|in) |\w\.mechanism\b(?!\")|method (==|!=) \"")
    allowed = ("lavaghost/methods/ghost/", "lavaghost/model/version_1.py")
    found = {
        str(path.relative_to(ROOT)): lines
        for path in modules()
        if (lines := [line for line in path.read_text(encoding="utf-8").splitlines() if said.search(line)])
        and not str(path.relative_to(ROOT)).startswith(allowed)
    }
    assert found == {}


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("dynamics", "from lavaghost.engines import Trial"),
        ("dynamics", "def f():\n    import lavaghost.cli"),
        ("methods", "from lavaghost import training"),
        ("base", "import lavaghost.net.spec"),
        ("engines", "from . import stepped"),
        ("engines", "import lava.magma"),
        ("training", "import torch"),
        ("datasets", "from sklearn.datasets import load_digits"),
        ("model", "import onnx"),
        ("cli", "import exporters"),
        ("net", "from lavaghost.nowhere import x"),
    ],
)
def test_a_wrong_arrow_is_seen(room: str, source: str) -> None:
    assert len(faults(room, source)) == 1
