"""Two views of one thing, both of them seen: the views of contrastive and distillation methods."""

from dataclasses import dataclass
from typing import cast

import torch
from tensordict import TensorDict
from torch import Generator

from worldjepa.types import ViewFunction, Views


@dataclass(frozen=True)
class PairViews:
    """Context: both views of a sequence of two. Target: the second, or both. Query: the action that joins them.

    The encoder sees both; what a method compares is up to its target and predictor. Since the targets are views of the
    context, a target that shares the encoder does not run it again (`Views.within`).
    """

    views: ViewFunction
    """Makes sequences of one observed view and one to predict: `SequenceViews`, `AugmentedViews` or `SaccadeViews` with
    ``observed=1``."""
    symmetric: bool = False
    """Predict both views, each from the other (BYOL), not only the second from the first."""

    def __call__(self, batch: TensorDict, generator: Generator | None = None) -> Views:
        """Needs what ``views`` needs. A target counts where the views' target does.

        Raises:
            ValueError: the sequences are longer.
        """
        found = self.views(batch, generator)
        counts = found.context.shape[1], found.target.shape[1]
        if counts != (1, 1):
            raise ValueError(
                f"pairs are made of one observed view and one to predict, got {counts[0]} and {counts[1]}: "
                "use views with observed=1"
            )
        valid = found.target.get("valid", None)
        parts = [view.exclude("valid") for view in (found.context, found.target)]
        both = cast(TensorDict, torch.cat(parts, dim=1))  # pyright: ignore[reportCallIssue, reportArgumentType]
        within = slice(0, 2) if self.symmetric else slice(1, 2)
        target = both[:, within]
        if valid is not None:
            target["valid"] = valid.expand(-1, target.shape[1])
        return Views(both, target, found.query, within=within)
