"""`make fuzz`: thousands of hostile files to every reader, none of which may do more than refuse.

    python -m tests.fuzz --inputs 12000

A reader may return, or raise a `LavaGhostError` of one line and exit code 2. Anything else is a defect: another
exception, a dead process, more than `SECONDS` or 1 GiB, a file opened outside its folder, code that ran. The input is
kept in out/fuzz/ then, and the exit code is 1. Inputs are a function of the seed and their number.
"""

import argparse
import json
import multiprocessing
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lavaghost.cli.console import bar, table
from tests.fuzz.worker import TARGETS, Outcome, work, write

SECONDS = 20.0
"""For one input, on a machine that is busy with other things."""
START_SECONDS = 60.0
START_METHOD = "spawn"
OUT = Path("out/fuzz")


def fuzz(
    target: str, seed: int, inputs: int, report: Callable[[int], None] = lambda done: None
) -> dict[str, Any]:
    """Give `target` this many inputs; a process that dies is replaced, and what killed it noted."""
    left, outcomes, defects = list(range(inputs)), [], []
    context = multiprocessing.get_context(START_METHOD)
    while left:
        ours, theirs = context.Pipe()
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder).resolve()
            child = context.Process(target=work, args=(theirs, target, seed, left, place), daemon=True)
            child.start()
            theirs.close()
            at = None
            try:
                while left:
                    if not ours.poll(START_SECONDS if at is None else SECONDS):
                        raise TimeoutError(f"no answer in {SECONDS:g} s")
                    found = ours.recv()
                    if isinstance(found, Outcome):
                        outcomes.append(found)
                        left.remove(found.number)
                        report(len(outcomes) + len(defects))
                        if found.what not in ("refused", "accepted"):
                            defects.append({"input": found.number, "what": found.what})
                    else:
                        at = found
            except (EOFError, OSError, TimeoutError) as error:
                child.kill()
                child.join()
                if at is None:
                    raise RuntimeError(f"the process for {target} does not start: {error}") from error
                what = str(error) or f"the process ended with {child.exitcode}"
                defects.append({"input": at, "what": what})
                left.remove(at)
            child.join(5)
            child.kill()
    for defect in defects:
        folder = OUT / f"{target}-{defect['input']}"
        folder.mkdir(parents=True, exist_ok=True)
        write(target, seed, defect["input"], folder)
        defect["kept"] = str(folder)
    counts = [outcome.what for outcome in outcomes]
    return {
        "inputs": inputs,
        "refused": counts.count("refused"),
        "accepted": counts.count("accepted"),
        "slowest_ms": round(1000 * max((o.seconds for o in outcomes), default=0.0), 1),
        "peak_mib": round(max((o.peak_mib for o in outcomes), default=0.0)),
        "defects": defects,
    }


def main() -> int:
    """Run all targets one after another; exit code 1 if there is a defect."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=12_000, help="in all, shared by the readers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", choices=[*TARGETS], action="append")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    targets = options.target or [*TARGETS]
    share = -(-options.inputs // len(targets))
    shutil.rmtree(OUT, ignore_errors=True)
    found = {}
    with bar("fuzz", share * len(targets)) as progress:
        for i, target in enumerate(targets):

            def report(done: int, before: int = i * share, name: str = target) -> None:
                progress.update(before + done, None, name)

            found[target] = fuzz(target, options.seed, share, report)
    keys = ("inputs", "refused", "accepted", "slowest_ms", "peak_mib")
    rows = [[name, *(str(row[key]) for key in keys), str(len(row["defects"]))] for name, row in found.items()]
    if options.json:
        print(json.dumps(found))
    else:
        table("Hostile inputs", ["reader", *(key.replace("_", " ") for key in keys), "defects"], rows)
        for name, row in found.items():
            for defect in row["defects"]:
                print(f"{name} {defect['input']}: {defect['what']} ({defect['kept']})")
    return 1 if any(row["defects"] for row in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
