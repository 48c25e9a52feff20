"""The state of one search: checked inputs, sample buffers, time, and the best sequence seen."""

import time
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Generator, Tensor

from worldjepa.plan.planner import Cost, Plan

Draw = Callable[[Tensor, Generator], None]
"""Fills a buffer [S, H, A] with noise of variance 1."""


def white(noise: Tensor, generator: Generator) -> None:
    """Independent normal numbers."""
    noise.normal_(generator=generator)


class Search:
    """Evaluates sequences for a planner and keeps the best; arguments as in `Planner.plan`.

    Args:
        num_samples: the most sequences of a row that `around` is asked for.
        budget_ms: None, or milliseconds after which `rounds` ends.
    """

    def __init__(
        self,
        cost: Cost,
        init: Tensor,
        generators: Sequence[Generator],
        low: Tensor | None,
        high: Tensor | None,
        candidates: Tensor | None,
        num_samples: int,
        budget_ms: float | None,
    ):
        self._begin = time.perf_counter()
        _check(init, generators, low, high, candidates, num_samples)
        self._cost, self._generators, self._budget_ms = cost, generators, budget_ms
        self._low = None if low is None else low.to(init)
        self._high = None if high is None else high.to(init)
        self.init = self.clamp_(init.detach().clone())
        """[B, H, A] within the bounds."""
        first = [self.init[:, None]]
        if candidates is not None:
            first.append(self.clamp_(candidates.detach().to(init).clone()))
        self.candidates = torch.cat(first, 1)
        """[B, 1 + C, H, A] within the bounds: ``init``, then the given ones."""
        self._costs: list[Tensor] = []
        self._rows = torch.arange(len(init), device=init.device)
        self._best = self.init
        self._best_cost = init.new_full((len(init),), torch.inf)
        shape = (len(init), num_samples, *init.shape[1:])
        self._samples = torch.empty(shape, dtype=init.dtype, device=init.device)
        self._noise = torch.empty(shape, dtype=init.dtype, device=generators[0].device)

    def rounds(self, limit: int) -> Iterator[int]:
        """0, 1, ... below ``limit``: at least one, and no further one that would outlast the budget by the last's."""
        last = self._begin
        for number in range(limit):
            yield number
            if self._budget_ms is None:
                continue
            if self.init.is_cuda:
                torch.cuda.synchronize(self.init.device)
            now = time.perf_counter()
            if (now - self._begin + now - last) * 1e3 > self._budget_ms:
                return
            last = now

    def around(self, mean: Tensor, std: Tensor | float, num_samples: int, draw: Draw = white) -> Tensor:
        """``mean`` [B, H, A] and after it noise of ``std`` [B, H, A] around it: [B, num_samples, H, A], clamped."""
        noise, samples = self._noise[:, :num_samples], self._samples[:, :num_samples]
        for row, generator in zip(noise, self._generators):
            draw(row, generator)
        scale = std[:, None] if isinstance(std, Tensor) else std
        torch.mul(noise.to(samples.device), scale, out=samples)
        samples.add_(mean[:, None])
        samples[:, 0] = mean
        return self.clamp_(samples)

    def clamp_(self, action: Tensor) -> Tensor:
        """``action`` [..., A] clamped in place."""
        if self._low is None and self._high is None:
            return action
        return action.clamp_(self._low, self._high)

    def evaluate(self, samples: Tensor) -> Tensor:
        """Costs [B, S] of ``samples`` [B, S, H, A]; the best is kept.

        Raises:
            ValueError: the cost function returns another shape.
        """
        cost = self._cost(samples)
        if cost.shape != samples.shape[:2]:
            raise ValueError(
                f"the cost function must return one cost a sequence, {list(samples.shape[:2])}, for actions "
                f"{list(samples.shape)}; it returned {list(cost.shape)}"
            )
        kept = cost.detach().clone()
        self._costs.append(kept)
        value, index = kept.min(1)
        better = value < self._best_cost
        self._best_cost = torch.where(better, value, self._best_cost)
        self._best = torch.where(better[:, None, None], samples.detach()[self._rows, index], self._best)
        return cost

    def plan(self, elites: Tensor | None = None) -> Plan:
        """The best sequence seen.

        Raises:
            ValueError: some cost was not finite.
        """
        finite = torch.cat(self._costs, 1).isfinite()
        if not finite.all():  # the search's one look at a value from the device
            self._complain()
        return Plan(self._best, self._best_cost, finite.shape[1], elites)

    def _complain(self) -> None:
        for number, cost in enumerate(self._costs):
            bad = (~cost.isfinite()).nonzero()
            if len(bad):
                row, sample = bad[0].tolist()
                raise ValueError(
                    f"the cost of sample {sample} in row {row} of iteration {number} is {float(cost[row, sample])}: "
                    "costs must be finite; return a large number for what is forbidden, and look for NaN in the "
                    "model's weights, the goal and the observations"
                )
        raise AssertionError("all costs are finite")


def _check(
    init: Tensor,
    generators: Sequence[Generator],
    low: Tensor | None,
    high: Tensor | None,
    candidates: Tensor | None,
    num_samples: int,
) -> None:
    if init.ndim != 3 or 0 in init.shape or not init.is_floating_point():
        raise ValueError(f"init must be floating-point actions [B, H, A], got {init.dtype} {list(init.shape)}")
    if len(generators) != len(init):
        raise ValueError(f"expected one generator for each of {len(init)} rows, got {len(generators)}")
    for name, bound in (("low", low), ("high", high)):
        if bound is not None and (bound.shape != init.shape[2:] or bool(bound.isnan().any())):
            raise ValueError(f"{name} must be {init.shape[2]} numbers, one an action dimension, got {bound.tolist()}")
    if low is not None and high is not None and bool((low > high).any()):
        raise ValueError(f"low must not exceed high, got {low.tolist()} and {high.tolist()}")
    if candidates is None:
        return
    if candidates.ndim != 4 or (candidates.shape[0], *candidates.shape[2:]) != tuple(init.shape):
        raise ValueError(
            f"candidates must be [B, C, H, A] beside init {list(init.shape)}, got {list(candidates.shape)}"
        )
    if candidates.shape[1] >= num_samples:
        raise ValueError(f"{candidates.shape[1]} candidates and init are more than num_samples = {num_samples}")
