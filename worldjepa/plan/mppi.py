"""Model predictive path integral control."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from worldjepa.plan.planner import Cost, Plan
from worldjepa.plan.search import Search
from worldjepa.plan.settings import check_positive, check_search


@dataclass(frozen=True, kw_only=True)
class MPPI:
    """Moves the mean to the average of all samples, each weighted exp(-cost / temperature).

    The update of arXiv 1707.02342 (algorithm 2), without its control cost. The best sequence evaluated is returned.

    Raises:
        ValueError: a setting makes no sense.
    """

    num_samples: int = 300
    """Sequences an iteration, the mean included."""
    iterations: int = 10
    std: float = 1.0
    """Of the first iteration, in action units."""
    min_std: float = 0.05
    """Floor of the spread."""
    temperature: float = 0.2
    """The smaller, the more the best samples count."""
    temperature_unit: Literal["spread", "cost"] = "spread"
    """"spread": in standard deviations of the costs of a row's samples, so that the scale of the cost does not matter;
    "cost": as published."""
    adapt: bool = True
    """Refit the spread to the weighted samples (as TD-MPC2, arXiv 2310.16828); False: keep it, as published."""
    budget_ms: float | None = None
    """Anytime: no further iteration is begun that would end later than this. The result then depends on the time."""

    def __post_init__(self):
        check_search(self.num_samples, self.iterations, self.std, self.min_std, self.budget_ms)
        check_positive(temperature=self.temperature)
        if self.temperature_unit not in ("spread", "cost"):
            raise ValueError(f'temperature_unit must be "spread" or "cost", got {self.temperature_unit!r}')

    @torch.no_grad()
    def plan(
        self,
        cost: Cost,
        init: Float[Tensor, "b h a"],
        generators: Sequence[Generator],
        *,
        low: Float[Tensor, "a"] | None = None,
        high: Float[Tensor, "a"] | None = None,
        candidates: Float[Tensor, "b c h a"] | None = None,
    ) -> Plan:
        """See `Planner.plan`."""
        search = Search(cost, init, generators, low, high, candidates, self.num_samples, self.budget_ms)
        mean, std = search.init, torch.full_like(search.init, self.std)
        for number in search.rounds(self.iterations):
            samples = search.around(mean, std, self.num_samples)
            if number == 0:
                samples[:, : search.candidates.shape[1]] = search.candidates
            weight = self._weight(search.evaluate(samples))[:, :, None, None]
            mean = (weight * samples).sum(1)
            if self.adapt:
                spread = (samples - mean[:, None]).square_().mul_(weight).sum(1).sqrt_()
                std = spread.clamp_(min=self.min_std)
        search.evaluate(search.clamp_(mean)[:, None])
        return search.plan()

    def _weight(self, cost: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
        temperature = cost.new_full((len(cost), 1), self.temperature)
        if self.temperature_unit == "spread":
            temperature = temperature * (cost - cost.mean(1, keepdim=True)).square().mean(1, keepdim=True).sqrt()
        # Where all samples cost the same, all count the same.
        return torch.softmax((cost.amin(1, keepdim=True) - cost) / temperature.clamp(min=1e-12), dim=1)
