"""The manifest of a saved network, `model.yaml`: what it says, how it is read and written.

The specification (`network`, `learning`) is the one truth. `populations` and `projections` spell out for
other tools what it implies, and a file in which they say anything else is refused. Numbers of the weights
are never in the manifest; they lie beside it, and their SHA-256 is here.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from lavaghost.base import strict_yaml
from lavaghost.base.errors import ModelFileError, SpecError, join_faults
from lavaghost.base.files import sha256
from lavaghost.base.records import MAX_TEXT
from lavaghost.base.spec import Count, Positive, Spec, parse
from lavaghost.base.strict_yaml import MAX_NODES, Writer, nodes
from lavaghost.net.spec import Learning, Network, check_together

VERSION = "1.0"
"""Version of the format that is written. Any 1.x is read."""
MAX_BYTES = 1 << 20
SEAL = b"# SHA-256 of the lines above: "

Text = Annotated[str, Field(max_length=MAX_TEXT)]


class InputScaling(Spec):
    """What goes in: a raw sample of `size` numbers, times `scale`, is the rate r_0."""

    size: Count
    scale: Positive


class Population(Spec):
    """Units of one kind. `bias` names a tensor; a duplicate's is that of the layer which it copies."""

    name: Text
    role: Literal["input", "hidden", "ghost", "output"]
    size: Count
    activation: Literal["linear", "relu", "hard_sigmoid"]
    bias: Text | None = None


class Projection(Spec):
    """Connections from one population to another, `(n_target, n_source)`.

    Exactly one of `tensor` (its own weights), `copy_of` and `transpose_of` (weights of that tensor), and
    `one_to_one` (unit weights) is given. What is `inhibitory` is subtracted.
    """

    source: Text
    target: Text
    kind: Literal["feedforward", "feedback", "ghost"]
    tensor: Text | None = None
    copy_of: Text | None = None
    transpose_of: Text | None = None
    one_to_one: Literal[True] | None = None
    inhibitory: Literal[True] | None = None


class Weights(Spec):
    """The file of the tensors, inside the manifest's folder."""

    path: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]{0,250}$")]
    format: Literal["safetensors"]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(ge=8)]


class Manifest(Spec):
    """All of `model.yaml`."""

    format: Literal["lavaghost.network"]
    version: Annotated[str, Field(pattern=r"^1\.[0-9]{1,4}$")]
    producer: Text
    dataset: Text
    network: Network
    learning: Learning
    input: InputScaling
    labels: list[int | Text]
    record: dict[str, Any]
    """Measured figures; whatever JSON can hold."""
    populations: list[Population]
    projections: list[Projection]
    weights: Weights


def manifest_schema() -> dict[str, Any]:
    """The JSON Schema of `model.yaml`."""
    return Manifest.model_json_schema()


def populations(network: Network) -> list[Population]:
    """The populations that `network` implies: input, hidden and output layers, then ghosts."""
    n, depth, rho = network.layers, network.depth, network.activation
    found = [Population(name="input", role="input", size=n[0], activation="linear")]
    for k in range(1, depth):
        bias = f"biases.{k}"
        found.append(Population(name=_layer(network, k), role="hidden", size=n[k], activation=rho, bias=bias))
    bias = f"biases.{depth}"
    found.append(Population(name="output", role="output", size=n[depth], activation="linear", bias=bias))
    online = network.mechanism == "online"
    for k in range(1, depth):
        # a ghost stands for a unit of the layer above; an online one is an integrator beside its neuron
        linear = online or k + 1 == depth
        bias = f"biases.{k + 1}" if network.mechanism == "duplicate" else f"ghost_biases.{k}"
        found.append(
            Population(
                name=f"ghost.{k}",
                role="ghost",
                size=n[k] if online else n[k + 1],
                activation="linear" if linear else rho,
                bias=None if online else bias,
            )
        )
    return found


def projections(network: Network) -> list[Projection]:
    """The projections that `network` implies, from the input upwards."""
    return list(_projections(network))


def _projections(network: Network) -> Iterator[Projection]:
    for k in range(1, network.depth + 1):
        yield Projection(
            source=_layer(network, k - 1),
            target=_layer(network, k),
            kind="feedforward",
            tensor=f"weights.{k}",
        )
    for k in range(1, network.depth):
        here, above, ghost = _layer(network, k), _layer(network, k + 1), f"ghost.{k}"
        own: dict[str, Any] = {"transpose_of": f"weights.{k + 1}"}
        shared = own
        if network.feedback == "random":
            own, shared = {"tensor": f"feedback.{k}"}, {"copy_of": f"feedback.{k}"}
        yield Projection(source=above, target=here, kind="feedback", **own)
        incoming: dict[str, Any] = {"copy_of": f"weights.{k + 1}"}
        outgoing: dict[str, Any] = shared
        source = here
        if network.mechanism == "online":
            incoming, outgoing, source = shared, {"one_to_one": True}, above
        elif network.mechanism == "learned":
            incoming = {"tensor": f"ghost_weights.{k}"}
            outgoing = {"tensor": f"ghost_inhibition.{k}"}
        yield Projection(source=source, target=ghost, kind="ghost", **incoming)
        yield Projection(source=ghost, target=here, kind="ghost", inhibitory=True, **outgoing)


def _layer(network: Network, k: int) -> str:
    return "input" if k == 0 else "output" if k == network.depth else f"hidden.{k}"


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
    if not isinstance(version, str) or version.split(".")[0] != "1":
        raise ModelFileError(
            f"{where}: format version {version!r:.40} cannot be read, only 1.x; save it again with a "
            "matching LavaGhost"
        )
    try:
        manifest = parse(Manifest, values)
    except SpecError as error:
        raise ModelFileError(f"{where}: {error}") from error
    if faults := _disagreements(manifest):
        raise ModelFileError(f"{where}: {join_faults(faults)}")
    return manifest


def _disagreements(manifest: Manifest) -> list[str]:
    network, faults = manifest.network, []
    try:
        check_together(network, manifest.learning)
    except SpecError as error:
        faults.append(str(error))
    if manifest.input.size != network.layers[0]:
        faults.append(f"input.size is {manifest.input.size}, network.layers.0 is {network.layers[0]}")
    for key, implied in (
        ("populations", populations(network)),
        ("projections", projections(network)),
    ):
        stated = getattr(manifest, key)
        if len(stated) != len(implied):
            faults.append(f"{key} has {len(stated)} entries, the network implies {len(implied)}")
            continue
        different = [i for i, entry in enumerate(stated) if entry != implied[i]]
        if different:
            i = different[0]
            faults.append(f"{key}.{i} is ({stated[i]!s:.200}), the network implies ({implied[i]})")
    return faults
