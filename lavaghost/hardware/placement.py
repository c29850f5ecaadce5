"""Where a network lies: slices of populations on cores, and what the rules said about it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from lavaghost.base.names import Code
from lavaghost.hardware import messages
from lavaghost.hardware.demand import Demand
from lavaghost.hardware.findings import Plan, Violation
from lavaghost.hardware.partition import RESOURCES, core_limit
from lavaghost.hardware.schema import Hardware
from lavaghost.hardware.usage import Usage

Status = Literal["fits", "fits, as far as is known", "does not fit"]


@dataclass(frozen=True)
class Slice:
    """Neurons `start` to `stop` (not included) of a population."""

    population: str
    start: int
    stop: int

    @property
    def size(self) -> int:
        """Number of neurons."""
        return self.stop - self.start


@dataclass(frozen=True)
class Core:
    """What one core holds; `place` is which one of the chip it is, where that matters."""

    slices: tuple[Slice, ...]
    usage: Usage
    place: int | None = None


@dataclass(frozen=True)
class Mapping:
    """The answer for one graph, chip, phase and plan.

    demand   with the relays that the partition needed
    cores    the placement; empty where there is none
    needed   cores that it takes, also where that is too many
    unknown  rules that decide whether it fits, and could not for lack of a figure
    """

    hardware: Hardware
    plan: Plan
    demand: Demand
    cores: tuple[Core, ...]
    needed: int
    lower_bound: int
    violations: tuple[Violation, ...]
    unknown: tuple[str, ...]

    @property
    def fits(self) -> bool | None:
        """True if every rule is known to hold, False if one is violated, None if neither is known."""
        return False if self.violations else None if self.unknown else True

    @property
    def status(self) -> Status:
        """`fits` in words."""
        words: dict[bool | None, Status] = {
            True: "fits",
            None: "fits, as far as is known",
            False: "does not fit",
        }
        return words[self.fits]

    @property
    def headline(self) -> str:
        """What is said first, wherever it is said whether a network fits."""
        return self.status if self.fits is not None else f"{self.status}: {len(self.unknown)} unknown"

    @property
    def messages(self) -> Code:
        """How rates are sent."""
        return messages.code(self.demand, self.hardware, self.plan.messages)

    @property
    def utilization(self) -> dict[str, float]:
        """Share of each resource that is used on the cores in use, where the limit is known."""
        found = {}
        for resource in RESOURCES:
            limit = core_limit(self.hardware, resource)
            used = [getattr(core.usage, resource) for core in self.cores]
            if limit and limit < float("inf") and used and None not in used:
                found[resource] = sum(used) / (limit * len(used))
        return found

    @cached_property
    def parts(self) -> dict[str, tuple[tuple[int, Slice], ...]]:
        """For each population its slices, with the number of their core."""
        found: dict[str, list[tuple[int, Slice]]] = {p.name: [] for p in self.demand.populations}
        for i, core in enumerate(self.cores):
            for part in core.slices:
                found[part.population].append((i, part))
        return {name: tuple(slices) for name, slices in found.items()}
