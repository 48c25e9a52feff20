"""Views of single images: random augmentations whose parameters are the actions (seq-JEPA, arXiv 2505.03176, A.2).

Sequence of an augmentation, with the published values as defaults: random resized crop, mirroring, colour jitter
(brightness, contrast, saturation, hue, in this order), grey, Gaussian blur, solarisation. Nine parameters say what was
done; mirroring, grey and solarisation are not among them, so a model must become invariant to these. Observed views
are always blurred and never solarised, the predicted one is blurred in a tenth and solarised in a fifth of cases.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int, UInt8
from tensordict import TensorDict
from torch import Generator, Tensor

from worldjepa.types import Views, nested
from worldjepa.views.pixels import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    blur_kernel,
    crop_resize,
    gaussian_blur,
    grey,
    solarize,
)

PARAMETERS = ("top", "left", "height", "width", "brightness", "contrast", "saturation", "hue", "blur")
"""What the numbers of an augmentation are. The crop's box is in shares of the image; brightness, contrast and
saturation are factors (1: none), hue a share of the circle (0: none); blur is sigma in pixels (0: none)."""
NOTHING = (0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0)
"""Parameters that leave an image as it is."""
CROP, JITTER, BLUR = slice(0, 4), slice(4, 8), 8
ATTEMPTS = 10
"""Boxes drawn before the largest one in the middle is taken, as in torchvision."""
WORK_ELEMENTS = {"cpu": 1 << 18}
"""By type of device: numbers of a picture that are worked on at a time; on a CPU they should fit into its cache."""


@dataclass(frozen=True)
class Augmentation:
    """The law of the augmentations. A probability of 0 (or ``crop=False``) switches a part off.

    Raises:
        ValueError: probabilities, ranges or sizes out of range.
    """

    crop: bool = True
    """Crop and scale to ``size``; otherwise the whole image is scaled."""
    scale: tuple[float, float] = (0.2, 1.0)
    """Share of the image's area that a crop has, uniform."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Width over height of a crop, uniform in the logarithm."""
    size: int | None = None
    """Rows and columns of a view; None: those of the image."""
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    """Always with antialiasing."""
    flip: float = 0.5
    """Probability of mirroring left and right."""
    jitter: float = 0.8
    """Probability of the colour jitter."""
    brightness: float = 0.4
    """Factors of brightness, contrast and saturation are uniform in 1 - x..1 + x, but not negative."""
    contrast: float = 0.4
    saturation: float = 0.2
    hue: float = 0.1
    """The hue is turned by -x..x of the circle, uniform; at most 1/2."""
    grey: float = 0.2
    """Probability of taking the colours away."""
    blur: tuple[float, float] = (1.0, 0.1)
    """Probability of the blur, for observed and for predicted views."""
    sigma: tuple[float, float] = (0.1, 2.0)
    """Of the blur [pixels], uniform."""
    kernel: int | None = None
    """Side of the blur's kernel, odd; None: by the size of the views (`worldjepa.views.pixels.blur_kernel`)."""
    solarize: tuple[float, float] = (0.0, 0.2)
    """Probability of solarisation, for observed and for predicted views."""

    def __post_init__(self) -> None:
        chances = (self.flip, self.jitter, self.grey, *self.blur, *self.solarize)
        if not all(0 <= x <= 1 for x in chances):
            raise ValueError(f"probabilities must lie in [0, 1], got {chances} for flip, jitter, grey, blur, solarize")
        for name, (low, high) in (("scale", self.scale), ("ratio", self.ratio), ("sigma", self.sigma)):
            if not 0 < low <= high:
                raise ValueError(f"{name} must be a range 0 < low <= high, got {(low, high)}")
        if self.scale[1] > 1:
            raise ValueError(f"a crop has at most the whole area of an image, got scale {self.scale}")
        strengths = (self.brightness, self.contrast, self.saturation, self.hue)
        if min(strengths) < 0 or self.hue > 0.5:
            raise ValueError(f"strengths of the jitter must not be negative, the hue's at most 1/2, got {strengths}")


