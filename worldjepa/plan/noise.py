"""Noise that is correlated over the steps of a sequence."""

import math

import torch
from torch import Generator, Tensor

from worldjepa.plan.search import Draw, white


def coloured(beta: float, horizon: int, like: Tensor, block: int = 1) -> Draw:
    """Noise of variance 1 whose power falls as 1 / frequency ** beta over ``horizon`` steps.

    beta 0 is white noise, 1 pink, 2 red; the larger, the smoother a sequence (iCEM, arXiv 2008.06389, section 3.1). The
    mean over the sequence counts as the lowest frequency, as in the colorednoise package which that paper used.

    Args:
        like: a tensor of the dtype and device of the noise.
        block: control steps that an action of the sequence is made of, side by side in the order of time: the noise is
            smooth over all ``horizon * block`` of them.
    """
    length = horizon * block
    if beta == 0 or length == 1:
        return white
    mix = _mixing(beta, length).to(dtype=like.dtype, device=like.device)

    def draw(noise: Tensor, generator: Generator) -> None:
        num_samples, width = noise.shape[0], noise.shape[2] // block
        plain = noise.new_empty(length, num_samples * width).normal_(generator=generator)
        noise.copy_((mix @ plain).view(length, num_samples, width).transpose(0, 1).reshape(noise.shape))

    return draw


def _mixing(beta: float, horizon: int) -> Tensor:
    """The matrix [H, H] that makes coloured noise of H independent normal numbers: a real Fourier basis, weighted."""
    time = torch.arange(horizon, dtype=torch.float64)
    columns = []
    for k in range(horizon // 2 + 1):
        weight = (max(k, 1) / horizon) ** (-beta / 2)
        columns.append(weight * torch.cos(2 * math.pi * k * time / horizon))
        if 0 < 2 * k < horizon:
            columns.append(weight * torch.sin(2 * math.pi * k * time / horizon))
    mix = torch.stack(columns, 1)
    # A wave of frequency 0 or 1/2 has one phase, of mean square 1, the others have two, which make 1 together.
    return mix / mix.square().sum(1, keepdim=True).sqrt()
