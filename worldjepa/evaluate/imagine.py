"""Imagination: roll the latent forward from a held-out start, decode it with a probe, compare with what happened.

A model whose predictor is told the actions is rolled out under the recorded ones; one that is not predicts the future
under the demonstrated behaviour. The decoder is one linear map from latents, true and predicted ones alike, to states,
fitted on training episodes: a decoded rollout can only be as good as the latents are. Copying the present is the floor,
and a linear model of the latents, decoded in the same way, stands beside.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from sklearn.linear_model import RidgeCV
from torch import Tensor

from worldjepa.evaluate.latents import check_rollout, disagreement, rolls_out_frames, steering, window_latents
from worldjepa.evaluate.linear_model import fit_linear_model
from worldjepa.evaluate.probe import ProbeWindows
from worldjepa.learner import Learner
from worldjepa.types import nested


@dataclass(frozen=True)
class Imagination:
    """Decoded rollouts beside the truth; states standardised as in `ProbeWindows`."""

    real: Float[ndarray, "n h1 s"]
    """True states of steps 0..H."""
    imagined: Float[ndarray, "n h1 s"]
    """Decoded predictions; step 0 is the decoded present."""
    decoded: Float[ndarray, "n h1 s"]
    """Decoded target latents of the true future: how good the decoder is."""
    steered: bool
    """Whether the rollout was told the recorded actions."""
    stride: int = 1
    """Recorded steps from one of the steps above to the next."""
    linear: Float[ndarray, "n h1 s"] | None = None
    """Decoded rollouts of the linear model, through a decoder of its own."""
    latent: dict[str, list[float]] = field(default_factory=dict)
    """Errors of the latents at steps 1..H, "imagined", "copy" and "linear": root mean square over windows and features,
    in standard deviations of the true latents. 1 is as bad as always saying their mean."""
    disagreement: Float[ndarray, "n h"] | None = None
    """Of the model's ensemble at steps 1..H, in the units of the latents."""

    def rmse(self) -> dict[str, float]:
        """Errors over steps 1..H: of the rollout, of copying the present, of the decoder alone, of the linear model."""
        truth = self.real[:, 1:]
        parts = {"rmse": self.imagined[:, 1:], "copy_rmse": self.real[:, :1], "decoder_rmse": self.decoded[:, 1:]}
        parts |= {} if self.linear is None else {"linear_rmse": self.linear[:, 1:]}
        return {name: float(np.sqrt(np.mean(np.square(part - truth)))) for name, part in parts.items()}

    def per_step(self) -> dict[str, list[float]]:
        """RMSE at steps 1..H of the rollout, of copying the present, of the decoder alone and of the linear model."""
        parts = {"imagined": self.imagined, "copy": self.real[:, :1], "decoder": self.decoded}
        parts |= {} if self.linear is None else {"linear": self.linear}
        return {
            name: np.sqrt(np.mean(np.square(part - self.real), axis=(0, 2)))[1:].tolist()
            for name, part in parts.items()
        }


def imagine(learner: Learner, train: ProbeWindows, test: ProbeWindows) -> Imagination:
    """Fit decoder and linear model on ``train`` and imagine every window of ``test``.

    Args:
        learner: in eval mode.
        train, test: windows of the model's own stride (`imagined_steps`), with images where it imagines frames.

    Raises:
        ValueError: the model has no predictor, predicts images, which a state decoder cannot show, or not so far.
    """
    stride = imagined_steps(learner)
    for windows in (train, test):
        _check_stride(windows, stride if rolls_out_frames(learner) else 1)
    fitted = window_latents(learner, train)
    found = window_latents(learner, test, fitted.components)
    steered, kept = steering(learner), stride // train.stride
    states, real = train.state[:, ::kept], test.state[:, ::kept]
    told, asked = (x.action if steered else x.action[..., :0] for x in (fitted, found))
    model = fit_linear_model(fitted.true, told)
    linear = model.rollout(found.true[:, 0], asked)
    decoder = _decoder(states, fitted.true, fitted.imagined)
    linear_decoder = _decoder(states, fitted.true, model.rollout(fitted.true[:, 0], told))
    return Imagination(
        real,
        _decode(decoder, found.imagined),
        _decode(decoder, found.true),
        steered,
        stride,
        _decode(linear_decoder, linear),
        latent_errors(found.true, imagined=found.imagined, copy=found.true[:, :1], linear=linear),
        None if found.disagreement is None else found.disagreement.double().numpy(),
    )


