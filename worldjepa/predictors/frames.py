"""What causal transformers over frames share: checked input, rollouts with a key-value cache, sliding windows."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.predictors.adaln import KeysValues
from worldjepa.predictors.samples import split_samples


class FramePredictor(nn.Module, ABC):
    """Base of predictors whose blocks attend within a frame and to earlier frames. A subclass sets the attributes
    below and gives `_tell` and `_run`.
    """

    dim: int
    """D, width of the latents."""
    action_dim: int
    """A, width of an action (block)."""
    num_tokens: int
    """N, tokens of a frame."""
    context_length: int
    """Most frames it looks back on, the present included."""
    sliding: bool
    """Rollouts beyond ``context_length`` look at the last frames only."""
    blocks: nn.ModuleList

    @abstractmethod
    def _tell(self, action: Float[Tensor, "b t a"]) -> list[Tensor]:
        """What actions do to the blocks, each [B, T, ...]: computed for all steps at once."""

    @abstractmethod
    def _run(
        self,
        z: Float[Tensor, "b t n d"],
        told: list[Tensor],
        first: int,
        caches: list[KeysValues | None],
        mask: Bool[Tensor, "s s"] | None,
    ) -> tuple[Float[Tensor, "b t n d"], list[KeysValues]]:
        """Predictions after frames ``first``, first + 1, ..., given what ``caches`` hold of those before."""

    def forward(self, z: Float[Tensor, "b tc n d"], query: TensorDict) -> Float[Tensor, "b t n d"]:
        """Latents of frames 1..T, each from the frames before it; ``query["action"]`` [B, T, A], T <= context_length.

        Further frames of ``z`` are not looked at.
        """
        action = query["action"]
        steps = action.shape[1]
        if not 1 <= steps <= self.context_length or z.shape[1] < steps:
            raise ValueError(
                f"this predictor looks back on up to {self.context_length} frames; got {steps} actions and "
                f"{z.shape[1]} frames"
            )
        if z.shape[2:] != (self.num_tokens, self.dim) or action.shape[2] != self.action_dim:
            raise ValueError(
                f"expected latents of {self.num_tokens} x {self.dim} and actions of {self.action_dim}, got "
                f"{tuple(z.shape[2:])} and {action.shape[2]}"
            )
        mask = self._mask(steps, z.device) if steps > 1 else None
        return self._run(z[:, :steps], self._tell(action), 0, [None] * len(self.blocks), mask)[0]

    def rollout(self, z: Float[Tensor, "b tc n d"], action: Tensor) -> Tensor:
        """Imagined latents of the H steps after the context.

        Keys and values of a frame are computed once; those of the context once for all samples.

        Args:
            z: context latents [B, Tc, N, D].
            action: [B, Tc-1+H, A], or [B, S, Tc-1+H, A] with the first Tc-1 actions alike in all samples.

        Returns:
            [B, H, N, D], or [B, S, H, N, D].

        Raises:
            ValueError: no action after the context, or more frames than ``context_length`` (unless ``sliding``).
        """
        flat, shape = split_samples(z, action)
        past, steps = z.shape[1] - 1, flat.shape[1]
        if steps > self.context_length:
            if not self.sliding:
                raise ValueError(
                    f"a rollout of {steps - past} steps from {past + 1} frames of context needs a context_length of "
                    f"{steps}, this predictor has {self.context_length}: imagine fewer steps or from fewer frames, or "
                    "train with a longer horizon"
                )
            return self._slide(z, flat).reshape(shape)
        told = self._tell(flat)
        caches: list[KeysValues | None] = [None] * len(self.blocks)
        repeat = len(flat) // len(z)
        if past:
            first = [m[::repeat, :past] for m in told]
            kept = self._run(z[:, :-1], first, 0, caches, self._mask(past, z.device))[1]
            caches = [(_repeat(k, repeat), _repeat(v, repeat)) for k, v in kept]
        frame, imagined = _repeat(z[:, -1:], repeat), []
        for t in range(past, steps):
            frame, kept = self._run(frame, [m[:, t : t + 1] for m in told], t, caches, None)
            caches = list(kept)
            imagined.append(frame)
        return torch.cat(imagined, dim=1).reshape(shape)

    def _slide(self, z: Tensor, action: Tensor) -> Tensor:
        """The same with a window of ``context_length`` frames that is recomputed at every step."""
        frames, past = _repeat(z, len(action) // len(z)), z.shape[1] - 1
        for t in range(past, action.shape[1]):
            first = max(0, t + 1 - self.context_length)
            query = TensorDict({"action": action[:, first : t + 1]}, batch_size=[len(action)])
            frames = torch.cat([frames, self(frames[:, first : t + 1], query)[:, -1:]], dim=1)
        return frames[:, past + 1 :]

    def _mask(self, steps: int, device: torch.device) -> Bool[Tensor, "s s"]:
        """True where a token may attend: to all tokens of its frame and of earlier ones."""
        frame = torch.arange(steps, device=device).repeat_interleave(self.num_tokens)
        return frame[:, None] >= frame[None]


def _repeat(value: Tensor, times: int) -> Tensor:
    """Each row ``times`` times."""
    return value if times == 1 else value.repeat_interleave(times, dim=0)