@dataclass(frozen=True)
class AugmentedViews:
    """Context: M augmented views of an image. Target: one more. Query: how their parameters differ.

    Nothing is random but by the generator, and no image is treated alone: every operation takes all views at once.
    """

    key: str
    """The observation that is an image."""
    observed: int = 3
    """M >= 1."""
    augmentation: Augmentation = Augmentation()
    normalize: bool = False
    """Divide each parameter by its L2 norm over the views of a sequence before differences are taken, as the released
    code does; actions then depend on how many views are made."""

    action_dim = len(PARAMETERS)

    def __post_init__(self) -> None:
        if self.observed < 1:
            raise ValueError(f"expected at least one observed view, got {self.observed}")

    def __call__(self, batch: TensorDict, generator: Generator | None = None) -> Views:
        """Needs ``obs[key]`` uint8 [B, >= 1, h, w, 3]; the first frame is augmented.

        Raises:
            ValueError: there are no such images.
        """
        made = self.views_of(batch, self.observed + 1, generator)
        obs = made["obs"]
        target = obs[:, self.observed :]
        target["valid"] = batch["valid"][:, :1]
        action = self.relative(made["parameters"])
        return Views(obs[:, : self.observed], target, TensorDict({"action": action}, batch_size=batch.batch_size))

    def views_of(
        self, batch: TensorDict, num_views: int, generator: Generator | None = None, *, predicted: int = 1
    ) -> TensorDict:
        """V views of each image, the last ``predicted`` of them under the law of predicted ones.

        Returns:
            TensorDict [B]: "obs" [B, V] with the images uint8 [B, V, size, size, 3], "parameters" [B, V, 9].
        """
        image = batch["obs"].get(nested(self.key), None)
        if image is None or image.dtype != torch.uint8 or image.ndim != 5 or image.shape[-1] != 3:
            got = "nothing" if image is None else f"{image.dtype} {list(image.shape)}"
            raise ValueError(f"expected {self.key!r} to be uint8 images [B, T, rows, columns, 3], got {got}")
        image = image[:, 0]
        with torch.no_grad():
            drawn = draw(self.augmentation, image, num_views, min(predicted, num_views), generator)
            views = apply(self.augmentation, image, drawn)
        obs = TensorDict({nested(self.key): views}, batch_size=[len(image), num_views])
        return TensorDict({"obs": obs, "parameters": drawn.parameters}, batch_size=[len(image)])

    def relative(self, parameters: Float[Tensor, "b v p"]) -> Float[Tensor, "b m p"]:
        """The actions that join views in their order: differences of their parameters."""
        if self.normalize:
            parameters = torch.nn.functional.normalize(parameters, dim=1)
        return parameters[:, 1:] - parameters[:, :-1]


@dataclass(frozen=True)
class Drawn:
    """What is done to V views of each of B images."""

    box: Int[Tensor, "b v 4"]
    """First row, first column, rows, columns [pixels]."""
    parameters: Float[Tensor, "b v 9"]
    """See `PARAMETERS`."""
    flip: Bool[Tensor, "b v"]
    grey: Bool[Tensor, "b v"]
    solarize: Bool[Tensor, "b v"]
    num_predicted: int
    """The last so many views are predicted ones."""

    @property
    def observed(self) -> slice:
        """Which views are observed ones."""
        return slice(0, self.flip.shape[1] - self.num_predicted)

    @property
    def predicted(self) -> slice:
        """Which views are predicted ones."""
        return slice(self.flip.shape[1] - self.num_predicted, self.flip.shape[1])


def draw(
    law: Augmentation, image: UInt8[Tensor, "b h w 3"], num_views: int, predicted: int, generator: Generator | None
) -> Drawn:
    """Draws the augmentations of ``num_views`` views of each image, the last ``predicted`` as predicted ones."""
    num, device = len(image), image.device
    shape = (num, num_views)
    extent = (image.shape[1], image.shape[2])
    uniform = torch.rand((*shape, 10), generator=generator, device=device)
    box = draw_boxes(law, extent, shape, generator, device)
    parameters = torch.tensor(NOTHING, device=device).repeat(*shape, 1)
    parameters[..., CROP] = box / torch.tensor([*extent, *extent], device=device)
    strength = (law.brightness, law.contrast, law.saturation, law.hue)
    low = torch.tensor([max(0.0, 1 - x) for x in strength[:3]] + [-law.hue], device=device)
    high = torch.tensor([1 + x for x in strength[:3]] + [law.hue], device=device)
    jittered = uniform[..., 4:5] < law.jitter
    parameters[..., JITTER] = torch.where(jittered, low + (high - low) * uniform[..., :4], parameters[..., JITTER])
    last = torch.arange(num_views, device=device) >= num_views - predicted
    blurred = uniform[..., 5] < torch.where(last, law.blur[1], law.blur[0])
    sigma = law.sigma[0] + (law.sigma[1] - law.sigma[0]) * uniform[..., 6]
    parameters[..., BLUR] = torch.where(blurred, sigma, 0.0)
    solarized = uniform[..., 9] < torch.where(last, law.solarize[1], law.solarize[0])
    return Drawn(box, parameters, uniform[..., 7] < law.flip, uniform[..., 8] < law.grey, solarized, predicted)


