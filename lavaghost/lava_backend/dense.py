"""Lava's model of LearningDense, with weights that keep their layout."""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.dense.models import PyLearningDenseModelFloat
from lava.proc.dense.process import LearningDense


@implements(proc=LearningDense, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class RowMajorLearningDense(PyLearningDenseModelFloat):
    """Lava's learning engine as it is; only the order of the new weights in memory is put right.

    From 256 KiB on, NumPy adds the change, whose columns lie together, in its own memory, and so turns the
    weights round. BLAS then takes the products in another order and rounds them differently in the last bit,
    which is all that this avoids. `session.configuration` selects it; Lava's own model agrees to 1e-12.
    """

    def _saturate_synaptic_variable(self, name: str, values: Any) -> Any:
        lava: Any = super()
        return np.ascontiguousarray(lava._saturate_synaptic_variable(name, values))
