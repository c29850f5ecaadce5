"""Files, keys and labels of another kind: the error holds one line of Python, and that line makes a data set."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lavaghost.base.errors import DataError
from lavaghost.datasets import load

X = np.random.default_rng(0).random((20, 3))
Y = np.arange(20) % 4


def refusal(source: Path | str) -> str:
    with pytest.raises(DataError) as caught:
        load(source)
    text = str(caught.value)
    assert "\n" not in text
    return text


def run_line(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the line of Python in an error leaves in `folder`, loaded."""
    monkeypatch.chdir(folder)
    code = "import numpy as np" + text.partition("import numpy as np")[2]
    exec(code, {})
    return load(next(path for path in (folder / "set.npz", folder / "renamed.npz") if path.exists()))


def assert_same_samples(found: Any) -> None:
    """The 20 samples with their labels, in any order, a fifth of them for the test."""
    assert (len(found.x_train), len(found.x_test)) == (16, 4)
    x, y = np.concatenate([found.x_train, found.x_test]), np.concatenate([found.y_train, found.y_test])
    order = np.lexsort(x.T)
    expected = np.lexsort(X.astype(np.float32).T)
    np.testing.assert_allclose(x[order], X[expected], rtol=1e-6)
    np.testing.assert_array_equal(y[order], Y[expected])


@pytest.mark.parametrize(
    ("name", "delimiter", "head"),
    [
        ("a.csv", ",", ""),
        ("A.CSV", ",", "u,v,w,class\n"),
        ("a.tsv", "\t", "u\tv\tw\tclass\n"),
        ("a.txt", " ", ""),
        ("a.csv.gz", ",", ""),
    ],
)
def test_tables_of_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, delimiter: str, head: str
) -> None:
    rows = "".join(
        delimiter.join(map(repr, [*map(float, x), int(y)])) + "\n" for x, y in zip(X, Y, strict=True)
    )
    data = (head + rows).encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    text = refusal(tmp_path / name)
    assert "the class in the last column" in text
    assert_same_samples(run_line(text, tmp_path, monkeypatch))


def test_arrays_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = {"x_train": X[:16], "y_train": Y[:16], "x_test": X[16:], "y_test": Y[16:]}
    for key, array in arrays.items():
        np.save(tmp_path / f"{key}.npy", array)
    found = run_line(refusal(tmp_path / "x_train.npy"), tmp_path, monkeypatch)
    for key, array in arrays.items():
        np.testing.assert_array_equal(getattr(found, key), array.astype(getattr(found, key).dtype))


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("a.parquet", "pandas.read_parquet"),
        ("a.mat", "loadmat"),
        ("a.h5", "h5py.File"),
        ("a.pt", "torch.load"),
        ("a.pkl", "pickle.load"),
        ("a.png", "Image.open"),
        ("a.xlsx", "pandas.read_excel"),
        ("a.unknown", "np.savez"),
        ("none", "np.savez"),
    ],
)
def test_other_files_are_pointed_to_what_reads_them(tmp_path: Path, name: str, reader: str) -> None:
    (tmp_path / name).write_bytes(b"0")
    text = refusal(tmp_path / name)
    assert reader in text
    assert "x_train=" in text
    compile("import numpy as np" + text.partition("import numpy as np")[2], name, "exec")


ALL_FOUR = {"x_train": X[:16], "y_train": Y[:16], "x_test": X[16:], "y_test": Y[16:]}


@pytest.mark.parametrize(
    "keys",
    [
        ("X_train", "y_train", "X_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("trainX", "trainY", "testX", "testY"),
        ("xtrain", "ytrain", "xtest", "ytest"),
        ("train_data", "train_targets", "test_data", "test_targets"),
        ("arr_0", "arr_1", "arr_2", "arr_3"),
    ],
)
def test_other_keys_are_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, ...]) -> None:
    arrays: dict[str, Any] = dict(zip(keys, ALL_FOUR.values(), strict=True))
    np.savez(tmp_path / "other.npz", **arrays)
    found = run_line(refusal(tmp_path / "other.npz"), tmp_path, monkeypatch)
    for key, array in ALL_FOUR.items():
        np.testing.assert_array_equal(getattr(found, key), array.astype(getattr(found, key).dtype))


