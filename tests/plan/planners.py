"""Problems with known answers, and every planner, for the tests of planners."""

from dataclasses import replace

import torch
from torch import Generator, Tensor

from worldjepa.plan import CEM, ICEM, MPPI, GradientPlanner, RandomShooting

H, A = 4, 2
LOW, HIGH = torch.tensor([-1.0, -2.0]), torch.tensor([1.5, 0.5])

ALL = {
    "cem": CEM(num_samples=128, iterations=12, num_elites=16),
    "icem": ICEM(num_samples=128, iterations=12, num_elites=16),
    "mppi": MPPI(num_samples=128, iterations=12),
    "gradient": GradientPlanner(restarts=8, iterations=60),
    "shooting": RandomShooting(num_samples=128, iterations=12),
}
SAMPLING = [name for name in ALL if name != "gradient"]


def generators(rows: int, seed: int = 0) -> list[Generator]:
    """One a row, all different."""
    return [Generator().manual_seed(100 * seed + row) for row in range(rows)]


def start(rows: int) -> Tensor:
    """[rows, H, A], all zero."""
    return torch.zeros(rows, H, A)


class Quadratic:
    """Costs ``|action - centre|^2`` with a centre for each row; remembers all that it was asked."""

    def __init__(self, centre: Tensor):
        self.centre, self.asked, self.answers = centre, [], []

    def __call__(self, action: Tensor) -> Tensor:
        cost = (action - self.centre[:, None]).square().sum((2, 3))
        self.asked.append(action.detach().clone())
        self.answers.append(cost.detach().clone())
        return cost


def centres(rows: int) -> Tensor:
    """Optima [rows, H, A] inside of the bounds, different in each row."""
    drawn = torch.rand(rows, H, A, generator=Generator().manual_seed(7))
    return LOW + (0.1 + 0.8 * drawn) * (HIGH - LOW)


def quick(name: str):
    """The planner with few iterations, for contracts that need no optimum."""
    return replace(ALL[name], iterations=3)
