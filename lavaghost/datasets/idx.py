"""A folder of IDX files, the format of MNIST: http://yann.lecun.com/exdb/mnist/

One file is a magic number (two zero bytes, element type, number of dimensions), one big-endian
32-bit size per dimension, and the elements. Images are bytes (n, rows, columns), labels bytes (n,).
"""

import gzip
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lavaghost.base.errors import DataError
from lavaghost.base.files import open_regular
from lavaghost.datasets.checks import value_faults
from lavaghost.datasets.dataset import Dataset, class_count, raise_faults
from lavaghost.datasets.streams import ByteSource, allocate, describe, pour

UBYTE = 0x08
ELEMENTS = {
    UBYTE: "unsigned byte",
    0x09: "signed byte",
    0x0B: "16-bit integer",
    0x0C: "32-bit integer",
    0x0D: "32-bit float",
    0x0E: "64-bit float",
}
STEMS = {
    "x_train": ("train-images", 3),
    "y_train": ("train-labels", 1),
    "x_test": ("t10k-images", 3),
    "y_test": ("t10k-labels", 1),
}
KINDS = {1: "labels", 3: "images"}
GZIP_MAGIC = b"\x1f\x8b"
MAX_BYTE = 255


def load_idx(folder: Path) -> Dataset:
    """The data set in `folder`: x = pixels / 255 as float32 (n, rows * columns), y as int64 (n,).

    Files are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
    `t10k-labels-idx1-ubyte`, or with `.idx` for `-idx`, or with `.gz` added; of several spellings
    the first in that order that is not compressed is read. Raises `DataError` with the faults of
    all four files.
    """
    faults: list[str] = []
    arrays: dict[str, NDArray] = {}
    called: dict[str, str] = {}
    for key, (stem, n_dims) in STEMS.items():
        spellings = [f"{stem}{dot}idx{n_dims}-ubyte{end}" for end in ("", ".gz") for dot in "-."]
        try:
            found = [name for name in spellings if (folder / name).is_file()]
            if found:
                called[key] = found[0]
                arrays[key] = _read(folder / found[0], n_dims)
            else:
                faults.append(f"{spellings[0]} is missing, plain or as .gz; put it into the folder")
        except DataError as error:
            faults.append(str(error))
        except OSError as error:
            faults.append(f"{called.get(key, spellings[0])} cannot be read ({describe(error)})")
    faults += value_faults(arrays, called)
    raise_faults(str(folder), faults)
    return Dataset(
        name=folder.resolve().name or "idx",
        n_classes=class_count(arrays["y_train"]),
        scale=1 / MAX_BYTE,
        x_train=arrays["x_train"],
        y_train=arrays["y_train"],
        x_test=arrays["x_test"],
        y_test=arrays["y_test"],
    )


def _read(path: Path, n_dims: int) -> NDArray:
    """Images as float32 (n, rows * columns) in [0, 1], or labels as int64 (n,)."""
    with open_regular(path) as file:
        packed = file.read(2) == GZIP_MAGIC
        file.seek(0)
        if packed != (path.suffix == ".gz"):
            is_not, remedy = ("is", "add .gz to") if packed else ("is not", "remove .gz from")
            raise DataError(
                f"{path.name} {is_not} gzip, against its name; {remedy} the name if the "
                "content is whole, or fetch it again"
            )
        if not packed:
            return _numbers(ByteSource(file, path.name), n_dims)
        with gzip.GzipFile(fileobj=file) as unpacked:
            return _numbers(ByteSource(unpacked, path.name), n_dims)


def _numbers(source: ByteSource, n_dims: int) -> NDArray:
    shape = _shape(source, n_dims)
    label = f"{source.label}'s header"
    if n_dims == 1:
        out = allocate(label, shape, np.int64)
        pour(source, out, np.dtype(np.uint8))
        return out
    out = allocate(label, (shape[0], shape[1] * shape[2]), np.float32)
    pour(source, out.reshape(-1), np.dtype(np.uint8), divisor=MAX_BYTE)
    return out


def _shape(source: ByteSource, n_dims: int) -> tuple[int, ...]:
    """Sizes from the header, after the checks of its magic number."""
    name, kind, magic = source.label, KINDS[n_dims], bytearray(4)
    expected = 4 + 4 * n_dims
    sizes = bytearray(4 * n_dims)
    if source.fill(memoryview(magic)):
        zeros, element, dims = struct.unpack(">HBB", magic)
        shown = f"magic number 0x{magic.hex()}"
        wanted = f"0x0000{UBYTE:02x}{n_dims:02x}"
        if zeros or element not in ELEMENTS:
            raise DataError(f"{name} is not an IDX file: {shown}, {wanted} was expected; fetch it again")
        if dims != n_dims:
            held = KINDS.get(dims, f"{dims}-dimensional data")
            raise DataError(
                f"{name} is mislabelled: it holds {held} ({shown}) where {kind} ({wanted}) were "
                "expected; give each file its own name"
            )
        if element != UBYTE:
            raise DataError(
                f"{name} holds elements of type 0x{element:02x}, {ELEMENTS[element]} ({shown}); "
                f"store {kind} as type 0x{UBYTE:02x}, {ELEMENTS[UBYTE]}"
            )
        if source.fill(memoryview(sizes)):
            return struct.unpack(f">{n_dims}I", sizes)
    raise DataError(
        f"{name} is truncated: expected a header of {expected} bytes, has {source.count}; fetch it again"
    )