def draw_boxes(
    law: Augmentation,
    extent: tuple[int, int],
    shape: tuple[int, int],
    generator: Generator | None,
    device: torch.device,
) -> Int[Tensor, "b v 4"]:
    """Boxes of random resized crops: of several attempts the first that fits into the image."""
    rows, columns = extent
    if not law.crop:
        return torch.tensor([0, 0, rows, columns], device=device).expand(*shape, 4)
    number = torch.rand((4, *shape, ATTEMPTS), generator=generator, device=device)
    area = rows * columns * (law.scale[0] + (law.scale[1] - law.scale[0]) * number[0])
    low, high = (math.log(x) for x in law.ratio)
    ratio = torch.exp(low + (high - low) * number[1])
    width, height = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
    fits = (width >= 1) & (width <= columns) & (height >= 1) & (height <= rows)
    top = (number[2] * (rows - height + 1)).floor()
    left = (number[3] * (columns - width + 1)).floor()
    first = fits.int().argmax(-1, keepdim=True)
    box = torch.stack([x.gather(-1, first)[..., 0] for x in (top, left, height, width)], dim=-1)
    whole = torch.tensor(_largest_box(extent, law.ratio), device=device, dtype=box.dtype)
    return torch.where(fits.any(-1)[..., None], box, whole).long()


def apply(law: Augmentation, image: UInt8[Tensor, "b h w 3"], drawn: Drawn) -> UInt8[Tensor, "b v r c 3"]:
    """Makes the views that were drawn."""
    size = (image.shape[1], image.shape[2]) if law.size is None else (law.size, law.size)
    each = drawn.flip.shape[1] * 3 * max(size[0] * size[1], image.shape[1] * image.shape[2])
    step = max(1, WORK_ELEMENTS.get(image.device.type, 1 << 27) // each)
    made = torch.empty((*drawn.flip.shape, *size, 3), dtype=torch.uint8, device=image.device)
    for first in range(0, len(image), step):
        part = slice(first, first + step)
        views = _apply_part(law, image[part], drawn, part, size)
        views = views.mul_(255).round_().to(torch.uint8).permute(0, 2, 3, 1)
        made[part] = views.unflatten(0, (-1, made.shape[1]))
    return made


def _apply_part(
    law: Augmentation, image: UInt8[Tensor, "b h w 3"], drawn: Drawn, part: slice, size: tuple[int, int]
) -> Float[Tensor, "n 3 r c"]:
    pixels = image.permute(0, 3, 1, 2).float().div_(255)
    x = crop_resize(pixels, drawn.box[part], drawn.flip[part], size, law.interpolation)
    brightness, contrast, saturation, hue = drawn.parameters[part, :, JITTER].flatten(0, 1).unbind(-1)
    if law.jitter > 0:
        x = adjust_saturation(adjust_contrast(adjust_brightness(x, brightness), contrast), saturation)
        x = adjust_hue(x, hue) if law.hue > 0 else x
    if law.grey > 0:
        x = grey(x, drawn.grey[part].flatten())
    if max(law.blur) > 0:
        x = gaussian_blur(x, drawn.parameters[part, :, BLUR].flatten(), law.kernel or blur_kernel(min(size)))
    for chance, views in ((law.solarize[0], drawn.observed), (law.solarize[1], drawn.predicted)):
        if chance > 0:
            chosen = x.unflatten(0, (-1, drawn.flip.shape[1]))[:, views]
            chosen.copy_(solarize(chosen.flatten(0, 1), drawn.solarize[part, views].flatten()).view_as(chosen))
    return x.clamp_(0, 1)


def _largest_box(extent: tuple[int, int], ratio: tuple[float, float]) -> list[int]:
    """The largest box of an allowed ratio, in the middle of the image."""
    rows, columns = extent
    height, width = rows, columns
    if columns / rows < ratio[0]:
        height = round(columns / ratio[0])
    elif columns / rows > ratio[1]:
        width = round(rows * ratio[1])
    return [(rows - height) // 2, (columns - width) // 2, height, width]
