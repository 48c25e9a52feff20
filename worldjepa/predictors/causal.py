"""Next latents from past ones and the actions between them: a causal transformer told each action by AdaLN.

The predictor of LeWorldModel (arXiv 2603.19312) for one token a frame; with more tokens, attention is full within a
frame and causal between frames, as in DINO-WM (arXiv 2411.04983).
"""

import torch
from jaxtyping import Float
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.blocks import projector as make_projector
from worldjepa.predictors.adaln import ConditionalBlock, KeysValues
from worldjepa.predictors.samples import split_samples


class CausalPredictor(nn.Module):
    """Predicts the latents of frame t+1 from those of frames 0..t and actions 0..t, for all t in one pass.

    Args:
        dim: width D of the latents, in and out.
        action_dim: A, width of an action (block).
        context_length: most frames it can look back on, the present included; also the length of its position table.
        num_tokens: N, tokens of a frame.
        width: of the transformer, default ``dim``.
        num_layers, num_heads, head_dim, ffn_dim, dropout: of its blocks.
        projector: hidden width of a perceptron with batch norm behind the transformer (LeWM), or None.
        residual: predict the change of the latent instead of the latent.
        sliding: let rollouts go beyond ``context_length`` by looking at the last frames only, recomputed with positions
            counted anew, as released LeWM does; else such rollouts raise.

    Raises:
        ValueError: sizes below 1.
    """

    def __init__(
        self,
        *,
        dim: int,
        action_dim: int,
        context_length: int,
        num_tokens: int = 1,
        width: int | None = None,
        num_layers: int = 6,
        num_heads: int = 16,
        head_dim: int = 64,
        ffn_dim: int = 2048,
        dropout: float = 0.0,
        projector: int | None = None,
        residual: bool = False,
        sliding: bool = False,
    ):
        super().__init__()
        if min(dim, action_dim, context_length, num_tokens, num_layers) < 1:
            raise ValueError(
                f"expected sizes of at least 1, got dim {dim}, action_dim {action_dim}, context_length "
                f"{context_length}, num_tokens {num_tokens}, num_layers {num_layers}"
            )
        width = width or dim
        self.dim, self.action_dim, self.num_tokens = dim, action_dim, num_tokens
        self.context_length, self.sliding, self.residual = context_length, sliding, residual
        self.position = nn.Parameter(torch.randn(context_length, num_tokens, dim))
        self.action = nn.Sequential(
            nn.Linear(action_dim, action_dim), nn.Linear(action_dim, 4 * dim), nn.SiLU(), nn.Linear(4 * dim, dim)
        )
        same = width == dim
        self.project = nn.Identity() if same else nn.Linear(dim, width)
        self.condition = nn.Identity() if same else nn.Linear(dim, width)
        self.blocks = nn.ModuleList(
            ConditionalBlock(width, num_heads, head_dim, ffn_dim, dropout=dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.out = nn.Identity() if same else nn.Linear(width, dim)
        self.projector = make_projector(dim, projector, dim) if projector else nn.Identity()

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
        frame = torch.arange(steps, device=z.device).repeat_interleave(self.num_tokens)
        mask = frame[:, None] >= frame[None] if steps > 1 else None
        return self._run(z[:, :steps], self._modulations(action), 0, [None] * len(self.blocks), mask)[0]

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
        modulations = self._modulations(flat)
        caches: list[KeysValues | None] = [None] * len(self.blocks)
        repeat = len(flat) // len(z)
        if past:
            first = [m[::repeat, :past] for m in modulations]
            frame = torch.arange(past, device=z.device).repeat_interleave(self.num_tokens)
            kept = self._run(z[:, :-1], first, 0, caches, frame[:, None] >= frame[None])[1]
            caches = [(_repeat(k, repeat), _repeat(v, repeat)) for k, v in kept]
        frame, imagined = _repeat(z[:, -1:], repeat), []
        for t in range(past, steps):
            now = [m[:, t : t + 1] for m in modulations]
            frame, kept = self._run(frame, now, t, caches, None)
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

    def _modulations(self, action: Tensor) -> list[Float[Tensor, "b t six d"]]:
        """What the actions do to each block: computed for all steps at once."""
        condition = self.condition(self.action(action))
        return [block.modulate(condition) for block in self.blocks]  # pyright: ignore[reportCallIssue]

    def _run(
        self, z: Tensor, modulations: list[Tensor], first: int, caches: list[KeysValues | None], mask: Tensor | None
    ) -> tuple[Tensor, list[KeysValues]]:
        """Frames ``first``, first + 1, ... through the blocks; ``caches`` hold what was before them."""
        x = self.project(z + self.position[first : first + z.shape[1]])
        kept = []
        for block, modulation, cache in zip(self.blocks, modulations, caches):
            x, keys_values = block(x, modulation, cache, mask)
            kept.append(keys_values)
        x = self.projector(self.out(self.norm(x)))
        return (z + x if self.residual else x), kept


def _repeat(value: Tensor, times: int) -> Tensor:
    """Each row ``times`` times."""
    return value if times == 1 else value.repeat_interleave(times, dim=0)
