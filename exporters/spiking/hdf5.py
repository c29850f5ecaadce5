"""HDF5 bytes from a flat tree, with h5py, which is optional."""

import io
from collections.abc import Mapping
from typing import Any

from lavaghost.base.errors import MissingError


def library(exporter: str) -> Any:
    """The module h5py. Raises `MissingError`."""
    try:
        import h5py
    except ImportError as error:
        raise MissingError(
            f"exporter {exporter!r} needs h5py, which is not installed; pip install 'lavaghost[exporters]'"
        ) from error
    return h5py


def hdf5_bytes(exporter: str, tree: Mapping[str, Any]) -> bytes:
    """A file of `tree`, path -> value; equal trees give equal bytes, for HDF5 is asked to note no times."""
    stream = io.BytesIO()
    with library(exporter).File(stream, "w") as file:
        for name, value in tree.items():
            file.create_dataset(name, data=value, track_times=False)
    return stream.getvalue()
