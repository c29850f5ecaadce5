"""Data sets: what loads, loads exactly; what is faulty is refused with file, value and remedy."""

import gzip
import importlib.util
import io
import struct
import tracemalloc
import zipfile
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lavaghost.base.errors import DataError
from lavaghost.datasets import Dataset, digits, load, streams
from lavaghost.datasets.checks import ARRAYS

FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def raw_arrays(n_train=9, n_test=5, rows=4, columns=3, n_classes=3):
    """Byte images (n, rows, columns) that contain 0 and 255, and cyclic labels (n,)."""

    def images(n):
        values = np.arange(n * rows * columns) * 37 % 256
        values[:2] = 0, 255
        return values.astype(np.uint8).reshape(n, rows, columns)

    return {
        "x_train": images(n_train),
        "y_train": np.arange(n_train, dtype=np.uint8) % n_classes,
        "x_test": images(n_test),
        "y_test": np.arange(n_test, dtype=np.uint8) % n_classes,
    }


def idx_bytes(array, element=0x08):
    header = struct.pack(f">HBB{array.ndim}I", 0, element, array.ndim, *array.shape)
    return header + array.tobytes()


def write_idx(folder, arrays=None, **replaced):
    """The four files in `folder`; `replaced` gives other bytes, or None for no file."""
    for key, array in (arrays or raw_arrays()).items():
        data = replaced.get(key, idx_bytes(array))
        if data is not None:
            (folder / FILES[key]).write_bytes(data)
    return folder


def write_npz(folder, drop=(), **replaced):
    arrays = {**raw_arrays(), **replaced}
    path = folder / "set.npz"
    np.savez(path, **{key: array for key, array in arrays.items() if key not in drop})
    return path


def refusal(source):
    """The text of the `DataError` that loading raises; one line."""
    with pytest.raises(DataError) as caught:
        load(source)
    text = str(caught.value)
    assert "\n" not in text
    return text


def assert_holds(dataset, raw, divisor):
    for key in ARRAYS:
        array, is_x = getattr(dataset, key), key.startswith("x")
        assert array.dtype == (np.float32 if is_x else np.int64)
        assert array.ndim == (2 if is_x else 1)
        assert array.flags.c_contiguous
        assert not array.flags.writeable
        flat = raw[key].reshape(len(raw[key]), -1) if is_x else raw[key]
        expected = (flat.astype(np.float64) / divisor).astype(np.float32) if is_x else flat
        np.testing.assert_array_equal(array, expected)


# ---------------------------------------------------------------- digits


def stored_digits():
    with (
        resources.files("lavaghost.datasets").joinpath("digits.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as stored,
    ):
        return dict(stored)


def test_digits_have_the_promised_form():
    dataset, stored = load("digits"), stored_digits()
    assert (dataset.name, dataset.n_classes, dataset.n_inputs) == ("digits", 10, 64)
    assert (len(dataset.x_train), len(dataset.x_test)) == (1437, 360)
    assert dataset.scale == 1 / 16
    raw = {
        f"{axis}_{part}": stored[content][stored[part]]
        for axis, content in (("x", "images"), ("y", "labels"))
        for part in ("train", "test")
    }
    assert_holds(dataset, raw, 16)
    assert dataset.x_train.min() == 0
    assert dataset.x_train.max() == 1


def test_digits_split_is_stratified_disjoint_and_complete():
    stored = stored_digits()
    labels, train, test = stored["labels"], stored["train"], stored["test"]
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(1797))
    counts = np.bincount(labels)
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    for part, size in ((train, 1437), (test, 360)):
        assert len(part) == size
        assert np.all(np.diff(part.astype(int)) > 0)
        assert np.abs(np.bincount(labels[part]) - counts * size / 1797).max() < 1


