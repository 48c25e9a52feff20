"""Random shooting: the floor of all planners."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from worldjepa.plan.planner import Cost, Plan
from worldjepa.plan.search import Search
from worldjepa.plan.settings import check_search


@dataclass(frozen=True, kw_only=True)
class RandomShooting:
    """Draws sequences around ``init`` and returns the best: what a planner must beat at equally many samples.

    Raises:
        ValueError: a setting makes no sense.
    """

    num_samples: int = 300
    """Sequences an iteration."""
    iterations: int = 10
    """Times that many are drawn; memory is that of one."""
    std: float = 1.0
    """In action units."""
    budget_ms: float | None = None
    """Anytime: no further iteration is begun that would end later than this. The result then depends on the time."""

    def __post_init__(self):
        check_search(self.num_samples, self.iterations, self.std, 0.0, self.budget_ms)

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
        for number in search.rounds(self.iterations):
            samples = search.around(search.init, self.std, self.num_samples)
            if number == 0:
                samples[:, : search.candidates.shape[1]] = search.candidates
            search.evaluate(samples)
        return search.plan()
