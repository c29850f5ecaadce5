"""A ghost network among Lava's own processes: RingBuffer in and out, and a Monitor on its membranes.

The network is a Lava process like any other: `x_in` and `r_out` connect to whatever sends and receives vectors.
Here it gets a few digits from a RingBuffer, and a Monitor reads a hidden membrane in every step. Needs Lava.
"""

import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from lava.proc.monitor.process import Monitor

import lavaghost as lg
from lavaghost.lava.processes.ghost.ghost_network import ghost_network
from lavaghost.lava.session import Session

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/example-4")
out.mkdir(parents=True, exist_ok=True)
digits = lg.load_data("digits")
method = lg.Ghost(schedule=lg.Schedule(tau_steps=3, tau_ghost_steps=3, t_free_steps=25))
model = lg.train(lg.Network(layers=(64, 32, 10)), digits, method=method, epochs=5, diagnostics=False).model

COUNT, STEPS = 6, model.graph.schedule.t_free_steps
ghosts = ghost_network(model.graph, model.params)
source = Source(data=np.repeat(digits.x_test[:COUNT], STEPS, axis=0).T.astype(float))  # (n_0, steps)
sink = Sink(shape=(10,), buffer=COUNT * STEPS)
monitor: Any = Monitor()
monitor.probe(ghosts.v_mem1, COUNT * STEPS)
source.s_out.connect(ghosts.x_in)
ghosts.r_out.connect(sink.a_in)

# a session waits for Lava's processes, but never for ones that have died
with Session(ghosts) as session:
    session.run(COUNT * STEPS, timeout_s=60)
    outputs = session.get(sink.data).T
    membranes = session.get(monitor.var_read_0)

found = outputs[STEPS - 1 :: STEPS].argmax(axis=1)
print("labels", *digits.y_test[:COUNT], " found", *found)
figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(9, 5), layout="constrained")
above.plot(membranes)
above.set_title("hidden membranes, reset at the start of each trial")
below.plot(outputs)
below.set(title="output rates", xlabel="time step of Lava")
figure.savefig(out / "stock.png", dpi=130)
