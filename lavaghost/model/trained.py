"""`TrainedNetwork`: the result of training as a value, with save and load.

A saved network is a folder of two files, `model.yaml` (manifest.py) and `model.safetensors`. Loading trusts
neither: sizes are checked before anything is read, the hash before anything is parsed, and every name,
shape, type and number before it is used. Nothing in the files is ever executed.
"""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lavaghost.base.errors import ModelFileError, OutputError, SpecError, join_faults
from lavaghost.base.files import sha256, write_atomic
from lavaghost.base.records import plain, text_faults
from lavaghost.model.manifest import (
    MAX_BYTES,
    VERSION,
    InputScaling,
    Manifest,
    Weights,
    from_yaml,
    populations,
    projections,
    to_yaml,
)
from lavaghost.model.weights import pack, read_part, read_weights, unpack
from lavaghost.net.parameters import Parameters, shapes
from lavaghost.net.spec import Learning, Network, check_together

MANIFEST_NAME, WEIGHTS_NAME = "model.yaml", "model.safetensors"


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network, how it was trained, its numbers, and what was measured. Raises `SpecError`.

    params       float32, finite, of the shapes that `network` has; copied and made read-only
    input_scale  raw sample * input_scale = r_0, as in `Dataset.scale`
    labels       a name or number for each output, no two alike
    dataset      name of the data set that it was trained on
    record       measured figures, whatever JSON can hold; plain copies are kept, to be left unchanged

    Two are equal if they are saved as the same bytes.
    """

    network: Network
    learning: Learning
    params: Parameters
    input_scale: float
    labels: tuple[int | str, ...]
    dataset: str
    record: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        faults = [
            *_number_faults(self.network, self.params),
            *_label_faults(self.network, self.labels),
            *text_faults("dataset", self.dataset),
        ]
        try:
            check_together(self.network, self.learning)
        except SpecError as error:
            faults.append(str(error))
        scale = float(self.input_scale)
        # the factor is used in float32, where it must be neither zero nor denormal
        if not np.finfo(np.float32).tiny <= scale <= np.finfo(np.float32).max:
            faults.append(f"input_scale is {self.input_scale}; give a factor above 0 that float32 holds")
        record = plain(self.record, "record", faults)
        if faults:
            raise SpecError(join_faults(["trained network: " + faults[0], *faults[1:]]))
        object.__setattr__(self, "params", _frozen(self.params))
        object.__setattr__(self, "input_scale", scale)
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "record", record)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TrainedNetwork):
            return NotImplemented
        return self._files() == other._files()

    def __hash__(self) -> int:
        return hash((self.network, self.learning, self.labels, self.dataset))

    def save(self, folder: Path | str) -> Path:
        """Write both files into `folder` and return the manifest's path. Equal values, equal bytes.

        New weights are whole on the disk before an old manifest goes, and that goes before they take their
        name. A full disk leaves the old network, a crash at worst a folder without a manifest; never a
        manifest that describes other weights. Raises `OutputError`.
        """
        manifest, weights = self._files()
        folder = Path(folder)
        staged = write_atomic(folder / f".{WEIGHTS_NAME}.new", weights)
        try:
            (folder / MANIFEST_NAME).unlink(missing_ok=True)
            staged.replace(folder / WEIGHTS_NAME)
        except OSError as error:
            staged.unlink(missing_ok=True)
            raise OutputError(
                f"cannot replace the network in {folder}: {error.strerror or error}; choose another folder"
            ) from error
        return write_atomic(folder / MANIFEST_NAME, manifest)

    def _files(self) -> tuple[bytes, bytes]:
        """The bytes of the manifest and of the weights."""
        weights = pack(self.params)
        manifest = Manifest(
            format="lavaghost.network",
            version=VERSION,
            producer=f"lavaghost {importlib.metadata.version('lavaghost')}",
            dataset=self.dataset,
            network=self.network,
            learning=self.learning,
            input=InputScaling(size=self.network.layers[0], scale=self.input_scale),
            labels=list(self.labels),
            record=dict(self.record),
            populations=populations(self.network),
            projections=projections(self.network),
            weights=Weights(
                path=WEIGHTS_NAME,
                format="safetensors",
                sha256=sha256(weights),
                bytes=len(weights),
            ),
        )
        return to_yaml(manifest), weights

    @classmethod
    def load(cls, path: Path | str) -> "TrainedNetwork":
        """The network whose manifest, or whose folder, is `path`. Raises `ModelFileError`."""
        path = Path(path)
        path = path / MANIFEST_NAME if path.is_dir() else path
        manifest = from_yaml(read_part(path, MAX_BYTES), str(path))
        weights = read_weights(path, manifest)
        try:
            return cls(
                network=manifest.network,
                learning=manifest.learning,
                params=unpack(weights, manifest),
                input_scale=manifest.input.scale,
                labels=tuple(manifest.labels),
                dataset=manifest.dataset,
                record=manifest.record,
            )
        except (SpecError, ModelFileError) as error:
            raise ModelFileError(f"{path}: {error}") from error


def _number_faults(network: Network, params: Parameters) -> list[str]:
    wanted, found = shapes(network), params.named()
    faults = []
    if names := sorted(wanted.keys() ^ found.keys()):
        faults.append(f"params and network differ in {', '.join(names[:5])}")
    for key in (name for name in found if name in wanted):
        array = found[key]
        if not isinstance(array, np.ndarray) or array.dtype != np.float32:
            kind = getattr(array, "dtype", type(array).__name__)
            faults.append(f"{key} is {kind}; use params.astype(numpy.float32)")
        elif array.shape != wanted[key]:
            faults.append(f"{key} is {array.shape}, the network needs {wanted[key]}")
        elif bad := int(array.size - np.count_nonzero(np.isfinite(array))):
            faults.append(f"{key} has {bad} value(s) that are NaN or infinite; training diverged")
    return faults


def _label_faults(network: Network, labels: tuple[int | str, ...]) -> list[str]:
    faults = []
    if len(labels) != network.layers[-1]:
        faults.append(f"there are {len(labels)} labels for {network.layers[-1]} outputs")
    for i, label in enumerate(labels):
        if isinstance(label, str):
            faults += text_faults(f"labels.{i}", label)
        elif type(label) is not int or abs(label) >= 1 << 64:
            faults.append(f"labels.{i} is {label!r:.40}; give an int of 64 bits or a str")
    if not faults and len(set(labels)) != len(labels):
        faults.append("labels are not all different")
    return faults


def _frozen(params: Parameters) -> Parameters:
    copies = Parameters(*(tuple(np.array(a, np.float32, order="C") for a in g) for g in params))
    for array in copies.named().values():
        array.flags.writeable = False
    return copies
