"""The network of small heads."""

from itertools import pairwise

from torch import nn


def perceptron(in_dim: int, hidden: tuple[int, ...], out_dim: int) -> nn.Sequential:
    """Linear layers with ReLU between them.

    Raises:
        ValueError: a width below 1.
    """
    widths = [in_dim, *hidden]
    if min(*widths, out_dim) < 1:
        raise ValueError(f"expected widths of at least 1, got {in_dim}, hidden {hidden}, {out_dim}")
    layers = [m for i, o in pairwise(widths) for m in (nn.Linear(i, o), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(widths[-1], out_dim))