def make_digits():
    path = Path(__file__).resolve().parents[2] / "scripts" / "make_digits.py"
    spec: Any = importlib.util.spec_from_file_location("make_digits", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_digits_split_follows_the_documented_procedure():
    stored = stored_digits()
    train, test = make_digits().split(stored["images"], stored["labels"], 360)
    np.testing.assert_array_equal(train, stored["train"])
    np.testing.assert_array_equal(test, stored["test"])


@pytest.mark.parametrize(
    ("counts", "n_test", "expected"),
    [([10, 10], 4, [2, 2]), ([10, 10, 10], 4, [2, 1, 1]), ([1, 2, 7], 5, [1, 1, 3])],
)
def test_quotas_are_largest_remainders(counts, n_test, expected):
    assert make_digits().quotas(counts, n_test) == expected


def test_digits_missing_from_the_installation(monkeypatch):
    monkeypatch.setattr(digits, "FILE", "absent.npz")
    assert "install lavaghost again" in refusal("digits")


# ---------------------------------------------------------------- what load accepts


@pytest.mark.parametrize("source", ["mnist", "", "digits.csv", "no/such/folder", "a\0b", "a" * 5000, 3, None])
def test_other_sources_are_told_what_is_accepted(source):
    text = refusal(source)
    for accepted in ("'digits'", "IDX", ".npz"):
        assert accepted in text


def test_an_existing_file_of_another_kind(tmp_path):
    path = tmp_path / "set\nx.csv"
    path.write_text("1,2")
    assert "not one that can be read" in refusal(path)


def test_a_folder_called_digits_is_reached_by_its_path(tmp_path, monkeypatch):
    (tmp_path / "digits").mkdir()
    write_idx(tmp_path / "digits")
    monkeypatch.chdir(tmp_path)
    assert load("digits").n_inputs == 64
    assert load("./digits").n_inputs == 12
    assert load(Path("digits")).n_inputs == 12


# ---------------------------------------------------------------- IDX


@pytest.mark.parametrize("dot", ["-", "."])
@pytest.mark.parametrize("end", ["", ".gz"])
def test_idx_round_trip(tmp_path, dot, end):
    raw = raw_arrays()
    for key, name in FILES.items():
        pack = gzip.compress if end else bytes
        (tmp_path / (name.replace("-idx", f"{dot}idx") + end)).write_bytes(pack(idx_bytes(raw[key])))
    for source in (tmp_path, str(tmp_path)):
        dataset = load(source)
        assert_holds(dataset, raw, 255)
        assert (dataset.name, dataset.n_classes, dataset.scale) == (tmp_path.name, 3, 1 / 255)


def test_idx_of_many_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "CHUNK_BYTES", 7)
    assert_holds(load(write_idx(tmp_path)), raw_arrays(), 255)


def test_idx_gzip_of_several_members(tmp_path):
    data = idx_bytes(raw_arrays()["x_train"])
    write_idx(tmp_path, x_train=None)
    packed = gzip.compress(data[:50]) + gzip.compress(data[50:])
    (tmp_path / f"{FILES['x_train']}.gz").write_bytes(packed)
    assert_holds(load(tmp_path), raw_arrays(), 255)


def test_idx_prefers_the_file_that_is_not_compressed(tmp_path):
    write_idx(tmp_path)
    (tmp_path / f"{FILES['x_train']}.gz").write_bytes(b"broken")
    assert load(tmp_path).n_inputs == 12


def test_idx_missing_files_are_all_named(tmp_path):
    text = refusal(tmp_path)
    assert text.startswith(f"{tmp_path}: ")
    for name in FILES.values():
        assert f"{name} is missing" in text


def header(*sizes, magic):
    return struct.pack(f">I{len(sizes)}I", magic, *sizes)


IMAGES = idx_bytes(raw_arrays()["x_train"])
LABELS = idx_bytes(raw_arrays()["y_train"])
IDX_FAULTS = {
    "empty": (b"", "expected a header of 16 bytes, has 0"),
    "only magic": (IMAGES[:4], "expected a header of 16 bytes, has 4"),
    "short header": (IMAGES[:15], "expected a header of 16 bytes, has 15"),
    "truncated": (IMAGES[:-1], "truncated: expected 124 bytes, has 123"),
    "no pixels": (IMAGES[:16], "truncated: expected 124 bytes, has 16"),
    "trailing": (IMAGES + b"\0", "trailing bytes after the 124"),
    "not IDX": (b"<html>" + IMAGES, "not an IDX file: magic number 0x3c68746d"),
    "no zeros": (header(1, 1, 1, magic=0x01000803), "not an IDX file: magic number 0x01000803"),
    "bad element": (header(1, magic=0x0A03), "not an IDX file: magic number 0x00000a03"),
    "labels": (LABELS, "mislabelled: it holds labels (magic number 0x00000801) where images"),
    "4 dimensions": (header(1, 1, 1, 1, magic=0x0804), "it holds 4-dimensional data"),
    "float": (header(1, 1, 1, magic=0x0D03) + bytes(4), "type 0x0d, 32-bit float"),
    "no samples": (header(0, 4, 3, magic=0x0803), "is empty, 0 samples of 12 features"),
    "no rows": (header(9, 0, 3, magic=0x0803), "is empty, 9 samples of 0 features"),
    "huge": (header(2**32 - 1, 2**32 - 1, 2**32 - 1, magic=0x0803), "above the limit of 4294967"),
    "over limit": (header(1, 2**15 + 1, 2**15, magic=0x0803), "1 x 1073774592 values, 4295098368"),
    "gzip": (gzip.compress(IMAGES), "is gzip, against its name; add .gz"),
}


