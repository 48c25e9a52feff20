"""Rotations as unit quaternions (x, y, z, w): products, inverses and what leads from one orientation to another.

q and -q are the same rotation. The canonical one of the two has w >= 0, an angle of at most pi.
"""

import torch
from jaxtyping import Float
from torch import Tensor

TOLERANCE = 1e-3
"""By how much a norm may differ from 1."""


def check_unit(q: Float[Tensor, "*b 4"], name: str = "rotation") -> None:
    """Raises ValueError where a quaternion's norm is not 1, or not a number."""
    norm = q.norm(dim=-1)
    wrong = ~((norm - 1.0).abs() <= TOLERANCE)
    if wrong.any():
        worst = float(norm[wrong].flatten()[0])
        raise ValueError(
            f"{name!r} must hold unit quaternions (x, y, z, w); {int(wrong.sum())} of {wrong.numel()} are not, the "
            f"first has norm {worst:.4g}: normalise the recording, and leave poses as they are "
            '(normalization="identity")'
        )


def known_unit(q: Float[Tensor, "*b 4"], name: str = "rotation") -> Float[Tensor, "*b 4"]:
    """``q``, checked by `check_unit`. On an accelerator, where looking would mean to wait for it, what is no unit
    quaternion becomes NaN instead, at which a training stops and names the sample.
    """
    if q.device.type == "cpu":
        check_unit(q, name)
        return q
    return torch.where((q.norm(dim=-1, keepdim=True) - 1.0).abs() <= TOLERANCE, q, torch.nan)


def compose(a: Float[Tensor, "*b 4"], b: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b 4"]:
    """The rotation ``a`` after ``b``: as matrices, A B (Hamilton product)."""
    va, wa, vb, wb = a[..., :3], a[..., 3:], b[..., :3], b[..., 3:]
    v = wa * vb + wb * va + torch.linalg.cross(va, vb)
    return torch.cat([v, wa * wb - (va * vb).sum(-1, keepdim=True)], dim=-1)


def invert(q: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b 4"]:
    """The inverse rotation of a unit quaternion."""
    return torch.cat([-q[..., :3], q[..., 3:]], dim=-1)


def canonical(q: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b 4"]:
    """Of q and -q the one with w >= 0."""
    return torch.where(q[..., 3:] < 0, -q, q)


def relative_rotation(q_from: Float[Tensor, "*b 4"], q_to: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b 4"]:
    """The rotation in the object's own frame that takes orientation ``q_from`` to ``q_to``: R_from^-1 R_to.

    For object-to-world orientations, as 3DIEBench has them (arXiv 2302.10283). Not canonical.
    """
    return compose(invert(q_from), q_to)
