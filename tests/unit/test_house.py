"""The counts of `python -m benchmarks.house`, on a small house whose counts are known."""

import json
from pathlib import Path

import pytest

from benchmarks import house

FILES = {
    "lavaghost/__init__.py": "",
    "lavaghost/room/__init__.py": "",
    "lavaghost/room/rules.py": """
        '''Of duplicate ghosts, on Loihi.'''
        class Rule: pass
        Report = int
        LIMIT = 1
        def train(network):
            if network.mechanism == "duplicate":
                return "learned"
            return network.other, "it is learned"
        def _train(): pass
        class Inner:
            def train(self): pass
    """,
    "lavaghost/room/ghost/rules.py": """
        from lavaghost.loihi import LoihiWidths
        Rule = LoihiWidths
        LIMIT: int = 2
        class Report: pass
        class Inner: pass
        def train(method):
            return method == "ghost" or method.mechanism
        def _train(): pass
    """,
    "lavaghost/room/ghosts.py": """
        NAMES = ("online", "backprop")
        T = float
    """,
    "exporters/to_x.py": """
        T = str
        def write(): return "frozen"
    """,
    "lavaghost/verification/programs/one.py": "def write(): pass",
    "lavaghost/verification/programs/two.py": "class Rule: pass",
    "tests/rules.py": "class Report: pass",
}


@pytest.fixture
def root(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("\n        ", "\n"), encoding="utf-8")
    return tmp_path


def test_names_that_are_defined_twice(root):
    found = house.count(root)
    both = ["lavaghost/room/ghost/rules.py", "lavaghost/room/rules.py"]
    assert found["classes"] == {"Inner": both}
    assert found["types"] == {"Inner": both, "Report": both, "Rule": both}
    assert found["functions"] == {"train": both}
    assert found["file_names"] == {"rules.py": both}


def test_lines_that_name_a_mechanism(root):
    found = house.count(root)
    assert {path: len(lines) for path, lines in found["mechanism"].items()} == {
        "lavaghost/room/ghost/rules.py": 1,
        "lavaghost/room/ghosts.py": 1,
        "lavaghost/room/rules.py": 2,
    }
    assert found["mechanism_lines"] == 4
    assert (found["mechanism_strings"], found["mechanism_string_files"]) == (3, 2)


@pytest.mark.parametrize(
    ("inside", "lines"),
    [
        ([], 4),
        (["lavaghost/room/ghost"], 3),  # a folder, not each path that begins so
        (["lavaghost/room/ghost/", "lavaghost/room/ghosts.py"], 2),
        (["lavaghost/room"], 0),
        (["room"], 4),
    ],
)
def test_rooms_of_the_mechanisms_are_not_counted(root, inside, lines):
    assert house.count(root, inside)["mechanism_lines"] == lines


def test_what_names_loihi_and_methods(root):
    found = house.count(root)
    assert found["loihi_code"] == ["lavaghost/room/ghost/rules.py"]
    assert found["loihi_text"] == ["lavaghost/room/ghost/rules.py", "lavaghost/room/rules.py"]
    assert found["methods"] == {
        "exporters/to_x.py": ["frozen"],
        "lavaghost/room/ghost/rules.py": ["ghost"],
        "lavaghost/room/ghosts.py": ["backprop"],
    }


def test_size(root):
    found = house.count(root)["size"]
    texts = [text for name, text in FILES.items() if not name.startswith("tests")]
    assert found["files"] == len(texts)
    assert found["lines"] == sum(len(text.splitlines()) for text in texts)
    assert found["longest_function"] == {"lines": 4, "name": "train", "file": "lavaghost/room/rules.py"}


def test_it_prints_a_table_or_json(root, capsys):
    house.main([str(root), "--json"])
    assert json.loads(capsys.readouterr().out) == house.count(root)
    house.main([str(root), "--inside", "lavaghost/room/ghost"])
    shown = capsys.readouterr().out
    assert "3      in 2 files; 3 in 2 files with a string" in shown
    assert "functions: train 2" in shown


def test_a_folder_without_packages_is_refused(tmp_path):
    with pytest.raises(SystemExit, match=r"has no \.py file"):
        house.main([str(tmp_path)])


def test_it_parses_this_checkout():
    found = house.count(Path(__file__).parents[2])
    assert found["size"]["files"] > 100
    assert found["mechanism_strings"] <= found["mechanism_lines"]
