import os
import signal
import sys
import time
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from lava_faults.process import FAULTY_STEP, SIZE, Receiver, Sender


class NotPickled(Exception):
    def __init__(self, first: str, second: Any) -> None:
        super().__init__(f"{first} and what cannot be pickled")
        self.second = second


@implements(proc=Sender, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PySender(PyLoihiProcessModel):
    s_out: Any = LavaPyType(PyOutPort.VEC_DENSE, float)
    count: Any = LavaPyType(np.ndarray, float)
    scalar: Any = LavaPyType(float, float)  # Lava never answers a get of such a Var

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.fault = proc_params["fault"]
        if self.fault == "init":
            raise ValueError("fault in __init__")
        if self.fault == "killed_in_init":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "slow_init":
            time.sleep(10**5)

    def run_spk(self) -> None:
        self.count += 1
        if self.time_step == FAULTY_STEP:
            self.go_wrong()
        self.s_out.send(self.count)
        if self.time_step == FAULTY_STEP and self.fault == "after_send":
            raise ValueError("fault in after_send")

    def go_wrong(self) -> None:
        if self.fault == "before_send":
            raise ValueError("fault in before_send")
        if self.fault == "wrong_shape":
            self.s_out.send(np.zeros(SIZE + 1))
        if self.fault == "not_pickled":
            raise NotPickled("fault in not_pickled", lambda: None)
        if self.fault == "exit":
            sys.exit("fault in exit")
        if self.fault == "killed":
            print("last words", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "slow":
            time.sleep(10**5)


@implements(proc=Receiver, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyReceiver(PyLoihiProcessModel):
    a_in: Any = LavaPyType(PyInPort.VEC_DENSE, float)
    last: Any = LavaPyType(np.ndarray, float)

    def run_spk(self) -> None:
        self.last[:] = self.a_in.recv()
