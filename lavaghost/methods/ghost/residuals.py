"""What ghosts leave of the feedback, and how far it would go round."""

import numpy as np

from lavaghost.dynamics import wire
from lavaghost.dynamics.neuron import rate, residual
from lavaghost.engines.trial import Trial
from lavaghost.net.graph import Graph
from lavaghost.net.parameters import Parameters
from lavaghost.numbers.arithmetic import Float


def residuals(graph: Graph, params: Parameters, trial: Trial) -> tuple[float, ...]:
    """`||B_k r_{k+1} - i_k|| / ||B_k r_{k+1}||` of each hidden layer at the end of the free phase of `trial`.

    Where the engine does not carry feedback and inhibition along, they are computed here from the free rates,
    by the ghosts' own equations. Ghosts that replicate settle to the feedback itself, by definition of the fixed point.
    """
    if trial.left_over:
        pairs = zip(trial.whole, trial.left_over, strict=True)
        return tuple(residual(whole, whole - left) for whole, left in pairs)
    arith = Float(np.float64)
    net = wire(graph, params, arith)
    free = [arith.array(r) for r in trial.free]
    found = []
    for k in range(graph.depth - 1):
        feedback = arith.synapse(net.feedback[k], free[k + 1])
        inhibition = feedback
        if graph.predicts:
            v_ghost = arith.add(arith.synapse(net.ghost_weights[k], free[k]), net.ghost_biases[k])
            ghost = rate(v_ghost, graph, k + 2, arith)
            inhibition = arith.synapse(net.inhibition[k], ghost)
        found.append(residual(feedback, inhibition))
    return tuple(found)


def loop_gain(graph: Graph, params: Parameters) -> tuple[float, ...]:
    """`lam ||B_k|| ||W_{k+1}||` of each hidden layer, with spectral norms; ghosts that replicate need it below 1."""
    found = []
    for k, back in enumerate(graph.along("feedback"), start=1):
        assert back.tensor is not None  # feedback has weights
        tensor = params.named()[back.tensor]
        matrices = (graph.products(back).matrix(tensor), graph.up[k].matrix(params.weights[k]))
        norms = [float(np.linalg.norm(m, 2)) for m in matrices]
        found.append(graph.lam * norms[0] * norms[1])
    return tuple(found)
