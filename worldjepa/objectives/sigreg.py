"""SIGReg: latents that look like an isotropic Gaussian along random directions.

LeJEPA (arXiv 2511.08544); LeWorldModel (arXiv 2603.19312) applies it per time step. The statistic is Epps and Pulley's:
the squared distance of the empirical characteristic function of the projected latents to that of N(0, 1),

    T = n * integral over |t| <= t_max of |mean_r exp(i t p_r) - exp(-t^2 / 2)|^2 exp(-t^2 / 2) dt,

by the trapezoid rule on evenly spaced knots in [0, t_max], doubled for the negative half.

Letters: G groups, R rows of a group, K slices (directions), J knots.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.objectives.combine import prefixed
from worldjepa.objectives.reduce import global_sum, sum_over_processes, widen
from worldjepa.objectives.rows import Source, check_choice, grouped, latents_of
from worldjepa.types import Prediction

GOLDEN, MIX_1, MIX_2 = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15  # of splitmix64, as signed


def _mix(x: Int[Tensor, "*n"]) -> Int[Tensor, "*n"]:
    """splitmix64's scrambling of 64 bits; ``>>`` of torch keeps the sign, so the copies of it are masked away."""
    x = (x ^ ((x >> 30) & (1 << 34) - 1)) * MIX_1
    x = (x ^ ((x >> 27) & (1 << 37) - 1)) * MIX_2
    return x ^ ((x >> 31) & (1 << 33) - 1)


def _signed(x: int) -> int:
    """The lowest 64 bits as torch's integers hold them."""
    return (x + (1 << 63)) % (1 << 64) - (1 << 63)


def random_directions(dim: int, num: int, step: Int[Tensor, ""], seed: int = 0) -> Float[Tensor, "d k"]:
    """Unit vectors, uniform on the sphere: a pure function of its arguments, the same on every process and device.

    Args:
        dim, num: D and K.
        step: counter that tells one draw from the next; a tensor, so that no device must be waited for.
        seed: tells two users with the same counter apart.
    """
    index = torch.arange(dim * num, device=step.device)
    bits = _mix(_mix(_mix(step) + _signed(seed * GOLDEN)) + index * GOLDEN)
    radius = (((bits >> 40) & (1 << 24) - 1).float() + 0.5) * 2.0**-24
    angle = (bits & (1 << 24) - 1).float() * (2.0 * math.pi * 2.0**-24)
    normal = ((-2.0 * radius.log()).sqrt() * angle.cos()).view(dim, num)  # Box and Muller
    return normal / normal.norm(dim=0)


class _CharacteristicSums(torch.autograd.Function):
    """Sums over rows of exp(i j step p) for j = 1 .. J - 1, with memory for one knot instead of J.

    Knots are evenly spaced, so each power is the one before it times exp(i step p): one sine and cosine for all.
    """

    @staticmethod
    def forward(ctx, projected: Tensor, keep: Tensor, step: float, num_knots: int) -> Tensor:
        ctx.save_for_backward(projected, keep)
        ctx.step, ctx.num_knots = step, num_knots
        turn = torch.polar(torch.ones_like(projected), projected * step)
        power, rows = turn.clone(), keep[:, None].to(turn.dtype)
        sums = []
        for knot in range(1, num_knots):
            sums.append(rows @ power)
            if knot < num_knots - 1:
                power *= turn
        return torch.view_as_real(torch.cat(sums, dim=1))

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        projected, keep = ctx.saved_tensors
        turn = torch.polar(torch.ones_like(projected), projected * ctx.step)
        knots = torch.arange(1, ctx.num_knots, device=projected.device, dtype=projected.dtype)[:, None]
        # d cos(u) = -sin(u) du and d sin(u) = cos(u) du: together the real part of (sin' + i cos') exp(i u).
        slope = torch.complex(grad_outputs[0][..., 1], grad_outputs[0][..., 0]) * (knots * ctx.step)
        total = slope[:, -1:] * turn
        for knot in range(ctx.num_knots - 2, 0, -1):  # Horner's rule
            total.add_(slope[:, knot - 1 : knot]).mul_(turn)
        return total.real * keep[..., None], None, None, None


