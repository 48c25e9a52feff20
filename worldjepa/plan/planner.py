"""What a planner is: it looks for actions of low cost and knows nothing of models."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float
from torch import Generator, Tensor

Cost = Callable[[Tensor], Tensor]
"""Action sequences [B, S, H, A] -> their costs [B, S], lower is better; row b is judged by environment b's state.

The sequences are overwritten after the call: a cost that keeps them must copy them.
"""


@dataclass(frozen=True)
class Plan:
    """The best of all action sequences that a planner evaluated, row by row."""

    action: Float[Tensor, "b h a"]
    """Within the bounds."""
    cost: Float[Tensor, "b"]
    """What the cost function said of ``action``; no sequence evaluated in the row cost less."""
    num_evaluated: int
    """Sequences evaluated in each row."""
    elites: Float[Tensor, "b k h a"] | None = None
    """The k best sequences, for planners that hand them to their next call as ``candidates``."""


class Planner(Protocol):
    """Finds action sequences of low cost. Settings are the planner's; it remembers nothing between calls."""

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
        """Search around ``init``.

        Args:
            cost: see `Cost`.
            init: where the search begins; itself evaluated. Clamped to the bounds.
            generators: one a row, on one device. A row's plan depends on its own generator only.
            low, high: bounds of every action; every sequence evaluated or returned lies within.
            candidates: more sequences to evaluate at first: a policy's proposal, a former plan's elites.

        Raises:
            ValueError: shapes do not fit, bounds are empty, or a cost is not finite (row and sample are named).
        """
        ...
