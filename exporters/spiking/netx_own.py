"""A network in integers in the sigma-delta neurons of netx: its own mantissas, and what the file says of them.

A weight of the file is a mantissa, or, in a layer that has one beyond 127, half of it to the nearest: netx has one
matrix between two layers, of even weights -254..254. Rates go at full resolution in the place of messages, and an input
is p_0 of as many bits as the option says.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lavaghost.datasets import Dataset, raw_samples
from lavaghost.engines.sigma_delta import SigmaDelta
from lavaghost.exporters.base import Carried, Expected
from lavaghost.exporters.carried import measured_on
from lavaghost.exporters.held_integers import held
from lavaghost.exporters.spiking.bounded import second
from lavaghost.exporters.spiking.netx_sigma_delta import SHIFT
from lavaghost.model.model import Model
from lavaghost.numbers.arithmetic import Array
from lavaghost.numbers.integers import Integers


def message_levels(x: Array, integers: Integers, bits: int) -> tuple[float, int]:
    """(r_0 per integer, largest integer) so that messages p_0 of rates `x`, some lowest bits left out, fit `bits`."""
    top, cut = int(integers.arith.input(x).max(initial=0)), 0
    while top >> cut >= 1 << bits:
        cut += 1
    return 2.0 ** (cut - integers.formats.messages[0]), max(1, top >> cut)


def mantissa_steps(trained: Model) -> list[float]:
    """What 1 in the mantissas of each layer stands for; none for a network in real numbers."""
    return [] if trained.integers is None else [2.0**-s for s in trained.integers.formats.weights]


def changed_weights(trained: Model, whole: SigmaDelta, settings: Mapping[str, Any]) -> tuple[int, int]:
    """How many weights of the file are no mantissa of the network, whole or halved, and how many there are."""
    message, changed, count = settings["input"] / 2**SHIFT, 0, 0
    layers = zip(held(trained).layers, whole.weights, settings["units"], mantissa_steps(trained), strict=True)
    for layer, weights, unit, step in layers:
        rows, columns = layer.mantissas.shape
        of_the_file = weights[:rows, :columns] * (unit / (message * step))
        changed += int(np.count_nonzero(of_the_file != layer.mantissas))
        count += layer.mantissas.size
        message = unit * 2**SHIFT
    return changed, count


def own_notes(
    trained: Model, whole: SigmaDelta, settings: Mapping[str, Any], found: Expected, data: Dataset
) -> tuple[Carried, Carried]:
    """Weights and activation of such a file; `found` is what it answers on the samples that approximations take."""
    x, what = measured_on(trained, data)
    outputs = trained.outputs(x)
    gap = float(np.abs(found.logits * (found.scale or 1.0) - outputs).max())
    same = float(np.mean(found.labels == outputs.argmax(axis=1)))
    changed, count = changed_weights(trained, whole, settings)
    lost = (
        f"outputs differ from those of the network in integers by up to {gap:.2g} of {np.abs(outputs).max():.2g}, and "
        f"{same:.1%} of the labels are the same, on {what}"
    )
    weights = f"the network's own mantissas, halved where a layer has one beyond 127: {changed} of {count} are rounded"
    units = (
        f"sigma-delta neurons with a relu{second(settings.get('saturating', []), data)}; rates at full resolution in "
        f"the place of messages; {lost}"
    )
    return Carried("weights", "approximate", f"{weights}; {lost}"), Carried("activation", "approximate", units)


def measured_samples(trained: Model, data: Dataset) -> Array:
    """The raw samples of `own_notes`."""
    return raw_samples(measured_on(trained, data)[0], trained.input_scale)
