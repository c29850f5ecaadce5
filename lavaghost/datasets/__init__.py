"""Data sets: files on disk become one checked, read-only `Dataset`. Nothing is ever downloaded.

    load("digits")          the embedded 8x8 digits
    load("walks")           random walks in a box, made on the spot
    load("folder/")         IDX files with the MNIST names, gzip or not
    load("file.npz")        arrays x_train, y_train, x_test, y_test

Other formats are added by the entry point group `lavaghost.data`, or by `FORMATS.register` (`datasets.formats`).
A file that cannot be used raises `lavaghost.base.errors.DataError`, one line naming all its faults.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from lavaghost.base.errors import DataError, join_faults
from lavaghost.datasets.channels import two_channels, unsigned
from lavaghost.datasets.dataset import Dataset, raw_samples
from lavaghost.datasets.digits import load_digits
from lavaghost.datasets.formats import FORMATS, Format, added, formats_in_order, found_format
from lavaghost.datasets.idx import load_idx
from lavaghost.datasets.layout import in_python
from lavaghost.datasets.npz import load_npz
from lavaghost.datasets.quality import warn_of
from lavaghost.datasets.ranges import Range, for_training, range_of, scaled_to
from lavaghost.datasets.walks import load_walks

__all__ = [
    "FORMATS",
    "Dataset",
    "Format",
    "Range",
    "for_training",
    "load",
    "load_digits",
    "load_idx",
    "load_npz",
    "load_walks",
    "range_of",
    "raw_samples",
    "scaled_to",
    "two_channels",
    "unsigned",
    "warn_of",
]

BUILT_IN: Mapping[str, Callable[[], Dataset]] = {"digits": load_digits, "walks": load_walks}
"""What needs no file."""

ACCEPTED = (
    "give 'digits' for the embedded data set, 'walks' for one that is made on the spot, a folder with the four IDX "
    "files of MNIST's names, or a file ending in .npz"
)


def load(source: str | Path) -> Dataset:
    """The data set that `source` names; for a folder that is called digits or walks write `./digits`.

    Returns x as float32 (n, n_inputs) and y as int64 (n,), both C-contiguous and read-only.
    Raises `DataError` for a source that is none of the accepted kinds or has a faulty file.
    Example: `load("digits").x_train.shape`.
    """
    if not isinstance(source, str | Path):
        raise DataError(f"a data set named by a {type(source).__name__} is unknown; {ACCEPTED}")
    if source in BUILT_IN:
        return BUILT_IN[str(source)]()
    path = Path(source)
    try:
        # Path("") is the current folder, which nobody means
        exists = source != "" and path.exists()
        for name in formats_in_order() if source != "" else ():
            if (reader := found_format(name)).accepts(path):
                return reader.load(path)
    except OSError as error:
        raise DataError(join_faults([f"data set '{source}' cannot be read ({error})", ACCEPTED])) from error
    what = "is not one that can be read" if exists else "does not exist"
    python = [in_python(path)] if exists else []
    raise DataError(join_faults([f"data set '{source}' {what}", ACCEPTED, *added(), *python]))
