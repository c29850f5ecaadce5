"""Train a 64-128-10 ghost network on the embedded digits, with its controls.

Accuracy alone says little (docs/theory.md), so each line also has the cosine of every layer's weight change to
the backprop gradient. The frozen control shows what a useless hidden layer reaches.
"""

import sys
from pathlib import Path

import lavaghost as lg

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/example-1")
digits = lg.load_data("digits")
network = lg.Network(layers=(digits.n_inputs, 128, digits.n_classes))

for method in (lg.Ghost(mechanism="duplicate"), lg.Backprop(), lg.Frozen()):
    run = lg.train(network, digits, method=method, epochs=15, seed=1, out=out / method.name)
    last = run.figures[-1]
    cosines = " ".join(f"{c:+.4f}" for c in last["cosines"])
    print(f"{method.name:9s} {100 * last['accuracy']:.2f} %   cosines {cosines}   {run.path}")
