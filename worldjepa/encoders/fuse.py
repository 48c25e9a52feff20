"""Several cameras and the robot's state as one set of tokens a step, joined by attention (ACT-JEPA, figure 2)."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.blocks import EncoderBlock, sincos
from worldjepa.encoders.cnn import ImageEncoder
from worldjepa.encoders.mlp import StateEncoder, module_name
from worldjepa.types import nested


class FusedEncoder(nn.Module):
    """Tokens of every modality of every step, then transformer blocks over all tokens of all steps of the view.

    Steps are told apart by a sine-cosine code of the view's "time" [B, T] (0 is the present, negative the past);
    without "time" the last step is the present. Steps where the view's "valid" [B, T] is False are not attended to.

    Args:
        state: encoder of the state keys, or None.
        images: encoders by image key.
        num_layers, num_heads, ffn_dim, dropout, norm: of the blocks; with 0 layers the tokens do not mix.
        within_step: a token attends only to tokens of its own step, so that a latent depends on one observation alone
            (what rolling out step by step needs) instead of on the whole view (ACT-JEPA).

    Raises:
        ValueError: neither a state nor an image is encoded, or widths differ.
    """

    def __init__(
        self,
        state: StateEncoder | None,
        images: Mapping[str, ImageEncoder] | None = None,
        *,
        num_layers: int = 4,
        num_heads: int = 8,
        ffn_dim: int = 2048,
        dropout: float = 0.1,
        norm: Literal["pre", "post"] = "post",
        within_step: bool = False,
    ):
        super().__init__()
        images = dict(images or {})
        widths = {part.dim for part in [*images.values(), *([state] if state else [])]}
        if len(widths) != 1:
            raise ValueError(f"encode at least one observation, all to one width; got widths {sorted(widths)}")
        self.dim = widths.pop()
        self.image_keys = tuple(images)
        self.within_step = within_step
        self.state = state
        self.images = nn.ModuleDict({module_name(k): encoder for k, encoder in images.items()})
        self.blocks = nn.ModuleList(
            EncoderBlock(self.dim, num_heads, ffn_dim, dropout=dropout, norm=norm) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(self.dim)

    @property
    def num_tokens(self) -> int:
        """Tokens of one step: one for the state, then those of each camera."""
        return int(self.state is not None) + sum(int(e.num_tokens) for e in self.images.values())  # pyright: ignore

    @property
    def keys(self) -> tuple[str, ...]:
        """Observation keys that are read."""
        return (*(self.state.keys if self.state is not None else ()), *self.image_keys)

    def forward(self, view: TensorDict) -> Float[Tensor, "b t n d"]:
        """Latents of a view [B, T]: state keys as normalised floats [B, T, ...], images as uint8 [B, T, h, w, c]."""
        parts = [self.state(view)] if self.state is not None else []
        for key in self.image_keys:
            image = view.get(nested(key), None)
            if image is None:
                raise ValueError(
                    f"observation {key!r} is missing; the view has {sorted(map(str, view.keys(True, True)))}"
                )
            parts.append(self.images[module_name(key)](image))
        tokens = torch.cat(parts, dim=2) if len(parts) > 1 else parts[0]
        b, t, n, _ = tokens.shape
        time = view.get("time", None)
        if time is None:
            time = torch.arange(1 - t, 1, device=tokens.device)
        tokens = tokens + sincos(time, self.dim).to(tokens.dtype)[..., None, :]
        valid = view.get("valid", None)
        if valid is not None:  # attention multiplies what it ignores by 0, and 0 * NaN is not 0
            tokens = torch.where(valid[..., None, None], tokens, 0.0)
        if self.within_step:
            tokens, mask = tokens.flatten(0, 1), None
        else:
            tokens = tokens.flatten(1, 2)
            mask = None if valid is None else valid.repeat_interleave(n, dim=1)[:, None, None]
        for block in self.blocks:
            tokens = block(tokens, mask)
        return self.norm(tokens).reshape(b, t, n, self.dim)

    def restrict(self, keys: tuple[str, ...], *, within_step: bool = False) -> "FusedEncoder":
        """The same weights (not copies) reading only ``keys``; the trunks of other cameras are left out.

        Args:
            keys: observations to read.
            within_step: keep the steps apart, even if this encoder does not.

        Raises:
            ValueError: a key that this encoder does not read, or none.
        """
        unknown = [k for k in keys if k not in self.keys]
        if unknown or not keys:
            raise ValueError(f"cannot restrict this encoder to {list(keys)}: it reads {list(self.keys)}")
        state_keys = tuple(k for k in keys if k not in self.image_keys)
        part = FusedEncoder.__new__(FusedEncoder)
        nn.Module.__init__(part)
        part.dim, part.within_step = self.dim, self.within_step or within_step
        part.image_keys = tuple(k for k in keys if k in self.image_keys)
        part.state = self.state.restrict(state_keys) if state_keys and self.state is not None else None
        part.images = nn.ModuleDict({module_name(k): self.images[module_name(k)] for k in part.image_keys})
        part.blocks, part.norm = self.blocks, self.norm
        return part
