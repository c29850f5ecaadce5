"""Numbers from a file's bytes into a preallocated array, a chunk at a time.

Memory stays at the final array plus one chunk, and no more bytes are read than a header promises
plus one, whatever a compressed file would expand to.
"""

import io
import math

import numpy as np
from numpy.typing import NDArray

from lavaghost.base.errors import DataError

CHUNK_BYTES = 1 << 20
# of one array as it is held in memory; full MNIST takes 0.19 GB
LIMIT_BYTES = 4 << 30


class ByteSource:
    """A stream that counts its bytes and names its file when they are damaged.

    stream: a binary file, gzip or zip member. label: what an error calls it.
    """

    def __init__(self, stream: io.BufferedIOBase, label: str) -> None:
        self.stream = stream
        self.label = label
        self.count = 0

    def fill(self, buffer: memoryview) -> bool:
        """Fill `buffer` with the next bytes; False if the stream ends before."""
        filled = 0
        while filled < len(buffer):
            try:
                piece = self._read(len(buffer) - filled)
            except EOFError:
                # a compressed stream that stops before its own end
                return False
            if not piece:
                return False
            buffer[filled : filled + len(piece)] = piece
            filled += len(piece)
        return True

    def at_end(self) -> bool:
        """True if no byte is left; gzip and zip compare their checksum here."""
        try:
            return not self._read(1)
        # all data are there, but what would prove them right is not
        except EOFError as error:
            raise DataError(
                f"{self.label} is truncated after {self.count} bytes, before the end of its compressed "
                "stream; fetch or write it again"
            ) from error

    def _read(self, size: int) -> bytes:
        try:
            piece = self.stream.read1(size)
        except EOFError:
            raise
        # damage surfaces as a dozen types: BadZipFile, zlib.error, OSError, NotImplementedError...
        except Exception as error:
            raise DataError(
                f"{self.label} is damaged after {self.count} bytes ({describe(error)}); fetch or write it again"
            ) from error
        self.count += len(piece)
        return piece


def describe(error: BaseException) -> str:
    """`error` for a message: its type's name and its text, if it has one."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def allocate(label: str, shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray:
    """An array of `shape`, not initialised; `DataError` if a header asks for too much."""
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    size = " x ".join(str(n) for n in shape)
    if n_bytes > LIMIT_BYTES:
        raise DataError(
            f"{label} promises {size} values, {n_bytes} bytes as {np.dtype(dtype)}, above the "
            f"limit of {LIMIT_BYTES}; use a part of the data set or check the header"
        )
    try:
        return np.empty(shape, dtype)
    except (MemoryError, ValueError, OverflowError) as error:
        raise DataError(
            f"{label} promises {size} values, and memory for {n_bytes} bytes is not to be had; "
            "use a part of the data set"
        ) from error


def pour(source: ByteSource, out: NDArray | np.flatiter, raw: np.dtype, divisor: int = 1) -> None:
    """Fill flat `out` (size,) with the rest of `source`: numbers of dtype `raw` over `divisor`.

    Division, and not multiplication with a rounded factor, makes x the float32 nearest to
    raw / divisor. Raises `DataError` if the source has fewer or more bytes than `out` needs.
    """
    size = len(out)
    per_chunk = max(1, CHUNK_BYTES // raw.itemsize)
    buffer = memoryview(bytearray(min(size, per_chunk) * raw.itemsize))
    expected = source.count + size * raw.itemsize
    for start in range(0, size, per_chunk):
        stop = min(start + per_chunk, size)
        part = buffer[: (stop - start) * raw.itemsize]
        if not source.fill(part):
            raise DataError(
                f"{source.label} is truncated: expected {expected} bytes, has {source.count}; "
                "fetch or write it again"
            )
        numbers = np.frombuffer(part, dtype=raw)
        # a float64 beyond float32 becomes infinite here and is named by value_faults
        with np.errstate(over="ignore", invalid="ignore"):
            out[start:stop] = numbers if divisor == 1 else numbers / np.float32(divisor)
    if not source.at_end():
        raise DataError(
            f"{source.label} has trailing bytes after the {expected} that its header promises; "
            "fetch or write it again"
        )
