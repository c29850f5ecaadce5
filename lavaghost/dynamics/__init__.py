"""The equations: pure steps in time (`step`, `prospective`) and their fixed points (`fixed_point`).

Nothing here owns a loop, a file or a random seed. Engines and Lava models call these functions, so each
equation of docs/theory.md stands in one place.
"""

from lavaghost.dynamics.step import State, Wiring, network_step, start_trial, wire
from lavaghost.net.parameters import Parameters, initial_parameters

__all__ = [
    "Parameters",
    "State",
    "Wiring",
    "initial_parameters",
    "network_step",
    "start_trial",
    "wire",
]
