"""Look inside the network of processes that stands for one ghost network, while it learns.

The same process, the same user program: a run configuration chooses the model that has a Lava process for each
population and each connection. They are LearningDense where they learn and Dense where not, and their Vars can
be read by name. Needs Lava.
"""

import numpy as np
from lava.proc.dense.process import LearningDense

import lavaghost as lg
from lavaghost.lava.phases import Clock, trial_steps
from lavaghost.lava.processes.ghost.ghost_network import ghost_network
from lavaghost.lava.processes.io.sources import TeachingSource
from lavaghost.lava.session import Session, configuration
from lavaghost.net.parameters import initial_parameters
from lavaghost.online.course import course

digits = lg.load_data("digits")
schedule = lg.Schedule(tau_steps=1, tau_ghost_steps=1, t_free_steps=3, t_nudge_steps=2)
method = lg.Ghost(mechanism="duplicate", rule="prediction", lam=0.25, beta=0.5, schedule=schedule)
graph = method.graph(lg.Network(layers=(64, 16, 10)))
learning = lg.Learning(batch_size=1, momentum=0.0, weight_decay=0.0, eta=2.0**-5)
plan = course(graph, method, learning, samples=20)

ghosts = ghost_network(graph, initial_parameters(graph, 0), plan)
source = TeachingSource(
    samples=digits.x_train,
    targets=np.eye(10)[digits.y_train],
    order=lambda trial: trial,
    clock=Clock(graph, plan),
)
source.x_out.connect(ghosts.x_in)
source.y_out.connect(ghosts.y_in)
source.nudge_out.connect(ghosts.nudge_in)

with Session(ghosts, configuration("decomposed")) as session:
    session.run(20 * trial_steps(graph, plan), timeout_s=60)
    print("process   class          learns by")
    for part in sorted(ghosts.procs, key=lambda part: part.name):
        rule = part.dw.init if isinstance(part, LearningDense) else ""
        print(f"{part.name:9s} {type(part).__name__:14s} {rule}")
    up, down = session.get(ghosts.procs.up2.weights), session.get(ghosts.procs.down1.weights)
    copy = session.get(ghosts.procs.copy1.weights)
    moved = np.abs(up - ghosts.W2.init).max()

print(f"W_2 moved by up to {moved:.3f} in 20 trials; its mirrors learned the same by themselves:")
print(f"feedback - W_2^T: {np.abs(down - up.T).max()},  ghosts' copy - W_2: {np.abs(copy - up).max()}")
