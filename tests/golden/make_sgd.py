"""Writes sgd.json: steps of torch.optim.SGD and its schedulers, in double precision.

Run it with any Python that has PyTorch (2.0 or later); the tests read the JSON alone.
"""

import json
from pathlib import Path

import torch  # pyright: ignore[reportMissingImports]

SHAPE, STEPS = (2, 3), 12
SETTINGS = [(0.0, 0.0), (0.9, 0.0), (0.0, 0.01), (0.9, 0.01), (0.5, 0.1)]


def walk(momentum: float, weight_decay: float) -> dict[str, object]:
    """One run; weights decay, biases do not, and the step size falls linearly."""
    rng = torch.Generator().manual_seed(0)
    weights = torch.nn.Parameter(torch.randn(SHAPE, generator=rng, dtype=torch.float64))
    bias = torch.nn.Parameter(torch.randn(SHAPE[0], generator=rng, dtype=torch.float64))
    start = {"weights": weights.tolist(), "bias": bias.tolist()}
    optimiser = torch.optim.SGD(
        [{"params": [weights], "weight_decay": weight_decay}, {"params": [bias], "weight_decay": 0.0}],
        lr=1.0,
        momentum=momentum,
    )
    steps = []
    for step in range(STEPS):
        lr = 0.1 * (1 - step / STEPS)
        for group in optimiser.param_groups:
            group["lr"] = lr
        weights.grad = torch.randn(SHAPE, generator=rng, dtype=torch.float64)
        bias.grad = torch.randn(SHAPE[0], generator=rng, dtype=torch.float64)
        optimiser.step()
        steps.append(
            {
                "lr": lr,
                "weights_grad": weights.grad.tolist(),
                "bias_grad": bias.grad.tolist(),
                "weights": weights.tolist(),
                "bias": bias.tolist(),
            }
        )
    return {"momentum": momentum, "weight_decay": weight_decay, "start": start, "steps": steps}


def rates(name: str) -> list[float]:
    """The learning rates of a scheduler over ten steps, from 0.1."""
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = {
        "constant": lambda: torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1.0, total_iters=10),
        "linear": lambda: torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, total_iters=10),
        "cosine": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=10),
    }[name]()
    found = []
    for _ in range(11):
        found.append(scheduler.get_last_lr()[0])
        optimiser.step()
        scheduler.step()
    return found


if __name__ == "__main__":
    golden = {
        "torch": torch.__version__.split("+")[0],
        "runs": [walk(*setting) for setting in SETTINGS],
        "rates": {name: rates(name) for name in ("constant", "linear", "cosine")},
    }
    Path(__file__).with_name("sgd.json").write_text(json.dumps(golden, indent=None) + "\n", encoding="utf-8")
