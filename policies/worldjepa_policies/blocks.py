"""Action blocks: what a world model calls an action is several control steps, side by side and normalised."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from worldjepa.learner import Learner
from worldjepa.recipes.table import recipe


class ActionBlocks:
    """Between a model's action blocks [k * A], normalised, and k actions [A] in raw units.

    Args:
        learner: of a world model.
        low, high: bounds in raw units [A]; None: those of the data's action space.

    Raises:
        ValueError: the action space has no bounds and none are given, bounds of another size or the wrong way round, a
            learner without statistics, or one whose actions are counted from an observation.
    """

    def __init__(self, learner: Learner, low: Sequence[float] | None = None, high: Sequence[float] | None = None):
        origin, self._normalizer = learner.origin, learner.normalizer
        if self._normalizer.relative_to is not None:
            raise ValueError(
                f"this learner counts actions from {self._normalizer.relative_to!r}, which moves while a plan is "
                "carried out: plan with a model of the actions themselves (relative_to=None)"
            )
        self.num_steps = recipe(origin.recipe).window(origin.config, origin.spec).stride
        """k, control steps of a block."""
        bounds = [
            _bound(name, given, known, origin.spec.action_dim)
            for name, given, known in (
                ("low", low, origin.spec.action_low),
                ("high", high, origin.spec.action_high),
            )
        ]
        self._raw_low, self._raw_high = bounds
        if bool((self._raw_low > self._raw_high).any()):
            raise ValueError(f"low must not exceed high, got {self._raw_low.tolist()} and {self._raw_high.tolist()}")
        self.low, self.high = (self.normalized(x.expand(self.num_steps, -1)) for x in bounds)
        """Bounds of a block [k * A], normalised, on the learner's device."""
        if bool(self.low.isnan().any() or self.high.isnan().any()):
            raise ValueError("the learner has no action statistics: load a checkpoint, or train with statistics")

    @property
    def width(self) -> int:
        """k * A."""
        return len(self.low)

    def normalized(self, actions: Float[Tensor, "k a"]) -> Float[Tensor, "w"]:
        """The block of k raw actions."""
        device = next(self._normalizer.buffers()).device
        return self._normalizer.normalize("action", actions.reshape(-1).to(device))

    def raw(self, block: Float[Tensor, "w"]) -> Float[Tensor, "k a"]:
        """The k actions of a block, in raw units, within the bounds, on the CPU."""
        actions = self._normalizer.denormalize("action", block).reshape(self.num_steps, -1).cpu()
        return actions.clamp(self._raw_low, self._raw_high)


def _bound(name: str, given: Sequence[float] | None, known: Sequence[float] | None, size: int) -> Tensor:
    if given is not None:
        bound = torch.as_tensor(given, dtype=torch.float32)
        if bound.shape != (size,) or bool(bound.isnan().any()):
            raise ValueError(f"{name} must be {size} numbers, one an action dimension, got {given}")
        return bound
    if known is None or not torch.tensor(known).isfinite().all():
        raise ValueError(
            f"the action space has no finite bound {name!r} ({known}): planners search between bounds; pass "
            f"{name}=[...] in raw units, e.g. the smallest or largest actions of the data"
        )
    return torch.tensor(known, dtype=torch.float32)
