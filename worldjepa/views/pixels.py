"""Operations on batches of pictures, each picture with parameters of its own: crops, colours, blur.

Pictures are float [N, 3, rows, columns] in [0, 1]. All are computed in float; nothing is rounded to 8 bits between two
operations, as libraries of pictures do.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Interpolation = Literal["bilinear", "bicubic"]
GREY = (0.2989, 0.587, 0.114)
"""Shares of red, green and blue in the luminance (ITU-R BT.601)."""
SOLARIZE = 128.0 / 255.0


def crop_resize(
    image: Float[Tensor, "b 3 h w"],
    box: Int[Tensor, "b v 4"],
    flip: Bool[Tensor, "b v"],
    size: tuple[int, int],
    interpolation: Interpolation = "bicubic",
) -> Float[Tensor, "n 3 r c"]:
    """V crops of each picture, scaled to one size with antialiasing and mirrored where asked: N = B * V pictures.

    Equal to ``torch.nn.functional.interpolate(crop, size, mode=interpolation, antialias=True)``, clamped to [0, 1].
    Scaling is linear and separable, so each crop is two products with matrices that know its box; a mirrored crop has
    the rows of one of them turned around.

    Args:
        image: the pictures.
        box: first row, first column, number of rows and of columns [pixels] of each crop, inside of the picture.
        flip: whether to mirror left and right.
        size: rows and columns of the result.
        interpolation: the kernel; "bicubic" has a = -1/2.
    """
    num, views = flip.shape
    rows = resample_weights(box[..., 0], box[..., 2], image.shape[2], size[0], interpolation).to(image.dtype)
    columns = resample_weights(box[..., 1], box[..., 3], image.shape[3], size[1], interpolation).to(image.dtype)
    columns = torch.where(flip[..., None, None], columns.flip(2), columns)
    scaled = image.flatten(1, 2) @ columns.flatten(1, 2).mT  # [B, 3 h, V c]
    scaled = scaled.reshape(num, 3, image.shape[2], views, size[1]).permute(0, 3, 2, 1, 4)
    scaled = rows @ scaled.reshape(num, views, image.shape[2], 3 * size[1])  # [B, V, r, 3 c]
    scaled = scaled.reshape(num * views, size[0], 3, size[1]).transpose(1, 2)
    return scaled.clamp(0, 1)


def resample_weights(
    start: Int[Tensor, "*n"], length: Int[Tensor, "*n"], num_in: int, num_out: int, interpolation: Interpolation
) -> Float[Tensor, "*n o i"]:
    """How much each of ``num_in`` pixels adds to each of ``num_out`` that cover ``length`` pixels from ``start``."""
    scale = (length / num_out)[..., None]
    stretch = scale.clamp(min=1.0)[..., None]
    centre = scale * (torch.arange(num_out, device=start.device) + 0.5)
    place = torch.arange(num_in, device=start.device) - start[..., None]
    weight = _kernel((place[..., None, :] + 0.5 - centre[..., None]) / stretch, interpolation)
    weight = weight * ((place >= 0) & (place < length[..., None]))[..., None, :]
    return weight / weight.sum(-1, keepdim=True)


def adjust_brightness(x: Float[Tensor, "n 3 r c"], factor: Float[Tensor, "n"]) -> Float[Tensor, "n 3 r c"]:
    """Times ``factor``: 1 leaves a picture, 0 makes it black."""
    return (x * factor[:, None, None, None]).clamp(0, 1)


def adjust_contrast(x: Float[Tensor, "n 3 r c"], factor: Float[Tensor, "n"]) -> Float[Tensor, "n 3 r c"]:
    """Away from (or towards) the mean luminance: 1 leaves a picture, 0 makes it of one grey."""
    mean = luminance(x).mean(dim=(1, 2, 3), keepdim=True)
    return torch.lerp(mean, x, factor[:, None, None, None]).clamp(0, 1)


def adjust_saturation(x: Float[Tensor, "n 3 r c"], factor: Float[Tensor, "n"]) -> Float[Tensor, "n 3 r c"]:
    """Away from (or towards) the own luminance of each pixel: 1 leaves a picture, 0 takes its colours."""
    return torch.lerp(luminance(x), x, factor[:, None, None, None]).clamp(0, 1)


def adjust_hue(x: Float[Tensor, "n 3 r c"], shift: Float[Tensor, "n"]) -> Float[Tensor, "n 3 r c"]:
    """Turns the hue (of HSV) by ``shift`` of the whole circle, in [-1/2, 1/2].

    With the hue h in sixths of the circle, the value v and the chroma c, the channel that peaks at the hue p is
    v - c clamp(min(k, 4 - k), 0, 1), k = (5 - p + h) mod 6.
    """
    red, green, blue = x.unbind(1)
    value = x.amax(1)
    chroma = value - x.amin(1)
    per_chroma = 1 / chroma.clamp(min=1e-8)
    hue = torch.lerp((red - green) * per_chroma + 4, (blue - red) * per_chroma + 2, _number(value == green, x))
    hue = torch.lerp(hue, (green - blue) * per_chroma, _number(value == red, x))
    peaks = torch.tensor([5.0, 3.0, 1.0], device=x.device, dtype=x.dtype)[:, None, None]
    k = ((hue + 6 * shift[:, None, None])[:, None] + peaks).remainder(6)
    return value[:, None] - chroma[:, None] * torch.minimum(k, 4 - k).clamp(0, 1)


def luminance(x: Float[Tensor, "n 3 r c"]) -> Float[Tensor, "n 1 r c"]:
    """The grey that a colour looks like."""
    red, green, blue = x.unbind(1)
    return (GREY[0] * red + GREY[1] * green + GREY[2] * blue)[:, None]


def grey(x: Float[Tensor, "n 3 r c"], chosen: Bool[Tensor, "n"]) -> Float[Tensor, "n 3 r c"]:
    """Without colours where ``chosen``."""
    return torch.lerp(x, luminance(x), _number(chosen, x)[:, None, None, None])


def solarize(x: Float[Tensor, "n 3 r c"], chosen: Bool[Tensor, "n"]) -> Float[Tensor, "n 3 r c"]:
    """Where ``chosen``, values from 128 of 255 on are inverted."""
    return torch.lerp(x, 1 - x, _number(chosen[:, None, None, None] & (x >= SOLARIZE), x))


def gaussian_blur(x: Float[Tensor, "n 3 r c"], sigma: Float[Tensor, "n"], kernel: int) -> Float[Tensor, "n 3 r c"]:
    """Convolution with a normalised Gaussian of ``sigma`` pixels, cut to ``kernel`` x ``kernel``; edges are mirrored.

    Separable, so a product with two banded matrices; ``sigma`` 0 leaves a picture as it is.

    Raises:
        ValueError: the kernel is even, or reaches over the whole picture.
    """
    if kernel % 2 == 0 or kernel // 2 >= min(x.shape[2:]):
        raise ValueError(
            f"expected a kernel of an odd size below {2 * min(x.shape[2:])} for pictures of {tuple(x.shape[2:])}, got "
            f"{kernel}"
        )
    rows, columns = (_blur_matrix(sigma, size, kernel)[:, None] for size in x.shape[2:])
    return rows @ (x @ columns.mT)


def _number(chosen: Tensor, like: Tensor) -> Tensor:
    """0 or 1: as a weight of ``lerp``, which is exact at both and, unlike ``where``, vectorised on a CPU."""
    return chosen.to(like.dtype)


def blur_kernel(size: int) -> int:
    """Side of the published kernel for pictures of ``size`` pixels: 2 round((size - 10) / 20) + 1."""
    return 2 * round((size - 10) / 20) + 1


def _blur_matrix(sigma: Float[Tensor, "n"], size: int, kernel: int) -> Float[Tensor, "n s s"]:
    offset = torch.arange(kernel, device=sigma.device) - kernel // 2
    weight = torch.exp(-0.5 * (offset / sigma.clamp(min=1e-3)[:, None]) ** 2)
    weight = weight / weight.sum(1, keepdim=True)
    place = (torch.arange(size, device=sigma.device) + offset[:, None]).abs()  # [kernel, size], mirrored at 0
    place = torch.where(place >= size, 2 * (size - 1) - place, place)
    spread = torch.nn.functional.one_hot(place, size).to(sigma.dtype)  # [kernel, size, size]
    return (weight @ spread.flatten(1)).unflatten(1, (size, size))


def _kernel(distance: Tensor, interpolation: Interpolation) -> Tensor:
    """Interpolation kernel at a distance in pixels of the coarser grid; Keys (1981) with a = -1/2 for "bicubic"."""
    d = distance.abs()
    if interpolation == "bilinear":
        return (1 - d).clamp(min=0)
    near = (1.5 * d - 2.5) * d * d + 1
    far = ((-0.5 * d + 2.5) * d - 4) * d + 2
    return torch.where(d < 1, near, torch.where(d < 2, far, torch.zeros_like(d)))
