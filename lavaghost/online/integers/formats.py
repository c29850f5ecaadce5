"""Formats that integers learn well in: from scratch, and from weights that something else has trained."""

from collections.abc import Mapping

import numpy as np

from lavaghost.net.graph import Graph
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.integers import Integers, is_bias
from lavaghost.numbers.widths import DEFAULT, Formats, LoihiWidths


def suited_fraction(graph: Graph) -> int:
    """Fractional bits of a state that a network learns well with.

    Duplicate ghosts cancel to the last bit. What other ghosts leave is cut with each step of the leak, which pulls the
    small changes of the nudged phase one way, unless states have finer units (docs/fixed_point.md).
    """
    return DEFAULT.state_fraction + (2 if graph.has_ghosts and not graph.copies else 0)


def default_formats(
    graph: Graph, widths: LoihiWidths = DEFAULT, output_range: int = 1, largest_input: float = 1.0
) -> Formats:
    """Formats for learning from scratch: He's initial weights at about 3.5 standard deviations of their range.

    Inputs in 0..1 get all bits of a message but one, hidden rates all but two (0..3.97). The output has sixteen bits
    for what its feedback must resolve. `output_range` doublings leave W_L room to grow. A `largest_input`
    that would saturate (above 1.98 with 8 bits) costs the inputs fractional bits.
    """
    bits = widths.message_bits
    held = bits - 1 if largest_input <= 1 else int(np.floor(np.log2(widths.message_limit / largest_input)))
    messages = (
        min(bits - 1, held),
        *[bits - 2] * (graph.depth - 1),
        min(widths.output_bits - 6, widths.state_fraction),
    )
    weights = []
    for k in range(1, graph.depth + 1):
        reach = 3.5 * np.sqrt(2.0 / graph.up[k - 1].fan_in) * (2**output_range if k == graph.depth else 1)
        weights.append(min(int(np.floor(widths.weight_range - np.log2(reach) + 0.01)), widths.state_fraction))
    hidden = tuple(weights[1:])
    learned, own = graph.ghosts_learn, any(p.own for p in graph.back)
    return Formats(
        messages,
        tuple(weights),
        feedback=hidden if own else (),
        ghost_weights=hidden if learned else (),
        ghost_inhibition=hidden if learned else (),
    )


def trained_formats(
    graph: Graph, real: Mapping[str, Array], widths: LoihiWidths, largest_input: float = 1.0
) -> Formats:
    """Formats for learning on from trained numbers: messages as from scratch, weights without headroom.

        s_k = floor(log2(w_max / max(|W_k|, |b_k|))), at most the fraction of a state

    The finest in which no weight is clipped, nor a bias, whose synapses share the format. Room to grow costs accuracy
    from the first bit on, and none of the largest weights grew out of it (docs/adapting.md).
    """
    base, top = default_formats(graph, widths, largest_input=largest_input), widths.weight_limits[1]

    def fractions(group: str, biases: str = "") -> tuple[int, ...]:
        found = []
        for k in range(1, len(getattr(base, group)) + 1):
            arrays = [real[f"{group}.{k}"]]
            if biases:
                arrays.append(real[f"{biases}.{k}"])
            reach = max(float(np.abs(a).max(initial=0.0)) for a in arrays)
            finest = int(np.floor(np.log2(top / reach))) if reach > 0 else widths.state_fraction
            found.append(min(finest, widths.state_fraction))
        return tuple(found)

    return base._replace(
        weights=fractions("weights", "biases"),
        feedback=fractions("feedback"),
        ghost_weights=fractions("ghost_weights"),
        ghost_inhibition=fractions("ghost_inhibition"),
    )


def trained_integers(
    graph: Graph, real: Mapping[str, Array], widths: LoihiWidths, largest_input: float = 1.0
) -> Integers:
    """`real` tensors in `trained_formats`, each weight at the nearest value that can be set, a bias as a weight."""
    formats = trained_formats(graph, real, widths, largest_input)
    low, high = widths.weight_limits
    held = dict(real)
    for name, array in real.items():
        if is_bias(name):
            field, _, k = name.partition(".")
            s = formats.weights[int(k) - (field == "biases")]  # ghosts of layer k stand for layer k + 1
            mantissas = np.clip(np.rint(np.asarray(array, np.float64) * 2.0**s), low, high)
            held[name] = mantissas * 2.0**-s
    return Integers.nearest(held, formats, widths, step=widths.static_step)


def unheld_biases(integers: Integers) -> list[str]:
    """The biases that are no synapses: beyond the weights of their layer, in whose format they would learn."""
    low, high = integers.widths.weight_limits
    found = []
    for name, array in integers.arrays.items():
        if is_bias(name):
            field, _, k = name.partition(".")
            s = integers.formats.weights[int(k) - (field == "biases")]
            mantissas = array >> max(0, integers.widths.state_fraction - s)
            if array.size and not (low <= int(mantissas.min()) and int(mantissas.max()) <= high):
                found.append(name)
    return found
