"""Every registered format of data sets; one that is registered in Python, and one that an installed package brings."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lavaghost.base.errors import DataError, SpecError
from lavaghost.datasets import Dataset, load
from lavaghost.datasets.formats import FORMATS, Format, formats_in_order

ROOT = Path(__file__).resolve().parents[2]
TOY = '''
from pathlib import Path

import numpy as np

from lavaghost.base.errors import DataError
from lavaghost.datasets import Dataset


class Toy:
    """Lines of numbers, the last of which is the label."""

    what = "a file ending in .toy"

    def accepts(self, path: Path) -> bool:
        return path.suffix == ".toy"

    def load(self, path: Path) -> Dataset:
        try:
            rows = np.loadtxt(path, ndmin=2)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: no table of numbers; write a line for each sample") from error
        x, y = rows[:, :-1].astype(np.float32), rows[:, -1].astype(int)
        return Dataset(name=path.stem, x_train=x, y_train=y, x_test=x, y_test=y, n_classes=int(y.max()) + 1)


toy = Toy()
'''
ROWS = "0.1 0.9 1\n0.8 0.2 0\n0.3 0.7 1\n"


def toy() -> Format:
    names: dict[str, Any] = {}
    exec(TOY, names)
    return names["toy"]


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Format:
    """The toy format under its name, for the length of a test."""
    monkeypatch.setattr(FORMATS, "_known", dict(FORMATS._known))
    return FORMATS.register("toy", toy())


def assert_read(data: Dataset) -> None:
    assert (data.name, data.n_inputs, data.n_classes) == ("mine", 2, 2)
    np.testing.assert_array_equal(data.x_train, np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]], np.float32))
    np.testing.assert_array_equal(data.y_test, [1, 0, 1])


def test_a_registered_format_is_read_by_its_suffix(tmp_path: Path, registered: Format) -> None:
    (tmp_path / "mine.toy").write_text(ROWS)
    assert_read(load(str(tmp_path / "mine.toy")))
    assert formats_in_order()[0] == "toy"
    with pytest.raises(SpecError, match="'toy' is there already; choose another name"):
        FORMATS.register("toy", toy())


def test_what_can_be_given_names_the_format_where_it_is_registered(tmp_path: Path, registered: Format) -> None:
    with pytest.raises(DataError, match=r"a file ending in \.toy"):
        load(str(tmp_path / "nothing.here"))


def test_without_it_nothing_of_it_is_known(tmp_path: Path) -> None:
    (tmp_path / "mine.toy").write_text(ROWS)
    with pytest.raises(DataError) as caught:
        load(str(tmp_path / "mine.toy"))
    assert "a file ending in .toy" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_format_is_refused_with_what_it_lacks() -> None:
    nothing: Any = object()
    with pytest.raises(SpecError, match=r"'wrong'.*is a object, not an object with what, accepts, load"):
        FORMATS.register("wrong", nothing)


@pytest.mark.parametrize("name", FORMATS.names())
def test_every_format_keeps_its_promises(name: str, tmp_path: Path) -> None:
    """It says what it wants in a few words, looks at no contents, and refuses a file of noise in one line."""
    found = FORMATS.find(name)
    assert isinstance(found, Format)
    assert found.what.startswith(("a ", "an "))
    assert "\n" not in found.what
    assert found.accepts(tmp_path / "nothing.there") in (True, False)
    noise, folder = tmp_path / "noise.bin", tmp_path / "empty"
    noise.write_bytes(np.random.default_rng(0).bytes(500))
    folder.mkdir()
    for path in (noise, folder, tmp_path / "nothing.there"):
        with pytest.raises(DataError) as caught:
            found.load(path)
        assert str(caught.value)
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == 2


CHECK = """
import sys
from lavaghost.datasets import load
from lavaghost.datasets.formats import FORMATS
data = load(sys.argv[1])
print(*FORMATS.names(), data.name, data.n_inputs, data.n_classes, data.y_train.tolist())
"""


def python(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=dict(os.environ) | {"PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )


def installed(folder: Path, target: str) -> Path:
    """A package with the toy format and its entry point, as an installer would leave them."""
    (folder / "toy_data.py").write_text(TOY)
    (folder / "toy_data-1.0.dist-info").mkdir()
    (folder / "toy_data-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: toy-data\nVersion: 1.0\n"
    )
    (folder / "toy_data-1.0.dist-info" / "entry_points.txt").write_text(f"[lavaghost.data]\ntoy = {target}\n")
    (folder / "mine.toy").write_text(ROWS)
    return folder


def test_a_package_brings_a_format_by_its_entry_point(tmp_path: Path) -> None:
    folder = installed(tmp_path, "toy_data:toy")
    done = python(folder, "-c", CHECK, str(folder / "mine.toy"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["idx", "npz", "toy", "mine", "2", "2", "[1,", "0,", "1]"]
    conformance = ("-k", "promises and toy", "-q", "-p", "no:cacheprovider")
    said = python(folder, "-m", "pytest", "tests/conformance/test_formats.py", *conformance)
    assert "1 passed" in said.stdout, said.stdout + said.stderr


def test_a_broken_package_is_named_in_one_line(tmp_path: Path) -> None:
    folder = installed(tmp_path, "toy_data:gone")
    done = python(folder, "-c", CHECK, str(folder / "mine.toy"))
    assert "DataError" in done.stderr.splitlines()[-1]
    assert "'toy' (toy_data:gone) cannot be loaded" in done.stderr.splitlines()[-1]
