"""A local rule of your own, trained on Lava in both models.

A rule is a function of what the neurons of one layer have seen in a trial. This one keeps the sign of the change
and its order of magnitude, so that a synapse could learn with shifts and without multiplying. Needs Lava.
"""

import numpy as np

import lavaghost as lg
from lavaghost.engines import Local
from lavaghost.numbers.arithmetic import Array


def shifted(local: Local) -> Array:
    """The change, `(1, n_k)`, rounded towards zero to a power of two."""
    _, exponent = np.frexp(local.change)
    return np.sign(local.change) * 2.0 ** (exponent - 1)


digits = lg.load_data("digits")
network = lg.Network(layers=(64, 32, 10))
schedule = lg.Schedule(tau_steps=1, tau_ghost_steps=1, t_free_steps=3, t_nudge_steps=2)
method = lg.Ghost(rule=lg.Rule("shifted", shifted), lam=0.25, beta=0.5, schedule=schedule)
learning = {"engine": "lava", "eta": 2.0**-5, "epochs": 1}

fused = lg.train(network, digits, method=method, **learning)
for row in fused.figures:
    cosines = " ".join(f"{c:+.2f}" for c in row["cosines"])
    print(f"epoch {row['epoch']}: {100 * row['accuracy']:.1f} %, cosines to the gradient {cosines}")

# the same samples in the network of processes: the rule runs in each population, the weights are Lava's own
few = [
    lg.train(
        network, digits, method=method, lava={"limit": 100, "processes": m}, diagnostics=False, **learning
    ).model.params
    for m in ("fused", "decomposed")
]
gap = max(np.abs(a - b).max() for a, b in zip(few[0].weights, few[1].weights, strict=True))
print(f"fused against decomposed after 100 samples: largest difference of a weight {gap}")
