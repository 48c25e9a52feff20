"""The improved cross-entropy method: smooth noise, elites that stay, fewer samples every iteration."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from worldjepa.plan.cem import gather, refit
from worldjepa.plan.noise import coloured
from worldjepa.plan.planner import Cost, Plan
from worldjepa.plan.search import Search
from worldjepa.plan.settings import check_elites, check_search, check_share


@dataclass(frozen=True, kw_only=True)
class ICEM:
    """CEM with the additions of arXiv 2008.06389 (algorithm 1).

    Elites stay from iteration to iteration with the cost they had, and from call to call through `Plan.elites`, which
    the caller shifts and gives back as ``candidates``. The mean is evaluated in every iteration.

    Raises:
        ValueError: a setting makes no sense.
    """

    num_samples: int = 300
    """Sequences of the first iteration."""
    iterations: int = 10
    num_elites: int = 30
    std: float = 1.0
    """Of the first iteration, in action units."""
    min_std: float = 0.05
    """Floor of the spread."""
    momentum: float = 0.1
    """Share of the former mean and spread kept at each refit, [0, 1)."""
    beta: float = 2.0
    """Colour of the noise: power falls as 1 / frequency ** beta over the horizon; 0 is white."""
    block: int = 1
    """Control steps that an action is made of (a world model's stride): the noise is smooth within an action too."""
    decay: float = 1.25
    """Each iteration draws this many times fewer samples than the one before, but at least 2 ``num_elites``."""
    keep: float = 0.3
    """Share of the elites that stays, [0, 1)."""
    budget_ms: float | None = None
    """Anytime: no further iteration is begun that would end later than this. The result then depends on the time."""

    def __post_init__(self):
        check_search(self.num_samples, self.iterations, self.std, self.min_std, self.budget_ms)
        check_elites(self.num_elites, self.num_samples)
        check_share(momentum=self.momentum, keep=self.keep)
        if self.beta < 0 or self.decay < 1 or self.block < 1:
            raise ValueError(
                f"beta must be at least 0, decay and block at least 1, got {self.beta}, {self.decay} and {self.block}"
            )

    def num_drawn(self, iteration: int) -> int:
        """Sequences drawn in an iteration counted from 0."""
        least = min(2 * self.num_elites, self.num_samples)
        return max(int(self.num_samples * self.decay**-iteration), least)

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
        """See `Planner.plan`; `Plan.elites` are the elites that stay, best first."""
        search = Search(cost, init, generators, low, high, candidates, self.num_samples, self.budget_ms)
        mean, std = search.init, torch.full_like(search.init, self.std)
        if init.shape[2] % self.block:
            raise ValueError(f"an action of {init.shape[2]} numbers is not made of {self.block} control steps")
        like = torch.empty(0, dtype=init.dtype, device=generators[0].device)
        draw = coloured(self.beta, init.shape[1], like, self.block)
        num_kept = int(self.keep * self.num_elites)
        elites, value = search.init[:, None][:, :0], search.init.new_empty(len(init), 0)
        for number in search.rounds(self.iterations):
            samples = search.around(mean, std, self.num_drawn(number), draw)
            if number == 0:
                samples[:, : search.candidates.shape[1]] = search.candidates
            value = torch.cat([value[:, :num_kept], search.evaluate(samples)], 1)
            pool = torch.cat([elites[:, :num_kept], samples], 1)
            value, index = value.topk(self.num_elites, dim=1, largest=False)
            elites = gather(pool, index)
            mean, std = refit(elites, mean, std, self.momentum, self.min_std)
        search.evaluate(mean[:, None])
        return search.plan(elites[:, :num_kept])
