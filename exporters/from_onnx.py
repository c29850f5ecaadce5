"""Import: an ONNX file of a rectified, layered classifier as a `TrainedNetwork`.

    read_model -> read_graph -> go through the nodes once, folding (import_ops, import_constants, import_tail) -> build

The nodes are interpreted, never run: each value is an affine function of the rates of the layer below
(import_values). What is not such a network is refused, all nodes with their reasons together.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx

from lavaghost.arithmetic import Array
from lavaghost.datasets import Dataset
from lavaghost.dynamics import Parameters
from lavaghost.errors import ExportError, SpecError, join_faults
from lavaghost.exporters.import_chain import Chain
from lavaghost.exporters.import_constants import CONSTANTS
from lavaghost.exporters.import_graph import Graph, Node, RefusedError, read_graph
from lavaghost.exporters.import_ops import OPERATORS
from lavaghost.exporters.import_tail import TAIL
from lavaghost.exporters.import_values import MAX_VALUES, Affine, Answer, dense, pairs
from lavaghost.exporters.run_onnx import foreign, read_model
from lavaghost.files import sha256
from lavaghost.spec import Learning, Network, parse
from lavaghost.trained import TrainedNetwork
from lavaghost.training import check_data

OPERATIONS = {**OPERATORS, **CONSTANTS, **TAIL}
MAX_FAULTS = 20
UNKNOWN = object()
"""The value of what a refused node gives: what follows from it is no fault of its own."""


def import_onnx(file: Path | str, data: Dataset | None = None, *, scaled: bool = False) -> TrainedNetwork:
    """The network in `file`, float32, with what was folded in `record["imported"]`.

    Without `data` the network takes what the file takes; one positive factor at its input is the `input_scale`.
    With `data` it takes the data set's samples x = raw * data.scale, and the difference is folded into W_1: the file
    is understood to take raw samples or, if `scaled`, x itself.

    Raises `ExportError`, every node that cannot be imported by its name, operator and why.
    """
    file = Path(file)
    raw, model = read_model(file)
    faults = foreign(model)
    graph = None if faults else read_graph(model, faults)
    network = None
    if graph is not None:
        # what leaves the finite range is looked for after each step, and named
        with np.errstate(all="ignore"):
            network = _network(file, raw, model, graph, faults, data, scaled)
    if network is None or faults:
        shown = [*faults[:MAX_FAULTS], *([f"and {len(faults) - MAX_FAULTS} more"] * (len(faults) > MAX_FAULTS))]
        raise ExportError(f"{file} cannot be imported: {join_faults(shown)}; see docs/exports.md, Import")
    return network


def _network(
    file: Path,
    raw: bytes,
    model: onnx.ModelProto,
    graph: Graph,
    faults: list[str],
    data: Dataset | None,
    scaled: bool,
) -> TrainedNetwork | None:
    chain = Chain(batch=graph.batch)
    found = interpret(graph, chain, faults)
    if faults:
        return None
    try:
        outputs = _outputs(found, chain)
        labels = _labels(graph, outputs, data)
        scale = _input(chain, data, scaled)
        params = _rounded(chain, outputs)
        network = _description(chain, params, graph)
        if data is not None:
            check_data(network, data)
        imported = {
            "file": file.name,
            "sha256": sha256(raw),
            "producer": " ".join(f"{model.producer_name} {model.producer_version}".split())[:200],
            "opset": {domain or "ai.onnx": version for domain, version in list(graph.opset.items())[:10]},
            "folded": chain.folded,
        }
        dataset = data.name if data else graph.metadata.get("lavaghost.dataset", "unknown")
        record = {"imported": imported}
        return TrainedNetwork(network, Learning(epochs=0), params, scale, labels, dataset, record)
    except RefusedError as why:
        faults.append(f"the graph {why}")
    except SpecError as why:
        faults.append(str(why))
    return None


def interpret(graph: Graph, chain: Chain, faults: list[str]) -> list[Any]:
    """The values of the graph's outputs; layers and notes are left in `chain`, refusals in `faults`."""
    values: dict[str, Any] = {"": None, graph.input: Affine(0, graph.shape), **graph.constants}
    left = Counter(name for node in graph.nodes for name in node.inputs)
    left.update(["", *graph.outputs])
    for node in graph.nodes:
        missing = [name for name in node.inputs if name not in values]
        twice = [name for name in node.outputs if name and name in values]
        results: tuple[Any, ...] = ()
        try:
            if missing or twice:
                raise RefusedError(
                    f"names a value {(missing or twice)[0]!r:.60} that is unknown, or given twice"
                )
            inputs = [values[name] for name in node.inputs]
            if not any(value is UNKNOWN for value in inputs):
                results = _apply(node, inputs, chain)
        except RefusedError as why:
            faults.append(f"{node} {why}")
        results += (UNKNOWN,) * (len(node.outputs) - len(results))
        values |= {name: value for name, value in zip(node.outputs, results, strict=False) if name}
        # large arrays go as soon as nobody needs them
        for name in node.inputs:
            left[name] -= 1
            if not left[name] and name:
                values[name] = None
    if absent := [name for name in graph.outputs if values.get(name) is None]:
        faults.append(f"output {absent[0]!r:.60} is computed by no node")
    elif not faults and (unknown := [name for name in graph.outputs if values[name] is UNKNOWN]):
        faults.append(f"output {unknown[0]!r:.60} is one that its operator is not imported with")
    return [values.get(name) for name in graph.outputs]


