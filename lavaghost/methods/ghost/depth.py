"""What depth asks of a network: an error that reaches layer 1, and phases that are long enough for it.

An error of 1 is beta lam^(L-1) in layer 1. The equilibrium engine holds it in a unit of its own
(`dynamics.fixed_point.units`). An engine that steps in time reads it as the difference of two rates near 1, which
float64 rounds at 2^-52 and integers at one unit of a state.

Time passes through L layers as through L Euler stages of time constant tau, each with a delay of one step. T steps
after its input, the last one has reached the share

    P(Bin(T, 1 / tau) >= L)

of its end point: in every step the signal passes on by 1 / tau of what is left. With tau = 1 it arrives in L steps.
"""

import math

from lavaghost.base.errors import SpecError, join_faults, warn
from lavaghost.dynamics.fixed_point import attenuation_bits
from lavaghost.methods.base import Method
from lavaghost.methods.learning import SHALLOW, Learning, usual_eta
from lavaghost.net.graph import Graph

FLOAT32_BITS = 63
"""Bits that the gain of a nudge may have, up or down, before it leaves float32 together with what it multiplies."""
FLOAT64_BITS = 44
"""Bits by which an error may fall in float64: 8 are left above the rounding of a rate."""
SETTLED = 0.9
"""Share of its end point that a phase should reach."""


def settled_share(steps: int, tau_steps: float, stages: int) -> float:
    """P(Bin(steps, 1 / tau_steps) >= stages): how far `stages` layers have come after `steps` steps."""
    if steps < stages:
        return 0.0
    if tau_steps == 1.0:
        return 1.0
    passed, kept = -math.log(tau_steps), math.log1p(-1.0 / tau_steps)

    def log_ways(j: int) -> float:
        return math.lgamma(steps + 1) - math.lgamma(j + 1) - math.lgamma(steps - j + 1)

    missing = sum(math.exp(log_ways(j) + j * passed + (steps - j) * kept) for j in range(stages))
    return max(0.0, 1.0 - missing)


def steps_needed(tau_steps: float, stages: int, share: float = SETTLED) -> int:
    """The fewest steps after which `stages` layers have come as far as `share`."""
    low, high = 0, stages
    while settled_share(high, tau_steps, stages) < share:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if settled_share(middle, tau_steps, stages) >= share else (middle, high)
    return high


def lam_for(graph: Graph, bits: float, power_of_two: bool = False) -> float:
    """The gain with which an error of 1 falls by at most `bits` on its way to layer 1: a power of two, or of two
    digits.
    """
    exponent = -((bits + math.log2(graph.beta)) / max(1, graph.depth - 1))
    if power_of_two:
        return 2.0 ** math.ceil(exponent)
    exact = 2.0**exponent
    digit = 10.0 ** (math.floor(math.log10(exact)) - 1)
    return float(f"{math.ceil(exact / digit - 1e-9) * digit:.2g}")


def check_depth(graph: Graph, method: Method, learning: Learning) -> None:
    """Refuse what leaves the numbers of an engine on its way through the layers, or has no time to pass them.

    Warns of phases that end before layers settle. Raises `SpecError`, with a gain or steps that work.
    """
    usual = usual_eta(graph.depth)
    if graph.depth > SHALLOW and learning.eta > 4 * usual:
        warn(
            f"learning.eta {learning.eta:g} is large for {graph.depth} layers, each of which moves the output in "
            f"every step; {usual:g} holds"
        )
    if not method.needs.ghosts:
        return
    faults = range_faults(graph)
    if learning.engine != "equilibrium":
        faults += resolution_faults(graph, FLOAT64_BITS, "float64 rounds rates at 2^-52")
        faults += time_faults(graph)
    if faults:
        raise SpecError(join_faults(faults))
    if learning.engine != "equilibrium":
        warn_of_time(graph)


def range_faults(graph: Graph) -> list[str]:
    """What float32 cannot hold: a nudge too small to begin with, or feedback that grows."""
    faults = []
    if -math.log2(graph.beta) > FLOAT32_BITS:
        faults.append(
            f"method.beta {graph.beta:g} is below 2^-{FLOAT32_BITS}, and its gain 1 / beta leaves no room in "
            "float32; use 0.1 or so"
        )
    bits = attenuation_bits(graph, 1)
    if bits < -FLOAT32_BITS:
        below = math.floor(graph.beta ** (-1.0 / (graph.depth - 1)) * 100) / 100
        faults.append(
            f"method.lam {graph.lam:g}: an error of 1 grows to 2^{-bits:.0f} on its way down {graph.depth} "
            f"layers, beyond float32; use a lam of at most {below:g}"
        )
    return faults


def resolution_faults(graph: Graph, bits: float, why: str, power_of_two: bool = False) -> list[str]:
    """An error that falls by more than `bits` on its way to layer 1; the remedy is a lam, perhaps a power of two."""
    found = attenuation_bits(graph, 1)
    if found <= bits:
        return []
    return [
        f"method.lam {graph.lam:g}: an error of 1 falls to 2^-{found:.0f} on its way down {graph.depth} "
        f"layers, and {why}; use a lam of at least {lam_for(graph, bits, power_of_two):g} with rule 'prediction', "
        f"or {'arithmetic float' if power_of_two else 'engine equilibrium'}, which solves for changes of any size"
    ]


def time_faults(graph: Graph) -> list[str]:
    """Phases in which no signal gets from one end of the network to the other."""
    depth, schedule, faults = graph.depth, graph.schedule, []
    needed = steps_needed(schedule.tau_steps, depth)
    if schedule.t_free_steps - 1 < depth:
        faults.append(
            f"method.schedule.t_free_steps {schedule.t_free_steps}: the input needs a reset and {depth} steps to reach "
            f"the output; use {needed + 1}"
        )
    if schedule.t_nudge_steps < depth:
        faults.append(
            f"method.schedule.t_nudge_steps {schedule.t_nudge_steps}: an error needs {depth} steps to reach layer 1; "
            f"use {needed}"
        )
    return faults


def warn_of_time(graph: Graph) -> None:
    """One line if a phase ends while its slowest layer is far from its end point."""
    depth, schedule = graph.depth, graph.schedule
    phases = {"t_free_steps": schedule.t_free_steps - 1, "t_nudge_steps": schedule.t_nudge_steps}
    shares = {name: settled_share(steps, schedule.tau_steps, depth) for name, steps in phases.items()}
    short = {name: share for name, share in shares.items() if share < SETTLED}
    if short:
        needed = steps_needed(schedule.tau_steps, depth)
        far = ", ".join(f"{name} {getattr(schedule, name)}: {share:.0%}" for name, share in short.items())
        warn(
            f"{depth} layers with tau_steps {schedule.tau_steps:g} do not settle ({far} of the way); use "
            f"t_free_steps {needed + 1} and t_nudge_steps {needed}"
        )
