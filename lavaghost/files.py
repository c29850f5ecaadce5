"""Files that are whole or absent: atomic writes, hashes, and paths that stay inside their folder."""

import hashlib
import os
import tempfile
from pathlib import Path

from lavaghost.errors import ModelFileError, OutputError


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
