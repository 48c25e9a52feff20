"""One frame, one set of latents: cameras and state of a step, seen apart from all other steps (world models).

Unlike `FusedEncoder` it adds no code of the step's time: a latent that will be compared with an imagined one must be a
function of its observation alone.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Literal

import torch
from jaxtyping import Float
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.blocks import projector
from worldjepa.encoders.mlp import StateEncoder, module_name
from worldjepa.types import nested

Pixels = Literal["unit", "signed", "imagenet", "threedie", "cifar100", "tiny_imagenet", "stl10"]
PIXELS: dict[Pixels, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "unit": ((0.0,), (1.0,)),
    "signed": ((0.5,), (0.5,)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "threedie": ((0.5016, 0.5037, 0.5060), (0.1030, 0.0999, 0.0969)),
    "cifar100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    "tiny_imagenet": ((0.4802, 0.4481, 0.3975), (0.2302, 0.2265, 0.2262)),
    "stl10": ((0.4467, 0.4398, 0.4066), (0.2241, 0.2215, 0.2239)),
}
"""Mean that is subtracted from pixels in [0, 1], and standard deviation that they are divided by."""


class FrameEncoder(nn.Module):
    """Latents [B, T, N, D] of frames.

    ``tokens="one"``: every camera's map is flattened (a vector is taken as it is), joined with the state's features and
    projected to one token. ``tokens="map"``: every cell of a camera's map is a token, the state's features stand beside
    the image's in each of them, as DINO-WM joins proprioception (arXiv 2411.04983).

    Args:
        state: encoder of the state keys, or None.
        trunks: by image key: pixels [M, C, h, w] -> a map [M, channels, h', w'], tokens [M, cells, channels] or
            vectors [M, channels].
        shapes: by image key: (rows, columns, channels).
        dim: width D of a token; not looked at without a projection, where the parts decide it.
        tokens: see above.
        project: hidden width of a perceptron with batch norm that makes the token (LeWorldModel's projector), 0 for a
            linear map, None for none.
        pixels: "unit" maps bytes to [0, 1], "signed" to [-1, 1]; the others standardise them as a data set's.
        norm: layer norm of the latents, behind the projection.
        frozen: the trunks are not learned: no gradient reaches them, and they stay in eval mode.

    Raises:
        ValueError: nothing to encode, cameras whose maps differ, an unknown choice.
    """

    def __init__(
        self,
        state: StateEncoder | None,
        trunks: Mapping[str, nn.Module],
        shapes: Mapping[str, tuple[int, ...]],
        *,
        dim: int,
        tokens: Literal["one", "map"] = "one",
        project: int | None = 0,
        pixels: Pixels = "unit",
        norm: bool = False,
        frozen: bool = False,
    ):
        super().__init__()
        if state is None and not trunks:
            raise ValueError("encode at least one observation: name state keys or image keys")
        if tokens not in ("one", "map") or pixels not in PIXELS:
            raise ValueError(f'tokens must be "one" or "map", pixels in {sorted(PIXELS)}; got {tokens!r}, {pixels!r}')
        self.tokens, self.image_keys = tokens, tuple(trunks)
        self.shapes = {key: tuple(shapes[key]) for key in trunks}
        self.state = state
        self.trunks = nn.ModuleDict({module_name(key): trunk for key, trunk in trunks.items()})
        self.frozen = frozen
        if frozen:
            self.trunks.requires_grad_(False).eval()
        mean, std = PIXELS[pixels]
        self.pixel_scale: Tensor
        self.pixel_shift: Tensor | None
        self.register_buffer("pixel_scale", (1 / (255 * torch.tensor(std))).reshape(-1, 1, 1), persistent=False)
        shift = (torch.tensor(mean) / torch.tensor(std)).reshape(-1, 1, 1) if pixels != "unit" else None
        self.register_buffer("pixel_shift", shift, persistent=False)
        cells, width = self._measure()
        self.num_tokens = 1 if tokens == "one" else cells
        self.dim = width if project is None else dim
        self.project: nn.Module = nn.Identity()
        if project is not None:
            self.project = projector(width, project, dim) if project else nn.Linear(width, dim)
        self.norm = nn.LayerNorm(self.dim) if norm else nn.Identity()

    @property
    def keys(self) -> tuple[str, ...]:
        """Observation keys that are read."""
        return (*(self.state.keys if self.state is not None else ()), *self.image_keys)

    def train(self, mode: bool = True) -> "FrameEncoder":
        """Frozen trunks stay in eval mode."""
        super().train(mode)
        if self.frozen:
            self.trunks.eval()
        return self

    def forward(self, view: TensorDict) -> Float[Tensor, "b t n d"]:
        """Latents of a view [B, T]: state keys as normalised floats [B, T, ...], images as uint8 [B, T, h, w, c]."""
        parts = [self._camera(key, view) for key in self.image_keys]
        if self.tokens == "one":
            parts = [part.flatten(1)[:, None] for part in parts]
        if self.state is not None:
            state = self.state(view).flatten(0, 1)
            parts.append(state.expand(-1, parts[0].shape[1], -1) if parts else state)
        shape = view[nested(self.keys[0])].shape[:2]
        return self.norm(self.project(torch.cat(parts, dim=-1))).unflatten(0, shape)

    def _camera(self, key: str, view: TensorDict) -> Float[Tensor, "m n c"]:
        """Features of one camera's frames, a token for each cell of the map."""
        image = view.get(nested(key), None)
        if image is None:
            raise ValueError(f"observation {key!r} is missing; the view has {sorted(map(str, view.keys(True, True)))}")
        if image.dtype != torch.uint8 or tuple(image.shape[2:]) != self.shapes[key]:
            got = f"{image.dtype} {tuple(image.shape[2:])}"
            raise ValueError(f"expected uint8 images of shape {self.shapes[key]} (rows, columns, channels), got {got}")
        return self._features(key, image.flatten(0, 1).permute(0, 3, 1, 2))

    def _features(self, key: str, pixels: Tensor) -> Float[Tensor, "m n c"]:
        pixels = pixels.to(self.pixel_scale.dtype).mul_(self.pixel_scale)
        if self.pixel_shift is not None:
            pixels.sub_(self.pixel_shift)
        with torch.no_grad() if self.frozen else nullcontext():
            found = self.trunks[module_name(key)](pixels)
        if found.ndim == 4:
            return found.flatten(2).transpose(1, 2)
        return found if found.ndim == 3 else found[:, None]

    def _measure(self) -> tuple[int, int]:
        """Tokens of a frame, and the width of what is projected."""
        sizes = []
        for key in self.image_keys:
            trunk = self.trunks[module_name(key)]
            was_training = trunk.training
            rows, columns, channels = self.shapes[key]
            with torch.no_grad():
                trunk.eval()
                sizes.append(self._features(key, torch.zeros(1, channels, rows, columns)).shape[1:])
            trunk.train(was_training)
        state = self.state.dim if self.state is not None else 0
        if self.tokens == "one":
            return 1, sum(n * c for n, c in sizes) + state
        if not sizes or len({n for n, _ in sizes}) != 1:
            raise ValueError(f"tokens of a map need cameras whose maps have equally many cells, got {sizes}")
        return sizes[0][0], sum(c for _, c in sizes) + state
