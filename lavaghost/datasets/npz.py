"""One .npz file of NumPy with the arrays x_train, y_train, x_test and y_test.

The members are read by hand and not with `numpy.load`, which holds the file's own dtype and the
float32 copy at once, believes any size in a header, and checks no checksum before its end.
"""

import io
import math
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from lavaghost.base.errors import DataError, join_faults
from lavaghost.base.files import open_regular
from lavaghost.datasets.checks import ARRAYS, value_faults
from lavaghost.datasets.dataset import Dataset, class_count, raise_faults
from lavaghost.datasets.labels import label_remedy
from lavaghost.datasets.layout import renamed
from lavaghost.datasets.streams import ByteSource, allocate, describe, pour

MAX_BYTE = 255
# numpy itself refuses a header above 10000 bytes, but only after reading it
HEADER_BYTES = 16_384
FLOATS = ("float16", "float32", "float64")


def load_npz(path: Path) -> Dataset:
    """The data set in `path`; x of more than 2 dimensions is flattened to (n, n_inputs).

    x_train and x_test are both uint8, which become x / 255, or both float16 to float64, which are
    used as they are; y_train and y_test are integers. Arrays of objects would need pickle, which
    can run code, and are refused. Raises `DataError` with all faults of the file.
    """
    with ExitStack() as stack:
        archive = _opened(path, stack)
        return _dataset(archive, path)


def _opened(path: Path, stack: ExitStack) -> zipfile.ZipFile:
    try:
        return stack.enter_context(zipfile.ZipFile(stack.enter_context(open_regular(path))))
    # OSError, BadZipFile, NotImplementedError, ValueError, struct.error: whatever was damaged
    except Exception as error:
        missing = isinstance(error, FileNotFoundError)
        what = "does not exist" if missing else f"is no whole .npz file ({describe(error)})"
        remedy = "write it again with numpy.savez or fetch it again"
        raise DataError(join_faults([f"{path}: {what}", remedy])) from error


def _dataset(archive: zipfile.ZipFile, path: Path) -> Dataset:
    keys = [name.removesuffix(".npy") for name in archive.namelist()]
    faults = _key_faults(path, keys)
    # one member for each key, however often a file may list it
    members = dict(zip(keys, archive.infolist(), strict=True))
    arrays: dict[str, NDArray] = {}
    raws: dict[str, np.dtype] = {}
    for key in (key for key in ARRAYS if key in members):
        try:
            raws[key], arrays[key] = _read(archive, members[key], key)
        except DataError as error:
            faults.append(str(error))
    faults += value_faults(arrays)
    is_byte = {raws[key] == np.uint8 for key in ("x_train", "x_test") if key in raws}
    if len(is_byte) > 1:
        kinds = f"x_train is {raws['x_train']} and x_test {raws['x_test']}"
        faults.append(f"{kinds}; store both as uint8 (0..255) or both as float in [0, 1]")
    raise_faults(str(path), faults)
    return Dataset(
        name=path.stem,
        n_classes=class_count(arrays["y_train"]),
        scale=1 / MAX_BYTE if True in is_byte else 1.0,
        x_train=arrays["x_train"],
        y_train=arrays["y_train"],
        x_test=arrays["x_test"],
        y_test=arrays["y_test"],
    )


