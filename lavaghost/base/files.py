"""Files that are whole or absent: atomic writes, hashes, paths that stay inside their folder, and one reader.

Whoever opens a file that may come from anywhere does it by `open_regular`; whoever fills a folder, within `locked`.
"""

import errno
import fcntl
import hashlib
import os
import re
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from lavaghost.base.errors import ModelFileError, OutputError, warn

LOCK_NAME = ".lavaghost.lock"
"""In a folder while it is written; its text says by whom."""
TEMPORARY = re.compile(
    r"\.[^/]+\.(yaml|safetensors|new|npz|png|svg|csv|json|md|onnx|net|nir)\.[a-z0-9_]{8}|\.model\.safetensors\.new"
)
"""Names under which `write_atomic` writes; one that nobody holds is what a killed run has left."""
_held: dict[Path, int] = {}
"""The locks of this process, and the thread that has each."""
_held_guard = threading.Lock()


@contextmanager
def open_regular(path: Path | str, limit: int | None = None, *, links: bool = True) -> Iterator[BufferedReader]:
    """A regular file of at most `limit` bytes, opened for reading; with `links` false, no symbolic link.

    What would block or never end (a pipe, a device, a folder) is refused at once. Raises `OSError`, whose `strerror`
    says why.
    """
    try:
        # a pipe without a writer would block in open itself
        follow = 0 if links else os.O_NOFOLLOW
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | follow)
    except ValueError as error:  # a NUL in the name
        raise OSError(errno.EINVAL, str(error), str(path)) from error
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    with os.fdopen(handle, "rb") as stream:
        if limit is not None and status.st_size > limit:
            raise OSError(errno.EFBIG, f"it has {status.st_size} bytes, more than {limit}", str(path))
        yield stream


def read_regular(path: Path | str, limit: int) -> bytes:
    """All bytes of a regular file, at most `limit`. Raises `OSError` as `open_regular` does."""
    with open_regular(path, limit) as stream:
        size = os.fstat(stream.fileno()).st_size
        data = stream.read(size + 1)
    if len(data) > size:  # it grows, or says that it is empty, as the files of /proc do
        raise OSError(errno.EFBIG, f"it has more than the {size} bytes that it says", str(path))
    return data


@contextmanager
def locked(folder: Path | str) -> Iterator[Path]:
    """While the block runs no other run writes into `folder`, which is made; what killed runs left there goes.

    The lock is the system's and ends with its process, however that ends; the thread that has it may enter again.
    Raises `OutputError`, which names the holder, or says why nothing can be written there.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        place = folder.resolve() / LOCK_NAME
        with _held_guard:  # locks of one process do not exclude each other
            if _held.get(place, threading.get_ident()) != threading.get_ident():
                raise OutputError(
                    f"{folder} is being written by another run of this program; use one folder a run"
                )
            handle = None if place in _held else _acquire(place, folder)
            _held[place] = threading.get_ident()
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(
            f"cannot write to {folder}: {error.strerror or error}; choose another folder with --out"
        ) from error
    if handle is None:
        yield folder
        return
    try:
        _remove_stale(folder)
        yield folder
    finally:
        with _held_guard:
            del _held[place]
            place.unlink(missing_ok=True)  # while it is held: nobody else can have locked it
            os.close(handle)


def _acquire(place: Path, folder: Path) -> int:
    """A handle that holds the lock of `place`. Raises `OSError`, or `OutputError` where another process has it."""
    while True:
        handle = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if not _locked_or_warned(handle, folder):
                holder = os.read(handle, 300).decode("utf-8", "replace").strip() or "another run"
                raise OutputError(
                    f"{folder} is being written by {holder}; wait for it, or choose another --out"
                )
            # the one who held it before may have removed this very file
            if place.exists() and os.path.samestat(os.fstat(handle), place.stat()):
                os.ftruncate(handle, 0)
                name = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
                os.write(handle, f"process {os.getpid()} ({name:.200})\n".encode("utf-8", "replace"))
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _locked_or_warned(handle: int, folder: Path) -> bool:
    try:
        return _lock(handle)
    except OSError as error:
        warn(f"{folder} cannot be locked ({error.strerror}); start no second run with it")
        return True


def _lock(handle: int) -> bool:
    """Lock a whole file without waiting; False if another process has it. Children do not inherit the lock.

    Raises `OSError` on a file system that knows no locks.
    """
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise
    return True


def _remove_stale(folder: Path) -> None:
    """Remove temporary files that no process is writing."""
    for path in folder.iterdir():
        if TEMPORARY.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            with suppress(OSError), path.open("r+b") as stream:
                if _lock(stream.fileno()):
                    path.unlink(missing_ok=True)


def write_atomic(path: Path | str, data: bytes) -> Path:
    """Write `data` to `path` so that a reader, or a crash, sees the old file or the new one.

    The bytes go to a temporary file in the same folder, are flushed to the disk and renamed.
    Missing parent folders are made. Raises `OutputError` naming the path and the reason.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as stream:
            with suppress(OSError):
                _lock(handle)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes the file private; a result is as readable as any other file of the user
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; choose a folder that can be written"
        ) from error
    except BaseException:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def inside(folder: Path, name: str) -> Path:
    """`folder / name`, refused with `ModelFileError` if it would leave `folder`."""
    root = folder.resolve()
    target = (root / name).resolve()
    if not name or target == root or root not in target.parents:
        raise ModelFileError(f"path {name!r} leaves its folder {folder}; name a file inside it")
    return target
