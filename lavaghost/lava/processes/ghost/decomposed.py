"""The other model of `GhostNetwork`: a network of Lava processes, one for each population and connection.

    layer1..L    HiddenCell, and OutputCell at the top
    ghosts1..    GhostCell or ReplicatingGhostCell, beside each hidden layer, where there are ghosts
    up1..L       W_k: from below onto layer k
    down1..      B_k: from layer k + 1 onto layer k, where there is feedback
                 where errors come down in it, layers are CarryingCells and a SendingCell at the top
    copy1..      G_k: from layer k onto its ghosts
    inhibit1..   I_k: from the ghosts onto layer k; ghosts that replicate are linked one-to-one instead
    source       presents the lessons, if the network has any
    exporter     reads parameters for the host, if it wants any

Connections that learn are Lava's LearningDense with a rule of Loihi's learning engine; all others are Dense, those of
frozen layers and their copies too: a layer that does not learn sends no signal. The
numbers are those of the fused model and of the stepped engine, to the bit, in either arithmetic. After a session
has started, the sub-processes are attributes of `network_process.procs`, under these names.

Lava executes this file anew for each compilation: it defines classes and does nothing else.
"""

from typing import Any

from lava.magma.core.decorator import implements, tag
from lava.magma.core.learning.constants import GradedSpikeCfg
from lava.magma.core.model.sub.model import AbstractSubProcessModel
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.dense.process import Dense, LearningDense
from lava.utils.weightutils import SignMode

from lavaghost.dynamics import wire
from lavaghost.lava.engine_rules import Product, compile_rule, learning_rule, split_step
from lavaghost.lava.late import late
from lavaghost.lava.learning_dense import RoundingNumbers
from lavaghost.lava.phases import Clock, errors_come_down
from lavaghost.lava.processes.cells.populations import (
    CarryingCell,
    GhostCell,
    HiddenCell,
    OutputCell,
    RecordSlot,
    ReplicatingGhostCell,
    SendingCell,
)
from lavaghost.lava.processes.ghost.ghost_network import CLASSES, LETTERS, GhostNetwork
from lavaghost.lava.processes.io.sources import TeachingSource
from lavaghost.lava.processes.reader.parameter_reader import exporter
from lavaghost.lava.vectors import record_size
from lavaghost.net.parameters import shapes
from lavaghost.numbers.loihi import IntegerSynapses, Loihi
from lavaghost.online.course import Course
from lavaghost.online.integers.integer_course import IntegerCourse

MESSAGE: dict[str, Any] = {"num_message_bits": 24}
"""Payloads are numbers, not spikes."""
WHOLE: dict[str, Any] = {"num_weight_bits": 9, "sign_mode": SignMode.MIXED}
"""Weights of which Lava cuts nothing: with 8 bits it would drop the last one, that of weights that are set."""


