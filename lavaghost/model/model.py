"""`Model`: a trained network as a value, with what it answers, save and load.

A saved network is a folder of two files, `model.yaml` (manifest.py) and `model.safetensors`. Loading trusts
neither: sizes are checked before anything is read, the hash before anything is parsed, and every name,
shape, type and number before it is used. Nothing in the files is ever executed.
"""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lavaghost.base.errors import ModelFileError, OutputError, SpecError, join_faults
from lavaghost.base.files import sha256, write_atomic
from lavaghost.base.names import ArithmeticName
from lavaghost.base.records import plain, text_faults
from lavaghost.datasets import Dataset
from lavaghost.methods.base import Method
from lavaghost.methods.by_name import check_together
from lavaghost.methods.learning import Learning
from lavaghost.model.answers import in_integers, settled
from lavaghost.model.manifest import (
    MAX_BYTES,
    VERSION,
    InputScaling,
    Manifest,
    Numbers,
    Weights,
    from_yaml,
    graph_of,
    to_yaml,
)
from lavaghost.model.weights import STATE, is_old, pack, read_part, read_weights, unpack
from lavaghost.net.graph import Graph
from lavaghost.net.network import Network
from lavaghost.net.parameters import Parameters, shapes
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.integers import Integers
from lavaghost.numbers.widths import LoihiWidths, parse_formats
from lavaghost.online.integers.settings import IntegerLearning

MANIFEST_NAME, WEIGHTS_NAME = "model.yaml", "model.safetensors"


@dataclass(frozen=True, eq=False)
class Model:
    """A network, how it was trained, its numbers, and what was measured. Raises `SpecError`.

    tensors      `Parameters` in float32, finite, or the `Integers` of a chip; of the shapes that `graph` has
    input_scale  raw sample * input_scale = r_0, as in `Dataset.scale`
    labels       a name or number for each output, no two alike
    dataset      name of the data set that it was trained on
    record       measured figures, whatever JSON can hold; plain copies are kept, to be left unchanged
    state        the arrays of its method, as they were when training ended

    Two are equal if they are saved as the same bytes. Example: `Model.load("out/mine").predict(samples)`.
    """

    network: Network
    method: Method
    learning: Learning | IntegerLearning
    tensors: Parameters | Integers
    input_scale: float
    labels: tuple[int | str, ...]
    dataset: str
    record: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        faults = [
            *_number_faults(self.graph, self.tensors),
            *_state_faults(self.method.shapes(self.graph), self.state),
            *_label_faults(self.network, self.labels),
            *text_faults("dataset", self.dataset),
        ]
        try:
            check_together(self.method, self.graph, self.learning)
        except SpecError as error:
            faults.append(str(error))
        scale = float(self.input_scale)
        # the factor is used in float32, where it must be neither zero nor denormal
        if not np.finfo(np.float32).tiny <= scale <= np.finfo(np.float32).max:
            faults.append(f"input_scale is {self.input_scale}; give a factor above 0 that float32 holds")
        record = plain(self.record, "record", faults)
        if faults:
            raise SpecError(join_faults(["trained network: " + faults[0], *faults[1:]]))
        if isinstance(self.tensors, Parameters):
            object.__setattr__(self, "tensors", _frozen(self.tensors))
        object.__setattr__(self, "state", {name: _still(a) for name, a in self.state.items()})
        object.__setattr__(self, "input_scale", scale)
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "record", record)

    @cached_property
    def graph(self) -> Graph:
        """The network with all that its method puts beside it."""
        return self.method.graph(self.network)

    @property
    def integers(self) -> Integers | None:
        """Its numbers, if they are integers."""
        return self.tensors if isinstance(self.tensors, Integers) else None

    @property
    def arithmetic(self) -> ArithmeticName:
        """loihi for a network that was quantised or that learned in integers, else float."""
        return "float" if self.integers is None else "loihi"

    @cached_property
    def params(self) -> Parameters:
        """Its numbers as float32; of integers, what they stand for, exactly, to be shown or compared with."""
        if isinstance(self.tensors, Parameters):
            return self.tensors
        return _frozen(Parameters.from_named(self.graph, self.tensors.real()))

    # ---- what it answers

    def outputs(self, x: Array) -> Array:
        """r_L at the end of the free phase for rates `x (samples, n_0)`: `(samples, n_L)`, by its own arithmetic."""
        if self.integers is not None:
            return in_integers(self.graph, self.integers, x)
        return settled(self.graph, self.params, x)

    def predict(self, samples: Array) -> Array:
        """The label of each raw sample `(samples, n_0)`, as an array of `labels`.

        Raises `SpecError` for samples of another size. Example: `model.predict(digits.x_test / digits.scale)`.
        """
        from lavaghost.model.inputs import rates_of

        return self.named(self.outputs(rates_of(self, samples)))

    def named(self, outputs: Array) -> Array:
        """The label of the largest of each of `outputs (samples, n_L)`: `(samples,)`, objects if labels are mixed."""
        mixed = len({type(label) for label in self.labels}) > 1
        return np.array(self.labels, object if mixed else None)[outputs.argmax(axis=1)]

    def score(self, data: Dataset) -> float:
        """Accuracy on the test set of `data`, which is brought to the network's scale. Raises `SpecError`."""
        from lavaghost.model.inputs import scaled_for

        data = scaled_for(self, data)
        return float((self.outputs(data.x_test).argmax(axis=1) == data.y_test).mean())

    # ---- as a value, and as files

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Model):
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
        integers = self.integers
        tensors = self.params.named() if integers is None else dict(integers.arrays)
        weights = pack(tensors | {STATE + name: array for name, array in self.state.items()})
        manifest = Manifest(
            format="lavaghost.network",
            version=VERSION,
            producer=f"lavaghost {importlib.metadata.version('lavaghost')}",
            dataset=self.dataset,
            network=self.network,
            method=self.method,
            learning=self.learning,
            input=InputScaling(size=self.network.layers[0], scale=self.input_scale),
            labels=list(self.labels),
            record=dict(self.record),
            numbers=Numbers() if integers is None else Numbers(arithmetic="loihi", **integers.form()),
            populations=list(self.graph.populations),
            projections=list(self.graph.projections),
            weights=Weights(
                path=WEIGHTS_NAME,
                format="safetensors",
                sha256=sha256(weights),
                bytes=len(weights),
            ),
        )
        return to_yaml(manifest), weights

    @classmethod
    def load(cls, path: Path | str) -> "Model":
        """The network whose manifest, or whose folder, is `path`. Raises `ModelFileError`."""
        path = Path(path)
        path = path / MANIFEST_NAME if path.is_dir() else path
        manifest = from_yaml(read_part(path, MAX_BYTES), str(path))
        arrays = unpack(read_weights(path, manifest), manifest)
        try:
            return cls(
                network=manifest.network,
                method=manifest.method,
                learning=manifest.learning,
                tensors=_tensors(manifest, arrays),
                input_scale=manifest.input.scale,
                labels=tuple(manifest.labels),
                dataset=manifest.dataset,
                record=manifest.record,
                state={name[len(STATE) :]: a for name, a in arrays.items() if name.startswith(STATE)},
            )
        except (SpecError, ModelFileError) as error:
            raise ModelFileError(f"{path}: {error}") from error