@pytest.mark.parametrize("case", IDX_FAULTS)
def test_idx_faults(tmp_path, case):
    data, fragment = IDX_FAULTS[case]
    text = refusal(write_idx(tmp_path, x_train=data))
    assert fragment in text
    assert FILES["x_train"] in text


def test_idx_huge_promise_within_the_limit_costs_no_memory(tmp_path):
    # 4 GiB as float32 exactly; allocated lazily or refused by the system, but never filled
    data = header(1, 2**15, 2**15, magic=0x0803) + bytes(100)
    text = refusal(write_idx(tmp_path, x_train=data))
    assert "has 116" in text or "not to be had" in text


def write_gzip(folder, data):
    write_idx(folder, x_train=None)
    (folder / f"{FILES['x_train']}.gz").write_bytes(data)
    return folder


def flip(data, index):
    return data[:index] + bytes([data[index] ^ 0xFF]) + data[index + 1 :]


PACKED = gzip.compress(IMAGES, mtime=0)
GZIP_FAULTS = {
    "not gzip": (IMAGES, "is not gzip, against its name; remove .gz"),
    "empty": (b"", "is not gzip"),
    "truncated": (PACKED[:60], "is truncated: expected 124 bytes, has "),
    "no checksum": (PACKED[:-8], "is truncated after 124 bytes"),
    "half a checksum": (PACKED[:-1], "is truncated after 124 bytes"),
    "damaged": (flip(PACKED, 30), "is damaged after|is truncated"),
    "wrong checksum": (flip(PACKED, -8 % len(PACKED)), "is damaged after 124 bytes .*CRC"),
    "trailing content": (gzip.compress(IMAGES + b"\0"), "trailing bytes after the 124"),
    "trailing junk": (PACKED + b"junk", "is damaged after 124 bytes"),
}


@pytest.mark.parametrize("case", GZIP_FAULTS)
def test_gzip_faults(tmp_path, case):
    data, pattern = GZIP_FAULTS[case]
    with pytest.raises(DataError, match=f"{FILES['x_train']}.gz .*({pattern})"):
        load(write_gzip(tmp_path, data))


def test_idx_swapped_files_are_both_named(tmp_path):
    text = refusal(write_idx(tmp_path, x_test=LABELS, y_test=IMAGES))
    assert f"{FILES['x_test']} is mislabelled: it holds labels" in text
    assert f"{FILES['y_test']} is mislabelled: it holds images" in text


def labels(*values):
    return idx_bytes(np.array(values, np.uint8))


@pytest.mark.parametrize(
    ("replaced", "fragments"),
    [
        (
            {"y_train": labels(0, 1, 2)},
            ["train-images-idx3-ubyte has 9 samples and train-labels-idx1-ubyte 3 labels"],
        ),
        (
            {"y_test": labels(*[0] * 6)},
            ["t10k-images-idx3-ubyte has 5 samples and t10k-labels-idx1-ubyte 6 labels"],
        ),
        (
            {"x_test": idx_bytes(np.zeros((5, 4, 4), np.uint8))},
            ["train-images-idx3-ubyte has 12 features", "t10k-images-idx3-ubyte 16"],
        ),
        (
            {"y_train": labels(0, 1, 2, 0, 4, 2, 0, 4, 2)},
            ["train-labels-idx1-ubyte has no sample of class 3 (empty class; largest label 4)"],
        ),
        (
            {"y_train": labels(255, 3, 3, 3, 3, 3, 3, 3, 3)},
            ["no sample of class 0 nor of 253 more"],
        ),
        (
            {"y_train": labels(*[0] * 9)},
            ["has 1 class; a classifier needs 2", "first 1 at index 1"],
        ),
        (
            {"y_test": labels(0, 1, 7, 1, 9)},
            ["t10k-labels-idx1-ubyte has 2 label(s) outside the training classes 0 to 2, first 7"],
        ),
        ({"y_test": labels()}, ["t10k-labels-idx1-ubyte is empty"]),
    ],
)
def test_idx_files_that_do_not_fit_together(tmp_path, replaced, fragments):
    text = refusal(write_idx(tmp_path, **replaced))
    for fragment in fragments:
        assert fragment in text


