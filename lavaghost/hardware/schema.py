"""What a file of `hw_configs/` says: limits, memory formula, learning, energy, time, and what others measured.

A figure is a mapping `{value, unit, source, confidence}`; `source` names an entry of the file's `sources`.
What nobody has published is `value: null`, or left out, and every rule that needs it answers "unknown".
"""

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from lavaghost.base.errors import SpecError, join_faults
from lavaghost.base.spec import Size, Spec
from lavaghost.hardware.figures import (
    Choices,
    CountFigure,
    Extra,
    Figure,
    Figures,
    Finite,
    Flag,
    Number,
    Sourced,
    TextFigure,
    Width,
    WithUnits,
    figure_field,
    to_tuple,
)
from lavaghost.numbers.widths import LoihiWidths

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,60}$")]
WORDS = ("kernel_words_per_core", "neuron_words_per_core", "bias_words_per_core")
"""Memories of a core that holds one whole layer: for its synapses, neurons and biases."""
MOST_PLACES = 1_000_000
"""Cores of a mesh."""


class Limits(WithUnits):
    """What a core, and the whole system, can hold."""

    cores: CountFigure = figure_field(CountFigure, "cores")
    neurons_per_core: CountFigure = figure_field(CountFigure, "neurons")
    input_axons_per_core: CountFigure = figure_field(CountFigure, "axons")
    output_axons_per_core: CountFigure = figure_field(CountFigure, "axons")
    synapses_per_core: CountFigure = figure_field(CountFigure, "synapses")
    synapse_bits_per_core: CountFigure = figure_field(CountFigure, "bits")
    trace_bits_per_core: CountFigure = figure_field(CountFigure, "bits")
    kernel_words_per_core: Figures = figure_field(Figures, "words")
    neuron_words_per_core: Figures = figure_field(Figures, "words")
    bias_words_per_core: Figures = figure_field(Figures, "words")
    inputs: CountFigure = figure_field(CountFigure, "neurons")
    hidden: CountFigure = figure_field(CountFigure, "neurons")
    outputs: CountFigure = figure_field(CountFigure, "neurons")
    neurons: CountFigure = figure_field(CountFigure, "neurons")
    synapses: CountFigure = figure_field(CountFigure, "synapses")
    weight_memory_bits: CountFigure = figure_field(CountFigure, "bits")
    cores_reached: CountFigure = figure_field(CountFigure, "cores")
    """Cores that the spikes of one neuron can go to; null asks nothing, axons say how many."""
    hidden_neurons_reached: CountFigure = figure_field(CountFigure, "neurons")
    """Hidden neurons that one hidden neuron can reach; null asks nothing."""
    weight_bits: Choices = figure_field(Choices, "bits")
    state_bits: Width = figure_field(Width, "bits")
    payload_bits: Extra = figure_field(Extra, "bits")
    """Bits of a number that a spike carries; 0 is a bare spike."""
    bias_bits: Width = figure_field(Width, "bits")

    @model_validator(mode="after")
    def _one_for_each_core(self) -> "Limits":
        there = self.cores.value
        faults = [
            f"{key} has {len(values)} values for {there} cores; give one for each core"
            for key in WORDS
            if (values := getattr(self, key).values) and there is not None and len(values) != there
        ]
        if faults:
            raise ValueError(join_faults(faults))
        return self


class SynapseMemory(WithUnits):
    """Bits of an input axon that reaches n synapses of a core.

    axon_blocks   blocks of `block_synapses`; a block of m takes m (weight + delay + tag + index) + `header_bits`,
                  rounded up to `word_bits`
    per_synapse   n * weight, nothing else: a lower bound
    power_of_two  n rounded up to a power of two, * weight: synapses are addressed by bits
    """

    formula: Literal["axon_blocks", "per_synapse", "power_of_two"]
    block_synapses: Finite = figure_field(Finite, "synapses")
    header_bits: Extra = figure_field(Extra, "bits")
    word_bits: Width = figure_field(Width, "bits")
    delay_bits: Extra = figure_field(Extra, "bits")
    tag_bits: Extra = figure_field(Extra, "bits")
    index_bits: Extra = figure_field(Extra, "bits")

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """The numbers of the formula."""
        return tuple(key for key in cls.model_fields if key != "formula")

    def number(self, key: str) -> int:
        """One of them; what is not given counts nothing."""
        value = getattr(self, key).value
        return 0 if value is None else int(value)

    @model_validator(mode="after")
    def _complete(self) -> "SynapseMemory":
        if self.formula == "axon_blocks":
            missing = [key for key in self.keys() if getattr(self, key).value is None]
            if missing:
                raise ValueError(f"axon_blocks needs {', '.join(missing)}; give them, or use per_synapse")
        return self