def _tensors(manifest: Manifest, arrays: Mapping[str, Array]) -> Parameters | Integers:
    own = {name: array for name, array in arrays.items() if not name.startswith(STATE)}
    numbers = manifest.numbers
    if numbers.arithmetic == "float":
        return Parameters.from_named(graph_of(manifest), own)
    widths, formats = LoihiWidths.parse(numbers.widths or {}), parse_formats(numbers.formats or {})
    return Integers.nearest(own, formats, widths) if is_old(manifest) else Integers(own, formats, widths)


def _number_faults(graph: Graph, tensors: Parameters | Integers) -> list[str]:
    wanted = shapes(graph)
    found = tensors.named() if isinstance(tensors, Parameters) else dict(tensors.arrays)
    faults = []
    if names := sorted(wanted.keys() ^ found.keys()):
        faults.append(f"params and network differ in {', '.join(names[:5])}")
    for key in (name for name in found if name in wanted):
        array = found[key]
        if isinstance(tensors, Parameters) and (not isinstance(array, np.ndarray) or array.dtype != np.float32):
            kind = getattr(array, "dtype", type(array).__name__)
            faults.append(f"{key} is {kind}; use params.astype(numpy.float32)")
        elif array.shape != wanted[key]:
            faults.append(f"{key} is {array.shape}, the network needs {wanted[key]}")
        elif bad := int(array.size - np.count_nonzero(np.isfinite(array))):
            faults.append(f"{key} has {bad} value(s) that are NaN or infinite; training diverged")
    return faults


def _state_faults(wanted: Mapping[str, tuple[int, ...]], state: Mapping[str, Array]) -> list[str]:
    faults = []
    if names := sorted(wanted.keys() ^ state.keys()):
        faults.append(f"the state of the method and its shapes differ in {', '.join(names[:5])}")
    for name in (name for name in state if name in wanted):
        array = state[name]
        if array.dtype not in (np.float32, np.float64) or array.shape != tuple(wanted[name]):
            faults.append(
                f"state {name} is {array.dtype} {array.shape}, the method needs floats {wanted[name]}"
            )
        elif not np.isfinite(array).all():
            faults.append(f"state {name} has values that are NaN or infinite; training diverged")
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


def _still(array: Array) -> Array:
    copy = np.array(array, order="C")
    copy.flags.writeable = False
    return copy
