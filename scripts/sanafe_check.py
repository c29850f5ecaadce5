# /// script
# requires-python = ">=3.10,<3.12"
# dependencies = ["sanafe==2.2.9", "numpy<2", "scipy", "pydantic>=2.7", "pyyaml>=6", "safetensors"]
# ///
"""Compare the energy and time model of `lavaghost.hardware.cost` with SANA-FE, on Loihi 1.

    python -m venv out/sanafe && out/sanafe/bin/pip install sanafe==2.2.9 "numpy<2" scipy pydantic pyyaml safetensors
    out/sanafe/bin/python scripts/sanafe_check.py --model out/demo/model.yaml --samples 20
    out/sanafe/bin/python scripts/sanafe_check.py --random 400,800,10

SANA-FE (GPL-3) simulates a chip event by event; it is a tool of its own and no part of LavaGhost, which never
imports it. Both get the same integrate-and-fire network, the same placement and the same input spikes. The spikes
of all neurons are computed here in integers as well, and their rates are all that our model is told.
Exit code 1 if an energy differs by more than 25 %.
"""

import argparse
import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import sanafe  # type: ignore[import-not-found]  # noqa: E402

from lavaghost.hardware.activity import Activity  # noqa: E402
from lavaghost.hardware.catalogue import load_chip  # noqa: E402
from lavaghost.hardware.cost import cost  # noqa: E402
from lavaghost.hardware.mapper import map_network  # noqa: E402
from lavaghost.hardware.placement import Mapping  # noqa: E402
from lavaghost.hardware.traffic import Traffic, traffic  # noqa: E402
from lavaghost.net.graph import feedforward  # noqa: E402
from lavaghost.net.network import Network  # noqa: E402

TOLERANCE = 0.25
Spikes = dict[str, np.ndarray]


class Neurons:
    """Integer weights, thresholds and biases of a network of integrate-and-fire neurons with hard reset."""

    def __init__(self, weights: list[np.ndarray], thresholds: list[int], biases: list[np.ndarray]) -> None:
        self.weights, self.thresholds, self.biases = weights, thresholds, biases
        self.layers = (weights[0].shape[1], *(len(w) for w in weights))
        depth = len(weights)
        self.names = ["input", *(f"hidden.{k}" for k in range(1, depth)), "output"]

    def spikes(self, inputs: np.ndarray) -> Spikes:
        """Spikes (steps, n) of every layer for input spikes (steps, n_0); a step reaches all layers, as in SANA-FE."""
        found, arriving = {"input": inputs}, inputs
        for name, w, b, threshold in zip(
            self.names[1:], self.weights, self.biases, self.thresholds, strict=True
        ):
            v, out = np.zeros(len(w)), np.zeros((len(inputs), len(w)), dtype=int)
            for t, s in enumerate(arriving):
                v += w @ s + b
                out[t] = v > threshold
                v[out[t] == 1] = 0
            found[name] = arriving = out
        return found


def trained_model(path: str, samples: int, steps: int) -> tuple[Neurons, list[np.ndarray]]:
    """A saved network as integrate-and-fire neurons, and regular input spikes of test samples."""
    from lavaghost.datasets import load as load_data
    from lavaghost.model.model import Model

    trained, data = Model.load(path), load_data("digits")
    weights, thresholds, biases = [], [], []
    rate, scale = data.x_train.astype(float), 1.0
    for k, (w, b) in enumerate(zip(trained.params.weights, trained.params.biases, strict=True)):
        unit = float(np.abs(w).max()) / 127
        rate = np.maximum(rate @ w.T + b, 0)
        top = float(np.percentile(rate, 99.9)) if k < len(trained.params.weights) - 1 else 8.0
        thresholds.append(round(top / (unit * scale)))
        weights.append(np.rint(w / unit).astype(int))
        biases.append(np.rint(b / (unit * scale)).astype(int))
        scale = top
    inputs = [_regular(x, steps) for x in data.x_test[:samples]]
    return Neurons(weights, thresholds, biases), inputs


def _regular(x: np.ndarray, steps: int) -> np.ndarray:
    total = np.floor(np.arange(1, steps + 1)[:, None] * x[None] + 0.5)
    return np.diff(total, axis=0, prepend=0).clip(0, 1).astype(int)


def random_model(layers: list[int], samples: int, steps: int) -> tuple[Neurons, list[np.ndarray]]:
    """Random weights and input spikes: large enough to need several cores and hops."""
    rng = np.random.default_rng(0)
    weights = [rng.integers(-60, 68, (b, a)) for a, b in itertools.pairwise(layers)]
    thresholds = [int(4 * np.abs(w).mean() * np.sqrt(w.shape[1]) / 3) for w in weights]
    biases = [np.zeros(len(w), dtype=int) for w in weights]
    return Neurons(weights, thresholds, biases), [
        (rng.random((steps, layers[0])) < 0.1).astype(int) for _ in range(samples)
    ]