def _key_faults(path: Path, keys: list[str]) -> list[str]:
    faults = []
    if missing := [key for key in ARRAYS if key not in keys]:
        faults.append(f"array(s) missing: {', '.join(missing)}; store {', '.join(ARRAYS)}")
    if extra := sorted({repr(key) for key in keys if key not in ARRAYS}):
        shown = ", ".join(extra[:5]) + (f" and {len(extra) - 5} more" if len(extra) > 5 else "")
        faults.append(f"unknown array(s) {shown}; store only {', '.join(ARRAYS)}")
    if twice := [key for key in ARRAYS if keys.count(key) > 1]:
        faults.append(f"array(s) stored twice: {', '.join(twice)}; store each once")
    if missing and (line := renamed(path, keys)):
        faults.append(f"in Python: {line}")
    return faults


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, key: str) -> tuple[np.dtype, NDArray]:
    """The dtype in the file, and x as float32 (n, n_inputs) or y as int64 (n,)."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # the other methods of zipfile expand a chunk without a bound
        method = f"compressed with method {member.compress_type}"
        raise DataError(f"{key} is {method}; write it with numpy.savez or savez_compressed")
    header = _header(archive, member, key)
    shape, raw = header.shape, header.raw
    is_x = key.startswith("x")
    if fault := _features_dtype_fault(key, raw) if is_x else _labels_dtype_fault(key, raw):
        if not is_x:
            values = None
            if raw.kind in "fbu":
                values = _values(archive, member, key, header, np.float64).ravel()
            fault += f": {label_remedy(key, raw, shape, values)}"
        raise DataError(fault)
    if is_x and len(shape) < 2:
        raise DataError(f"{key} has {len(shape)} dimension(s); give 2 or more: samples, features")
    out = _values(archive, member, key, header, np.float32 if is_x else np.int64)
    return header.raw, out.reshape(shape[0], math.prod(shape[1:])) if is_x else out


def _values(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, key: str, header: "_Header", dtype: type[np.generic]
) -> NDArray:
    """The numbers of a member as `dtype`, in its shape; bytes of x over 255."""
    with archive.open(member) as stream:
        source = ByteSource(cast(io.BufferedIOBase, stream), key)
        source.fill(memoryview(bytearray(header.size)))
        out = allocate(f"{key}'s header", header.shape, dtype)
        # the transpose in C order is the order in which a Fortran array lies in the file
        target = out.T.flat if header.fortran else out.reshape(-1)
        pour(
            source,
            target,
            header.raw,
            divisor=MAX_BYTE if dtype is np.float32 and header.raw == np.uint8 else 1,
        )
    return out


class _Header(NamedTuple):
    """Shape, Fortran order, dtype and the header's own length in bytes."""

    shape: tuple[int, ...]
    fortran: bool
    raw: np.dtype
    size: int


def _header(archive: zipfile.ZipFile, member: zipfile.ZipInfo, key: str) -> _Header:
    try:
        with archive.open(member) as stream:
            head = io.BytesIO(stream.read(HEADER_BYTES))
        version = npy.read_magic(head)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version} of the npy format is not 1.0 or 2.0")
        parse = npy.read_array_header_1_0 if version[0] == 1 else npy.read_array_header_2_0
        shape, fortran, dtype = parse(head)
        if min(shape, default=0) < 0:
            raise ValueError(f"shape {shape} is negative")
    # zipfile and numpy's parser raise a dozen types on damaged bytes
    except Exception as error:
        remedy = "write the file again with numpy.savez"
        raise DataError(f"{key} is not a whole array ({describe(error)}); {remedy}") from error
    return _Header(shape, fortran, dtype, head.tell())


def _features_dtype_fault(key: str, raw: np.dtype) -> str:
    if raw == np.uint8 or raw.newbyteorder("=").name in FLOATS:
        return ""
    pickled = ", which only pickle could read" if raw.hasobject else ""
    remedy = "" if raw.kind not in "biu" else f", such as ({key} / {_full_scale(raw)}).astype('float32')"
    return f"{key} is {raw}{pickled}; store x as uint8 (0..255) or float in [0, 1]{remedy}"


def _full_scale(raw: np.dtype) -> str:
    """What x is divided by; of wide integers it is not known which part of them the data fill."""
    return "1" if raw.kind == "b" else "full_scale"


def _labels_dtype_fault(key: str, raw: np.dtype) -> str:
    # uint64 does not fit: a label above int64 would turn negative
    if raw.kind in "iu" and np.can_cast(raw, np.int64):
        return ""
    pickled = ", which only pickle could read" if raw.hasobject else ""
    return f"{key} is {raw}{pickled}; store y as integers, int64 or smaller"
