"""The manifest of a saved network, `model.yaml`: what it says, how it is read and written.

The specification (`network`, `method`) is the one truth. `populations` and `projections` spell out for
other tools what it implies, and a file in which they say anything else is refused. Numbers of the weights
are never in the manifest; they lie beside it, and their SHA-256 is here.
"""

import re
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from lavaghost.base import strict_yaml
from lavaghost.base.errors import ModelFileError, SpecError, join_faults
from lavaghost.base.files import sha256
from lavaghost.base.spec import Count, Positive, Spec, Text, parse
from lavaghost.base.strict_yaml import MAX_NODES, Writer, nodes
from lavaghost.methods.by_name import AnyMethod, check_together
from lavaghost.model.version_1 import converted
from lavaghost.net.graph import Graph, Population, Projection
from lavaghost.net.network import Network
from lavaghost.online.any_learning import AnyLearning

VERSION = "2.0"
"""Version of the format that is written. Any 2.x is read, and 1.x (`model.version_1`)."""
MAX_BYTES = 1 << 20
SEAL = b"# SHA-256 of the lines above: "


class InputScaling(Spec):
    """What goes in: a raw sample of `size` numbers, times `scale`, is the rate r_0."""

    size: Count
    scale: Positive


class Weights(Spec):
    """The file of the tensors, inside the manifest's folder."""

    path: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]{0,250}$")]
    format: Literal["safetensors"]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(ge=8)]


class Numbers(Spec):
    """What the tensors are: float32, or the integers of a chip, each with what it stands for."""

    arithmetic: Literal["float", "loihi"] = "float"
    widths: dict[str, int | bool] | None = None
    """Bits of everything (`LoihiWidths`)."""
    formats: dict[str, list[int]] | None = None
    """Fractional bits, layer by layer (`Formats`)."""


class Manifest(Spec):
    """All of `model.yaml`."""

    format: Literal["lavaghost.network"]
    version: Annotated[str, Field(pattern=r"^[12]\.[0-9]{1,4}$")]
    producer: Text
    dataset: Text
    network: Network
    method: AnyMethod
    """Its name, and its settings."""
    learning: AnyLearning
    """The settings that it was trained by: those that ran."""
    input: InputScaling
    labels: list[int | Text]
    record: dict[str, Any]
    """Measured figures; whatever JSON can hold."""
    numbers: Numbers
    populations: list[Population]
    projections: list[Projection]
    weights: Weights


def manifest_schema() -> dict[str, Any]:
    """The JSON Schema of `model.yaml`."""
    return Manifest.model_json_schema()


def to_yaml(manifest: Manifest) -> bytes:
    """The bytes of `model.yaml`, the same for equal manifests. Raises `SpecError` if there are too many.

    The last line is a comment with the SHA-256 of the lines above. It is checked if it is there: damage is
    noticed, other tools need not write it, and whoever edits the file by hand may remove it.
    """
    # the record is put back because exclude_none would drop its own nulls
    values = manifest.model_dump(mode="json", exclude_none=True) | {"record": manifest.record}
    if (count := nodes(values)) > MAX_NODES:
        raise SpecError(f"the manifest would have {count} values, more than {MAX_NODES}; shorten the record")
    text = yaml.dump(
        values,
        Dumper=Writer,
        sort_keys=False,
        allow_unicode=False,  # PyYAML does not read back every character that it writes unescaped
        default_flow_style=None,
        width=100,
    )
    data = text.encode()
    data += SEAL + sha256(data).encode() + b"\n"
    if len(data) > MAX_BYTES:
        raise SpecError(f"the manifest would have {len(data)} bytes, more than {MAX_BYTES}; shorten the record")
    return data


def from_yaml(data: bytes, where: str) -> Manifest:
    """The manifest in `data`, its parts in agreement with each other.

    `where` names the file in messages. Raises `ModelFileError` with all faults that can be told together.
    """
    if len(data) > MAX_BYTES:
        raise ModelFileError(f"{where}: more than {MAX_BYTES} bytes; this is not a manifest")
    body, seal, stated = data.rpartition(SEAL)
    if seal and re.fullmatch(rb"[0-9a-f]{64}\n?", stated) and sha256(body) != stated.decode().strip():
        raise ModelFileError(
            f"{where}: changed after it was saved; restore it, or remove its last line if you edited it"
        )
    try:
        values = strict_yaml.read(data)
    except ValueError as error:
        raise ModelFileError(f"{where}: not readable as YAML ({error}); restore the file") from error
    if not isinstance(values, dict) or values.get("format") != "lavaghost.network":
        raise ModelFileError(f"{where}: not a lavaghost.network manifest; name a model.yaml")
    version = values.get("version")
    if not isinstance(version, str) or version.split(".")[0] not in ("1", "2"):
        raise ModelFileError(
            f"{where}: format version {version!r:.40} cannot be read, only 1.x and 2.x; save it again with a "
            "matching LavaGhost"
        )
    try:
        manifest = parse(Manifest, converted(values) if version.startswith("1.") else values)
    except SpecError as error:
        raise ModelFileError(f"{where}: {error}") from error
    if faults := _disagreements(manifest):
        raise ModelFileError(f"{where}: {join_faults(faults)}")
    return manifest


def graph_of(manifest: Manifest) -> Graph:
    """The graph that network and method imply."""
    return manifest.method.graph(manifest.network)


def _disagreements(manifest: Manifest) -> list[str]:
    network, graph, faults = manifest.network, graph_of(manifest), []
    try:
        check_together(manifest.method, graph, manifest.learning)
    except SpecError as error:
        faults.append(str(error))
    if manifest.input.size != network.layers[0]:
        faults.append(f"input.size is {manifest.input.size}, network.layers.0 is {network.layers[0]}")
    for key in ("populations", "projections") if manifest.version.startswith("2.") else ():
        stated, implied = getattr(manifest, key), getattr(graph, key)
        if graph.carries_errors and len(stated) == len(getattr(graph.forward, key)):
            implied = getattr(graph.forward, key)  # bundles of 2.0 did not state how errors come down
        if len(stated) != len(implied):
            faults.append(f"{key} has {len(stated)} entries, the network implies {len(implied)}")
            continue
        different = [i for i, entry in enumerate(stated) if entry != implied[i]]
        if different:
            i = different[0]
            faults.append(f"{key}.{i} is ({stated[i]!s:.200}), the network implies ({implied[i]})")
    return faults
