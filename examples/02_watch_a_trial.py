"""Watch the ghosts cancel: feedback, inhibition and what is left of them, over one trial in time.

Without a target the two are equal. With one, what is left is the error that the hidden layer learns from.
Writes trial.png: one row per mechanism.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import lavaghost as lg
from lavaghost.engines.stepped import Stepped

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/example-2")
out.mkdir(parents=True, exist_ok=True)
digits = lg.load_data("digits")
time = lg.Schedule(tau_steps=3, tau_ghost_steps=3, t_free_steps=40, t_nudge_steps=25)

figure, panels = plt.subplots(2, 2, figsize=(10, 5), sharex=True, layout="constrained")
for (above, below), mechanism in zip(panels.T, ("duplicate", "online"), strict=True):
    method = lg.Ghost(mechanism=mechanism, rule="temporal", beta=0.5, schedule=time)
    model = lg.train(lg.Network(layers=(64, 128, 10)), digits, method=method, epochs=2).model
    x, target = digits.x_test[:1], np.eye(10)[digits.y_test[:1]]
    states = [state for _, state in Stepped(model.graph).states(model.params, x, target)]
    feedback = np.array([state.feedback[0][0] for state in states])
    inhibition = np.array([state.inhibition[0][0] for state in states])
    left_over = np.linalg.norm(feedback - inhibition, axis=1)
    below.set_yscale("symlog", linthresh=1e-4)
    above.plot(np.linalg.norm(feedback, axis=1), lw=2, label="feedback  |B r|")
    above.plot(np.linalg.norm(inhibition, axis=1), "--", lw=2, label="ghosts  |i|")
    below.plot(left_over, lw=2, color="tab:red", label="left over  |B r - i|")
    above.set_title(f"{mechanism} ghosts")
    for panel in (above, below):
        panel.axvspan(time.t_free_steps, len(states), color="gold", alpha=0.2, label="target given")
    above.legend(frameon=False, loc="center")
    below.legend(frameon=False, loc="center left")
    below.set_xlabel("time step")
    free = left_over[time.t_free_steps - 1]
    print(f"{mechanism}: left over {free:.1e} at the end of the free phase, {left_over[-1]:.1e} with a target")
figure.savefig(out / "trial.png", dpi=130)
