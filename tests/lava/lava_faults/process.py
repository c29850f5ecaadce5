from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var

SIZE = 3
FAULTY_STEP = 3


class Sender(AbstractProcess):
    """Counts and sends; `fault` names what goes wrong in step FAULTY_STEP, or when it is built."""

    def __init__(self, *, fault: str | None = None) -> None:
        super().__init__(fault=fault)
        self.s_out = OutPort(shape=(SIZE,))
        self.count = Var(shape=(SIZE,), init=0)
        self.scalar = Var(shape=(1,), init=0.5)


class Receiver(AbstractProcess):
    """Keeps the last message."""

    def __init__(self) -> None:
        super().__init__()
        self.a_in = InPort(shape=(SIZE,))
        self.last = Var(shape=(SIZE,), init=0)


class Unmodelled(AbstractProcess):
    """Has no model."""

    def __init__(self) -> None:
        super().__init__()
        self.s_out = OutPort(shape=(SIZE,))
