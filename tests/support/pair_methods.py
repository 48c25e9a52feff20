"""Two-view methods on latents that are given, without an encoder: what their losses are of, in plain sight."""

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.jepa import JEPA
from worldjepa.objectives import Sum
from worldjepa.recipes.view_pairs import METHODS, PRESETS, Config
from worldjepa.types import Views
from worldjepa.views import PairViews

NAMES = sorted(METHODS)
LATENT, ACTION = 6, 3
NARROW = {"projector": (8, 7, 5), "hidden": 9, "action_embed": 4, "momentum_steps": 10}


class Given(nn.Module):
    """Latents [B, T, C] of a view, scaled by a weight that stands for the encoder's."""

    num_tokens, dim = 1, LATENT

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(LATENT))

    def forward(self, view: TensorDict) -> Tensor:
        return self.scale * view["z"][:, :, None]


def given_views(batch: TensorDict, generator: torch.Generator | None = None) -> Views:
    """The first of two views as context, the second as target."""
    first, second = (TensorDict({"z": batch["z"][:, i : i + 1]}, batch_size=[len(batch), 1]) for i in range(2))
    return Views(first, second, TensorDict({"action": batch["action"]}, batch_size=[len(batch)]))


def narrow(name: str, **changes) -> Config:
    """The published weights of a method, small heads."""
    published = vars(PRESETS[name]())
    return Config(**(published | NARROW | changes))


def build_on_latents(name: str, **changes) -> tuple[JEPA, Sum]:
    """A method as the recipe builds it, on given latents."""
    config = narrow(name, **changes)
    encoder = Given()
    method = METHODS[name](config, encoder, ACTION)  # pyright: ignore[reportArgumentType]
    views = PairViews(given_views, symmetric=name == "byol")
    return JEPA(views, encoder, method.target, method.predictor), method.objective


def latents(size: int = 8, seed: int = 0) -> TensorDict:
    """A batch of latents and actions."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(size, 2, LATENT, generator=generator)
    action = torch.randn(size, 1, ACTION, generator=generator)
    return TensorDict({"z": z, "action": action}, batch_size=[size])