def test_idx_faults_of_all_files_are_reported_together(tmp_path):
    text = refusal(write_idx(tmp_path, x_train=IMAGES[:-3], y_train=b"xx", x_test=None))
    for fragment in ("expected 124 bytes, has 121", "header of 8 bytes, has 2", "is missing"):
        assert fragment in text
    assert text.count(str(tmp_path)) == 1


def test_an_idx_file_that_cannot_be_opened(tmp_path, monkeypatch):
    write_idx(tmp_path)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("lavaghost.datasets.idx.open_regular", refuse)
    assert "train-images-idx3-ubyte cannot be read (PermissionError" in refusal(tmp_path)
    monkeypatch.setattr("pathlib.Path.is_file", refuse)
    assert "t10k-labels-idx1-ubyte cannot be read (PermissionError" in refusal(tmp_path)


# ---------------------------------------------------------------- memory


def peak_of(action):
    tracemalloc.start()
    try:
        result = action()
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_loading_peaks_below_one_and_a_half_times_the_data(tmp_path):
    raw = raw_arrays(n_train=6000, n_test=1000, rows=28, columns=28, n_classes=10)
    for key, name in FILES.items():
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(raw[key]), 1))
    wide = {k: a.astype(np.float64) if k.startswith("x") else a for k, a in raw.items()}
    np.savez(tmp_path / "set.npz", **wide)
    for source in (tmp_path, tmp_path / "set.npz"):
        dataset, peak = peak_of(lambda source=source: load(source))
        assert peak < 1.5 * sum(getattr(dataset, key).nbytes for key in ARRAYS)


def test_compressed_bombs_are_not_expanded(tmp_path):
    bomb = IMAGES + bytes(50_000_000)
    write_gzip(tmp_path, gzip.compress(bomb, 1))
    array = io.BytesIO()
    np.save(array, raw_arrays()["x_train"])
    path = write_npz(tmp_path, drop=["x_train"])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_train.npy", array.getvalue() + bytes(50_000_000))
    for source in (tmp_path, path):
        text, peak = peak_of(lambda source=source: refusal(source))
        assert "trailing bytes" in text
        assert peak < 5_000_000


# ---------------------------------------------------------------- npz


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_of_bytes_is_scaled(tmp_path, save):
    save(tmp_path / "set.npz", **raw_arrays())
    dataset = load(tmp_path / "set.npz")
    assert_holds(dataset, raw_arrays(), 255)
    assert (dataset.name, dataset.n_classes, dataset.scale) == ("set", 3, 1 / 255)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("y_dtype", ["u1", "i1", "<u4", ">i4", "<i8"])
def test_npz_of_floats_is_used_as_it_is(tmp_path, monkeypatch, dtype, order, y_dtype):
    monkeypatch.setattr(streams, "CHUNK_BYTES", 40)
    raw = raw_arrays()
    for key in ARRAYS:
        kind = dtype if key.startswith("x") else y_dtype
        raw[key] = np.array(raw[key] / (256 if key.startswith("x") else 1), kind, order=order)
    dataset = load(write_npz(tmp_path, **raw))
    assert_holds(dataset, raw, 1)
    assert dataset.scale == 1.0


X, Y = raw_arrays()["x_train"], raw_arrays()["y_train"].astype(np.int64)


def bad_x(**values):
    x = (X / 255.0).reshape(9, 12)
    for where, value in values.items():
        x[int(where[1]), int(where[3])] = value
    return x