class Plasticity(WithUnits):
    """What the chip's learning engine offers and takes."""

    supported: Flag = Flag()
    third_factor: Flag = Flag()
    axon_slots: Finite = figure_field(Finite, "axons")
    """Input axons that one plastic presynaptic neuron takes."""
    trace_bits: Width = figure_field(Width, "bits")
    weight_bits: Width = figure_field(Width, "bits")


class Widths(WithUnits):
    """Bits of the integers that a neuron and a synapse compute with; the fields of `widths.LoihiWidths`."""

    state_bits: Width = figure_field(Width, "bits")
    decay_bits: Width = figure_field(Width, "bits")
    message_bits: Width = figure_field(Width, "bits")
    output_bits: Width = figure_field(Width, "bits")
    weight_bits: Width = figure_field(Width, "bits")
    weight_range: Width = figure_field(Width, "bits")
    trace_bits: Width = figure_field(Width, "bits")
    accumulator_bits: Width = figure_field(Width, "bits")
    dendrite_bits: Width = figure_field(Width, "bits")


class Energy(WithUnits):
    """Dynamic energy of one event, J, and the power that flows without any, W."""

    neuron_access: Figure = figure_field(Figure, "J")
    neuron_update: Figure = figure_field(Figure, "J")
    spike: Figure = figure_field(Figure, "J")
    synapse: Figure = figure_field(Figure, "J")
    message: Figure = figure_field(Figure, "J")
    hop_x: Figure = figure_field(Figure, "J")
    hop_y: Figure = figure_field(Figure, "J")
    weight_update: Figure = figure_field(Figure, "J")
    input_event: Figure = figure_field(Figure, "J")
    """What the link to the host adds for one input event."""
    static_power: Figure = figure_field(Figure, "W")


class Latency(WithUnits):
    """Time of one event, s. `barrier` is the end of a step, for the number of tiles in use."""

    neuron_access: Figure = figure_field(Figure, "s")
    neuron_update: Figure = figure_field(Figure, "s")
    spike: Figure = figure_field(Figure, "s")
    synapse: Figure = figure_field(Figure, "s")
    message_out: Figure = figure_field(Figure, "s")
    message_in: Figure = figure_field(Figure, "s")
    hop_x: Figure = figure_field(Figure, "s")
    hop_y: Figure = figure_field(Figure, "s")
    barrier_tiles: Figures = figure_field(Figures, "tiles")
    barrier: tuple[Figure, ...] | None = None
    weight_update: Figure = figure_field(Figure, "s")

    @model_validator(mode="before")
    @classmethod
    def _list(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and isinstance(values.get("barrier"), list):
            return {**values, "barrier": tuple(values["barrier"])}
        return values

    @model_validator(mode="after")
    def _table(self) -> "Latency":
        tiles, times = self.barrier_tiles.values, self.barrier or ()
        if other := [t.unit for t in times if t.unit != "s"]:
            raise ValueError(f"barrier has the unit {other[0]!r:.80}; write 's' and convert the value")
        if len(tiles) != len(times) or list(tiles) != sorted(set(tiles)):
            raise ValueError(
                f"barrier has {len(times)} times for barrier_tiles {list(tiles)}; give one for each, rising"
            )
        return self


class Mesh(WithUnits):
    """Where the cores of one chip lie: tiles in a rectangle, and cores in a tile."""

    width: Finite = figure_field(Finite, "tiles")
    height: Finite = figure_field(Finite, "tiles")
    cores_per_tile: Finite = figure_field(Finite, "cores")

    @model_validator(mode="after")
    def _complete(self) -> "Mesh":
        sides = {key: getattr(self, key).value for key in ("width", "height", "cores_per_tile")}
        if missing := [key for key, value in sides.items() if value is None]:
            raise ValueError(f"{', '.join(missing)} not given; write them, or leave the whole mesh out")
        if (places := math.prod(sides.values())) > MOST_PLACES:
            raise ValueError(f"a mesh of {places:,} cores; at most {MOST_PLACES:,} are placed, so leave it out")
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """Tiles along x and y, and cores in each."""
        return int(self.width.value or 1), int(self.height.value or 1), int(self.cores_per_tile.value or 1)


class Published(Sourced):
    """A measurement by others, to be set beside an estimate."""

    what: TextFigure
    phase: Literal["inference", "learning"]
    layers: Annotated[tuple[Size, ...], BeforeValidator(to_tuple)] | None = None
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
    title: TextFigure
    sources: dict[str, TextFigure]
    layout: Literal["shared", "layer_per_core"] = "shared"
    """Whether parts of several layers may share a core, or a core holds one whole layer."""
    lava: Literal["loihi2", "cpu"] | None = None
    """What Lava calls it, where `lavaghost deploy` can use it."""
    limits: Limits = Limits()
    memory: SynapseMemory | None = None
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