@torch.no_grad()
def imagine_blocks(
    learner: Learner, train: ProbeWindows, starts: ProbeWindows, blocks: Float[Tensor, "h w"]
) -> tuple[Float[ndarray, "n h1 s"], Float[ndarray, "n h"] | None]:
    """Imagine from given starts under actions of one's own; what would really happen is not known.

    Args:
        learner: rolls out frames under blocks of actions.
        train: windows that the decoder is fitted on.
        starts: windows whose context is begun from.
        blocks: raw blocks of actions after the present.

    Returns:
        Decoded states of steps 0..H, standardised as in ``train``, and the ensemble's disagreement, None without one.

    Raises:
        ValueError: more steps than the model can imagine, or a model that is told no blocks of actions.
    """
    if not rolls_out_frames(learner):
        raise ValueError(f"{learner.origin.recipe} cannot be rolled out under actions of one's own: use recipe ac_jepa")
    history = starts.obs.batch_size[1]
    check_rollout(learner, len(blocks), history)
    fitted = window_latents(learner, train)
    told = torch.cat([starts.action[:, : history - 1], blocks.expand(len(starts.obs), -1, -1)], 1)
    told = learner.normalizer.normalize_action(told, starts.obs)
    z = learner.encode(starts.obs)
    latents = torch.cat([z[:, -1:], learner.model.rollout(z, told)], 1).flatten(2).double()
    latents = latents if fitted.components is None else fitted.components(latents)
    doubt = disagreement(learner, z, told)
    states = _decode(_decoder(train.state, fitted.true, fitted.imagined), latents)
    return states, None if doubt is None else doubt.double().numpy()


def imagined_steps(learner: Learner) -> int:
    """Recorded steps from one imagined step to the next.

    Raises:
        ValueError: the model imagines nothing.
    """
    predictor: Any = learner.model.predictor
    if rolls_out_frames(learner):
        return int(predictor.action_dim) // learner.origin.spec.action_dim
    return int(predictor.stride)


def latent_errors(true: Float[Tensor, "n h1 f"], **rollouts: Tensor) -> dict[str, list[float]]:
    """Errors at steps 1..H, see `Imagination.latent`."""
    spread = true[:, 1:].flatten(0, 1).var(0, correction=0).mean().sqrt().clamp_min(1e-12)
    return {
        name: ((value - true).square().mean((0, 2)).sqrt() / spread)[1:].tolist() for name, value in rollouts.items()
    }


def imagination_report(
    imagination: Imagination, windows: ProbeWindows, names: Sequence[str], *, num_starts: int = 6
) -> dict:
    """What imagination.json holds: errors over all windows, and a few trajectories in raw units."""
    chosen = np.linspace(0, len(imagination.real) - 1, min(num_starts, len(imagination.real))).astype(int)
    real, imagined = (part * windows.std + windows.mean for part in (imagination.real, imagination.imagined))
    doubt = imagination.disagreement
    starts = [
        {
            "episode": int(windows.episode[i]),
            "index": int(windows.step[i]),
            "steps": (imagination.stride * np.arange(real.shape[1])).tolist(),
            "real": real[i].tolist(),
            "imagined": imagined[i].tolist(),
            "copy": np.repeat(real[i, :1], real.shape[1], axis=0).tolist(),
            **({} if doubt is None else {"disagreement": doubt[i].tolist()}),
        }
        for i in chosen
    ]
    return {
        "starts": starts,
        "names": list(names),
        "unit": "raw units of the data",
        "error_unit": "standard deviations of the training states",
        "num_windows": len(imagination.real),
        "steered": imagination.steered,
        "stride": imagination.stride,
        "per_step": imagination.per_step(),
        "latent_per_step": imagination.latent,
        "latent_unit": "standard deviations of the true latents",
        **({} if doubt is None else {"disagreement": doubt.mean(0).tolist()}),
        **imagination.rmse(),
    }


def state_names(windows: ProbeWindows, state_keys: Sequence[str]) -> list[str]:
    """A name for each dimension of `ProbeWindows.state`: "key" or "key[i]"."""
    names = []
    for key in state_keys:
        size = windows.future[nested(key)].flatten(2).shape[-1]
        names += [key] if size == 1 else [f"{key}[{i}]" for i in range(size)]
    return names


def _check_stride(windows: ProbeWindows, stride: int) -> None:
    if windows.stride != stride:
        raise ValueError(
            f"this model imagines windows of stride {stride}, got stride {windows.stride}: make them with "
            f"probe_windows(..., stride={stride})"
        )


def _decoder(states: Float[ndarray, "n h1 s"], true: Tensor, predicted: Tensor) -> RidgeCV:
    """From latents, true and predicted ones alike, to states."""
    rows = np.concatenate([true.flatten(0, 1).numpy(), predicted.flatten(0, 1).numpy()])
    y = states.reshape(-1, states.shape[-1])
    return RidgeCV(alphas=np.logspace(-3, 3, 7)).fit(rows, np.concatenate([y, y]))


def _decode(decoder: RidgeCV, latents: Float[Tensor, "n h1 f"]) -> Float[ndarray, "n h1 s"]:
    return decoder.predict(latents.flatten(0, 1).numpy()).reshape(*latents.shape[:2], -1)
