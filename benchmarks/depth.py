"""Cosines of deep networks to the backprop gradient, before and after training on the digits.

python -m benchmarks.depth [--epochs 10] [--seed 0]
"""

import argparse

from benchmarks.tables import Table
from lavaghost.datasets import load_digits
from lavaghost.methods.ghost.method import Ghost
from lavaghost.methods.learning import usual_eta
from lavaghost.net.network import Network
from lavaghost.run.train import train

CASES = ((8, 0.3), (16, 0.3), (32, 0.3), (31, 0.03), (62, 0.03))
"""Hidden layers of 64, and lam."""


def rows(epochs: int, seed: int) -> list[list[str]]:
    """One row per case: cosines of layer 1, of the worst layer, and accuracy."""
    data, found = load_digits(), []
    for hidden, lam in CASES:
        network = Network(layers=(data.n_inputs, *[64] * hidden, data.n_classes))
        history = train(network, data, method=Ghost(lam=lam), epochs=epochs, seed=seed).figures
        cells = [f"{hidden}", f"{lam:g}", f"{usual_eta(network.depth):g}"]
        for row in (history[0], history[-1]):
            worst = min(row["cosines"])
            cells += [f"{row['cosines'][0]:.4f}", f"{worst:.4f} ({row['cosines'].index(worst) + 1})"]
        found.append([*cells, f"{100 * history[-1]['accuracy']:.2f}"])
    return found


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    head = ["hidden layers", "lam", "eta", "layer 1, initial", "worst (layer), initial"]
    head += [f"layer 1, {options.epochs} epochs", f"worst (layer), {options.epochs} epochs", "accuracy %"]
    notes = ["Digits, hidden layers of 64, duplicate ghosts, prediction rule, beta 0.1, one sweep, float32."]
    print(Table("Deep networks", head, rows(options.epochs, options.seed), notes).markdown())


if __name__ == "__main__":
    main()
