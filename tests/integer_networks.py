"""Networks in integers as they come of learning on a chip: mantissas of all bits, odd ones too, and saturation."""

from typing import Any

import numpy as np

from lavaghost.methods.learning import Learning
from lavaghost.model.model import Model
from lavaghost.net.network import Schedule
from lavaghost.net.parameters import shapes
from lavaghost.numbers.integers import Integers
from lavaghost.numbers.widths import DEFAULT, LoihiWidths
from lavaghost.online.integers.formats import default_formats
from tests.networks import parts

SCHEDULE = Schedule(t_free_steps=24, t_nudge_steps=12)
"""What learning in integers uses with one hidden layer."""


def integer_network(
    seed: int = 0,
    scale: float = 1 / 16,
    widths: LoihiWidths = DEFAULT,
    size: float = 90.0,
    formats: dict[str, Any] | None = None,
    **physics: Any,
) -> Model:
    """Random integers: mantissas of a normal distribution of deviation `size`, and biases below 1."""
    values = {"layers": (6, 5, 4, 3), "loss": "squared_error", "saturation": 3.96875, "lam": 0.125, "beta": 1.0}
    network, method = parts(**(values | {"rule": "temporal", "schedule": SCHEDULE} | physics))
    graph, rng = method.graph(network), np.random.default_rng(seed)
    low, high = widths.weight_limits
    arrays = {
        name: rng.integers(-4096, 4097, shape)
        if "biases" in name
        else np.clip(rng.normal(0, size, shape), low, high).astype(np.int64)
        for name, shape in shapes(graph).items()
    }
    made = default_formats(graph, widths)._replace(**(formats or {}))
    labels = tuple(f"class {i}" for i in range(network.layers[-1]))
    return Model(network, method, Learning(), Integers(arrays, made, widths), scale, labels, "digits")
