"""Import: an ONNX file of a rectified, layered classifier as a `Model`.

    read_model -> read_graph -> interpret: go through the nodes once, folding -> the last layer, labels, scale -> build

The nodes are interpreted, never run (`node_reading`): each value is an affine function of the rates of the layer below
(`values`). What is not such a network is refused, all nodes with their reasons together.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx

from lavaghost.base.errors import ExportError, SpecError, join_faults
from lavaghost.base.files import sha256
from lavaghost.base.spec import parse
from lavaghost.datasets import Dataset
from lavaghost.exporters.onnx.run_onnx import foreign, read_model
from lavaghost.exporters.onnx_import.model_graph import ModelGraph, read_graph
from lavaghost.exporters.onnx_import.node_reading import interpret
from lavaghost.exporters.onnx_import.spine import Spine
from lavaghost.exporters.onnx_import.tail import scores_of
from lavaghost.exporters.onnx_import.tensors import Beside, RefusedError
from lavaghost.exporters.onnx_import.values import MAX_VALUES, Affine, Answer, Clipped, dense, pairs, scaled
from lavaghost.methods.backprop import Backprop
from lavaghost.methods.learning import Learning
from lavaghost.model.inputs import check_data
from lavaghost.model.model import Model
from lavaghost.net.network import Network
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Array

MAX_FAULTS = 20


def import_onnx(file: Path | str, data: Dataset | None = None, *, scaled: bool = False) -> Model:
    """The network in `file`, float32, with what was folded in `record["imported"]`.

    Without `data` the network takes what the file takes; one positive factor at its input is the `input_scale`.
    With `data` it takes the data set's samples x = raw * data.scale, and the difference is folded into W_1: the file
    is understood to take raw samples or, if `scaled`, x itself.

    Raises `ExportError`, every node that cannot be imported by its name, operator and why.
    """
    file = Path(file)
    raw, model = read_model(file)
    faults = foreign(model)
    beside = Beside(file.parent)
    graph = None if faults else read_graph(model, beside, faults)
    network = None
    if graph is not None:
        # what leaves the finite range is looked for after each step, and named
        with np.errstate(all="ignore"):
            network = _network(file, raw, model, graph, beside, faults, data, scaled)
    if network is None or faults:
        shown = [*faults[:MAX_FAULTS], *([f"and {len(faults) - MAX_FAULTS} more"] * (len(faults) > MAX_FAULTS))]
        raise ExportError(f"{file} cannot be imported: {join_faults(shown)}; see docs/exports.md, Import")
    return network


def _network(
    file: Path,
    raw: bytes,
    model: onnx.ModelProto,
    graph: ModelGraph,
    beside: Beside,
    faults: list[str],
    data: Dataset | None,
    scaled: bool,
) -> Model | None:
    numbers = sum(tensor.size for tensor in graph.constants.values() if tensor is not None)
    chain = Spine(beside, graph.version, graph.batch, numbers)
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
            **({"beside": sorted(beside.names)} if beside.names else {}),
        }
        dataset = data.name if data else graph.metadata.get("lavaghost.dataset", "unknown")
        record = {"imported": imported}
        # it was trained elsewhere, so it has no ghosts
        return Model(network, Backprop(), Learning(epochs=0), params, scale, labels, dataset, record)
    except RefusedError as why:
        faults.append(f"the graph {why}")
    except SpecError as why:
        faults.append(str(why))
    return None


class ImportedOutputs(NamedTuple):
    """The last layer `(n_L, n_{L-1})`, `(n_L,)`, and the names of the outputs."""

    weights: Array
    biases: Array
    labels: tuple[int | str, ...] | None


def _outputs(found: list[Any], chain: Spine) -> ImportedOutputs:
    """The one layer of logits behind all outputs of the graph; a single logit z of two classes becomes [0, z]."""
    if not all(isinstance(value, Affine | Clipped | Answer) for value in found):
        raise RefusedError("has an output that is a constant, or compares several numbers of a sample")
    answers = [scores_of(value, chain) for value in found]
    logits = answers[0].logits
    if any(not answer.logits.equals(logits) for answer in answers):
        raise RefusedError("has outputs of several layers; give it the last layer's only")
    names = {answer.classes for answer in answers} - {None}
    if len(names) > 1:
        raise RefusedError("names its classes in several ways")
    binary, kinds = any(answer.binary for answer in answers), {answer.kind for answer in answers}
    if "counter" in kinds and len(kinds) > 1:
        raise RefusedError("gives the chances of both classes by themselves; join them, or give one")
    if logits.size == 1 and not binary and any(a.kind == "scores" and a.node for a in answers):
        raise RefusedError("has one output, and nothing decides between classes; let it end in a Sigmoid")
    if any(
        answer.kind == "scores" and max(answer.shape, default=1) != np.prod(answer.shape) for answer in answers
    ):
        raise RefusedError(f"gives {logits.shape} numbers for each sample, not one for each class")
    if logits.layer != len(chain.layers) or (logits.layer == 0 and logits.matrix is None):
        raise RefusedError("does not end in weights; its output must be a linear layer, or a Softmax of one")
    return _last_layer(scaled(logits, -1.0) if "counter" in kinds else logits, binary, names, chain)


def _last_layer(logits: Affine, binary: bool, names: set[Any], chain: Spine) -> ImportedOutputs:
    if not chain.layers:
        chain.begin(logits)
        hidden, logits = pairs(logits)
        chain.layers.append(dense(hidden))
        chain.hard_sigmoid = False
        chain.folded.append("linear outputs z, into pairs of hidden units: z = relu(z) - relu(-z)")
    elif logits.matrix is None:
        before = f", with {' and '.join(chain.before[:10])}" if chain.before else ""
        chain.folded.append(f"nothing behind the last rectification: an identity as the last layer{before}")
    weights, biases = dense(logits)
    if binary:
        weights = np.concatenate([np.zeros_like(weights), weights])
        biases = np.concatenate([np.zeros_like(biases), biases])
        chain.folded.append("one logistic output z, into the outputs [0, z]")
    return ImportedOutputs(weights, biases, next(iter(names), None))


def _description(chain: Spine, params: Parameters, graph: ModelGraph) -> Network:
    physics: dict[str, Any] = {}
    own = graph.metadata.get("lavaghost.activation") == "hard_sigmoid"
    if chain.width == 1.0 and (own or chain.hard_sigmoid):
        physics["activation"] = "hard_sigmoid"
    elif chain.width is not None and np.isfinite(chain.width):
        physics["saturation"] = chain.width
    layers = (params.weights[0].shape[1], *(len(weights) for weights in params.weights))
    return parse(Network, {"layers": layers, **physics})


def _labels(graph: ModelGraph, outputs: ImportedOutputs, data: Dataset | None) -> tuple[Any, ...]:
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


def _input(chain: Spine, data: Dataset | None, scaled: bool) -> float:
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


def _rounded(chain: Spine, outputs: ImportedOutputs) -> Parameters:
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
