"""What a population, and the shares that projections bring it, take of a core.

`n` is the number of its neurons on the core, so that the same function counts a whole layer and a part of it. All
counts grow with `n` and with every synapse. How many synapses there are is for kinds to say (`demand.reach_of`).
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from lavaghost.hardware.demand import Demand, Share
from lavaghost.hardware.schema import Hardware, SynapseMemory
from lavaghost.net.graph import Population


@dataclass(frozen=True)
class Usage:
    """Resources of one core, or of several together.

    synapse_bits   memory of the synapses; None where no formula is known for the chip
    trace_bits     learning traces: one per plastic input axon, and one per plastic connection and neuron
    """

    neurons: int = 0
    input_axons: int = 0
    output_axons: int = 0
    synapses: int = 0
    plastic_synapses: int = 0
    synapse_bits: float | None = 0
    trace_bits: float | None = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*(_add(getattr(self, f.name), getattr(other, f.name)) for f in fields(Usage)))

    def as_json(self) -> dict[str, float | None]:
        """All counts under their names."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def _add(a: Any, b: Any) -> Any:
    return None if a is None or b is None else a + b


def axon_bits(memory: SynapseMemory, n: int, weight_bits: int) -> int:
    """Synapse memory of one input axon that reaches `n` synapses of `weight_bits`, in bits.

    For `axon_blocks`: each full or last block of m synapses takes m (weight + delay + tag + index) + header bits,
    rounded up to whole words. For `power_of_two`: as many synapses as the next power of two. Source: `memory` of the
    configuration; for Loihi 1 nengo-loihi, `SynapseConfig.bits_per_axon`; for Speck sinabs, `memory_summary`.
    """
    if memory.formula != "axon_blocks":
        return (n if memory.formula == "per_synapse" else next_power(n)) * weight_bits
    block, header, word, each = _block(memory, weight_bits)
    full, rest = divmod(n, block)
    total = full * _round_up(block * each + header, word)
    return total + (_round_up(rest * each + header, word) if rest else 0)


def least_axon_bits(memory: SynapseMemory, n: int, weight_bits: int) -> int:
    """A lower bound of `axon_bits`, however the `n` synapses are spread over cores."""
    if memory.formula != "axon_blocks":
        return n * weight_bits
    block, header, word, each = _block(memory, weight_bits)
    return _round_up(n * each + header * -(-n // block), word)


def next_power(n: int) -> int:
    """The smallest power of two that is at least `n`."""
    return 1 << max(0, n - 1).bit_length()


def _block(memory: SynapseMemory, weight_bits: int) -> tuple[int, int, int, int]:
    """Synapses of a block, bits of its header, of a word, and of a synapse."""
    each = weight_bits + sum(memory.number(key) for key in ("delay_bits", "tag_bits", "index_bits"))
    return memory.number("block_synapses"), memory.number("header_bits"), memory.number("word_bits"), each


def _round_up(bits: int, word: int) -> int:
    return -(-bits // word) * word


def usage(share: Share, hardware: Hardware, weight_bits: int, n: int) -> Usage:
    """What a share takes of a core that holds `n` neurons of its target."""
    axons, synapses = share.onto(n)
    learning, memory = hardware.plasticity, hardware.memory
    trace = learning.trace_bits.value
    bits = None
    if memory is not None:
        bits = spread(axons, synapses, lambda each: axon_bits(memory, each, weight_bits))
    return Usage(
        input_axons=axons * slots(share, hardware),
        synapses=synapses,
        plastic_synapses=synapses if share.plastic else 0,
        synapse_bits=bits,
        trace_bits=0 if not share.plastic else None if trace is None else trace * (axons + n),
    )


def slots(share: Share, hardware: Hardware) -> int:
    """Input axons that one of its neurons takes."""
    return int(hardware.plasticity.axon_slots.value or 1) if share.plastic else 1


def spread(axons: int, synapses: int, bits: Callable[[int], int]) -> int:
    """Bits of axons among which the synapses are spread evenly; `bits` are those of one that reaches so many."""
    each, more = divmod(synapses, max(1, axons))
    return (axons - more) * bits(each) + (more * bits(each + 1) if more else 0)


def layer_words(demand: Demand, hardware: Hardware, p: Population) -> dict[str, int]:
    """Words of a core that holds a layer whole: for its synapses, its neurons and their biases."""
    kernel, memory = 0, hardware.memory
    for share in demand.into(p.name):
        axons, synapses = share.onto(p.size)
        kernel += synapses if memory is None else spread(axons, synapses, lambda n: axon_bits(memory, n, 1))
    return {"kernel_words_per_core": kernel, "neuron_words_per_core": p.size, "bias_words_per_core": p.size}
