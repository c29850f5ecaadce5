"""`Integers`: arrays with what their integers stand for. The one value in which a network in integers crosses rooms.

A mantissa w of a projection's tensor stands for `w 2^-s`, s its fraction in the formats; a bias is a state, an integer
that stands for `b 2^-state_fraction`. Learning changes it, checkpoints and bundles keep it, Lava, chips and exporters
take it as it is. Real numbers are made of it only to be shown, or compared with (`real`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lavaghost.base.errors import SpecError, join_faults
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.loihi import Loihi
from lavaghost.numbers.widths import Formats, LoihiWidths


@dataclass(frozen=True, eq=False)
class Integers:
    """Tensors by name, such as `weights.1`, in `formats` of `widths`. Raises `SpecError` for numbers out of their bits.

    arrays  int16 mantissas of projections, int32 states of biases; read-only copies

    Two are equal if all of their numbers and formats are.
    """

    arrays: Mapping[str, Array]
    formats: Formats
    widths: LoihiWidths

    def __post_init__(self) -> None:
        faults, kept = [], {}
        for name, array in self.arrays.items():
            if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu":
                faults.append(f"{name} is {getattr(array, 'dtype', type(array).__name__)}; give integers")
                continue
            low, high = self.limits(name)
            if array.size and not (low <= int(array.min()) and int(array.max()) <= high):
                worst = array.ravel()[int(np.abs(array.astype(np.int64)).argmax())]
                faults.append(f"{name}: {worst} is outside {low}..{high}; quantise anew, or give other widths")
                continue
            kept[name] = np.array(array, np.int32 if is_bias(name) else np.int16, order="C")
            kept[name].flags.writeable = False
        if faults:
            raise SpecError(join_faults(faults))
        object.__setattr__(self, "arrays", kept)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Integers):
            return NotImplemented
        same = (self.formats, self.widths, self.arrays.keys()) == (
            other.formats,
            other.widths,
            other.arrays.keys(),
        )
        return same and all(np.array_equal(a, other.arrays[name]) for name, a in self.arrays.items())

    def __hash__(self) -> int:
        return hash((self.formats, self.widths))

    def limits(self, name: str) -> tuple[int, int]:
        """Smallest and largest integer of a tensor."""
        if is_bias(name):
            return -self.widths.state_limit, self.widths.state_limit
        return self.widths.weight_limits

    @property
    def arith(self) -> Loihi:
        """The arithmetic that they are of."""
        return Loihi(self.formats, self.widths)

    def fraction(self, name: str) -> int:
        """Fractional bits of a tensor: its integers times 2^-fraction are its numbers."""
        return fraction_of(name, self.formats, self.widths)

    def real(self) -> dict[str, Array]:
        """What the integers stand for, float64, exactly."""
        return {name: array * 2.0 ** -self.fraction(name) for name, array in self.arrays.items()}

    @classmethod
    def nearest(
        cls, real: Mapping[str, Any], formats: Formats, widths: LoihiWidths, step: int | None = None
    ) -> "Integers":
        """The integers nearest to real numbers; mantissas at multiples of `step` and clipped to their bits."""
        found = {}
        for name, array in real.items():
            scaled = np.asarray(array, np.float64) * 2.0 ** fraction_of(name, formats, widths)
            if not np.isfinite(scaled).all():
                raise SpecError(f"{name}: a number is NaN or infinite; mend the network first")
            if is_bias(name):
                limit = widths.state_limit
                found[name] = np.clip(np.rint(scaled), -limit, limit).astype(np.int32)
                continue
            by = step or 1
            low, high = widths.weight_limits
            held = np.rint(scaled / by) * by
            if step is not None:
                held = np.clip(held, low, high // by * by)
            found[name] = held.astype(np.int64)
        return cls(found, formats, widths)

    def form(self) -> dict[str, Any]:
        """Widths and formats as plain values, as a manifest holds them."""
        return {
            "widths": self.widths.as_json(),
            "formats": {name: list(group) for name, group in self.formats._asdict().items()},
        }


def is_bias(name: str) -> bool:
    """Whether a tensor holds states, not mantissas."""
    return "biases" in name.split(".", maxsplit=1)[0]


def fraction_of(name: str, formats: Formats, widths: LoihiWidths) -> int:
    """Fractional bits of the tensor `name`."""
    if is_bias(name):
        return widths.state_fraction
    group, _, k = name.partition(".")
    return getattr(formats, group)[int(k) - 1]
