"""Formats of data sets: how a file or a folder is known, and read.

To add one, write an object with the attributes of `Format`; register it in Python, `FORMATS.register("mine", mine)`, or

    [project.entry-points."lavaghost.data"]
    mine = "my_package.my_module:mine"

`tests/conformance/test_formats.py` checks every registered format.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from lavaghost.base.errors import DataError, SpecError
from lavaghost.base.registry import Registry
from lavaghost.datasets.dataset import Dataset
from lavaghost.datasets.idx import load_idx
from lavaghost.datasets.npz import load_npz


@runtime_checkable
class Format(Protocol):
    """One way in which a data set lies on a disk."""

    @property
    def what(self) -> str:
        """What to give, as messages say it, such as `a file ending in .npz`."""
        ...

    def accepts(self, path: Path, /) -> bool:
        """Whether this is how what lies at `path`, if anything does, is to be read; its contents need not be seen."""
        ...

    def load(self, path: Path, /) -> Dataset:
        """The data set, checked. Raises `DataError` with all faults of the file."""
        ...


@dataclass(frozen=True)
class FileFormat:
    """A `Format` of two functions."""

    what: str
    accepts: Callable[[Path], bool]
    load: Callable[[Path], Dataset]


IDX = FileFormat("a folder with the four IDX files of MNIST's names", Path.is_dir, load_idx)
NPZ = FileFormat("a file ending in .npz", lambda path: path.suffix.lower() == ".npz", load_npz)
OURS: dict[str, Format] = {"idx": IDX, "npz": NPZ}
FORMATS = Registry("lavaghost.data", "data format", Format, OURS)
"""All formats that are known."""


def formats_in_order() -> tuple[str, ...]:
    """Names of formats: those of others first, so that a folder of another kind is not taken for IDX files."""
    ours = ("npz", "idx")
    return (*(name for name in FORMATS.names() if name not in ours), *ours)


def found_format(name: str) -> Format:
    """The format of this name. Raises `DataError` if it does not work."""
    try:
        return FORMATS.find(name)
    except SpecError as error:
        raise DataError(str(error)) from error


def added() -> list[str]:
    """What formats of others want to be given."""
    return [f"or {found_format(name).what}" for name in formats_in_order()[:-2]]
