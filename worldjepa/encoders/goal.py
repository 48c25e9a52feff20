"""What is seen beside what is wanted: the same encoder for an observation and for its goal."""

import torch
from jaxtyping import Float
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.encoders.frame import FrameEncoder
from worldjepa.types import nested

GOAL = "goal_"
"""Prefix of the observation of a state that solves the episode: "goal_image" is the goal of "image"."""


class GoalEncoder(nn.Module):
    """Tokens of each frame, then those of its goal, from one encoder of frames: [B, T, 2 N, D].

    Args:
        encoder: reads its keys from the view, and the same keys with "goal_" before them.
    """

    def __init__(self, encoder: FrameEncoder):
        super().__init__()
        self.encoder = encoder
        self.num_tokens, self.dim = 2 * encoder.num_tokens, encoder.dim

    def forward(self, view: TensorDict) -> Float[Tensor, "b t n d"]:
        """Latents of a view [B, T] that holds goals of as many frames.

        Raises:
            ValueError: a goal is missing.
        """
        goal = TensorDict({}, batch_size=view.batch_size)
        for key in self.encoder.keys:
            value = view.get(nested(GOAL + key), None)
            if value is None:
                raise ValueError(
                    f"the goal {GOAL + key!r} is missing; make the environment with goal_obs=True, or the batches with "
                    f"GoalSampler; the view has {sorted(map(str, view.keys(True, True)))}"
                )
            goal[nested(key)] = value
        return torch.cat([self.encoder(view), self.encoder(goal)], dim=2)
