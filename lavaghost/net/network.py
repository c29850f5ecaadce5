"""`Network`: populations one above the other, what rates they have, and what their output is compared with.

How credit is assigned, with ghosts or without, is not a part of it: that is a method's (`lavaghost.methods`).
"""

import math
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from lavaghost.base.names import Activation, Loss
from lavaghost.base.spec import Count, Positive, Sizes, Spec, listed
from lavaghost.net.kinds import KINDS

KindNames = Annotated[tuple[Annotated[str, Field(max_length=100)], ...], BeforeValidator(listed)]
LayerNumbers = Annotated[tuple[Count, ...], BeforeValidator(listed)]


class Schedule(Spec):
    """Time, in steps of the stepped and Lava engines. A trial is a free and then a nudged phase.

    Example: `Ghost(schedule=Schedule(tau_steps=1.0, t_free_steps=8, t_nudge_steps=4))`.
    """

    tau_steps: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 2.0
    """Membrane time constant of neurons; 1 relaxes in one Euler step."""
    tau_ghost_steps: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 2.0
    """Membrane time constant of ghosts; equal to `tau_steps`, duplicate ghosts cancel at every step."""
    t_free_steps: Annotated[int, Field(ge=2, le=10**6)] = 32
    """Steps without a target; the first one resets the membranes."""
    t_nudge_steps: Annotated[int, Field(ge=1, le=10**6)] = 32
    """Steps with a target."""


class Physics(Spec):
    """What a network is made of, apart from its size."""

    activation: Activation = "relu"
    saturation: Positive | None = None
    """Upper bound of a relu rate; None is unbounded. A hard sigmoid saturates at 1 by definition."""
    loss: Loss = "cross_entropy"
    kinds: KindNames = ()
    """Kind of the projection onto each layer, from the first hidden one; none given are all dense."""
    plastic: LayerNumbers = ()
    """The layers, from 1, whose weights and biases learn; none given are all. The others stay as they are."""

    @model_validator(mode="after")
    def _together(self) -> "Physics":
        if self.activation == "hard_sigmoid" and self.saturation not in (None, 1.0):
            raise ValueError(
                f"saturation {self.saturation} goes with relu; a hard sigmoid saturates at 1, leave it out"
            )
        for name in self.kinds:
            KINDS.find(name)  # a SpecError passes through with its own words
        if list(self.plastic) != sorted(set(self.plastic)):
            raise ValueError(f"plastic is {list(self.plastic)}; name each layer once, in order")
        return self


class Network(Physics):
    """A layered network of one-compartment rate neurons.

        r_0 = x,   u_k = W_k r_{k-1} + b_k,   r_k = clip(u_k, 0, r_max) in hidden layers,   r_L = u_L

    `layers` is `(n_0, ..., n_L)`, input first. Example: `Network(layers=(64, 128, 10))`.
    """

    layers: Sizes

    @model_validator(mode="after")
    def _in_its_layers(self) -> "Network":
        if self.kinds and len(self.kinds) != self.depth:
            raise ValueError(
                f"kinds names {len(self.kinds)} projections, and the layers have {self.depth}; name one for each, "
                "or none"
            )
        if self.plastic and self.plastic[-1] > self.depth:
            raise ValueError(
                f"plastic names layer {self.plastic[-1]}, and there are layers 1 to {self.depth}; name these"
            )
        return self

    @property
    def depth(self) -> int:
        """L, the number of weight layers."""
        return len(self.layers) - 1

    @property
    def r_max(self) -> float:
        """Upper bound of a hidden rate (infinite for a plain relu)."""
        if self.activation == "hard_sigmoid":
            return 1.0
        return math.inf if self.saturation is None else self.saturation

    def kind(self, k: int) -> str:
        """The name of the kind of W_k."""
        return self.kinds[k - 1] if self.kinds else "dense"

    def learns(self, k: int) -> bool:
        """Whether the weights and biases of layer k (from 1) learn."""
        return not self.plastic or k in self.plastic