def _apply(node: Node, inputs: list[Any], chain: Chain) -> tuple[Any, ...]:
    key = (node.domain, node.op)
    operator = OPERATIONS.get(key)
    if operator is None:
        raise RefusedError("is not an operator of layered, rectified networks")
    if not inputs and node.op != "Constant":
        raise RefusedError("has no input")
    return operator(node, inputs, chain)


class Outputs(NamedTuple):
    """The last layer `(n_L, n_{L-1})`, `(n_L,)`, and the names of the outputs."""

    weights: Array
    biases: Array
    labels: tuple[int | str, ...] | None


def _outputs(found: list[Any], chain: Chain) -> Outputs:
    """The one layer of logits behind all outputs of the graph; a single logit z of two classes becomes [0, z]."""
    answers = [Answer("scores", value) if isinstance(value, Affine) else value for value in found]
    if not all(isinstance(answer, Answer) for answer in answers):
        raise RefusedError("has an output that is a constant")
    logits = answers[0].logits
    if any(answer.logits is not logits for answer in answers):
        raise RefusedError("has outputs of several layers; give it the last layer's only")
    names = {answer.classes for answer in answers} - {None}
    if len(names) > 1:
        raise RefusedError("names its classes in several ways")
    if logits.matrix is None or logits.layer != len(chain.layers) or len(logits.shape) != 1:
        raise RefusedError("does not end in weights; its output must be a linear layer, or a Softmax of one")
    if not chain.layers:
        hidden, logits = pairs(logits)
        chain.layers.append(dense(hidden))
        chain.hard_sigmoid = False
        chain.folded.append("linear outputs z, into pairs of hidden units: z = relu(z) - relu(-z)")
    weights, biases = dense(logits)
    if any(answer.binary for answer in answers):
        weights = np.concatenate([np.zeros_like(weights), weights])
        biases = np.concatenate([np.zeros_like(biases), biases])
        chain.folded.append("one logistic output z, into the outputs [0, z]")
    return Outputs(weights, biases, next(iter(names), None))


def _description(chain: Chain, params: Parameters, graph: Graph) -> Network:
    physics: dict[str, Any] = {}
    own = graph.metadata.get("lavaghost.activation") == "hard_sigmoid"
    if chain.width == 1.0 and (own or chain.hard_sigmoid):
        physics["activation"] = "hard_sigmoid"
    elif chain.width is not None and np.isfinite(chain.width):
        physics["saturation"] = chain.width
    layers = (params.weights[0].shape[1], *(len(weights) for weights in params.weights))
    return parse(Network, {"layers": layers, **physics})


def _labels(graph: Graph, outputs: Outputs, data: Dataset | None) -> tuple[Any, ...]:
    """The names of the outputs: of the graph, else as a file of ours says them beside it, else counted."""
    try:
        beside = tuple(json.loads(graph.metadata.get("lavaghost.labels", "[]")))
    except (ValueError, TypeError, RecursionError) as error:
        raise RefusedError("has metadata lavaghost.labels that are no JSON list of labels") from error
    counted = tuple(range(len(outputs.biases)))
    labels = outputs.labels or beside or counted
    # the classes of a data set are numbers; the same ones in another order would be taken for each other
    if data is not None and labels != counted and sorted(map(str, labels)) == sorted(map(str, counted)):
        raise RefusedError(f"has its classes in the order {labels!s:.60}; those of the data set are counted up")
    return labels


def _input(chain: Chain, data: Dataset | None, scaled: bool) -> float:
    """The network's input scale; what differs from the data set's is folded into W_1."""
    if data is None:
        return chain.scale
    factor = chain.scale if scaled else chain.scale / data.scale
    if np.float32(factor) != 1 and (scaled or np.float32(chain.scale) != np.float32(data.scale)):
        weights, biases = chain.layers[0]
        chain.layers[0] = (weights.astype(np.float64) * factor, biases)
        chain.folded.append(
            f"the factor {factor:g} from samples of {data.name:.60} to the file's input, into W_1"
        )
    return data.scale


def _rounded(chain: Chain, outputs: Outputs) -> Parameters:
    layers = [*chain.layers, (outputs.weights, outputs.biases)]
    if sum(weights.size for weights, _ in layers) > 8 * MAX_VALUES:
        raise RefusedError(f"has more than {8 * MAX_VALUES} weights")
    if any(array.dtype == np.float64 for layer in layers for array in layer) and not chain.folded:
        chain.folded.append("float64, into float32")
    weights, biases = zip(*layers, strict=True)
    return Parameters(
        tuple(np.ascontiguousarray(w, np.float32) for w in weights),
        tuple(np.ascontiguousarray(b, np.float32) for b in biases),
    )