def chip_for(model: Neurons, mapping: Mapping, moved: Traffic) -> Any:
    """SANA-FE's Loihi with the same parts on the same cores; the input lies on the first tile."""
    folder = Path(str(sanafe.__file__)).parent
    arch = sanafe.load_arch(str(folder / "examples" / "loihi.yaml"))
    cores, net = list(arch.cores()), sanafe.Network()
    groups = {}
    for name, size, threshold in zip(model.names, model.layers, [None, *model.thresholds], strict=True):
        options = {} if threshold is None else {
            "model_attributes": {"threshold": threshold, "reset_mode": "hard", "leak_decay": 1.0,
                                 "input_decay": 0.0, "force_update": True},
            "soma_hw_name": "loihi_lif",
        }  # fmt: skip
        groups[name] = net.create_neuron_group(name, size, **options)
    for source, target, w in zip(model.names, model.names[1:], model.weights, strict=False):
        groups[source].connect_neurons_dense(groups[target], {"weight": [int(v) for v in w.T.ravel()]})
    # input neurons cost nothing but their messages; 1024 of them fill the cores of the first tile
    for i in range(model.layers[0]):
        groups["input"][i].set_attributes(
            soma_hw_name=f"loihi_inputs[{i % 1024}]",
            default_synapse_hw_name="loihi_dense_synapse",
            model_attributes={"spikes": [False]},
        )
        groups["input"][i].map_to_core(cores[3])
    position = moved.position if moved.position is not None else np.arange(len(mapping.cores))
    for name, b in zip(model.names[1:], model.biases, strict=True):
        for i, part in mapping.parts[name]:
            for j in range(part.start, part.stop):
                groups[name][j].set_attributes(
                    default_synapse_hw_name="loihi_dense_synapse", model_attributes={"bias": float(b[j])}
                )
                groups[name][j].map_to_core(cores[int(position[i])])
    chip = sanafe.SpikingChip(arch)
    chip.load(net)
    return chip


def main() -> int:
    """Run both and print a table."""
    parser = argparse.ArgumentParser(description="Compare our model of energy and time with SANA-FE.")
    parser.add_argument("--model", help="a network trained on digits")
    parser.add_argument("--random", default="400,800,10", help="layer sizes of a random network")
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--steps", type=int, default=32)
    options = parser.parse_args()
    if options.model:
        model, inputs = trained_model(options.model, options.samples, options.steps)
    else:
        model, inputs = random_model(
            [int(n) for n in options.random.split(",")], options.samples, options.steps
        )
    mapping = map_network(
        feedforward(Network(layers=model.layers)), load_chip(ROOT / "hw_configs" / "loihi1.yaml")
    )
    spikes = [model.spikes(x) for x in inputs]
    rates = {name: float(np.mean([s[name].mean() for s in spikes])) for name in model.names}
    activity = Activity(options.steps, rates, rates, "measured here")
    moved = traffic(mapping, activity)
    if moved is None:
        raise SystemExit(f"sanafe_check: {mapping.needed} cores do not fit the chip; use smaller layers")
    ours = cost(mapping, activity, moved)
    chip = chip_for(model, mapping, moved)
    energy, time, fired, parts = [], [], [], []
    for x in inputs:
        chip.reset()
        for i in range(model.layers[0]):
            chip.mapped_neuron_groups["input"][i].set_attributes(
                model_attributes={"spikes": [bool(v) for v in x[:, i]]}
            )
        result = chip.sim(options.steps, timing_model="simple")
        energy.append(result["energy"]["total"])
        parts.append(result["energy"])
        time.append(result["sim_time"])
        fired.append(result["neurons_fired"])
    counted = np.mean([sum(s[n].sum() for n in model.names) for s in spikes])
    theirs = {k: float(np.mean([p[k] for p in parts])) for k in parts[0]}
    print(
        f"layers {model.layers}, {len(mapping.cores)} cores, {options.samples} samples of {options.steps} steps"
    )
    print(f"spikes per sample   SANA-FE {np.mean(fired):10.1f}   here {counted:10.1f}")
    print(f"rates               {', '.join(f'{n} {r:.4f}' for n, r in rates.items())}")
    ours_parts = {
        "soma": (ours.parts["neurons"] or 0) + (ours.parts["spikes"] or 0),
        "synapse": ours.parts["synapses"] or 0,
        "network": (ours.parts["messages"] or 0) + (ours.parts["hops"] or 0) + (ours.io_j or 0),
        "total": ours.energy_j or 0,
    }
    worst = 0.0
    for key, value in ours_parts.items():
        ratio = value / theirs[key] if theirs[key] else float("nan")
        print(
            f"energy {key:9s}    SANA-FE {theirs[key] * 1e6:10.4f} uJ   ours {value * 1e6:10.4f} uJ   ratio {ratio:.4f}"
        )
        worst = max(worst, abs(ratio - 1)) if key == "total" else worst
    latency = ours.latency_s or 0.0
    print(
        f"time                SANA-FE {np.mean(time) * 1e6:10.2f} us   ours {latency * 1e6:10.2f} us   "
        f"ratio {latency / np.mean(time):.4f}"
    )
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
