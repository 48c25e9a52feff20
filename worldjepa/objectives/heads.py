"""Heads that read reward and success off the latents of the next frame, for planning without a goal.

In TD-MPC2 (arXiv 2310.16828) the head is trained on the latents it will be asked about in planning: predicted ones.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.objectives.combine import prefixed
from worldjepa.objectives.perceptron import perceptron
from worldjepa.objectives.reduce import blank, masked_mean, widen
from worldjepa.objectives.rows import check_choice, latents_of
from worldjepa.types import Prediction

Next = Literal["predicted", "target"]


class _NextLatentHead(nn.Module):
    """A perceptron from all tokens of a frame to one number, and the latents it is trained on."""

    def __init__(
        self, dim: int, hidden: tuple[int, ...], num_tokens: int, of: tuple[Next, ...], detach: bool, name: str
    ):
        super().__init__()
        for source in of:
            check_choice("of", source, Next)
        if not of:
            raise ValueError('of must name "predicted", "target" or both')
        self.net = perceptron(num_tokens * dim, hidden, 1)
        self.shape = (num_tokens, dim)
        self.of = of
        self.detach = detach
        self.name = name

    def read(self, z: Float[Tensor, "*b n d"]) -> Float[Tensor, "*b"]:
        """One number a frame.

        Raises:
            ValueError: latents of another size.
        """
        if tuple(z.shape[-2:]) != self.shape:
            raise ValueError(f"expected latents of {self.shape[0]} x {self.shape[1]}, got {tuple(z.shape[-2:])}")
        return self.net(z.flatten(-2))[..., 0]

    def _read_each(
        self, prediction: Prediction, batch: TensorDict, label: Tensor
    ) -> list[tuple[Float[Tensor, "b t"], Float[Tensor, "b t"], Bool[Tensor, "b t"]]]:
        """For each kind of latents: what the head reads, its label, and where both are real."""
        results = []
        for source in self.of:
            z, tokens = latents_of(prediction, batch, source)
            steps = z.shape[1]
            if label.shape[1] < steps:
                raise ValueError(f"the labels have {label.shape[1]} steps, the {source} latents {steps}")
            keep = tokens.all(2)
            acted = batch.get("action_valid", None)
            keep = keep if acted is None else keep & acted[:, :steps]
            z = blank(z.detach() if self.detach else z, keep[..., None].expand(z.shape[:3]))
            found = widen(self.read(z))
            results.append((found, torch.where(keep, label[:, :steps].to(found.dtype), 0.0), keep))
        return results


class RewardHead(_NextLatentHead):
    """Predicts the reward of a transition from the latents of the frame it leads to; mean squared error.

    Args:
        dim: width D of a token.
        hidden: widths of the hidden layers.
        num_tokens: N, tokens of a frame; all of them are read.
        of: the latents it is trained on: ("predicted",), ("target",) or both.
        detach: keep the gradient from the latents: a readout that does not shape them.
        name: prefix of the scalar's name.
    """

    def __init__(
        self,
        dim: int,
        hidden: tuple[int, ...] = (256, 256),
        num_tokens: int = 1,
        *,
        of: tuple[Next, ...] = ("predicted",),
        detach: bool = False,
        name: str = "",
    ):
        super().__init__(dim, hidden, num_tokens, of, detach, name)

    def reward(self, z: Float[Tensor, "*b n d"]) -> Float[Tensor, "*b"]:
        """Reward of arriving at latents, in the data's units: of a rollout [B, S, H, N, D] as well as of a batch."""
        return self.read(z)

    def forward(self, prediction: Prediction, batch: TensorDict) -> dict[str, Tensor]:
        """Returns {"reward": scalar}; reads ``batch["reward"]`` [B, T].

        Raises:
            ValueError: the data has no rewards.
        """
        label = batch.get("reward", None)
        if label is None:
            raise ValueError(f"a reward head needs data with rewards; the batch has {sorted(map(str, batch.keys()))}")
        parts = self._read_each(prediction, batch, label)
        error = torch.cat([(found - known).square() for found, known, _ in parts], dim=1)
        return prefixed(self.name, {"reward": masked_mean(error, torch.cat([keep for *_, keep in parts], dim=1))})


class SuccessHead(_NextLatentHead):
    """Predicts whether a transition leads to success, from the latents of that frame; binary cross-entropy.

    Args:
        key: the label: "success", or "terminated" where episodes end with success and only so.
        positive_weight: of a success in the loss, > 0; raise it where successes are rare.
        dim, hidden, num_tokens, of, detach, name: as of `RewardHead`.
    """

    def __init__(
        self,
        dim: int,
        hidden: tuple[int, ...] = (256, 256),
        num_tokens: int = 1,
        *,
        key: Literal["success", "terminated"] = "success",
        positive_weight: float = 1.0,
        of: tuple[Next, ...] = ("predicted",),
        detach: bool = False,
        name: str = "",
    ):
        super().__init__(dim, hidden, num_tokens, of, detach, name)
        check_choice("key", key, Literal["success", "terminated"])
        if positive_weight <= 0:
            raise ValueError(f"positive_weight must be positive, got {positive_weight}")
        self.key = key
        self.positive_weight = positive_weight

    def logit(self, z: Float[Tensor, "*b n d"]) -> Float[Tensor, "*b"]:
        """Log odds of success at latents; smooth where the probability is flat."""
        return self.read(z)

    def probability(self, z: Float[Tensor, "*b n d"]) -> Float[Tensor, "*b"]:
        """Of success at latents, in (0, 1)."""
        return self.read(z).sigmoid()

    def forward(self, prediction: Prediction, batch: TensorDict) -> dict[str, Tensor]:
        """Returns {"success": scalar}; reads ``batch[key]`` [B, T].

        Raises:
            ValueError: the data has no such label.
        """
        label = batch.get(self.key, None)
        if label is None:
            raise ValueError(
                f"a success head needs data with {self.key!r}; the batch has {sorted(map(str, batch.keys()))}: record "
                "it of every episode (worldjepa collect does, of a task with a success predicate), or choose "
                'key="terminated" where episodes end with success and only so'
            )
        parts = self._read_each(prediction, batch, label)
        found, known = (torch.cat([part[i] for part in parts], dim=1) for i in (0, 1))
        keep = torch.cat([keep for *_, keep in parts], dim=1)
        entropy = F.binary_cross_entropy_with_logits(
            found, known, reduction="none", pos_weight=found.new_tensor(self.positive_weight)
        )
        return prefixed(self.name, {"success": masked_mean(entropy, keep)})
