"""What a file of `hw_configs/` says: limits, memory formula, learning, energy, time, and what others measured.

A figure is a mapping `{value, unit, source, confidence}`; `source` names an entry of the file's `sources`.
What nobody has published is `value: null`, or left out, and every rule that needs it answers "unknown".
"""

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from lavaghost.errors import SpecError
from lavaghost.hardware.figures import (
    Figure,
    Figures,
    Flag,
    Number,
    Sourced,
    Text,
    WithUnits,
    figure,
    figure_list,
    to_tuple,
)
from lavaghost.spec import Spec
from lavaghost.widths import LoihiWidths

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,60}$")]


class Limits(WithUnits):
    """What a core, and the whole system, can hold."""

    cores: Figure = figure("cores")
    neurons_per_core: Figure = figure("neurons")
    input_axons_per_core: Figure = figure("axons")
    output_axons_per_core: Figure = figure("axons")
    synapses_per_core: Figure = figure("synapses")
    synapse_bits_per_core: Figure = figure("bits")
    kernel_words_per_core: Figures = figure_list("words")
    neuron_words_per_core: Figures = figure_list("words")
    inputs: Figure = figure("neurons")
    hidden: Figure = figure("neurons")
    outputs: Figure = figure("neurons")
    neurons: Figure = figure("neurons")
    synapses: Figure = figure("synapses")
    weight_memory_bits: Figure = figure("bits")
    weight_bits: Figures = figure_list("bits")
    state_bits: Figure = figure("bits")
    payload_bits: Figure = figure("bits")
    bias_bits: Figure = figure("bits")


class Memory(WithUnits):
    """Bits of an input axon that reaches n synapses of a core.

    axon_blocks   blocks of `block_synapses`; a block of m takes m (weight + delay + tag + index) + `header_bits`,
                  rounded up to `word_bits`
    per_synapse   n * weight, nothing else: a lower bound
    """

    formula: Literal["axon_blocks", "per_synapse"]
    block_synapses: Figure = figure("synapses")
    header_bits: Figure = figure("bits")
    word_bits: Figure = figure("bits")
    delay_bits: Figure = figure("bits")
    tag_bits: Figure = figure("bits")
    index_bits: Figure = figure("bits")

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """The numbers of the formula."""
        return tuple(key for key in cls.model_fields if key != "formula")

    def number(self, key: str) -> int:
        """One of them; what is not given counts nothing."""
        value = getattr(self, key).value
        return 0 if value is None else math.ceil(value)

    @model_validator(mode="after")
    def _complete(self) -> "Memory":
        if self.formula == "axon_blocks":
            missing = [key for key in self.keys() if getattr(self, key).value is None]
            if missing:
                raise ValueError(f"axon_blocks needs {', '.join(missing)}; give them, or use per_synapse")
            for key in ("block_synapses", "word_bits"):
                if not getattr(self, key).value >= 1:
                    raise ValueError(f"{key} is {getattr(self, key).value}; write 1 or more")
        return self


class Plasticity(WithUnits):
    """What the chip's learning engine offers and takes."""

    supported: Flag = Flag()
    third_factor: Flag = Flag()
    axon_slots: Figure = figure("axons")
    """Input axons that one plastic presynaptic neuron takes."""
    trace_bits: Figure = figure("bits")
    weight_bits: Figure = figure("bits")


class Widths(WithUnits):
    """Bits of the integers that a neuron and a synapse compute with; the fields of `widths.LoihiWidths`."""

    state_bits: Figure = figure("bits")
    decay_bits: Figure = figure("bits")
    message_bits: Figure = figure("bits")
    output_bits: Figure = figure("bits")
    weight_bits: Figure = figure("bits")
    weight_range: Figure = figure("bits")
    trace_bits: Figure = figure("bits")
    accumulator_bits: Figure = figure("bits")
    dendrite_bits: Figure = figure("bits")


class Energy(WithUnits):
    """Dynamic energy of one event, J, and the power that flows without any, W."""

    neuron_access: Figure = figure("J")
    neuron_update: Figure = figure("J")
    spike: Figure = figure("J")
    synapse: Figure = figure("J")
    message: Figure = figure("J")
    hop_x: Figure = figure("J")
    hop_y: Figure = figure("J")
    weight_update: Figure = figure("J")
    input_event: Figure = figure("J")
    """What the link to the host adds for one input event."""
    static_power: Figure = figure("W")


