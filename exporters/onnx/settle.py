"""ONNX Scan: the free phase in time, with ghosts and feedback, step by step as `dynamics.step` has it.

    input -> Mul(input_scale) -> Gemm(W_1, b_1) -> drive.1
    Scan over T - 1 steps, the membranes of all populations as states, at rest in the beginning:
        rates        r = clip(v, 0, r_max)          of the membranes that the step before left
        messages     W r + b, B r, G r + c, I g     so each takes one step to arrive
        ghosts       v += (message - v) / tau_g     first, since an online ghost acts in the same step
        neurons      v += (W r + b + lam (B r - i) - v) / tau
    membrane of the output after the last step -> logits [N, n_L] -> ArgMax -> label [N]

T counts the reset step, in which nothing arrives. The scanned input is 1/tau, once for each step: Scan needs one,
and its length is the number of steps. A population at rest is a product of zeros, so no node makes a new shape.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from pydantic import Field

from lavaghost.base.spec import Spec, parse
from lavaghost.datasets import Dataset
from lavaghost.exporters.base import Carried, Expected, ExportReport
from lavaghost.exporters.carried import RELU, measured_on
from lavaghost.exporters.floats import float_expected, raw_samples
from lavaghost.exporters.graph import Dense, Direct, Ghosts, Input, Output, Rates, lower, lowering
from lavaghost.exporters.onnx.build import ONNX_RUNTIMES, Build, check_size, finish, save
from lavaghost.exporters.onnx.settle_reference import settle_expected, settled
from lavaghost.model.model import Model
from lavaghost.numbers.arithmetic import Array

OPSET, IR = 13, 7


Steps = Annotated[int, Field(ge=2, le=10**6)]


class Settling(Spec):
    """What the reference must know of a file."""

    steps: Steps


class SettleOptions(Spec):
    """How long the network settles."""

    steps: Steps | None = None
    """Steps of the free phase, the reset included; None takes the schedule's. With tau 2, a 64-128-10 network is within
    1.3 of the feedforward pass after 8 steps, 0.01 after 16, 6e-5 after 24 and 3e-7 after 32; logits reach 21."""


@dataclass(frozen=True)
class SettleOnnxExporter:
    """The dynamics of the free phase; nothing learns in it."""

    name: str = "onnx-settle"
    suffix: str = ".onnx"
    summary: str = "ONNX Scan (opset 13): neurons, ghosts and feedback settle step by step"
    needs: str = "nothing"
    runtimes: tuple[str, ...] = ONNX_RUNTIMES
    options: type[Spec] = SettleOptions

    def write(
        self, trained: Model, path: Path, options: SettleOptions, calibration: Dataset | None
    ) -> ExportReport:
        """See `Exporter`."""
        check_size(trained)
        steps = options.steps or trained.network.schedule.t_free_steps
        x, what = measured_on(trained, calibration)
        exact = float_expected(trained, raw_samples(x, trained.input_scale)).logits
        gap = np.abs(settled(trained, steps, x) - exact).max()
        after = f"after {steps} steps outputs are within {gap:.2g} of the feedforward pass on {what}"
        carries = (
            Carried("weights", "faithful", "float32, as trained"),
            RELU,
            Carried("ghosts", "faithful", f"as populations, with the delays of the stepped engine; {after}"),
            Carried("feedback", "faithful", "arrives one step later, lam times what ghosts leave of it"),
            Carried("learning rule", "unsupported", "ONNX has no plasticity; exporter 'yaml' keeps the rule"),
            Carried("input scaling", "faithful", f"inside the graph; raw samples x {trained.input_scale:g}"),
        )
        return save(graph(trained, steps), path, self.name, carries, {"steps": steps})

    def expected(self, trained: Model, settings: Mapping[str, Any], raw: Array) -> Expected:
        """See `Exporter`: the stepped engine after as many steps."""
        return settle_expected(trained, parse(Settling, settings).steps, raw)


@dataclass
class Body(Build):
    """The step while it is made, beside the outer graph that it is in.

    sizes     of each population with a membrane, in the order of the states
    arriving  by target: the name of what arrives as drive, feedback and inhibition
    bias      by population, where it has one; ghosts are those populations that are updated first
    """

    outer: Build = field(kw_only=True)
    trained: Model = field(kw_only=True)
    sizes: dict[str, int] = field(default_factory=dict)
    arriving: dict[str, dict[str, str]] = field(default_factory=dict)
    bias: dict[str, Array] = field(default_factory=dict)
    ghosts: list[str] = field(default_factory=list)

    def population(self, name: str, size: int, bias: Array | None, r_max: float, linear: bool) -> None:
        """A membrane, and its rate."""
        self.sizes[name], self.arriving[name] = size, {}
        if bias is not None:
            self.bias[name] = bias
        if linear:
            self.add("Identity", [f"v.{name}"], f"r.{name}")
        elif r_max < np.inf:
            bounds = [self.outer.constant("rate_min", 0.0), self.outer.constant("rate_max", r_max)]
            self.add("Clip", [f"v.{name}", *bounds], f"r.{name}")
        else:
            self.add("Relu", [f"v.{name}"], f"r.{name}")

    def integrate(self, name: str, drive: str, gain: str) -> None:
        """v += (drive - v) * gain."""
        self.add("Sub", [drive, f"v.{name}"], f"change.{name}")
        self.add("Mul", [f"change.{name}", gain], f"step.{name}")
        self.add("Add", [f"v.{name}", f"step.{name}"], f"next.{name}")


translate = lowering("onnx-settle")


@translate.register
def _(node: Input, body: Body) -> None:
    if node.scale != 1.0:
        body.outer.add("Mul", ["input", body.outer.constant("input_scale", node.scale)], "rate.0")


@translate.register
def _(node: Rates, body: Body) -> None:
    body.population(node.name, node.size, node.bias, node.r_max, linear=False)


@translate.register
def _(node: Output, body: Body) -> None:
    body.population(node.name, node.size, node.bias, np.inf, linear=True)


@translate.register
def _(node: Ghosts, body: Body) -> None:
    body.population(node.name, node.size, node.bias, node.r_max, node.linear)
    body.ghosts.append(node.name)


@translate.register
def _(node: Dense, body: Body) -> None:
    pass  # messages come after all rates, in `step`


@translate.register
def _(node: Direct, body: Body) -> None:
    pass  # as for Dense


def graph(trained: Model, steps: int) -> onnx.ModelProto:
    """The model, unchecked."""
    outer = Build()
    body = Body(outer=outer, trained=trained)
    nodes = lower(trained).nodes
    for node in nodes:
        translate(node, body)
    links = [node for node in nodes if isinstance(node, Dense | Direct)]
    messages(body, links)
    update(body)
    rest(outer, body, links)
    tau = trained.network.schedule.tau_steps
    gains = outer.constant("gains", np.full((steps - 1, 1), 1.0 / tau))
    names = list(body.sizes)
    value = helper.make_tensor_value_info
    states = [value(f"v.{name}", TensorProto.FLOAT, ["N", body.sizes[name]]) for name in names]
    ends = [value(f"next.{name}", TensorProto.FLOAT, ["N", body.sizes[name]]) for name in names]
    n_1 = trained.network.layers[1]
    step = helper.make_graph(
        body.nodes,
        "step",
        [value("drive", TensorProto.FLOAT, ["N", n_1]), *states, value("gain", TensorProto.FLOAT, [1])],
        [value("drive.same", TensorProto.FLOAT, ["N", n_1]), *ends],
    )
    finals = ["drive.last", *("logits" if name == "output" else f"last.{name}" for name in names)]
    inputs = ["drive.1", *(f"rest.{name}" for name in names), gains]
    outer.nodes.append(helper.make_node("Scan", inputs, finals, "settle", body=step, num_scan_inputs=1))
    outer.last = "logits"
    return finish(outer, trained, OPSET, IR, steps=str(steps), tau_steps=repr(tau))


def messages(body: Body, links: list[Dense | Direct]) -> None:
    """What each connection delivers, with the bias of its target where it is the target's drive."""
    for i, link in enumerate(links):
        role = "inhibition" if link.inhibitory else "feedback" if link.kind == "feedback" else "drive"
        if isinstance(link, Direct):
            body.arriving[link.target][role] = f"next.{link.source}"
            continue
        matrix = body.outer.constant(link.tensor, link.matrix.T if link.transposed else link.matrix)
        given = [matrix]
        if role == "drive" and link.target in body.bias:
            given.append(body.outer.constant(f"bias.{link.target}", body.bias[link.target]))
        trans = 0 if link.transposed else 1
        if link.source == "input":
            source = body.outer.last
            body.outer.add("Gemm", [source, *given], "drive.1", transB=trans)
            body.arriving[link.target][role] = "drive"
        else:
            name = f"message.{i}"
            body.arriving[link.target][role] = body.add(
                "Gemm", [f"r.{link.source}", *given], name, transB=trans
            )


