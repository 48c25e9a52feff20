"""Imagined futures as pictures: a grid of real above imagined frames with the error below, and a film of both.

Pictures are made by a decoder that was trained for looking only (`worldjepa.evaluate.decode`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy import ndarray
from torch import Tensor

from worldjepa.data.video import write_video
from worldjepa.evaluate.decode import ImageDecoder, shrink
from worldjepa.evaluate.latents import check_rollout, disagreement
from worldjepa.evaluate.probe import ProbeWindows
from worldjepa.evaluate.report_svg import FLOOR, INK, MUTED, SERIES, style
from worldjepa.learner import Learner
from worldjepa.types import nested

ZOOM = 4
"""Pixels of a film for each pixel of a picture."""
GAP = 8
"""Pixels between the two halves of a film."""


@dataclass(frozen=True, eq=False)
class Film:
    """One imagined future of one camera."""

    title: str
    imagined: UInt8[ndarray, "h1 s s 3"]
    """Decoded rollout; step 0 is the decoded present."""
    real: UInt8[ndarray, "k s s 3"]
    """What was seen: all steps, or only the present where nobody knows what would have happened."""
    error: Float[ndarray, "h"] | None
    """Of the latents at steps 1..H, in standard deviations of the latents."""
    copy: Float[ndarray, "h"] | None
    """The error of copying the present."""
    disagreement: Float[ndarray, "h"] | None
    """Of the model's ensemble, in the same units."""
    stride: int = 1
    """Control steps from one picture to the next."""


@torch.no_grad()
def make_films(
    learner: Learner,
    decoder: ImageDecoder,
    windows: ProbeWindows,
    names: Sequence[str],
    spread: float,
    *,
    action: Float[Tensor, "t a"] | None = None,
) -> list[Film]:
    """Roll out every window given and decode what comes of it.

    Args:
        learner: in eval mode. decoder: of its latents.
        windows: few, with images of all steps.
        names: what to call each.
        spread: standard deviation of the model's latents, see `latent_spread`.
        action: raw blocks [H, k * A] that take the place of the recorded ones after the present.

    Returns:
        For each window, a film for each image.

    Raises:
        ValueError: more steps than the model can imagine.
    """
    history, told = windows.obs.batch_size[1], windows.action
    if action is not None:
        told = torch.cat([told[:, : history - 1], action.expand(len(told), -1, -1).to(told)], 1)
    check_rollout(learner, told.shape[1] - history + 1, history)
    z = learner.encode(windows.obs)
    told = learner.normalizer.normalize_action(told, windows.obs)
    imagined = torch.cat([z[:, -1:], learner.model.rollout(z, told)], 1)
    true = z[:, -1:]
    if action is None:
        after = learner.encode(windows.future.select(*windows.obs.keys(True, True))[:, 1:])
        true = torch.cat([true, after], 1)
    doubt = disagreement(learner, z, told)
    doubts = None if doubt is None else (doubt / spread).double().numpy()
    pictures = decoder.pictures(imagined)
    error = _errors(imagined, true, spread) if action is None else None
    copy = _errors(true[:, :1].expand_as(true), true, spread) if action is None else None
    films = []
    for i, name in enumerate(names):
        for key, shown in pictures.items():
            title = name if len(pictures) == 1 else f"{name}, {key}"
            real = shrink(windows.future[nested(key)][i, : true.shape[1]], decoder.side)
            parts = [None if part is None else part[i] for part in (error, copy, doubts)]
            films.append(Film(title, shown[i], real, *parts, stride=windows.stride))
    return films


@torch.no_grad()
def latent_spread(learner: Learner, windows: ProbeWindows, most: int = 512) -> float:
    """Standard deviation of the latents of the present: root of the variance's mean over features."""
    z = learner.encode(windows.obs[:most, -1:]).flatten(1).double()
    return max(float(z.var(0, correction=0).mean().sqrt()), 1e-12)


def plot_film(film: Film) -> Figure:
    """A grid: real above imagined, every step a column, the error and the ensemble's disagreement below."""
    count = len(film.imagined)
    with style():
        rows = 2 if film.error is None and film.disagreement is None else 3
        figure = Figure(figsize=(max(1.05 * count, 4.2), 2.6 + 1.5 * (rows - 2)), layout="constrained")
        figure.set_facecolor("white")
        grid = figure.add_gridspec(rows, count, height_ratios=[1, 1, 1.25][:rows])
        for row, (label, pictures) in enumerate((("real", film.real), ("imagined", film.imagined))):
            for step in range(count):
                axes = figure.add_subplot(grid[row, step])
                _picture(axes, pictures[step] if step < len(pictures) else None)
                if step == 0:
                    axes.set_ylabel(label)
                if row == 0:
                    axes.set_title("now" if step == 0 else f"+{step * film.stride}")
        if rows == 3:
            _draw_errors(figure.add_subplot(grid[2, :]), film)
        figure.suptitle(film.title, x=0.01, ha="left", fontsize=11)
    return figure


def save_film(film: Film, path: Path, *, fps: float | None = None) -> list[Path]:
    """Write ``path``.png and ``path``.mp4, real beside imagined.

    Args:
        film: what was imagined.
        path: without suffix; its folder is made.
        fps: control steps a second, where known; the film is as fast, but has at least 2 pictures a second.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = path.with_name(path.name + ".png")
    plot_film(film).savefig(picture, dpi=130)
    rate = max(2.0, (fps or 10.0) / film.stride)
    return [picture, write_video(path.with_name(path.name + ".mp4"), film_frames(film), rate)]


def film_frames(film: Film) -> UInt8[ndarray, "h1 r c 3"]:
    """Frames of the film, real left of imagined; where nothing real is known, its last picture stays, faded."""
    known = len(film.real)
    real = film.real[np.minimum(np.arange(len(film.imagined)), known - 1)].astype(np.float64)
    real[known:] = 255 - (255 - real[known:]) * 0.35
    gap = np.full((len(real), real.shape[1], GAP // ZOOM, 3), 255.0)
    both = np.concatenate([real, gap, film.imagined], axis=2).round().astype(np.uint8)
    return both.repeat(ZOOM, axis=1).repeat(ZOOM, axis=2)


def _errors(latents: Tensor, true: Tensor, spread: float) -> Float[ndarray, "n h"]:
    return ((latents - true)[:, 1:].double().square().mean((2, 3)).sqrt() / spread).numpy()


def _picture(axes: Axes, picture: ndarray | None) -> None:
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(picture is not None)
        spine.set_color(MUTED)
    if picture is None:
        axes.set_facecolor("white")
        axes.text(0.5, 0.5, "?", ha="center", va="center", color=MUTED, transform=axes.transAxes)
        axes.set_aspect("equal")
    else:
        axes.imshow(picture, interpolation="nearest")


def _draw_errors(axes: Axes, film: Film) -> None:
    steps = np.arange(1, len(film.imagined))
    if film.error is not None and film.copy is not None:
        axes.plot(steps, film.copy, color=FLOOR, marker="s", markersize=3, linestyle="--", label="copy of the present")
        axes.plot(steps, film.error, color=SERIES[0], marker="o", markersize=4, label="imagined")
    if film.disagreement is not None:
        axes.plot(steps, film.disagreement, color=INK, linestyle=":", label="disagreement of the ensemble")
    axes.set_xlim(-0.5, len(film.imagined) - 0.5)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("blocks ahead" if film.stride > 1 else "steps ahead")
    axes.set_ylabel("latent error")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="upper left", fontsize=8)
