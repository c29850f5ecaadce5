"""Widths and formats: how many bits everything has, and what an integer stands for.

Limits and bits are data. The defaults are those of Loihi 1 as lava-nc 0.10 simulates it; a hardware configuration
gives others to `LoihiWidths.parse`.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

from lavaghost.base.errors import SpecError, join_faults


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(frozen=True)
class LoihiWidths:
    """Bits of everything that is rounded. Raises `SpecError` for widths that cannot work.

    state_bits        a state with its sign (lava `lif/models.py`: 23 bits and sign)
    state_fraction    fractional bits of a state: an integer u stands for u 2^-state_fraction
    decay_bits        bits of the decay constants
    message_bits      graded spike of a hidden or input unit, 0..2^bits - 2: even, so that half of it is a trace
    round_messages    to the nearest, by half a unit that the cell adds before it shifts; otherwise a floor, which
                      lowers the mean of each active unit's rate by half a unit
    output_bits       graded spike of the linear output, with sign
    weight_bits       magnitude of a weight; mantissas span -2^weight_range..2^weight_range - 1 in steps of
                      2^(weight_range - weight_bits) if they learn, of twice that if they do not (Lava's sign
                      mode MIXED drops the last bit of weights that are set, not of those that learn)
    weight_range      bits of the mantissa that a synapse stores
    trace_bits        learning traces: x1 in 0..2^bits - 1, y in -2^bits..2^bits - 1
    accumulator_bits  magnitude of a weight while it is updated
    dendrite_bits     what adds up synaptic input; an int32 in Lava, which would wrap silently

    Example: `LoihiWidths(weight_bits=6).weight_limits`.
    """

    state_bits: int = 24
    state_fraction: int = 12
    decay_bits: int = 12
    message_bits: int = 8
    output_bits: int = 16
    weight_bits: int = 8
    weight_range: int = 8
    trace_bits: int = 7
    accumulator_bits: int = 15
    dendrite_bits: int = 32
    round_messages: bool = True

    def __post_init__(self) -> None:
        limits = {
            "state_bits": (4, 32),
            "state_fraction": (0, self.state_bits - 2 if _whole(self.state_bits) else 30),
            "decay_bits": (1, 16),
            "message_bits": (2, 16),
            "output_bits": (2, 24),
            "weight_bits": (1, self.weight_range if _whole(self.weight_range) else 8),
            "weight_range": (1, 14),
            "trace_bits": (2, 12),
            "accumulator_bits": (self.weight_range if _whole(self.weight_range) else 8, 24),
            "dendrite_bits": (8, 48),
        }
        faults = []
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not _whole(value) or not low <= value <= high:
                faults.append(f"widths.{name} is {value!r}; give a whole number of bits in {low}..{high}")
        if not isinstance(self.round_messages, bool):
            faults.append(f"widths.round_messages is {self.round_messages!r}; give true or false")
        if faults:
            raise SpecError(join_faults(faults))

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str = "widths") -> "LoihiWidths":
        """Widths from a hardware configuration; keys left out keep their default, unknown ones are refused."""
        known = [f.name for f in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise SpecError(f"{where}: unknown key {', '.join(unknown)}; known keys are {', '.join(known)}")
        return cls(**values)

    def as_json(self) -> dict[str, Any]:
        """All fields, plain."""
        return asdict(self)

    @property
    def state_limit(self) -> int:
        """The largest state; the smallest is its negative."""
        return (1 << (self.state_bits - 1)) - 1

    @property
    def message_limit(self) -> int:
        """The largest graded spike of an input or hidden unit."""
        return (1 << self.message_bits) - 2

    @property
    def output_limit(self) -> int:
        """The largest graded spike of an output unit; the smallest is its negative."""
        return (1 << (self.output_bits - 1)) - 1

    @property
    def weight_limits(self) -> tuple[int, int]:
        """Smallest and largest mantissa of a weight that learns: Lava's -256 and 255."""
        return -(1 << self.weight_range), (1 << self.weight_range) - self.weight_step

    @property
    def weight_step(self) -> int:
        """Between two neighbouring mantissas of a weight that learns."""
        return 1 << (self.weight_range - self.weight_bits)

    @property
    def static_step(self) -> int:
        """Between two neighbouring mantissas of a weight that is set: Lava's `truncate_weights`, MIXED."""
        return 2 * self.weight_step


class Formats(NamedTuple):
    """Fractional bits, layer by layer: how a network's real numbers are spread over the integers.

    messages          f_0..f_L: a graded spike p of layer k stands for the rate p 2^-f_k
    weights           s_1..s_L: a mantissa w of W_k stands for w 2^-s_k
    feedback          of B_1..B_{L-1}, where it is random; tied feedback has the format of the W it copies
    ghost_weights     of G_1..G_{L-1}, and
    ghost_inhibition  of I_1..I_{L-1}, where ghosts are learned
    """

    messages: tuple[int, ...]
    weights: tuple[int, ...]
    feedback: tuple[int, ...] = ()
    ghost_weights: tuple[int, ...] = ()
    ghost_inhibition: tuple[int, ...] = ()


def parse_formats(values: Mapping[str, Any]) -> Formats:
    """Formats from plain values. Raises `SpecError` for anything else."""
    try:
        return Formats(**{name: tuple(int(f) for f in group) for name, group in values.items()})
    except (TypeError, ValueError) as error:
        raise SpecError(f"formats are not lists of whole numbers by name ({error}); restore them") from error


DEFAULT = LoihiWidths()
"""Loihi 1."""


def exponent_of(gain: float, name: str) -> int:
    """n of a gain 2^n. Raises `SpecError` for what is not a power of two."""
    mantissa, exponent = math.frexp(gain)
    if mantissa != 0.5:
        raise SpecError(
            f"{name} is {gain}, and a chip shifts; use a power of two such as {nearest_power(gain)}"
        )
    return exponent - 1


def nearest_power(gain: float) -> float:
    """The power of two that is nearest to a positive gain, in ratio; 1 for what has none."""
    return 2.0 ** round(math.log2(gain)) if 0 < gain < math.inf else 1.0
