"""Planning by gradient descent through the cost."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from worldjepa.plan.planner import Cost, Plan
from worldjepa.plan.search import Search
from worldjepa.plan.settings import check_counts, check_positive

BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Adam's, as published."""


@dataclass(frozen=True, kw_only=True)
class GradientPlanner:
    """Adam on the actions themselves, from several starts at once, clamped to the bounds after every step.

    The cost must be differentiable, and what it holds must not come from ``torch.inference_mode``. Works under
    ``torch.no_grad`` too; the model's own gradients are not touched.

    Raises:
        ValueError: a setting makes no sense.
    """

    restarts: int = 8
    """Starts: ``init``, the candidates, then noise around ``init``."""
    iterations: int = 50
    lr: float = 0.1
    """Adam's step, in action units."""
    std: float = 1.0
    """Of the noise of the starts, in action units."""
    budget_ms: float | None = None
    """Anytime: no further iteration is begun that would end later than this. The result then depends on the time."""

    def __post_init__(self):
        check_counts(restarts=self.restarts, iterations=self.iterations)
        check_positive(lr=self.lr, std=self.std, budget_ms=self.budget_ms)

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
        """See `Planner.plan`. A cost that has no gradient raises ValueError too."""
        search = Search(cost, init, generators, low, high, candidates, self.restarts, self.budget_ms)
        action = search.around(search.init, self.std, self.restarts)
        action[:, : search.candidates.shape[1]] = search.candidates
        first, second = torch.zeros_like(action), torch.zeros_like(action)
        for number in search.rounds(self.iterations):
            with torch.enable_grad():
                value = search.evaluate(action.requires_grad_())
                if not value.requires_grad:
                    raise ValueError("the cost has no gradient with respect to the actions; plan with CEM or MPPI")
                (gradient,) = torch.autograd.grad(value.sum(), action)
            action = action.detach() - self._step(gradient, first, second, number + 1)
            search.clamp_(action)
        with torch.no_grad():
            search.evaluate(action)
        return search.plan()

    def _step(self, gradient: Tensor, first: Tensor, second: Tensor, number: int) -> Tensor:
        """Adam's step ``number``, counted from 1; the moments are updated in place (arXiv 1412.6980, algorithm 1)."""
        first.mul_(BETAS[0]).add_(gradient, alpha=1 - BETAS[0])
        second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        scale = (second / (1 - BETAS[1] ** number)).sqrt_().add_(EPSILON)
        return self.lr / (1 - BETAS[0] ** number) * first / scale
