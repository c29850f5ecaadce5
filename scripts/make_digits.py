"""Write lavaghost/datasets/digits.npz, the embedded data set, from scikit-learn's copy.

    pip install scikit-learn
    python scripts/make_digits.py           # write the file
    python scripts/make_digits.py --check   # compare the file that is there, write nothing

scikit-learn is needed for this alone; it is no dependency of the package. The split depends on no
random number generator, so every version of NumPy and scikit-learn gives the same file content:

1. Quotas: class c gets n_c * 360 / 1797 test samples, rounded down; the samples still missing go to
   the classes with the largest remainders (of equal ones, the smaller class first).
2. Ranks: in each class the samples are sorted by the SHA-256 of their index (4 bytes, big-endian)
   followed by their 64 pixel bytes; the first ones up to the quota are the test set.
3. Both index arrays are stored in ascending order.
"""

import argparse
import hashlib
import io
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lavaghost.base.files import sha256, write_atomic

TARGET = Path(__file__).resolve().parents[1] / "lavaghost" / "datasets" / "digits.npz"
N_TEST = 360


def quotas(counts: list[int], n_test: int) -> list[int]:
    """Test samples per class by the method of largest remainders; sums to `n_test`."""
    total = sum(counts)
    shares = [count * n_test // total for count in counts]
    remainders = [count * n_test % total for count in counts]
    order = sorted(range(len(counts)), key=lambda c: (-remainders[c], c))
    for c in order[: n_test - sum(shares)]:
        shares[c] += 1
    return shares


def split(
    images: NDArray[np.uint8], labels: NDArray[np.uint8], n_test: int
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Ascending indices (train, test) for images (n, 64) and labels (n,), as described above."""
    groups = [np.flatnonzero(labels == c).tolist() for c in range(int(labels.max()) + 1)]
    test: list[int] = []
    for group, quota in zip(groups, quotas([len(g) for g in groups], n_test), strict=True):
        ranked = sorted(
            group, key=lambda i: hashlib.sha256(i.to_bytes(4, "big") + images[i].tobytes()).digest()
        )
        test += ranked[:quota]
    train = sorted(set(range(len(labels))) - set(test))
    return np.array(train, np.uint16), np.array(sorted(test), np.uint16)


def make_arrays() -> dict[str, NDArray]:
    """Content of the file: images (1797, 64), labels (1797,), train (1437,), test (360,)."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    images, labels = np.asarray(x, np.uint8), np.asarray(y, np.uint8)
    if not np.array_equal(images, x) or images.shape != (1797, 64) or images.max() > 16:
        raise SystemExit("make_digits: scikit-learn's digits are not 1797 x 64 integers 0..16")
    train, test = split(images, labels, N_TEST)
    return {"images": images, "labels": labels, "train": train, "test": test}


def main() -> int:
    """Write or check the file; 1 if the check finds a difference."""
    parser = argparse.ArgumentParser(description="make the embedded digits data set")
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    arrays = make_arrays()
    if parser.parse_args().check:
        with np.load(TARGET, allow_pickle=False) as stored:
            same = sorted(stored) == sorted(arrays) and all(
                stored[k].dtype == a.dtype and np.array_equal(stored[k], a) for k, a in arrays.items()
            )
        sys.stdout.write(f"{TARGET.name}: {'the same' if same else 'DIFFERENT'}\n")
        return 0 if same else 1
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)  # pyright: ignore[reportArgumentType]
    write_atomic(TARGET, packed.getvalue())
    sys.stdout.write(f"{TARGET.name}: {packed.tell()} bytes, sha256 {sha256(packed.getvalue())}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
