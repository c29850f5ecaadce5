"""The accuracy table of docs/results.md, made by the commands that it shows.

    python -m benchmarks.accuracy [--mnist DIR] [--jobs 2] [--only PREFIX] [--write docs/results.md]

Each row is one `lavaghost train` command, run once per seed in a process of its own. A finished run leaves a
JSON file in out/accuracy and is not run again, so an interrupted table goes on where it stopped.
"""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

OUT = Path("out/accuracy")
MNIST = "--batch-size 100 --eta 0.2"
SMALL = "--epochs 30 --batch-size 32"
DUPLICATE, ONLINE, LEARNED = (
    "--mechanism duplicate",
    # in one sweep online ghosts equal duplicate ones under the temporal rule; their loop needs more
    "--mechanism online --sweeps 3",
    "--mechanism learned",
)


class Row(NamedTuple):
    """One line of the table: what it is called, its options, and how many seeds it wants."""

    name: str
    data: str
    options: str
    seeds: int


def rows() -> list[Row]:
    """All lines, in the order of the table."""
    found = []
    for tag, layers in (("784-500-10", "500"), ("784-500-500-10", "500,500")):
        methods = {
            "backprop": "--method backprop",
            "frozen hidden layers": "--method frozen",
            "duplicate, temporal": f"{DUPLICATE} --rule temporal",
            "duplicate, prediction": f"{DUPLICATE} --rule prediction",
            "online, temporal": ONLINE,
            "learned, temporal": LEARNED,
        }
        if tag == "784-500-500-10":
            # a batch costs about eight of duplicate ghosts: two populations that settle and learn
            methods["learned, temporal"] += " --epochs 8"
        found += [
            Row(f"MNIST {tag} {n}", "mnist", f"--layers {layers} {o} {MNIST}", 3) for n, o in methods.items()
        ]
    for name, options in {
        "backprop": "--method backprop",
        "frozen hidden layer": "--method frozen",
        "duplicate, temporal": f"{DUPLICATE} --rule temporal",
        "duplicate, prediction": f"{DUPLICATE} --rule prediction",
        "duplicate, prediction, random feedback": f"{DUPLICATE} --rule prediction --feedback random",
        "duplicate, prediction, stepped engine": f"{DUPLICATE} --rule prediction --engine stepped",
        "online, temporal": ONLINE,
        "learned, temporal": LEARNED,
    }.items():
        found.append(Row(f"digits 64-128-10 {name}", "digits", f"--layers 128 {options} {SMALL}", 5))
    return found


def run(row: Row, seed: int, mnist: str) -> dict[str, Any]:
    """The figures of one seed; from the disk if they are there."""
    slug = re.sub(r"[^a-z0-9]+", "-", row.name.lower())
    path = OUT / f"{slug}-{seed}.json"
    if path.exists():
        return json.loads(path.read_text())
    data = mnist if row.data == "mnist" else "digits"
    command = [sys.executable, "-c", "from lavaghost.cli import main; main()", "train", "--dataset", data]
    command += [*shlex.split(row.options), "--seed", str(seed), "--out", str(OUT / f"{slug}-{seed}"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{row.name}, seed {seed}: {done.stderr.strip().splitlines()[-1]}")
    path.write_text(done.stdout)
    return json.loads(done.stdout)


def line(row: Row, found: list[dict[str, Any]]) -> str:
    """One Markdown line: mean and spread over the seeds, and the worst cosine and residual of any seed."""
    accuracy = 100 * np.array([f["accuracy"] for f in found])
    cosines = np.min([f["cosines"] for f in found], axis=0)
    residuals = [f["residuals"] for f in found if "residuals" in f]
    ghosts = " ".join(f"{r:.3f}" for r in np.max(residuals, axis=0)) if residuals else ""
    return (
        f"| {row.name} | {accuracy.mean():.2f} | {accuracy.min():.2f} to {accuracy.max():.2f} | {len(found)} "
        f"| {' '.join(f'{c:.4f}' for c in cosines)} | {ghosts} | {np.mean([f['seconds'] for f in found]):.0f} "
        f"| `{row.options}` |"
    )


def table(lines: list[str]) -> str:
    """The whole table in Markdown."""
    names = "network, method|mean %|from to|seeds|worst cosine per layer|worst residual|s|options"
    head = "| " + names.replace("|", " | ") + " |"
    return "\n".join([head, "|---|---|---|---|---|---|---|---|", *lines])


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mnist", default=os.environ.get("LAVAGHOST_MNIST", ""), help="folder of IDX files")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, each on its share of the cores")
    parser.add_argument("--only", default="", help="only rows whose name starts so")
    parser.add_argument("--write", type=Path, help="replace the table in this file")
    options = parser.parse_args()
    wanted = [row for row in rows() if row.name.startswith(options.only)]
    if not options.mnist:
        print("without --mnist DIR (or LAVAGHOST_MNIST) the MNIST rows are left out", file=sys.stderr)
        wanted = [row for row in wanted if row.data != "mnist"]
    OUT.mkdir(parents=True, exist_ok=True)
    if options.jobs > 1:
        os.environ["OPENBLAS_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // options.jobs))
    tasks = [(row, seed) for row in wanted for seed in range(row.seeds)]
    with ThreadPoolExecutor(options.jobs) as pool:
        futures = [pool.submit(run, row, seed, options.mnist) for row, seed in tasks]
        found: dict[str, list[dict[str, Any]]] = {}
        for (row, seed), future in zip(tasks, futures, strict=True):
            found.setdefault(row.name, []).append(future.result())
            print(f"{row.name}, seed {seed}: {100 * found[row.name][-1]['accuracy']:.2f} %", file=sys.stderr)
    text = table([line(row, found[row.name]) for row in wanted])
    print(text)
    if options.write:
        page = options.write.read_text()
        marked = re.sub(
            r"(<!-- accuracy -->\n).*?(\n<!-- end -->)", lambda m: m[1] + text + m[2], page, flags=re.S
        )
        options.write.write_text(marked)


if __name__ == "__main__":
    main()
