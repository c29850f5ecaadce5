"""ONNX Scan: the free phase in time, with what there is of ghosts and feedback, step by step as in `dynamics.step`.

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
from lavaghost.exporters.carried import NONE, RELU, float_weights, measured_on, unfelt
from lavaghost.exporters.floats import float_expected, raw_samples
from lavaghost.exporters.lowering import Link, Units, all_nodes, lowering
from lavaghost.exporters.onnx.build import ONNX_RUNTIMES, Build, check_size, finish, save
from lavaghost.exporters.onnx.settle_reference import settle_expected, settled_in_time
from lavaghost.model.model import Model
from lavaghost.net.graph import Graph
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
        steps = options.steps or trained.graph.schedule.t_free_steps
        x, what = measured_on(trained, calibration)
        exact = float_expected(trained, raw_samples(x, trained.input_scale)).logits
        gap = np.abs(settled_in_time(trained, steps, x) - exact).max()
        after = f"after {steps} steps outputs are within {gap:.2g} of the feedforward pass on {what}"
        graph, activation, ghosts = trained.graph, RELU, NONE
        feedback = unfelt(graph)
        if graph.has_ghosts:
            ghosts = f"as populations, with the delays of the stepped engine; {after}"
        else:
            activation = RELU._replace(note=f"{RELU.note}; {after}")
        if graph.has_feedback:
            left = "lam times what ghosts leave of it" if graph.has_ghosts else "times lam"
            feedback = f"arrives one step later, {left}"
        carries = (
            float_weights(trained, calibration),
            activation,
            Carried("ghosts", "faithful", ghosts),
            Carried("feedback", "faithful", feedback),
            Carried("learning rule", "unsupported", "ONNX has no plasticity; exporter 'yaml' keeps the rule"),
            Carried("input scaling", "faithful", f"inside the graph; raw samples x {trained.input_scale:g}"),
        )
        return save(settle_graph(trained, steps), path, self.name, carries, {"steps": steps})

    def expected(self, trained: Model, settings: Mapping[str, Any], raw: Array) -> Expected:
        """See `Exporter`: the stepped engine after as many steps."""
        return settle_expected(trained, parse(Settling, settings).steps, raw)


ROLES = {"feedforward": "drive", "ghost": "drive", "feedback": "feedback", "inhibition": "inhibition"}
"""What a population makes of what arrives by a path."""


@dataclass
class Body(Build):
    """The step while it is made, beside the outer graph that it is in.

    sizes     of each population with a membrane, in the order of the states
    arriving  by target: the name of what arrives as drive, feedback and inhibition
    bias      by population, where it has one; ghosts are those populations that are updated first
    links     so far
    """

    outer: Build = field(kw_only=True)
    sizes: dict[str, int] = field(default_factory=dict)
    arriving: dict[str, dict[str, str]] = field(default_factory=dict)
    bias: dict[str, Array] = field(default_factory=dict)
    ghosts: list[str] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)

    def integrate(self, name: str, drive: str, gain: str) -> None:
        """v += (drive - v) * gain."""
        self.add("Sub", [drive, f"v.{name}"], f"change.{name}")
        self.add("Mul", [f"change.{name}", gain], f"step.{name}")
        self.add("Add", [f"v.{name}", f"step.{name}"], f"next.{name}")

    def arrives(self, link: Link, message: str) -> None:
        """`message` is what a link delivers; several of one role are summed."""
        role, there = ROLES[link.path], self.arriving[link.target]
        if role in there:
            message = self.add("Add", [there[role], message], f"sum.{len(self.links)}")
        there[role] = message
        self.links.append(link)


writes = lowering("onnx-settle")


@writes.population("input")
def _(units: Units, body: Body) -> None:
    if units.scale != 1.0:
        body.outer.add("Mul", ["input", body.outer.constant("input_scale", units.scale)], "rate.0")


@writes.population("hidden")
@writes.population("output")
def membrane(units: Units, body: Body) -> None:
    """A membrane, and its rate."""
    name = units.name
    body.sizes[name], body.arriving[name] = units.size, {}
    if units.bias is not None:
        body.bias[name] = units.bias
    if units.linear:
        body.add("Identity", [f"v.{name}"], f"r.{name}")
    elif units.r_max < np.inf:
        bounds = [body.outer.constant("rate_min", 0.0), body.outer.constant("rate_max", units.r_max)]
        body.add("Clip", [f"v.{name}", *bounds], f"r.{name}")
    else:
        body.add("Relu", [f"v.{name}"], f"r.{name}")


@writes.population("ghost")
def _(units: Units, body: Body) -> None:
    membrane(units, body)
    body.ghosts.append(units.name)


@writes.projection("dense")
def message(link: Link, body: Body) -> None:
    """What a connection delivers, with the bias of its target where it is the target's first drive."""
    given = [body.outer.constant(link.tensor, link.stored)]
    if ROLES[link.path] == "drive" and link.target in body.bias and "drive" not in body.arriving[link.target]:
        given.append(body.outer.constant(f"bias.{link.target}", body.bias[link.target]))
    trans = 0 if link.transposed else 1
    if link.source == "input":
        body.outer.add("Gemm", [body.outer.last, *given], "drive.1", transB=trans)
        body.arrives(link, "drive")
    else:
        name = f"message.{len(body.links)}"
        body.arrives(link, body.add("Gemm", [f"r.{link.source}", *given], name, transB=trans))


@writes.projection("one_to_one")
def _(link: Link, body: Body) -> None:
    if link.inhibitory:
        body.arrives(link, f"next.{link.source}")  # takes no step
    else:
        message(link, body)


def settle_graph(trained: Model, steps: int) -> onnx.ModelProto:
    """The model, unchecked."""
    outer = Build()
    body = Body(outer=outer)
    nodes = all_nodes(trained)
    # messages come after all rates
    for node in sorted(nodes, key=lambda node: isinstance(node, Link)):
        writes(node, body)
    update(body, trained.graph)
    rest(outer, body.links)
    tau = trained.graph.schedule.tau_steps
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


def update(body: Body, graph: Graph) -> None:
    """The membranes, ghosts first."""
    if body.ghosts:
        gain = body.outer.constant("ghost_gain", [1.0 / graph.schedule.tau_ghost_steps])
        for name in body.ghosts:
            body.integrate(name, body.arriving[name]["drive"], gain)
    for name in (name for name in body.sizes if name not in body.ghosts):
        arriving = body.arriving[name]
        drive = arriving["drive"]
        if "feedback" in arriving:
            left = arriving["feedback"]
            if "inhibition" in arriving:
                left = body.add("Sub", [left, arriving["inhibition"]], f"left.{name}")
            body.add("Mul", [left, body.outer.constant("lam", graph.lam)], f"pushed.{name}")
            drive = body.add("Add", [drive, f"pushed.{name}"], f"current.{name}")
        body.integrate(name, drive, "gain")
    body.add("Identity", ["drive"], "drive.same")


def rest(outer: Build, links: list[Link]) -> None:
    """Zeros for each membrane, `[N, n]`, from the first product that leads there."""
    there: set[str] = set()
    for link in links:
        if ROLES[link.path] != "drive" or link.target in there:
            continue
        there.add(link.target)
        if link.source == "input":
            outer.add("Sub", ["drive.1", "drive.1"], f"rest.{link.target}")
        else:
            trans = 0 if link.transposed else 1
            outer.add("Gemm", [f"rest.{link.source}", link.tensor], f"rest.{link.target}", transB=trans)


exporter = SettleOnnxExporter()