class Latency(WithUnits):
    """Time of one event, s. `barrier` is the end of a step, for the number of tiles in use."""

    neuron_access: Figure = figure("s")
    neuron_update: Figure = figure("s")
    spike: Figure = figure("s")
    synapse: Figure = figure("s")
    message_out: Figure = figure("s")
    message_in: Figure = figure("s")
    hop_x: Figure = figure("s")
    hop_y: Figure = figure("s")
    barrier_tiles: Figures = figure_list("tiles")
    barrier: tuple[Figure, ...] | None = None
    weight_update: Figure = figure("s")

    @model_validator(mode="before")
    @classmethod
    def _list(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and isinstance(values.get("barrier"), list):
            return {**values, "barrier": tuple(values["barrier"])}
        return values

    @model_validator(mode="after")
    def _table(self) -> "Latency":
        tiles, times = self.barrier_tiles.values, self.barrier or ()
        if len(tiles) != len(times) or list(tiles) != sorted(set(tiles)):
            raise ValueError(
                f"barrier has {len(times)} times for barrier_tiles {list(tiles)}; give one for each, rising"
            )
        return self


class Mesh(WithUnits):
    """Where the cores of one chip lie: tiles in a rectangle, and cores in a tile."""

    width: Figure = figure("tiles")
    height: Figure = figure("tiles")
    cores_per_tile: Figure = figure("cores")

    @model_validator(mode="after")
    def _complete(self) -> "Mesh":
        for key in ("width", "height", "cores_per_tile"):
            value = getattr(self, key).value
            if value is None or not 1 <= value <= 10_000:
                raise ValueError(f"{key} is {value}; write 1 or more, or leave the whole mesh out")
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """Tiles along x and y, and cores in each."""
        return int(self.width.value or 1), int(self.height.value or 1), int(self.cores_per_tile.value or 1)


class Published(Sourced):
    """A measurement by others, to be set beside an estimate."""

    what: Text
    phase: Literal["inference", "learning"]
    layers: Annotated[tuple[int, ...], BeforeValidator(to_tuple)] | None = None
    energy_j: Number = None
    latency_s: Number = None

    @model_validator(mode="after")
    def _known(self) -> "Published":
        self._check(True)
        return self


class Hardware(Spec):
    """One configuration of `hw_configs/`, or of the user's own."""

    format: Literal["lavaghost.hardware"]
    version: Annotated[str, Field(pattern=r"^1\.[0-9]{1,4}$")]
    name: Name
    title: Text
    sources: dict[str, Text]
    layout: Literal["shared", "layer_per_core"] = "shared"
    """Whether parts of several layers may share a core, or a core holds one whole layer."""
    lava: Literal["loihi2", "cpu"] | None = None
    """What Lava calls it, where `lavaghost deploy` can use it."""
    limits: Limits = Limits()
    memory: Memory | None = None
    plasticity: Plasticity = Plasticity()
    widths: Widths = Widths()
    energy: Energy = Energy()
    latency: Latency = Latency()
    mesh: Mesh | None = None
    published: Annotated[tuple[Published, ...], BeforeValidator(to_tuple)] = ()

    def integers(self) -> LoihiWidths:
        """The widths of its integers. Raises `SpecError` with all that are not known, or cannot work."""
        known = {name: getattr(self.widths, name).value for name in Widths.model_fields}
        if missing := [f"widths.{name}" for name, value in known.items() if value is None]:
            raise SpecError(
                f"{self.name}: {', '.join(missing)} not known, so its integers cannot be computed; use "
                "loihi2_oheo_gulch, or give them in a file of your own"
            )
        return LoihiWidths.parse({name: int(value) for name, value in known.items()}, self.name)

    def sourced(self) -> Iterator[tuple[str, Sourced]]:
        """Everything that names a source, by its path."""
        sections = {
            k: getattr(self, k)
            for k in ("limits", "memory", "plasticity", "widths", "energy", "latency", "mesh")
        }
        for section, values in sections.items():
            for key in type(values).model_fields if values is not None else ():
                entry = getattr(values, key)
                if isinstance(entry, Sourced):
                    yield f"{section}.{key}", entry
                elif isinstance(entry, tuple):
                    yield from (
                        (f"{section}.{key}.{i}", e) for i, e in enumerate(entry) if isinstance(e, Sourced)
                    )
        yield from ((f"published.{i}", row) for i, row in enumerate(self.published))
