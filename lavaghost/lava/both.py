"""Lava models in floating point and in integers from one piece of logic; types of ports and Vars differ."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

STATE: dict[str, Any] = {"floating_pt": {"d_type": float}, "fixed_pt": {"d_type": np.int32, "precision": 24}}
"""Numbers of a port or a Var under each tag."""


def both(
    process: Any,
    logic: type[Any],
    module: str,
    receives: Sequence[str] = (),
    sends: Sequence[str] = (),
    variables: Sequence[str] = (),
    bases: tuple[Any, Any] = ((), ()),
    floats: Sequence[str] = (),
) -> list[type[Any]]:
    """The floating-point and the fixed-point model of `process`, with the methods of `logic`.

    `receives`, `sends` and `variables` name ports and Vars; `bases` are Lava classes that a model inherits besides,
    in each number system. Ports in `floats` send floating point in both, to the host.
    """
    found = []
    for (kind, state), more in zip(STATE.items(), bases, strict=True):
        body: dict[str, Any] = {"__module__": module, "__doc__": f"{process.__name__}, {kind}."}
        body |= {name: LavaPyType(PyInPort.VEC_DENSE, **state) for name in receives}
        body |= {name: LavaPyType(PyOutPort.VEC_DENSE, **state) for name in sends}
        body |= {name: LavaPyType(np.ndarray, **state) for name in variables}
        body |= {name: LavaPyType(PyOutPort.VEC_DENSE, float) for name in floats}
        prefix = "Float" if kind == "floating_pt" else "Fixed"
        model = type(f"{prefix}{process.__name__}", (logic, *more), body)
        found.append(implements(proc=process, protocol=LoihiProtocol)(requires(CPU)(tag(kind)(model))))
    return found
