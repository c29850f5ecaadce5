"""The main job from one command, on the digits that ship with the package."""

import time
from pathlib import Path
from typing import Any

from lavaghost.cli.console import bar, percent, say, show, table
from lavaghost.datasets import load
from lavaghost.evaluation.in_engines import evaluate
from lavaghost.exporters import base
from lavaghost.net.network import Network
from lavaghost.run.plots import learning_curves
from lavaghost.run.train import Result, train
from lavaghost.verbs import verify

NETWORK = Network(layers=(64, 128, 10))
LEARNING: dict[str, Any] = {"epochs": 30, "batch_size": 32}


def run_demo(out: Path) -> tuple[dict[str, Any], bool]:
    """Train, control, Lava, export, verify, draw, table. Returns the figures and whether all agree."""
    start = time.perf_counter()
    data = load("digits")
    say("A 64-128-10 network with duplicate ghosts learns 1437 handwritten digits.")
    with bar("ghost units", None) as progress:
        run = train(NETWORK, data, out=out, report=_note(progress), **LEARNING)
    trained, model = run.model, run.path
    result = trained.record["result"]
    controls = {name: _control(name, data) for name in ("backprop", "frozen")}
    curves = learning_curves(
        {"ghost units": trained.record["history"], **{name: c.figures for name, c in controls.items()}},
        out / "curves.png",
    )
    stepped = evaluate(trained, data.x_test, data.y_test, "stepped")
    with bar("Lava simulator", len(data.x_test)) as progress:
        lava = evaluate(trained, data.x_test, data.y_test, "lava", progress.update)
    onnx = base.export(trained, base.find("onnx"), out / "model.onnx")
    base.export(trained, base.find("yaml"), out / "bundle")
    agreement = verify(onnx.paths[0], trained, data)
    backprop, frozen = (controls[name].figures[-1]["accuracy"] for name in ("backprop", "frozen"))
    table(
        "LavaGhost on digits, 360 test samples",
        ("what", "accuracy", "how it agrees"),
        [
            ("ghost units, equilibrium", percent(result["accuracy"]), f"cosines {show(result['cosines'])}"),
            ("", "", f"lowest of the run {show(result['lowest_cosines'])}"),
            ("", "", f"ghost residual {show(result['residuals'])}"),
            ("control: backprop", percent(backprop), "same optimiser, epochs and seed"),
            ("control: frozen hidden layer", percent(frozen), "what a useless hidden layer gives"),
            ("stepped in time", percent(stepped.accuracy), f"{stepped.steps} Euler steps"),
            (
                "Lava CPU simulator",
                percent(lava.accuracy),
                f"labels {percent(lava.label_agreement or 0)}, difference {lava.against_stepped} to stepped",
            ),
            (
                "ONNX on onnxruntime",
                percent(agreement.accuracy),
                f"labels {percent(agreement.label_agreement)}, difference {agreement.max_abs_difference:.1e}",
            ),
        ],
    )
    seconds = time.perf_counter() - start
    say("")
    say(f"Model {model}, ONNX {onnx.paths[0]}, bundle {out / 'bundle'}, curves {curves}")
    say(f"{seconds:.0f} s. Accuracy says little without the cosines; docs/theory.md says why.")
    values = {
        **result,
        "model": str(model),
        "controls": {"backprop": backprop, "frozen": frozen},
        "lava": lava.as_json(),
        "verify": agreement.as_json(),
        "seconds": seconds,
    }
    return values, agreement.passed and lava.against_stepped == 0.0


def _note(progress: Any) -> Any:
    def report(done: int, total: int, row: dict[str, Any] | None) -> None:
        progress.update(done, total, f"epoch {row['epoch']}: {percent(row['accuracy'])}" if row else None)

    return report


def _control(name: str, data: Any) -> Result:
    with bar(f"control: {name}", None) as progress:
        return train(NETWORK, data, method=name, report=_note(progress), **LEARNING)
