"""Files of any content round-trip exactly; damaged ones load the same data or raise `DataError`."""

import gzip
import io
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lavaghost.base.errors import DataError
from lavaghost.datasets import Dataset, load, load_idx, load_npz
from lavaghost.datasets.checks import ARRAYS

FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
BYTES = st.just("u1")
FLOATS = st.sampled_from(["<f2", "<f4", ">f4", "<f8"])


@st.composite
def raw_arrays(draw, x_dtype=BYTES, min_dims=3, max_dims=3):
    """Four arrays of a sound data set: 2 to 5 classes, each in training; features of any shape."""
    dtype = np.dtype(draw(x_dtype))
    features = draw(st.lists(st.integers(1, 4), min_size=min_dims - 1, max_size=max_dims - 1).map(tuple))
    n_classes = draw(st.integers(2, 5))
    more = draw(st.lists(st.integers(0, n_classes - 1), max_size=5))
    labels = {
        "train": draw(st.permutations([*range(n_classes), *more])),
        "test": draw(st.lists(st.integers(0, n_classes - 1), min_size=1, max_size=5)),
    }
    finite = None
    if dtype.kind == "f":
        # a float64 beyond float32 is refused, so it is no part of a round trip
        limit = float(min(np.finfo(dtype).max, np.finfo(np.float32).max))
        width: Any = dtype.itemsize * 8
        finite = st.floats(-limit, limit, width=width)
    arrays = {}
    for part, y in labels.items():
        arrays[f"x_{part}"] = draw(hnp.arrays(dtype, (len(y), *features), elements=finite))
        arrays[f"y_{part}"] = np.array(y, np.uint8)
    return arrays


def idx_bytes(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def npz_bytes(arrays, save=np.savez):
    packed = io.BytesIO()
    save(packed, **arrays)
    return packed.getvalue()


def assert_equal(dataset, raw, divisor):
    for key in ARRAYS:
        expected = raw[key]
        if key.startswith("x"):
            expected = (expected.reshape(len(expected), -1) / float(divisor)).astype(np.float32)
        np.testing.assert_array_equal(getattr(dataset, key), expected)
    assert dataset.n_classes == raw["y_train"].max() + 1


def load_files(files, read=load):
    """The data set read from a new folder with `files` (name -> bytes); one .npz file or four."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            Path(folder, name).write_bytes(data)
        return read(Path(folder, "set.npz") if "set.npz" in files else Path(folder))


@st.composite
def damages(draw):
    """A list of one to three edits; places are fractions of whatever the length then is."""
    place = st.floats(0, 1, exclude_max=True)
    edit = st.one_of(
        st.tuples(st.just("truncate"), place, st.just(b"")),
        st.tuples(st.just("flip"), place, st.integers(1, 255).map(lambda n: bytes([n]))),
        st.tuples(st.just("insert"), place, st.binary(min_size=1, max_size=9)),
        st.tuples(st.just("delete"), place, st.binary(min_size=1, max_size=9)),
        st.tuples(st.just("append"), place, st.binary(min_size=1, max_size=9)),
    )
    return draw(st.lists(edit, min_size=1, max_size=3))


def apply(edits, data):
    for kind, place, extra in edits:
        at = int(place * len(data))
        if kind == "truncate":
            data = data[:at]
        elif kind == "flip" and data:
            data = data[:at] + bytes([data[at] ^ extra[0]]) + data[at + 1 :]
        elif kind == "insert":
            data = data[:at] + extra + data[at:]
        elif kind == "delete":
            data = data[:at] + data[at + len(extra) :]
        elif kind == "append":
            data += extra
    return data


def assert_same_or_refused(files, raw, divisor, read):
    try:
        dataset = load_files(files, read)
    except DataError:
        return
    assert isinstance(dataset, Dataset)
    assert_equal(dataset, raw, divisor)


@settings(deadline=None, max_examples=60)
@given(raw=raw_arrays(), packed=st.booleans())
def test_idx_round_trip(raw, packed):
    pack, end = (gzip.compress, ".gz") if packed else (bytes, "")
    dataset = load_files({f"{FILES[key]}{end}": pack(idx_bytes(raw[key])) for key in ARRAYS})
    assert_equal(dataset, raw, 255)
    for part in ("train", "test"):
        x, pixels = getattr(dataset, f"x_{part}"), raw[f"x_{part}"]
        np.testing.assert_array_equal(np.rint(x / dataset.scale), pixels.reshape(len(x), -1))


@settings(deadline=None, max_examples=60)
@given(
    raw=raw_arrays(st.one_of(BYTES, FLOATS), min_dims=2, max_dims=4),
    save=st.sampled_from([np.savez, np.savez_compressed]),
    order=st.sampled_from("CF"),
)
def test_npz_round_trip(raw, save, order):
    ordered = {key: np.array(array, order=order) for key, array in raw.items()}
    dataset = load_files({"set.npz": npz_bytes(ordered, save)})
    assert_equal(dataset, raw, 255 if raw["x_train"].dtype == np.uint8 else 1)


@settings(deadline=None, max_examples=80)
@given(raw=raw_arrays(), key=st.sampled_from(ARRAYS), edits=damages())
def test_damaged_gzip_idx_loads_the_same_or_is_refused(raw, key, edits):
    files = {f"{FILES[k]}.gz": gzip.compress(idx_bytes(raw[k]), mtime=0) for k in ARRAYS}
    files[f"{FILES[key]}.gz"] = apply(edits, files[f"{FILES[key]}.gz"])
    assert_same_or_refused(files, raw, 255, load_idx)


@settings(deadline=None, max_examples=60)
@given(raw=raw_arrays(), key=st.sampled_from(ARRAYS), place=st.floats(0, 1), tail=st.binary())
def test_plain_idx_of_another_length_is_refused(raw, key, place, tail):
    files = {FILES[k]: idx_bytes(raw[k]) for k in ARRAYS}
    whole = files[FILES[key]]
    # plain IDX has no checksum: only its length can be trusted to show damage
    files[FILES[key]] = whole + tail if tail else whole[: int(place * len(whole))]
    assert_same_or_refused(files, raw, 255, load_idx)


@settings(deadline=None, max_examples=60)
@given(data=st.binary(max_size=40), key=st.sampled_from(ARRAYS), magic=st.booleans())
def test_any_bytes_as_an_idx_file(data, key, magic):
    dims = 3 if key.startswith("x") else 1
    blob = (bytes([0, 0, 8, dims]) if magic else b"") + data
    try:
        load_files({FILES[key]: blob}, load_idx)
    except DataError:
        return
    raise AssertionError("three files are missing")


@settings(deadline=None, max_examples=100)
@given(
    raw=raw_arrays(st.sampled_from(["u1", "<f4"]), min_dims=2),
    save=st.sampled_from([np.savez, np.savez_compressed]),
    edits=damages(),
)
def test_damaged_npz_loads_the_same_or_is_refused(raw, save, edits):
    divisor = 255 if raw["x_train"].dtype == np.uint8 else 1
    files = {"set.npz": apply(edits, npz_bytes(raw, save))}
    assert_same_or_refused(files, raw, divisor, load_npz)