NPZ_FAULTS = {
    "bool": ({"x_train": X > 9}, "x_train is bool; store x as uint8 (0..255) or float in [0, 1]"),
    "int64": ({"x_train": X.astype(int)}, "x_train is int64; store x as uint8"),
    "int8": ({"x_train": X.astype(np.int8)}, "x_train is int8; store x as uint8"),
    "complex": ({"x_train": X * 1j}, "x_train is complex128; store"),
    "text": ({"x_train": X.astype("U3")}, "x_train is <U3; store"),
    "object": ({"x_train": X.astype(object)}, "x_train is object, which only pickle could read"),
    "1-D": ({"x_train": X[:, 0, 0]}, "x_train has 1 dimension(s); give 2 or more"),
    "0-D": ({"x_train": X[0, 0, 0]}, "x_train has 0 dimension(s)"),
    "mixed": ({"x_test": np.zeros((5, 12))}, "x_train is uint8 and x_test float64; store both"),
    "nan": ({"x_train": bad_x(r4c7=np.nan)}, "x_train has 1 value(s) that are not finite"),
    "inf": ({"x_train": bad_x(r4c7=-np.inf, r8c0=np.nan)}, "2 value(s)"),
    "first": ({"x_train": bad_x(r4c7=-np.inf, r8c0=np.nan)}, "first -inf at [4, 7]"),
    "overflow": ({"x_train": bad_x(r2c1=1e300)}, "first inf at [2, 1]; replace NaN, infinity and"),
    "no samples": ({"x_train": X[:0]}, "x_train is empty, 0 samples of 12 features"),
    "no features": ({"x_train": X[:, :0]}, "x_train is empty, 9 samples of 0 features"),
    "empty test": ({"x_test": X[:0], "y_test": Y[:0]}, "y_test is empty"),
    "widths": ({"x_test": X[:5, :3]}, "x_train has 12 features per sample and x_test 9"),
    "lengths": ({"y_train": Y[:8]}, "x_train has 9 samples and y_train 8 labels"),
    "y float": ({"y_train": Y / 1.0}, "y_train is float64; store y as integers"),
    "y bool": ({"y_train": Y > 0}, "y_train is bool; store y as integers"),
    "y uint64": ({"y_train": Y.astype(np.uint64)}, "y_train is uint64; store y as integers"),
    "y object": ({"y_train": Y.astype(object)}, "y_train is object, which only pickle"),
    "y 2-D": ({"y_train": Y[:, None]}, "y_train has 2 dimension(s); give 1"),
    "y 0-D": ({"y_train": Y[0]}, "y_train has 0 dimension(s); give 1"),
    "y negative": ({"y_train": Y - 1}, "y_train has 3 label(s) below 0, first -1 at index 0"),
    "y gap": ({"y_train": Y * 2}, "y_train has no sample of class 1 nor of 1 more"),
    "y huge": ({"y_train": Y * 2**60}, "no sample of class 1 nor of 2305843009213693949 more"),
    "one class": ({"y_train": Y * 0, "y_test": Y[:5] * 0}, "y_train has 1 class;"),
    "test class": (
        {"y_test": Y[:5] + 1},
        "outside the training classes 0 to 2, first 3 at index 2",
    ),
    "extra": ({"x_valid": X}, "unknown array(s) 'x_valid'; store only x_train"),
}


@pytest.mark.parametrize("case", NPZ_FAULTS)
def test_npz_faults(tmp_path, case):
    replaced, fragment = NPZ_FAULTS[case]
    text = refusal(write_npz(tmp_path, **replaced))
    assert fragment in text
    assert text.startswith(f"{tmp_path / 'set.npz'}: ")


def test_npz_counts_values_that_are_not_finite_over_all_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("lavaghost.datasets.checks.BLOCK_VALUES", 25)
    x = bad_x(r3c4=np.inf, r5c0=np.nan, r8c9=np.nan)
    assert "x_train has 3 value(s)" in (text := refusal(write_npz(tmp_path, x_train=x)))
    assert "first inf at [3, 4]" in text


def test_npz_faults_are_reported_together(tmp_path):
    bad = {"x_train": bad_x(r1c1=np.nan), "y_train": Y / 2, "y_test": Y[:4] - 1}
    text = refusal(write_npz(tmp_path, drop=["x_test"], other=X, **bad))
    for fragment in (
        "array(s) missing: x_test",
        "unknown array(s) 'other'",
        "x_train has 1 value(s)",
        "y_train is float64",
        "y_test has 2 label(s) below 0",
    ):
        assert fragment in text
    assert text.count("set.npz") == 1


def test_npz_missing_file(tmp_path):
    assert "absent.npz: does not exist" in refusal(tmp_path / "absent.npz")


