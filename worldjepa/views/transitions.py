"""Views of a world model: every frame, and the action that leads to the next one."""

from dataclasses import dataclass
from typing import ClassVar

from tensordict import TensorDict
from torch import Generator

from worldjepa.types import Views
from worldjepa.views.temporal import frames


@dataclass(frozen=True)
class TransitionViews:
    """Context: all T+1 frames of a window. Target: frames 1..T. Query: the actions between them.

    The predictor must be causal: what it says of frame t+1 may depend on frames 0..t alone. The encoder must look at
    each frame by itself. Since the targets are frames of the context, a target that shares the encoder does not run
    it again (`Views.within`).
    """

    keys: tuple[str, ...]
    """Observations the encoder sees."""
    history: int = 1
    """Frames up to and including the present."""
    horizon: int = 3
    """Transitions after the present; T = history - 1 + horizon."""

    in_time: ClassVar[bool] = True
    """Targets are consecutive steps, see `ViewFunction`."""

    def __post_init__(self) -> None:
        if self.history < 1 or self.horizon < 1:
            raise ValueError(
                f"expected history and horizon of at least 1, got history {self.history}, horizon {self.horizon}"
            )

    def __call__(self, batch: TensorDict, generator: Generator | None = None) -> Views:
        """Needs ``obs`` [B, >= T+1, ...] for all keys. A target counts only where it, the frame before it and the
        action between them are recorded.

        Raises:
            ValueError: the batch's windows are too short.
        """
        count = self.history + self.horizon
        valid = batch["valid"]
        if valid.shape[1] < count:
            raise ValueError(f"the views need windows of {count} frames, the batch has {valid.shape[1]}: lengthen them")
        context = frames(batch, self.keys, slice(0, count))
        target = frames(batch, self.keys, slice(1, count))
        known = valid[:, : count - 1] & valid[:, 1:count]
        acted = batch.get("action_valid", None)
        target["valid"] = known if acted is None else known & acted[:, : count - 1]
        query = TensorDict({"action": batch["action"][:, : count - 1]}, batch_size=batch.batch_size)
        return Views(context, target, query, within=slice(1, count))
