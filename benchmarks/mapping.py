"""Time and memory of mapping against the size of the network: `python -m benchmarks.mapping [--json FILE]`.

Each size is mapped in a process of its own, for learning onto Loihi 2 and for inference onto Loihi 1, whose spikes
carry no numbers, with placement, traffic and cost as `lavaghost map` works them out. Figures are the median of three
runs, and the largest resident memory of the process with and without the mapping.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from lavaghost.base.names import Phase

SIZES = {
    "10^4": (60, 100, 10),
    "10^5": (300, 300, 10),
    "10^6": (1000, 950, 10),
    "10^7": (3200, 3000, 10),
    "10^8": (10_000, 9_900, 10),
}
PHASES: dict[str, Phase] = {"loihi2_oheo_gulch": "learning", "loihi1": "inference"}
RUNS = 3


def measure(layers: tuple[int, ...], chip: str) -> dict[str, Any]:
    """Seconds and memory of one size, in this process."""
    from lavaghost.hardware.catalogue import load_chip
    from lavaghost.hardware.findings import Plan
    from lavaghost.hardware.report import make
    from lavaghost.methods.ghost.method import Ghost
    from lavaghost.net.network import Network

    graph, hardware = Ghost().graph(Network(layers=layers)), load_chip(chip)
    make(Ghost().graph(Network(layers=(4, 3, 2))), hardware, PHASES[chip], Plan())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, reports = [], []
    for _ in range(RUNS):
        start = time.perf_counter()
        reports = [make(graph, hardware, PHASES[chip], Plan())]
        seconds.append(time.perf_counter() - start)
    mapping = reports[0].mapping
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "hardware": chip,
        "synapses": mapping.demand.synapses,
        "status": mapping.status,
        "cores": mapping.needed,
        "cores_lower_bound": mapping.lower_bound,
        "seconds": statistics.median(seconds),
        "peak_mib": after * unit / 2**20,
        "added_mib": (after - before) * unit / 2**20,
    }


def main() -> None:
    """Print the table; write JSON if asked."""
    parser = argparse.ArgumentParser(description="Time and memory of mapping against the size of the network.")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--one", nargs=2, metavar=("LAYERS", "CHIP"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        layers, chip = options.one
        print(json.dumps(measure(tuple(int(n) for n in layers.split(",")), chip)))
        return
    rows = {}
    for chip in PHASES:
        for name, layers in SIZES.items():
            command = [sys.executable, "-m", "benchmarks.mapping", "--one", ",".join(map(str, layers)), chip]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rows[f"{chip} {name}"] = row = json.loads(done.stdout)
            print(
                f"{chip:18s} {name:5s} {row['synapses']:>12,} synapses  {row['seconds'] * 1e3:9.2f} ms  "
                f"{row['added_mib']:6.1f} MiB more  {row['cores']:>5,} cores (at least {row['cores_lower_bound']:,})"
                f"  {row['status']}"
            )
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
