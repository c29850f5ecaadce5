"""The npz layout, and one line of Python that brings other files, and other keys, to it."""

import re
from collections.abc import Sequence
from pathlib import Path

from lavaghost.datasets.checks import ARRAYS

IMPORT = "import numpy as np"
SPLIT = (
    "i = np.random.default_rng(0).permutation(len(y)); n = len(y) * 4 // 5; np.savez({out!r}, x_train=x[i[:n]], "
    "y_train=y[i[:n]], x_test=x[i[n:]], y_test=y[i[n:]])"
)
"""Saves x (samples, features) and class numbers y (samples,); a fifth is the test set."""
TEXTS = {".csv": "','", ".tsv": "'\\t'", ".txt": "None", ".dat": "None", ".data": "','"}
"""Suffixes of tables of text, and what stands between two columns."""
READERS = {
    ".parquet": "import pandas; a = pandas.read_parquet({path!r}).to_numpy()",
    ".feather": "import pandas; a = pandas.read_feather({path!r}).to_numpy()",
    ".xlsx": "import pandas; a = pandas.read_excel({path!r}).to_numpy()",
    ".xls": "import pandas; a = pandas.read_excel({path!r}).to_numpy()",
    ".arff": "import pandas; from scipy.io import arff; a = pandas.DataFrame(arff.loadarff({path!r})[0]).to_numpy()",
}
"""Tables: one row for each sample, the class in the last column."""
HOLDERS = {
    ".mat": "from scipy.io import loadmat; d = loadmat({path!r})",
    ".h5": "import h5py; d = h5py.File({path!r})",
    ".hdf5": "import h5py; d = h5py.File({path!r})",
    ".pt": "import torch; d = torch.load({path!r}, weights_only=True)",
    ".pth": "import torch; d = torch.load({path!r}, weights_only=True)",
    ".pkl": "import pickle; d = pickle.load(open({path!r}, 'rb'))",
    ".pickle": "import pickle; d = pickle.load(open({path!r}, 'rb'))",
    ".joblib": "import joblib; d = joblib.load({path!r})",
    ".json": "import json; d = json.load(open({path!r}))",
    ".npz": "d = np.load({path!r})",
}
"""What holds several arrays by their names."""
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm", ".webp")
PACKED = (".gz", ".bz2", ".xz")
INPUTS = (
    "x",
    "data",
    "image",
    "images",
    "img",
    "imgs",
    "feature",
    "features",
    "input",
    "inputs",
    "sample",
    "samples",
)
LABELS = ("y", "label", "labels", "lbl", "target", "targets", "class", "classes", "output", "outputs")


def in_python(path: Path) -> str:
    """One line of Python, introduced, that makes a data set of the file `path`, as far as its kind is known."""
    line = _line(path)
    table = ", the class in the last column" if "a[:, -1]" in line else ""
    return f"in Python{table}: {line}"


def _line(path: Path) -> str:
    suffixes = [s.lower() for s in path.suffixes]
    packed = bool(suffixes) and suffixes[-1] in PACKED
    kind = suffixes[-2] if packed and len(suffixes) > 1 else suffixes[-1] if suffixes else ""
    name, out = str(path), "set.npz"
    table = (
        "; x, y = a[:, :-1].astype('float32'), np.unique(a[:, -1], return_inverse=True)[1]; "
        + SPLIT.format(out=out)
    )
    if kind in TEXTS:
        # numpy reads gzip, bzip2 and xz by itself
        read = f"a = np.genfromtxt({name!r}, delimiter={TEXTS[kind]})"
        return f"{IMPORT}; {read}; a = a[~np.isnan(a).any(axis=1)]{table}"
    if kind in READERS and not packed:
        return f"{IMPORT}; {READERS[kind].format(path=name)}{table}"
    if kind == ".npy":
        parts = ", ".join(f"{key}=np.load('{key}.npy')" for key in ARRAYS)
        return f"{IMPORT}; np.savez({out!r}, {parts})"
    if kind in IMAGES:
        read = f"x = np.stack([np.asarray(Image.open(p).convert('L')) for p in sorted(Path('.').glob('*/*{kind}'))])"
        label = f"y = np.unique([p.parent.name for p in sorted(Path('.').glob('*/*{kind}'))], return_inverse=True)[1]"
        return f"{IMPORT}; from pathlib import Path; from PIL import Image; {read}; {label}; {SPLIT.format(out=out)}"
    parts = ", ".join(f"{key}=d['{key}']" for key in ARRAYS)
    if kind in HOLDERS and not packed and kind != ".npz":
        return f"{IMPORT}; {HOLDERS[kind].format(path=name)}; np.savez({out!r}, {parts})"
    return f"{IMPORT}; np.savez({out!r}, {', '.join(f'{key}={key}' for key in ARRAYS)})"


def renamed(path: Path, keys: Sequence[str]) -> str:
    """Python that brings an npz file with other `keys` to the layout, or "" if they cannot be guessed."""
    if found := _parts(keys):
        pairs = ", ".join(f"{part}=d[{key!r}]" for part, key in found.items())
        return f"{IMPORT}; d = np.load({path.name!r}); np.savez('renamed.npz', {pairs})"
    pair = [next((key for key in keys if key.lower() in names), None) for names in (INPUTS, LABELS)]
    if None in pair and list(keys) == ["arr_0", "arr_1"]:
        pair = list(keys)
    if None in pair:
        return ""
    x, y = pair
    read = f"d = np.load({path.name!r}); x, y = d[{x!r}], d[{y!r}]"
    return f"{IMPORT}; {read}; {SPLIT.format(out='renamed.npz')}"


def _parts(keys: Sequence[str]) -> dict[str, str]:
    """The key of each array, if all four can be told."""
    if list(keys) == ["arr_0", "arr_1", "arr_2", "arr_3"]:
        # the order in which Keras gives them
        return dict(zip(ARRAYS, keys, strict=True))
    found: dict[str, str] = {}
    for key in keys:
        words = re.findall(r"[a-z]+|\d+", re.sub(r"([a-z])([A-Z])", r"\1_\2", key).lower())
        # such as xtrain
        words = [
            word for w in words for word in (re.split(r"(?<=^[xy])(?=train|test)", w) if len(w) > 1 else [w])
        ]
        part = "train" if "train" in words or "training" in words else "test" if "test" in words else None
        axis = "x" if set(words) & set(INPUTS) else "y" if set(words) & set(LABELS) else None
        if part and axis:
            found.setdefault(f"{axis}_{part}", key)
    return {key: found[key] for key in ARRAYS} if len(found) == len(ARRAYS) else {}
