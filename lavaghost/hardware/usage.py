"""What a node takes of a core. One function per kind of node, found by `functools.singledispatch`.

    from lavaghost.hardware.usage import usage

    @usage.register
    def _(node: MyConnection, hardware, weight_bits, n_post): ...

`n_post` is the number of the target's neurons on the core, so that the same function counts a whole layer and
a part of it. All counts grow with `n_post` and with every synapse.
"""

from dataclasses import dataclass, fields
from functools import singledispatch
from typing import Any

from lavaghost.hardware.nodes import Dense, Graph, OneToOne, Population
from lavaghost.hardware.schema import Hardware, SynapseMemory


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


@singledispatch
def usage(node: Any, hardware: Hardware, weight_bits: int, n_post: int) -> Usage:
    """What `node` takes of a core that holds `n_post` neurons of it, or of its target."""
    raise TypeError(f"no usage of {type(node).__name__}; register one with lavaghost.hardware.usage.usage")


@usage.register
def _(node: Population, hardware: Hardware, weight_bits: int, n_post: int) -> Usage:
    return Usage(neurons=n_post if node.on_chip else 0)


@usage.register
def _(node: Dense, hardware: Hardware, weight_bits: int, n_post: int) -> Usage:
    return _connection(
        hardware, weight_bits, axons=node.n_pre, each=n_post, n_post=n_post, plastic=node.plastic
    )


@usage.register
def _(node: OneToOne, hardware: Hardware, weight_bits: int, n_post: int) -> Usage:
    return _connection(hardware, weight_bits, axons=n_post, each=1, n_post=n_post, plastic=node.plastic)


def _connection(
    hardware: Hardware, weight_bits: int, *, axons: int, each: int, n_post: int, plastic: bool
) -> Usage:
    """`axons` input axons that reach `each` synapses; `n_post` neurons get them."""
    learning = hardware.plasticity
    slots = int(learning.axon_slots.value or 1)
    trace = learning.trace_bits.value
    return Usage(
        input_axons=axons * (slots if plastic else 1),
        synapses=axons * each,
        plastic_synapses=axons * each if plastic else 0,
        synapse_bits=None if hardware.memory is None else axons * axon_bits(hardware.memory, each, weight_bits),
        trace_bits=0 if not plastic else None if trace is None else trace * (axons + n_post),
    )


def layer_words(graph: Graph, hardware: Hardware, p: Population) -> dict[str, int]:
    """Words of a core that holds a layer whole: for its synapses, its neurons and their biases."""
    kernel = 0
    for c in graph.into(p.name):
        axons, each = (c.n_pre, c.n_post) if isinstance(c, Dense) else (c.n_post, 1)
        kernel += axons * (each if hardware.memory is None else axon_bits(hardware.memory, each, 1))
    return {"kernel_words_per_core": kernel, "neuron_words_per_core": p.size, "bias_words_per_core": p.size}
