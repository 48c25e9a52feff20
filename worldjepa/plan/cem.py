"""The cross-entropy method."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from worldjepa.plan.planner import Cost, Plan
from worldjepa.plan.search import Search
from worldjepa.plan.settings import check_elites, check_search, check_share


@dataclass(frozen=True, kw_only=True)
class CEM:
    """Draws sequences from a normal distribution, refits it to the best of them, and again.

    Three differences from what peers ship: the best sequence ever evaluated is returned, not the last mean (which is
    evaluated too); all sequences lie within the bounds; the spread has a floor, so that the search cannot freeze.

    Raises:
        ValueError: a setting makes no sense.
    """

    num_samples: int = 300
    """Sequences an iteration, the mean included."""
    iterations: int = 10
    num_elites: int = 30
    """How many of the samples the distribution is refitted to."""
    std: float = 1.0
    """Of the first iteration, in action units."""
    min_std: float = 0.05
    """Floor of the spread."""
    momentum: float = 0.0
    """Share of the former mean and spread kept at each refit, [0, 1)."""
    budget_ms: float | None = None
    """Anytime: no further iteration is begun that would end later than this. The result then depends on the time."""

    def __post_init__(self):
        check_search(self.num_samples, self.iterations, self.std, self.min_std, self.budget_ms)
        check_elites(self.num_elites, self.num_samples)
        check_share(momentum=self.momentum)

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
            index = search.evaluate(samples).topk(self.num_elites, dim=1, largest=False, sorted=False).indices
            mean, std = refit(gather(samples, index), mean, std, self.momentum, self.min_std)
        search.evaluate(mean[:, None])
        return search.plan()


def gather(samples: Float[Tensor, "b s h a"], index: Tensor) -> Float[Tensor, "b k h a"]:
    """The sequences at ``index`` [B, K]."""
    return samples.gather(1, index[:, :, None, None].expand(-1, -1, *samples.shape[2:]))


def refit(
    elites: Float[Tensor, "b k h a"],
    mean: Float[Tensor, "b h a"],
    std: Float[Tensor, "b h a"],
    momentum: float,
    min_std: float,
) -> tuple[Float[Tensor, "b h a"], Float[Tensor, "b h a"]]:
    """Mean and spread (of the population, at least ``min_std``) of the elites, moved from the former ones."""
    new_mean = elites.mean(1)
    new_std = (elites - new_mean[:, None]).square_().mean(1).sqrt_()
    if momentum > 0:
        new_mean = momentum * mean + (1 - momentum) * new_mean
        new_std = momentum * std + (1 - momentum) * new_std
    return new_mean, new_std.clamp_(min=min_std)
