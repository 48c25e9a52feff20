"""Views of single images as an eye takes them: patches around fixations (seq-JEPA, arXiv 2505.03176, predictive
learning across saccades).

Fixations are drawn one after the other from a saliency map. Inhibition of return takes what lies around a fixation out
of the map for all later ones.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from tensordict import TensorDict
from torch import Generator, Tensor

from worldjepa.types import Views, nested


@dataclass(frozen=True)
class SaccadeViews:
    """Context: patches around M fixations. Target: the patch around one more. Query: the saccades that join them.

    A saccade is the way from one centre to the next (rows, columns) in shares of the image.
    """

    key: str
    """The observation that is an image."""
    observed: int = 4
    """M >= 1."""
    saliency: str | None = "saliency"
    """The observation that is a map of the image's rows and columns, uint8 or float, with or without a last axis of
    size 1, not negative; None: every pixel is as likely."""
    patch: int = 32
    """Rows and columns of a patch, even: those from ``patch / 2`` before the centre on; black outside of the image."""
    inhibition: Literal["circle", "square"] | None = "circle"
    """Where no later fixation may lie: nearer than or at ``radius`` (as the paper says), in the square of half the side
    ``radius`` (as released), or anywhere allowed. Where the map has nothing left, all pixels that are allowed are as
    likely; where none is, all are."""
    radius: float | None = None
    """[pixels]; None: half a patch."""

    action_dim = 2

    def __post_init__(self) -> None:
        if self.observed < 1:
            raise ValueError(f"expected at least one observed view, got {self.observed}")
        if self.patch < 2 or self.patch % 2:
            raise ValueError(f"expected patches of an even size of at least 2 pixels, got {self.patch}")
        if self.inhibition not in ("circle", "square", None):
            raise ValueError(f'expected inhibition "circle", "square" or None, got {self.inhibition!r}')
        if self.radius is not None and self.radius < 0:
            raise ValueError(f"expected a radius of at least 0 pixels, got {self.radius}")

    def __call__(self, batch: TensorDict, generator: Generator | None = None) -> Views:
        """Needs ``obs[key]`` uint8 [B, >= 1, h, w, C] and the map; the first frame is looked at.

        Raises:
            ValueError: there are no such images, or a map that does not fit them.
        """
        made = self.views_of(batch, self.observed + 1, generator)
        obs = made["obs"]
        target = obs[:, self.observed :]
        target["valid"] = batch["valid"][:, :1]
        action = self.relative(made["parameters"])
        return Views(obs[:, : self.observed], target, TensorDict({"action": action}, batch_size=batch.batch_size))

    def views_of(self, batch: TensorDict, num_views: int, generator: Generator | None = None) -> TensorDict:
        """V patches of each image.

        Returns:
            TensorDict [B]: "obs" [B, V] with the patches uint8 [B, V, patch, patch, C], "parameters" [B, V, 2], row and
            column of the centres in shares of the image.
        """
        image = batch["obs"].get(nested(self.key), None)
        if image is None or image.dtype != torch.uint8 or image.ndim != 5:
            got = "nothing" if image is None else f"{image.dtype} {list(image.shape)}"
            raise ValueError(f"expected {self.key!r} to be uint8 images [B, T, rows, columns, channels], got {got}")
        image = image[:, 0]
        radius = self.patch / 2 if self.radius is None else self.radius
        centres = fixations(self._map(batch, image), num_views, self.inhibition, radius, generator)
        obs = TensorDict(
            {nested(self.key): cut_patches(image, centres, self.patch)}, batch_size=[len(image), num_views]
        )
        extent = torch.tensor(image.shape[1:3], device=image.device)
        return TensorDict({"obs": obs, "parameters": centres / extent}, batch_size=[len(image)])

    def relative(self, parameters: Float[Tensor, "b v p"]) -> Float[Tensor, "b m p"]:
        """The saccades that join fixations in their order: differences of their centres."""
        return parameters[:, 1:] - parameters[:, :-1]

    def _map(self, batch: TensorDict, image: UInt8[Tensor, "b h w c"]) -> Float[Tensor, "b h w"]:
        if self.saliency is None:
            return torch.ones(image.shape[:3], device=image.device)
        value = batch["obs"].get(nested(self.saliency), None)
        if value is None:
            names = sorted(map(str, batch["obs"].keys(True, True)))
            raise ValueError(
                f"the batch has no saliency map {self.saliency!r}, only {names}; "
                "convert the images with one, or draw fixations uniformly (saliency=None)"
            )
        value = value[:, 0].squeeze(-1) if value.ndim == 5 else value[:, 0]
        if value.shape != image.shape[:3]:
            raise ValueError(
                f"expected a saliency map of {list(image.shape[:3])}, as the images, got {list(value.shape)}"
            )
        if value.is_floating_point() and value.device.type == "cpu" and not (value >= 0).all():
            raise ValueError(f"the saliency map {self.saliency!r} holds numbers that are negative or not finite")
        return value.float()


def fixations(
    saliency: Float[Tensor, "b h w"],
    num: int,
    inhibition: Literal["circle", "square"] | None,
    radius: float,
    generator: Generator | None = None,
) -> Int[Tensor, "b v 2"]:
    """Draws ``num`` pixels (row, column) of each map, one after the other, as likely as the map says; see
    `SaccadeViews` for inhibition.
    """
    rows = torch.arange(saliency.shape[1], device=saliency.device)[:, None]
    columns = torch.arange(saliency.shape[2], device=saliency.device)
    allowed = torch.ones_like(saliency)
    centres = []
    for _ in range(num):
        place = torch.multinomial(_weights(saliency, allowed).flatten(1), 1, generator=generator)
        row, column = place // saliency.shape[2], place % saliency.shape[2]
        centres.append(torch.cat([row, column], dim=1))
        if inhibition is not None:
            down, right = (rows - row[..., None]).abs(), (columns - column[..., None]).abs()
            allowed = allowed * _outside(down, right, inhibition, radius)
    return torch.stack(centres, dim=1)


def cut_patches(
    image: Shaped[Tensor, "b h w c"], centres: Int[Tensor, "b v 2"], size: int
) -> Shaped[Tensor, "b v p q c"]:
    """The patches of ``size`` x ``size`` pixels around ``centres``, 0 outside of the image."""
    half = size // 2
    padded = torch.nn.functional.pad(image, (0, 0, half, half, half, half))
    offset = torch.arange(size, device=image.device)
    rows, columns = (
        centres[..., axis, None] + offset for axis in (0, 1)
    )  # a centre's patch begins at it in ``padded``
    first = torch.arange(len(image), device=image.device)[:, None, None, None]
    return padded[first, rows[..., :, None], columns[..., None, :]]


def _weights(saliency: Float[Tensor, "b h w"], allowed: Float[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    """What is left of the map; all that is allowed where nothing is; everything where nothing is allowed."""
    left = saliency * allowed
    empty = left.sum((1, 2), keepdim=True) == 0
    full = allowed.sum((1, 2), keepdim=True) == 0
    return torch.where(full, torch.ones_like(left), torch.where(empty, allowed, left))


def _outside(
    down: Int[Tensor, "b h 1"], right: Int[Tensor, "b 1 w"], inhibition: str, radius: float
) -> Bool[Tensor, "b h w"]:
    """Which pixels, so far from a fixation, stay allowed."""
    if inhibition == "circle":
        return down**2 + right**2 > radius**2
    return (down > radius) | (right > radius)
