"""Writes a trained network as a C99 header: constants, and a function that runs the feedforward pass."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lavaghost.base.files import write_atomic
from lavaghost.base.spec import Spec
from lavaghost.datasets import Dataset
from lavaghost.exporters import Carried, Expected, ExportReport, NoOptions
from lavaghost.exporters.carried import feedforward_carries
from lavaghost.exporters.chain import chain, chaining
from lavaghost.exporters.floats import float_expected
from lavaghost.model.model import Model
from lavaghost.numbers.arithmetic import Array

TEMPLATE = """/* {layers}, made by LavaGhost. lavaghost_run: raw sample x[{n_in}] -> logits[{n_out}] */
#ifndef LAVAGHOST_NETWORK_H
#define LAVAGHOST_NETWORK_H
{constants}
static inline void lavaghost_layer(const float *w, const float *b, const float *x, float *y, int n, int m, float max) {{
    for (int i = 0; i < m; i++) {{
        float sum = b[i];
        for (int j = 0; j < n; j++) sum += w[i * n + j] * x[j];
        y[i] = max < 0 ? sum : sum < 0 ? 0 : sum > max ? max : sum;
    }}
}}
static inline void lavaghost_run(const float *x, float *logits) {{
    float a[{widest}], b[{widest}];
    for (int j = 0; j < {n_in}; j++) a[j] = x[j] * {scale};
{calls}
}}
#endif
"""


def literal(value: float) -> str:
    """A C99 float that is `value` to the last bit."""
    return f"{value.hex()}f"


def header(trained: Model) -> str:
    """The text of the header."""
    n, depth = trained.network.layers, trained.network.depth
    net = chain(trained, "c-header")
    limit = "3.402823466e+38f" if np.isinf(net.r_max) else literal(float(np.float32(net.r_max)))
    constants, calls = [], []
    for k, (weights, biases) in enumerate(net.layers, start=1):
        for name, numbers in ((f"w{k}", weights), (f"b{k}", biases)):
            text = ", ".join(map(literal, numbers.reshape(-1).tolist()))
            constants.append(f"static const float lavaghost_{name}[{numbers.size}] = {{{text}}};")
        source, target = ("a", "b") if k % 2 else ("b", "a")
        target, maximum = ("logits", "-1.0f") if k == depth else (target, limit)
        arguments = f"lavaghost_w{k}, lavaghost_b{k}, {source}, {target}, {n[k - 1]}, {n[k]}, {maximum}"
        calls.append(f"    lavaghost_layer({arguments});")
    return TEMPLATE.format(
        layers=n,
        n_in=n[0],
        n_out=n[-1],
        widest=max(n),
        constants="\n".join(constants),
        scale=literal(float(np.float32(net.scale))),
        calls="\n".join(calls),
    )


@dataclass(frozen=True)
class CHeaderExporter:
    """Inference only: the feedforward pass."""

    name: str = "c-header"
    suffix: str = ".h"
    summary: str = "a C99 header with weights and lavaghost_run(x, logits); any C compiler"
    needs: str = "nothing"
    runtimes: tuple[str, ...] = ()
    options: type[Spec] = NoOptions

    def write(
        self, trained: Model, path: Path, options: NoOptions, calibration: Dataset | None
    ) -> ExportReport:
        """See `lavaghost.exporters.Exporter`."""
        data = header(trained).encode()
        return ExportReport(self.name, (write_atomic(path, data),), len(data), elements(trained, calibration))

    def expected(self, trained: Model, settings: Mapping[str, Any], raw: Array) -> Expected:
        """The feedforward pass, within the rounding of float32."""
        return float_expected(trained, raw)


def elements(trained: Model, calibration: Dataset | None) -> tuple[Carried, ...]:
    """What the header carries: what any file of the feedforward pass does, in its own words where they differ."""
    own = {
        "weights": Carried("weights", "faithful", "float32, as hexadecimal constants, to the last bit"),
        "activation": Carried("activation", "faithful", "comparisons with 0 and with the saturation"),
        "learning rule": Carried("learning rule", "unsupported", "left out; exporter 'yaml' keeps the rule"),
        "input scaling": Carried("input scaling", "faithful", "in the code, as a factor of each raw value"),
    }
    found = feedforward_carries(trained, calibration, own["weights"], own["activation"])
    return tuple(own.get(entry.element, entry) for entry in found)


chaining("c-header")
exporter = CHeaderExporter()
