"""All measurements: speed, sweep, scaling, memory.

    python -m benchmarks [--mnist DIR] [--only speed,memory] [--markdown]

Prints a table each and leaves out/bench/NAME.json. Where MNIST or PyTorch is missing, what needs it says so
in one line and the rest runs. The accuracies of docs/results.md come from `python -m benchmarks.accuracy`.
"""

import argparse
import functools
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

from benchmarks.machine import available_threads, describe, headline

NAMES = ("speed", "sweep", "scaling", "memory")
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mnist", default=os.environ.get("LAVAGHOST_MNIST", ""), help="folder of IDX files")
    parser.add_argument("--only", default=",".join(NAMES), help="some of them, with commas between")
    parser.add_argument("--rounds", type=int, default=7, help="pairs of measurements, an odd number")
    parser.add_argument("--threads", type=int, default=available_threads(), help="on both sides")
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="folder of the JSON files")
    parser.add_argument("--markdown", action="store_true", help="print Markdown, for docs/results.md")
    options = parser.parse_args()
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(NAMES):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    return options


class Missing(Exception):
    """What a benchmark needs and does not have."""


def main() -> None:
    """Run what was asked for and can be run."""
    options = arguments()
    # read by the thread pools when they are loaded, so nothing that uses them is imported before
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(options.threads)))
    has_torch = set_torch_threads(options.threads)
    from benchmarks import memory, scaling, speed, sweep
    from lavaghost.datasets import Dataset, load, load_digits

    @functools.cache
    def mnist() -> Dataset:
        if not options.mnist:
            raise Missing("MNIST; give its folder with --mnist DIR or make bench MNIST=DIR")
        return load(Path(options.mnist))

    def torch_too() -> int:
        if not has_torch:
            raise Missing("PyTorch, which make bench installs")
        return options.rounds

    def sweep_rows() -> list[dict[str, Any]]:
        rows = sweep.run("digits", load_digits())
        if not options.mnist:
            print("sweep runs on the digits alone; for MNIST give --mnist DIR or make bench MNIST=DIR")
        return rows + (sweep.run("mnist", mnist()) if options.mnist else [])

    runs = {
        "speed": (lambda: speed.run(mnist(), torch_too()), speed.table),
        "sweep": (sweep_rows, sweep.table),
        "scaling": (lambda: scaling.run(torch_too()), scaling.table),
        "memory": (lambda: memory.run(mnist() and options.mnist), memory.table),
    }
    print(headline(describe(options.threads)), end="\n\n")
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.only:
        run, show = runs[name]
        machine = describe(options.threads)
        try:
            rows = run()
        except Missing as missing:
            print(f"{name} is left out: it needs {missing}\n")
            continue
        (options.out / f"{name}.json").write_text(
            json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n"
        )
        print(show(rows).markdown() if options.markdown else show(rows).text(), flush=True)


def set_torch_threads(threads: int) -> bool:
    """Whether PyTorch is installed; if so, it gets as many threads as our side."""
    if importlib.util.find_spec("torch") is None:
        return False
    import torch  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(threads)
    return True


if __name__ == "__main__":
    main()
