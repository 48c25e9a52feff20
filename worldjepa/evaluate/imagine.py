"""Imagination: roll the latent forward from a held-out start, decode it with a probe, compare with what happened.

A model whose predictor is told the actions is rolled out under the recorded ones; one that is not predicts the future
under the demonstrated behaviour. The decoder is one linear map from latents, true and predicted ones alike, to states,
fitted on training episodes: a decoded rollout can only be as good as the latents are. Copying the present is the floor.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from sklearn.linear_model import RidgeCV
from tensordict import TensorDict
from torch import Tensor

from worldjepa.evaluate.probe import ProbeWindows
from worldjepa.learner import Learner
from worldjepa.predictors import QueryPredictor
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
    """Transitions from one of the steps above to the next."""

    def rmse(self) -> dict[str, float]:
        """Errors over steps 1..H: of the rollout, of copying the present, of the decoder alone."""
        truth = self.real[:, 1:]
        parts = {"rmse": self.imagined[:, 1:], "copy_rmse": self.real[:, :1], "decoder_rmse": self.decoded[:, 1:]}
        return {name: float(np.sqrt(np.mean(np.square(part - truth)))) for name, part in parts.items()}

    def per_step(self) -> dict[str, list[float]]:
        """RMSE at steps 1..H of the rollout and of copying the present."""
        error = np.sqrt(np.mean(np.square(self.imagined - self.real), axis=(0, 2)))
        copied = np.sqrt(np.mean(np.square(self.real[:, :1] - self.real), axis=(0, 2)))
        return {"imagined": error[1:].tolist(), "copy": copied[1:].tolist()}


def imagine(learner: Learner, train: ProbeWindows, test: ProbeWindows) -> Imagination:
    """Fit the decoder on ``train`` and imagine every window of ``test``.

    Raises:
        ValueError: the model has no predictor, or predicts images, which a state decoder cannot show.
    """
    stride = _predictor(learner).stride
    predicted, true = [], []
    for windows in (train, test):
        predicted.append(_predicted_latents(learner, windows))
        true.append(_target_latents(learner, windows, stride))
    states = train.state[:, ::stride].reshape(-1, train.state.shape[-1])
    both = np.concatenate([_rows(true[0]), _rows(predicted[0])])
    decoder = RidgeCV(alphas=np.logspace(-3, 3, 7)).fit(both, np.concatenate([states, states]))

    def decode(latents: ndarray) -> ndarray:
        return decoder.predict(_rows(latents)).reshape(*latents.shape[:2], -1)

    steered = _predictor(learner).action is not None
    return Imagination(test.state[:, ::stride], decode(predicted[1]), decode(true[1]), steered, stride)


def imagination_report(
    imagination: Imagination, windows: ProbeWindows, names: Sequence[str], *, num_starts: int = 6
) -> dict:
    """What imagination.json holds: errors over all windows, and a few trajectories in raw units."""
    chosen = np.linspace(0, len(imagination.real) - 1, min(num_starts, len(imagination.real))).astype(int)
    real, imagined = (part * windows.std + windows.mean for part in (imagination.real, imagination.imagined))
    starts = [
        {
            "episode": int(windows.episode[i]),
            "index": int(windows.step[i]),
            "steps": (imagination.stride * np.arange(real.shape[1])).tolist(),
            "real": real[i].tolist(),
            "imagined": imagined[i].tolist(),
            "copy": np.repeat(real[i, :1], real.shape[1], axis=0).tolist(),
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
        **imagination.rmse(),
    }


def state_names(windows: ProbeWindows, state_keys: Sequence[str]) -> list[str]:
    """A name for each dimension of `ProbeWindows.state`: "key" or "key[i]"."""
    names = []
    for key in state_keys:
        size = windows.future[nested(key)].flatten(2).shape[-1]
        names += [key] if size == 1 else [f"{key}[{i}]" for i in range(size)]
    return names


def _rows(latents: ndarray) -> ndarray:
    return latents.reshape(-1, latents.shape[-1])


@torch.no_grad()
def _target_latents(learner: Learner, windows: ProbeWindows, stride: int, size: int = 512) -> Float[ndarray, "n h1 f"]:
    """Latents that the target encoder gives to the true steps 0, stride, ... H, tokens side by side."""
    target = learner.model.target
    if target is None:
        raise ValueError("this model has no target encoder")
    parts = []
    for i in range(0, len(windows.future), size):
        view = learner.normalizer.observations(windows.future[i : i + size, ::stride])
        steps = stride * torch.arange(view.shape[1], device=view.device)
        view["time"] = steps.expand(len(view), -1)
        parts.append(target(view).flatten(2))
    return torch.cat(parts).double().numpy()


@torch.no_grad()
def _predicted_latents(learner: Learner, windows: ProbeWindows, size: int = 512) -> Float[ndarray, "n h1 f"]:
    """Predicted latents of steps 0, stride, ... H, tokens side by side."""
    predictor = _predictor(learner)
    horizon = windows.state.shape[1] - 1
    if horizon > predictor.horizon or horizon % predictor.stride:
        raise ValueError(
            f"the model predicts {predictor.horizon} steps, every {predictor.stride}; imagination of {horizon} was "
            "asked for"
        )
    parts: list[Tensor] = []
    for i in range(0, len(windows.obs), size):
        obs = windows.obs[i : i + size]
        z = learner.encode(obs)
        action = learner.normalizer.normalize_action(windows.action[i : i + size], obs)
        query = TensorDict({"action": action}, batch_size=[len(z)])
        parts.append(predictor(z, query)[:, : horizon // predictor.stride + 1].flatten(2))
    return torch.cat(parts).double().numpy()


def _predictor(learner: Learner) -> QueryPredictor:
    predictor = learner.model.predictor
    if predictor is None:
        raise ValueError("this model has no predictor and imagines nothing: train with jepa_weight above 0")
    if not isinstance(predictor, QueryPredictor):
        raise ValueError(f"imagination of this report needs a QueryPredictor, got {type(predictor).__name__}")
    return predictor
