"""The sidecar of an exported file, `<file>.export.json`: who wrote it, with which options, and what it carries.

It is written once, by `base.export`, after the file, and holds the file's SHA-256, so a file and a sidecar that
do not belong together are noticed. It names no folder of this machine, and equal exports give equal bytes.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from lavaghost.base.errors import ExportError, SpecError, join_faults
from lavaghost.base.files import open_regular, read_regular, write_atomic
from lavaghost.base.records import plain
from lavaghost.base.spec import Spec, Text, parse

VERSION = "1.0"
SUFFIX = ".export.json"
MAX_BYTES = 1 << 24
CHUNK = 1 << 20


class Element(Spec):
    """How one element of the network fares in the file."""

    element: Text
    status: Literal["faithful", "approximate", "unsupported"]
    note: Text


class Origin(Spec):
    """Who wrote a file, and what must be known to check it."""

    exporter: Text
    settings: dict[str, Any]
    """Numbers that the reference and the runtime need."""


class Sidecar(Origin):
    """All of `<file>.export.json`."""

    format: Literal["lavaghost.export"]
    version: Annotated[str, Field(pattern=r"^1\.[0-9]{1,4}$")]
    options: dict[str, Any]
    carries: list[Element]
    file: Text
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def beside(path: Path) -> Path:
    """Where the sidecar of `path`, a file or a folder, lies."""
    return path.with_name(path.name + SUFFIX)


def write_sidecar(
    path: Path,
    exporter: str,
    options: Mapping[str, Any],
    settings: Mapping[str, Any],
    carries: Sequence[tuple[str, str, str]],
) -> tuple[Path, bytes]:
    """Write the sidecar of what lies at `path`, and give its path and bytes.

    Raises `ExportError` if JSON cannot hold the settings, `OutputError` if it cannot be written.
    """
    faults: list[str] = []
    values = {
        "format": "lavaghost.export",
        "version": VERSION,
        "exporter": exporter,
        "options": plain(options, "options", faults),
        "settings": plain(settings, "settings", faults),
        "carries": [{"element": e, "status": s, "note": n} for e, s, n in carries],
        "file": path.name,
        "sha256": digest_of(path),
    }
    if faults:
        raise ExportError(f"exporter {exporter!r}: {join_faults(faults)}")
    data = (json.dumps(values, indent=1, allow_nan=False) + "\n").encode()
    return write_atomic(beside(path), data), data


def read_sidecar(path: Path) -> Sidecar | None:
    """The sidecar of `path`, its hash checked, or None if there is none. Raises `ExportError`."""
    file = beside(path)
    try:
        data = read_regular(file, MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ExportError(f"cannot read {file}: {error.strerror or error}; export again") from error
    try:
        values = json.loads(data)
        found = parse(Sidecar, values if isinstance(values, dict) else {"format": values})
    except (ValueError, RecursionError, SpecError) as error:
        raise ExportError(
            join_faults([f"{file} is no sidecar of an export ({error!s:.300})", "export again"])
        ) from (error)
    if (is_now := digest_of(path)) != found.sha256:
        raise ExportError(
            f"{path} has the SHA-256 {is_now:.12}..., its sidecar says {found.sha256:.12}...: one of them was changed; "
            f"export again, or remove {file.name} to verify the file by what it says of itself"
        )
    return found


def digest_of(path: Path) -> str:
    """SHA-256 of a file; of a folder, that of the lines `hash  name` of its files. Raises `ExportError`."""
    try:
        if not path.is_dir():
            return _file_digest(path)
        names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
        lines = "".join(f"{_file_digest(path / name)}  {name}\n" for name in names)
        return hashlib.sha256(lines.encode()).hexdigest()
    except OSError as error:
        raise ExportError(f"cannot read {path}: {error.strerror or error}; export again") from error


def _file_digest(path: Path) -> str:
    found = hashlib.sha256()
    with open_regular(path) as stream:
        while chunk := stream.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()