def epps_pulley(
    projected: Float[Tensor, "g r k"],
    keep: Bool[Tensor, "g r"] | None = None,
    *,
    num_knots: int = 17,
    t_max: float = 3.0,
) -> Float[Tensor, "g k"]:
    """Epps-Pulley statistic of every column against N(0, 1), times the number of rows, over all processes.

    Args:
        projected: G groups of R samples in K columns; float32 or wider.
        keep: False excludes a row; the row must be finite.
        num_knots: J >= 2.
        t_max: end of the integral, > 0.

    Returns:
        The statistics; 0 for a group without rows.
    """
    keep = torch.ones_like(projected[..., 0], dtype=torch.bool) if keep is None else keep
    like = {"device": projected.device, "dtype": projected.dtype}
    step = t_max / (num_knots - 1)
    sums = _CharacteristicSums.apply(projected, keep.to(projected.dtype), step, num_knots)
    count = global_sum(keep.sum(1).to(projected.dtype))[:, None, None]
    mean = sum_over_processes(sums) / count[..., None].clamp_min(1.0)  # pyright: ignore[reportArgumentType]
    knots = torch.linspace(0.0, t_max, num_knots, **like)[1:, None]  # at 0 both functions are 1
    normal = torch.exp(-0.5 * knots.square())
    weight = 2.0 * step * normal
    weight[-1] *= 0.5
    distance = (mean[..., 0] - normal).square() + mean[..., 1].square()
    return (distance * weight * count).sum(1)


class SIGReg(nn.Module):
    """Sketched isotropic Gaussian regularisation: the mean Epps-Pulley statistic over fresh random directions.

    The directions are a function of ``seed`` and of the buffer ``step``, which counts the forward passes in training
    mode: a resumed run draws what an uninterrupted one draws, and all processes draw the same. In eval mode the counter
    stands still. Padding is excluded. The value grows with the number of rows, as published.

    Args:
        of: which latents: "context", "predicted" or "target".
        num_slices: K >= 1 directions.
        num_knots: J >= 2 of the trapezoid rule.
        t_max: end of the integral, > 0.
        per_step: a statistic for each time step over the batch, averaged over steps (LeWorldModel), else one over all
            rows (LeJEPA). Tokens are rows.
        seed: tells two such terms apart, so that they draw other directions.
        name: prefix of the scalar's name.
    """

    step: Tensor

    def __init__(
        self,
        of: Source = "context",
        *,
        num_slices: int = 1024,
        num_knots: int = 17,
        t_max: float = 3.0,
        per_step: bool = True,
        seed: int = 0,
        name: str = "",
    ):
        super().__init__()
        check_choice("of", of, Source)
        if num_slices < 1 or num_knots < 2 or t_max <= 0:
            raise ValueError(
                f"SIGReg needs at least 1 slice, 2 knots and t_max > 0, got {num_slices}, {num_knots} and {t_max}"
            )
        self.of: Source = of
        self.num_slices = num_slices
        self.num_knots = num_knots
        self.t_max = t_max
        self.per_step = per_step
        self.seed = seed
        self.name = name
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def forward(self, prediction: Prediction, batch: TensorDict) -> dict[str, Tensor]:
        """Returns {"sigreg": scalar}, the same on all processes."""
        z, keep = latents_of(prediction, batch, self.of)
        groups = grouped(z, keep, "step" if self.per_step else "all")
        rows = widen(groups.rows)
        with torch.autocast(rows.device.type, enabled=False):  # it would project in bfloat16
            directions = random_directions(rows.shape[-1], self.num_slices, self.step.to(rows.device), self.seed)
            projected = rows @ directions.to(rows.dtype)
            statistic = epps_pulley(projected, groups.keep, num_knots=self.num_knots, t_max=self.t_max).mean(1)
        if self.training:
            self.step += 1
        used = global_sum(groups.keep.sum(1)) > 0
        return prefixed(self.name, {"sigreg": statistic.sum() / used.sum().clamp_min(1)})