class DecomposedGhostModel(AbstractSubProcessModel):
    """What the models of all depths share. Its attributes are the sub-processes, which is where Lava finds them."""

    def __init__(self, proc: Any) -> None:
        given = proc.proc_params
        self.graph, self.course, self.arith = given["graph"], given["course"], given["arith"]
        self.errors = errors_come_down(self.graph, self.course)
        self.net = wire(self.graph, given["numbers"], self.arith, self.errors)
        self.clock = Clock(self.graph, self.course, given["first"], given["record_every"])
        self.fixed = isinstance(self.arith, Loihi)
        self.unit = 1.0 if self.course is None else self.course.unit
        self.parts: dict[str, Any] = {}
        self._populations(proc)
        self._connections(proc)
        self._links(proc)
        if proc.to_host:
            self._to_host(proc, given["export_after"], given["record"])
        for name, part in self.parts.items():
            part.name = name
            setattr(self, name, part)

    # ---- parts

    def _populations(self, proc: Any) -> None:
        graph, course, depth = self.graph, self.course, self.graph.depth
        given = proc.proc_params
        common = {"graph": graph, "course": course, "arith": self.arith, "clock": self.clock}
        common["learning_rule"] = None if course is None else self._rule(Product(self.unit))
        size, start = record_size(graph, given["record"]), 0
        probes = {}
        for k in given["record"]:
            probes[k] = RecordSlot(start, size)
            start += record_size(graph, [k])
        hidden, output = (CarryingCell, SendingCell) if self.errors else (HiddenCell, OutputCell)
        for k in range(1, depth + 1):
            cell = hidden if k < depth else output
            self.parts[f"layer{k}"] = cell(
                **common,
                k=k,
                size=graph.layers[k],
                bias=self.net.biases[k - 1],
                probe=probes.get(k),
                feedback_learns=course is not None and graph.tied,
                w_gain=self.unit / self._engine_step(k),  # y_k has its step already
            )
        for k in range(1, depth) if graph.has_ghosts else ():
            if graph.replicates:
                self.parts[f"ghosts{k}"] = ReplicatingGhostCell(**common, k=k, size=graph.layers[k], bias=0)
                continue
            self.parts[f"ghosts{k}"] = GhostCell(
                **common,
                k=k,
                size=graph.layers[k + 1],
                bias=self.net.ghost_biases[k - 1],
                mirrors=course is not None and graph.copies and graph.tied,
            )

    def _connections(self, proc: Any) -> None:
        net, graph = self.net, self.graph
        one, mirrored = Product(self.unit), Product(self.unit, ("x1", "y2"))
        for k, weights in enumerate(net.weights, start=1):
            learns = (Product(self._engine_step(k)),) if graph.learns(k) else ()
            self._connect(f"up{k}", weights, "weights", k, *learns)
        for k, feedback in enumerate(net.feedback or net.back, start=1):
            # what stands for W_{k+1} is frozen with it
            follows = (mirrored,) if graph.tied and graph.learns(k + 1) else ()
            self._connect(f"down{k}", feedback, "feedback", k, *follows)
            if not graph.predicts:
                continue
            if graph.copies:
                # copies, which are rounded as what they copy
                same = (one,) if graph.learns(k + 1) else ()
                self._connect(f"copy{k}", net.ghost_weights[k - 1], "weights", k + 1, *same)
                self._connect(f"inhibit{k}", net.inhibition[k - 1], "feedback", k, *follows)
                continue
            # in integers, y_{k+1} is a product of its own
            both = (one, mirrored) if self.fixed and graph.learns(k + 1) else (one,)
            self._connect(f"copy{k}", net.ghost_weights[k - 1], "ghost_weights", k, *both)
            self._connect(
                f"inhibit{k}",
                net.inhibition[k - 1],
                "ghost_inhibition",
                k,
                Product(self.unit, ("x1", "y3")),
            )

    def _connect(self, name: str, weights: Any, group: str, k: int, *products: Product) -> None:
        """A connection that learns by `products`; by none, or without a course, it does not learn."""
        more: dict[str, Any] = {"weights": weights, **MESSAGE}
        if isinstance(weights, IntegerSynapses):
            # nine bits and a sign of which nothing is cut: weights that learned may be odd
            exponent = weights.exponent
            more |= {"weights": weights.integers(), "weight_exp": exponent, **WHOLE}
        if self.course is None or not products:
            self.parts[name] = Dense(**more)
            return
        if isinstance(self.course, IntegerCourse):
            more["numbers"] = RoundingNumbers(self.course, self.clock, group, k, weights.shape)
        self.parts[name] = LearningDense(
            learning_rule=self._rule(*products), graded_spike_cfg=GradedSpikeCfg.OVERWRITE, **more
        )

    def _rule(self, *products: Product) -> Any:
        return learning_rule(compile_rule(*products), self.fixed)

    def _engine_step(self, k: int) -> float:
        """The part of the first eta_k that the learning engine takes, a power of two; the cell has the rest."""
        if not isinstance(self.course, Course) or not self.graph.learns(k):
            return self.unit
        return split_step(self.course.step(k, self.course.pretrain))[0]

    # ---- connections between them

    def _links(self, proc: Any) -> None:
        part, depth = self.parts, self.graph.depth
        sent = (proc.in_ports.x_in, proc.in_ports.y_in, proc.in_ports.nudge_in)
        if (lessons := proc.proc_params["lessons"]) is not None:
            part["source"] = source = TeachingSource(**lessons._asdict(), clock=self.clock)
            sent = (source.x_out, source.y_out, source.nudge_out)
        sent[0].connect(part["up1"].s_in)
        sent[1].connect(part[f"layer{depth}"].y_in)
        sent[2].connect(part[f"layer{depth}"].nudge_in)
        part[f"layer{depth}"].s_out.connect(proc.out_ports.r_out)
        for k in range(1, depth + 1):
            layer = part[f"layer{k}"]
            if k > 1:
                part[f"layer{k - 1}"].s_out.connect(part[f"up{k}"].s_in)
            self._onto(f"up{k}", layer, layer.a_ff)
            for name, letter in (("weights", "W"), ("bias", "b"), ("v_mem", "v_mem")):
                owner = part[f"up{k}"] if name == "weights" else layer
                getattr(proc.vars, f"{letter}{k}").alias(getattr(owner, name))
            if self.errors:
                getattr(proc.vars, f"error{k}").alias(layer.error)
        for k in range(1, depth) if self.net.feedback or self.net.back else ():
            self._link_back(proc, k)

    def _link_back(self, proc: Any, k: int) -> None:
        part = self.parts
        layer, above, down = part[f"layer{k}"], part[f"layer{k + 1}"], part[f"down{k}"]
        above.s_fb.connect(down.s_in)
        self._onto(f"down{k}", layer, layer.a_fb)
        getattr(proc.vars, f"B{k}").alias(down.weights)
        if self.errors:
            part[f"layer{self.graph.depth}"].factor_out.connect(layer.factor_in)
        if not self.graph.has_ghosts:
            return
        ghosts = part[f"ghosts{k}"]
        getattr(proc.vars, f"v_ghost{k}").alias(ghosts.v_mem)
        if self.graph.replicates:
            down.a_out.connect(ghosts.a_in)
            ghosts.s_out.connect(layer.a_gh)
            return
        copy, inhibit = part[f"copy{k}"], part[f"inhibit{k}"]
        layer.s_out.connect(copy.s_in)
        self._onto(f"copy{k}", ghosts, ghosts.a_in)
        ghosts.s_out.connect(inhibit.s_in)
        self._onto(f"inhibit{k}", layer, layer.a_gh)
        ghosts.g_out.connect(above.a_ghost)
        above.teach_out.connect(ghosts.a_third_factor_in)
        for name, var in (("G", copy.weights), ("c", ghosts.bias), ("I", inhibit.weights)):
            getattr(proc.vars, f"{name}{k}").alias(var)

    def _onto(self, name: str, cell: Any, dendrite: Any) -> None:
        """From a connection to the neurons behind it, and back with what it learns from."""
        connection = self.parts[name]
        connection.a_out.connect(dendrite)
        if isinstance(connection, LearningDense):
            for signal in ("bap", "y1", "y2", "y3"):
                getattr(cell, f"s_out_{signal}").connect(getattr(connection, f"s_in_{signal}"))

    # ---- what the host gets

    def _to_host(self, proc: Any, after: frozenset[int], record: tuple[int, ...]) -> None:
        arrays = []
        for name in shapes(self.graph):
            field, k = name.split(".")
            arrays.append(getattr(proc, f"{LETTERS[field]}{k}").aliased_var)
        size = record_size(self.graph, record)
        sender = exporter(arrays=arrays, after=after, clock=self.clock, record_size=size)
        self.parts["exporter"] = sender
        for k in record:
            self.parts[f"layer{k}"].probe_out.connect(sender.record_in)
        for port in proc.to_host:
            own = getattr(sender, port.name)
            own.flag_external_pipe(buffer_size=port.external_pipe_buffer_size)
            own.connect(port)


def _define(process: type[GhostNetwork]) -> type[Any]:
    body = {"__module__": __name__, "__doc__": f"Decomposed model of {process.__name__}."}
    model = type(f"Decomposed{process.__name__}", (DecomposedGhostModel,), body)
    return implements(proc=process, protocol=LoihiProtocol)(tag("floating_pt", "fixed_pt")(model))


# Lava looks for models among a module's names
__getattr__ = late(globals(), lambda: map(_define, CLASSES.values()))