@pytest.mark.parametrize(
    "keys", [("x", "y"), ("X", "y"), ("images", "labels"), ("data", "target"), ("arr_0", "arr_1")]
)
def test_one_set_is_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, ...]) -> None:
    arrays: dict[str, Any] = dict(zip(keys, (X, Y), strict=True))
    np.savez(tmp_path / "one.npz", **arrays)
    assert_same_samples(run_line(refusal(tmp_path / "one.npz"), tmp_path, monkeypatch))


def test_keys_that_say_nothing_get_no_line(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", foo=X, bar=Y)
    text = refusal(tmp_path / "one.npz")
    assert "array(s) missing: x_train" in text
    assert "import" not in text


LABELS: dict[str, tuple[NDArray, str]] = {
    "one-hot floats": (np.eye(4)[Y], "y_train.argmax(axis=1)"),
    "one-hot bytes": (np.eye(4, dtype=np.uint8)[Y], "y_train.argmax(axis=1)"),
    "one-hot bools": (np.eye(4, dtype=bool)[Y], "y_train.argmax(axis=1)"),
    "one column": (Y[:, None], "y_train.ravel()"),
    "one column of floats": (Y[:, None] / 1.0, "y_train.ravel().astype(int)"),
    "whole floats": (Y.astype(np.float32), "y_train.astype(int)"),
    "bools": (Y % 2 == 0, "y_train.astype(int)"),
    "uint64": (Y.astype(np.uint64), "y_train.astype(int)"),
}


@pytest.mark.parametrize("case", LABELS)
def test_labels_that_are_class_numbers_in_another_form(tmp_path: Path, case: str) -> None:
    y, remedy = LABELS[case]
    np.savez(tmp_path / "set.npz", **(ALL_FOUR | {"y_train": y[:16]}))
    text = refusal(tmp_path / "set.npz")
    assert remedy in text
    y_train = eval(remedy, {"y_train": y})
    np.testing.assert_array_equal(y_train, (Y % 2 == 0).astype(int) if case == "bools" else Y)
    assert y_train.dtype == np.int64


def test_labels_of_text(tmp_path: Path) -> None:
    words = np.array(["cat", "dog", "ant", "bee"])[Y]
    np.savez(tmp_path / "set.npz", **(ALL_FOUR | {"y_train": words[:16], "y_test": words[16:]}))
    line = refusal(tmp_path / "set.npz").partition("int64 or smaller: ")[2].split("; y_test is")[0]
    names: dict[str, Any] = {"np": np, "y_train": words[:16], "y_test": words[16:]}
    exec(line, names)
    np.testing.assert_array_equal(names["classes"][names["y_train"]], words[:16])
    np.testing.assert_array_equal(names["classes"][names["y_test"]], words[16:])


@pytest.mark.parametrize(
    ("y", "fragment"),
    [
        (Y / 3, "0.333333 at [1] is no class: targets of regression are unsupported"),
        (X, "is no class: targets of regression are unsupported"),
        (np.where(Y == 2, np.nan, Y), "nan at [2] is no class"),
        ((X > 0.5).astype(np.uint8), "several labels for one sample are not supported"),
        ((X > 0.5).astype(np.float64), "several labels for one sample are not supported"),
    ],
)
def test_targets_of_other_tasks_are_said_to_be_unsupported(tmp_path: Path, y: NDArray, fragment: str) -> None:
    np.savez(tmp_path / "set.npz", **(ALL_FOUR | {"y_train": y[:16]}))
    assert fragment in refusal(tmp_path / "set.npz")


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, np.uint16, bool])
def test_images_of_other_integers_become_floats(tmp_path: Path, dtype: Any) -> None:
    x: NDArray = (X * 1000).astype(dtype)
    np.savez(tmp_path / "set.npz", **(ALL_FOUR | {"x_train": x[:16], "x_test": x[16:]}))
    text = refusal(tmp_path / "set.npz")
    line = text.partition("such as ")[2].split(";")[0]
    stored = {
        key: eval(line, {"x_train": part, "full_scale": 1000})
        for key, part in (("x_train", x[:16]), ("x_test", x[16:]))
    }
    np.savez(tmp_path / "set.npz", **(ALL_FOUR | stored))
    assert load(tmp_path / "set.npz").x_train.max() <= 1