@pytest.mark.parametrize("keep", [0, 1, 500, -1, -30])
def test_npz_truncated(tmp_path, keep):
    path = write_npz(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    assert "is no whole .npz file" in refusal(path)


def npy_bytes(shape, descr="|u1", data=b"", version=(1, 0)):
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    size = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + size + text + data


def replace_member(folder, data, name="x_train.npy", method=zipfile.ZIP_STORED):
    path = write_npz(folder, drop=["x_train"])
    with zipfile.ZipFile(path, "a", method) as archive:
        archive.writestr(name, data)
    return path


NPY_FAULTS = {
    "not npy": (b"hello", "x_train is not a whole array"),
    "empty": (b"", "x_train is not a whole array"),
    "version 3": (npy_bytes((9, 12), data=bytes(108), version=(3, 0)), "version (3, 0)"),
    "long header": (npy_bytes("(9, 12" + " " * 70_000 + ")", version=(2, 0)), "not a whole array"),
    "negative": (npy_bytes((-9, 12)), "shape (-9, 12) is negative"),
    "short": (npy_bytes((9, 12), data=bytes(107)), "x_train is truncated: expected "),
    "long": (npy_bytes((9, 12), data=bytes(109)), "x_train has trailing bytes"),
    "huge": (npy_bytes((2**40, 2**40)), "x_train's header promises 1099511627776 x 1099511627776"),
    "32 dimensions": (npy_bytes((1,) * 80), "x_train's header promises 1 x 1"),
    "huge and empty": (npy_bytes((0, 2**80)), "x_train's header promises 0 x "),
}


@pytest.mark.parametrize("case", NPY_FAULTS)
def test_npz_members_with_false_headers(tmp_path, case):
    data, fragment = NPY_FAULTS[case]
    assert fragment in refusal(replace_member(tmp_path, data))


def test_npz_of_header_version_2(tmp_path):
    data = npy_bytes((9, 4, 3), data=X.tobytes(), version=(2, 0))
    assert_holds(load(replace_member(tmp_path, data)), raw_arrays(), 255)


def test_npz_of_an_unbounded_compression(tmp_path):
    data = npy_bytes((9, 12), data=bytes(108))
    text = refusal(replace_member(tmp_path, data, method=zipfile.ZIP_BZIP2))
    assert "x_train is compressed with method 12; write it with numpy.savez" in text


def test_npz_with_one_array_twice(tmp_path):
    path = write_npz(tmp_path)
    data = npy_bytes((9, 12), data=bytes(108))
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(path, "a") as archive,
    ):
        archive.writestr("x_train.npy", data)
    assert "array(s) stored twice: x_train" in refusal(path)


def test_npz_damage_is_caught_by_the_checksum(tmp_path):
    path = write_npz(tmp_path)
    data = path.read_bytes()
    assert data.count(X.tobytes()) == 1
    path.write_bytes(flip(data, data.index(X.tobytes()) + 50))
    assert "Bad CRC-32" in refusal(path)


# ---------------------------------------------------------------- Dataset


def values(**replaced):
    return {
        "name": "mine",
        "x_train": np.linspace(0, 1, 12, dtype=np.float32).reshape(4, 3),
        "y_train": np.array([0, 1, 1, 0]),
        "x_test": np.zeros((2, 3), np.float32),
        "y_test": np.array([1, 0]),
        "n_classes": 2,
        **replaced,
    }


def test_a_dataset_is_frozen_and_leaves_the_callers_arrays_alone():
    given = values()
    dataset = Dataset(**given)
    assert (dataset.n_inputs, dataset.scale) == (3, 1.0)
    for key in ARRAYS:
        assert np.shares_memory(getattr(dataset, key), given[key])
        assert given[key].flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            getattr(dataset, key)[...] = 0
    for field in ("name", "x_train", "n_classes"):
        with pytest.raises(AttributeError):
            setattr(dataset, field, None)


@pytest.mark.parametrize(
    ("replaced", "fragment"),
    [
        ({"x_train": [[1.0]]}, "x_train is a list; give a NumPy array of float32"),
        ({"x_train": np.zeros((4, 3))}, "x_train is float64; convert it to float32"),
        ({"y_test": np.array([1, 0], np.int32)}, "y_test is int32; convert it to int64"),
        ({"x_train": np.zeros((3, 4), np.float32).T}, "x_train is not C-contiguous"),
        ({"x_train": np.zeros((4, 3, 1), np.float32)}, "x_train has 3 dimension(s); give 2"),
        ({"x_test": np.full((2, 3), np.nan, np.float32)}, "x_test has 6 value(s)"),
        ({"n_classes": 3}, "n_classes is 3, the labels in y_train need 2"),
        ({"scale": 0.0}, "scale is 0.0"),
        ({"scale": float("nan")}, "scale is nan"),
        ({"y_train": np.array([0, 1, 1])}, "x_train has 4 samples and y_train 3 labels"),
    ],
)
def test_a_dataset_by_hand_is_checked(replaced, fragment):
    with pytest.raises(DataError) as caught:
        Dataset(**values(**replaced))
    assert str(caught.value).startswith("data set mine: ")
    assert fragment in str(caught.value)
