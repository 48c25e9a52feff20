"""A policy's proposal as the start of planning: imitation says where to look, the world model which is best."""

from collections import deque
from typing import Any

import torch
from jaxtyping import Bool, Float
from tensordict import TensorDict
from torch import Generator, Tensor

from worldjepa.learner import Learner
from worldjepa.plan import Planner
from worldjepa.recipes.table import recipe
from worldjepa_policies.blocks import ActionBlocks
from worldjepa_policies.frames import Frame, read_frame, row_of, stack_frames
from worldjepa_policies.mpc import MPCPolicy


class HybridPolicy(MPCPolicy):
    """`MPCPolicy` whose every search begins at the chunk of an imitation learner: ACT-JEPA, ACT or BC.

    The chunk is where the planner's samples are drawn around, and is itself a candidate; so is what is left of the last
    plan. Since planners return the best sequence they evaluated, the plan is in the model's eyes never worse than the
    chunk. How far a planner strays from it is its ``std``, in normalised units: choose it well below 1 for a chunk
    learner that is trusted.

    Args:
        learner: of the world model.
        chunks: learner with an action head. It may see other observations, goals among them.
        planner, options: see `MPCPolicy`.

    Raises:
        ValueError: as `MPCPolicy`; the learners' actions differ, or a chunk is shorter than a block.
    """

    def __init__(self, learner: Learner, chunks: Learner, planner: Planner, **options: Any):
        device = options.get("device", "cpu")
        blocks = ActionBlocks(learner.to(device), options.get("low"), options.get("high"))
        super().__init__(learner, planner, proposal=ChunkProposal(chunks, blocks, device), **options)


class ChunkProposal:
    """The chunk of an imitation learner as action blocks.

    Args:
        learner: with an action head.
        blocks: of the world model.
        device: where the learner runs.

    Raises:
        ValueError: actions of another size, or a chunk shorter than a block.
    """

    def __init__(self, learner: Learner, blocks: ActionBlocks, device: str | torch.device = "cpu"):
        origin = learner.origin
        window = recipe(origin.recipe).window(origin.config, origin.spec)
        if origin.spec.action_dim * blocks.num_steps != blocks.width:
            raise ValueError(
                f"the chunk learner's actions have size {origin.spec.action_dim}, the world model's "
                f"{blocks.width // blocks.num_steps}: train both on the same action space"
            )
        if origin.config.chunk < blocks.num_steps:
            raise ValueError(
                f"a chunk of {origin.config.chunk} actions is shorter than the world model's block of "
                f"{blocks.num_steps} control steps"
            )
        self._learner, self._blocks, self._device = learner.to(device).eval(), blocks, device
        self._keys, self._history = window.seen, window.history
        self._rows: dict[int, deque[Frame]] = {}

    def reset(self, done: Bool[Tensor, "b"]) -> None:
        """See `Proposal`."""
        for i in done.nonzero().flatten().tolist():
            self._rows.pop(i, None)

    def see(self, obs: TensorDict) -> None:
        """See `Proposal`; the learner's history is of control steps."""
        frames = {key: read_frame(obs, key) for key in self._keys}
        for i in range(len(obs)):
            seen = self._rows.setdefault(i, deque(maxlen=self._history))
            seen.append(row_of(frames, i))
            while len(seen) < self._history:  # as in training, frames before the start repeat the first
                seen.appendleft(seen[0])

    @torch.no_grad()
    def propose(self, row: int, generator: Generator) -> Float[Tensor, "h w"]:
        """As many whole blocks as the chunk holds."""
        chunk = self._learner.actions(stack_frames([list(self._rows[row])]).to(self._device))[0]
        whole = len(chunk) // self._blocks.num_steps
        steps = chunk[: whole * self._blocks.num_steps].unflatten(0, (whole, self._blocks.num_steps))
        return torch.stack([self._blocks.normalized(block) for block in steps])