def update(body: Body) -> None:
    """The membranes, ghosts first."""
    network = body.trained.network
    ghost_gain = body.outer.constant("ghost_gain", [1.0 / network.schedule.tau_ghost_steps])
    lam = body.outer.constant("lam", network.lam)
    for name in body.ghosts:
        body.integrate(name, body.arriving[name]["drive"], ghost_gain)
    for name in (name for name in body.sizes if name not in body.ghosts):
        drive = body.arriving[name]["drive"]
        if "feedback" in body.arriving[name]:
            arriving = [body.arriving[name]["feedback"], body.arriving[name]["inhibition"]]
            left = body.add("Sub", arriving, f"left.{name}")
            body.add("Mul", [left, lam], f"pushed.{name}")
            drive = body.add("Add", [drive, f"pushed.{name}"], f"current.{name}")
        body.integrate(name, drive, "gain")
    body.add("Identity", ["drive"], "drive.same")


def rest(outer: Build, body: Body, links: list[Dense | Direct]) -> None:
    """Zeros for each membrane, `[N, n]`, from the products that lead there."""
    for link in links:
        if isinstance(link, Direct) or link.inhibitory or link.kind == "feedback":
            continue
        if link.source == "input":
            outer.add("Sub", ["drive.1", "drive.1"], f"rest.{link.target}")
        else:
            trans = 0 if link.transposed else 1
            outer.add("Gemm", [f"rest.{link.source}", link.tensor], f"rest.{link.target}", transB=trans)


exporter = SettleOnnxExporter()
