"""Train a 64-128-10 ghost network on the embedded digits, with its controls.

Accuracy alone says little (docs/theory.md), so each line also has the cosine of every layer's weight change to
the backprop gradient. The frozen control shows what a useless hidden layer reaches.
"""

import sys
from pathlib import Path

from lavaghost.datasets import load
from lavaghost.net.spec import Learning, Network
from lavaghost.run.pipeline import train_and_save

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/example-1")
digits = load("digits")
network = Network(layers=(digits.n_inputs, 128, digits.n_classes), mechanism="duplicate")

for method in ("ghost", "backprop", "frozen"):
    learning = Learning(method=method, rule="prediction", epochs=15, seed=1)
    trained, path = train_and_save(network, learning, digits, out / method)
    result = trained.record["result"]
    cosines = " ".join(f"{c:+.4f}" for c in result["cosines"])
    print(f"{method:9s} {100 * result['accuracy']:.2f} %   cosines {cosines}   {path}")
