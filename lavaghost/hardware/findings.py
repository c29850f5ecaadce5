"""What a rule has to say: a violation, or that it cannot tell."""

from dataclasses import dataclass
from typing import Any, Literal

from lavaghost.base.names import Code
from lavaghost.hardware.demand import Demand
from lavaghost.hardware.partition import Partition
from lavaghost.hardware.schema import Hardware


@dataclass(frozen=True)
class Plan:
    """What may be changed to make a network fit.

    weight_bits  bits of a synaptic weight
    cores        cores that may be used; None is all that there are
    split        whether a layer may be spread over several cores
    messages     how rates are sent; None is what the chip can (`messages.code`)
    """

    weight_bits: int = 8
    cores: int | None = None
    split: bool = True
    messages: Code | None = None


@dataclass(frozen=True)
class Violation:
    """`layer` uses more of `resource` than there is.

    cure  what helps: "split" over cores, "weights" of other bits, more "cores", "messages" that are spike counts;
          the mapper can do these four. "network" and "phase" are for the user to decide.
    why   what uses it, or who says that there is no more, where that is not plain
    """

    layer: str
    resource: str
    used: float
    limit: float
    unit: str
    remedy: str
    cure: Literal["split", "weights", "cores", "messages", "network", "phase"]
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        """The published fields."""
        return {k: getattr(self, k) for k in ("layer", "resource", "used", "limit", "unit", "why", "remedy")}

    def line(self, hardware: str) -> str:
        """As a person reads it."""
        per = " per core" if self.resource.endswith("_per_core") else ""
        what = self.resource.removesuffix("_per_core").replace("_", " ")
        relation = ">" if self.used > self.limit else "instead of"
        why = f": {self.why}" if self.why else ""
        fault = f"{self.layer}: {self.used:,.0f} {what} {relation} {self.limit:,.0f}{per} on {hardware}{why}"
        return f"{fault}; {self.remedy}"


@dataclass(frozen=True)
class Unknown:
    """A question that has no answer for lack of a figure."""

    text: str


Finding = Violation | Unknown


@dataclass(frozen=True)
class Case:
    """What the rules look at.

    needed    cores that the parts take when small ones share a core
    narrower  where that is too many, the widest weights with which it is not; None if there are none
    """

    demand: Demand
    hardware: Hardware
    plan: Plan
    partition: Partition
    needed: int
    narrower: int | None = None

    @property
    def crowded(self) -> bool:
        """Whether there are fewer cores than it takes."""
        return self.allowed is not None and self.needed > self.allowed

    @property
    def allowed(self) -> float | None:
        """Cores that may be used; None is unknown."""
        there = self.hardware.limits.cores.limit
        if self.plan.cores is None:
            return there
        return self.plan.cores if there is None else min(self.plan.cores, there)
