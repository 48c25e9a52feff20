"""Latents of windows: what the target encoder says of the true future, and what the predictor imagines of it.

Two kinds of predictors can be asked. One rolls out frames under blocks of actions (it has ``action_dim``): its targets
are the encoder's latents of the frames themselves. The other predicts all steps of its ``horizon`` at once, every
``stride`` transitions, told the actions or not.

Letters: n windows, H steps of a rollout, F features (the tokens of a frame side by side).
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from tensordict import TensorDict
from torch import Tensor

from worldjepa.evaluate.probe import ProbeWindows
from worldjepa.learner import Learner
from worldjepa.objectives import Ensemble

MAX_FEATURES = 1024
"""Latents of more features are compared in the principal components of the training latents, so many of them."""
CHUNK = 256


@dataclass(frozen=True)
class Components:
    """The principal components that stand for latents of very many features."""

    mean: Float[Tensor, "f"]
    basis: Float[Tensor, "f k"]

    def __call__(self, latents: Float[Tensor, "*n f"]) -> Float[Tensor, "*n k"]:
        """Coordinates of latents."""
        return (latents - self.mean) @ self.basis


@dataclass(frozen=True)
class WindowLatents:
    """Latents of windows at steps 0..H, and the actions between them."""

    true: Float[Tensor, "n h1 f"]
    """What the target encoder gives to the recorded frames, float64."""
    imagined: Float[Tensor, "n h1 f"]
    """What the predictor says; at step 0 the prediction of the present, or the present itself."""
    action: Float[Tensor, "n h w"]
    """Normalised actions between the steps, float64."""
    disagreement: Float[Tensor, "n h"] | None
    """Of the model's ensemble at steps 1..H; None where it has none."""
    components: Components | None
    """What the features are, where they are not the latents themselves."""


def rolls_out_frames(learner: Learner) -> bool:
    """Whether the predictor imagines latents of frames, block of actions by block of actions.

    Raises:
        ValueError: there is no predictor, or one of neither kind.
    """
    predictor: Any = learner.model.predictor
    if predictor is None:
        raise ValueError("this model has no predictor and imagines nothing: train with jepa_weight above 0")
    if hasattr(predictor, "action_dim") and hasattr(predictor, "rollout"):
        return True
    if hasattr(predictor, "horizon") and hasattr(predictor, "stride"):
        return False
    raise ValueError(
        f"{type(predictor).__name__} can neither be rolled out under actions (action_dim, rollout) nor asked for a "
        "horizon (horizon, stride), so it imagines nothing that could be shown"
    )


def steering(learner: Learner) -> bool:
    """Whether the predictor is told the actions."""
    return rolls_out_frames(learner) or getattr(learner.model.predictor, "action", None) is not None


def longest_rollout(learner: Learner, context: int = 1) -> int | None:
    """Most steps that can be imagined from ``context`` frames; None where there is no limit."""
    predictor: Any = learner.model.predictor
    if not rolls_out_frames(learner):
        return predictor.horizon
    return None if getattr(predictor, "sliding", False) else predictor.context_length - context + 1


def check_rollout(learner: Learner, steps: int, context: int = 1) -> None:
    """Raise ValueError where ``steps`` cannot be imagined."""
    longest = longest_rollout(learner, context)
    if longest is not None and steps > longest:
        raise ValueError(
            f"the model predicts {longest} steps from {context} frames of context, imagination of {steps} was asked "
            "for: shorten the horizon, or train with a longer one"
        )
    stride = 1 if rolls_out_frames(learner) else int(learner.model.predictor.stride)  # type: ignore[union-attr]
    if steps % stride:
        raise ValueError(f"the model predicts every {stride} steps, imagination of {steps} was asked for")


@torch.no_grad()
def window_latents(learner: Learner, windows: ProbeWindows, components: Components | None = None) -> WindowLatents:
    """Latents of all windows, on the CPU.

    Args:
        learner: in eval mode, on any device.
        windows: as the model was trained on them: of its stride, and with images of all frames where it sees any.
        components: of the training windows, for the held-out ones.

    Raises:
        ValueError: the model cannot imagine, or not so far.
    """
    frames, device = rolls_out_frames(learner), next(learner.parameters()).device
    check_rollout(learner, windows.state.shape[1] - 1, windows.obs.batch_size[1])
    parts: list[tuple[Tensor, Tensor, Tensor, Tensor | None]] = []
    for i in range(0, len(windows.obs), CHUNK):
        some = slice(i, i + CHUNK)
        obs, future = windows.obs[some].to(device), windows.future[some].to(device)
        action = windows.action[some].to(device)
        true, imagined, told, doubt = (_frames if frames else _steps)(learner, obs, future, action)
        true, imagined, told = true.flatten(2).cpu().double(), imagined.flatten(2).cpu().double(), told.cpu()
        doubt = None if doubt is None else doubt.cpu()
        if components is None and true.shape[-1] > MAX_FEATURES:
            components = _components(true)
        if components is not None:
            true, imagined = components(true), components(imagined)
        parts.append((true, imagined, told.double(), doubt))
    true, imagined, told = (torch.cat([part[i] for part in parts]) for i in range(3))  # type: ignore[misc]
    doubts = [part[3] for part in parts if part[3] is not None]
    return WindowLatents(true, imagined, told, torch.cat(doubts) if doubts else None, components)


def disagreement(learner: Learner, z: Float[Tensor, "b tc n d"], action: Tensor) -> Tensor | None:
    """What `Ensemble.disagreement` says of a rollout under normalised actions; None without an ensemble."""
    found = next((term for term in learner.objective.modules() if isinstance(term, Ensemble)), None)
    return None if found is None else found.disagreement(z, action)


def _frames(
    learner: Learner, obs: TensorDict, future: TensorDict, action: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    z = learner.encode(obs)
    after = learner.encode(future.select(*obs.keys(True, True))[:, 1:])
    told = learner.normalizer.normalize_action(action, obs)
    imagined = learner.model.rollout(z, told)
    now = z[:, -1:]
    doubt = disagreement(learner, z, told)
    return torch.cat([now, after], 1), torch.cat([now, imagined], 1), told[:, z.shape[1] - 1 :], doubt


def _steps(
    learner: Learner, obs: TensorDict, future: TensorDict, action: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    predictor: Any = learner.model.predictor
    stride, horizon, target = predictor.stride, future.shape[1] - 1, learner.model.target
    assert target is not None
    view = learner.normalizer.observations(future[:, ::stride])
    view["time"] = (stride * torch.arange(view.shape[1], device=action.device)).expand(len(view), -1)
    z = learner.encode(obs)
    told = learner.normalizer.normalize_action(action, obs)
    imagined = predictor(z, TensorDict({"action": told}, batch_size=[len(z)]))[:, : horizon // stride + 1]
    blocks = told[:, z.shape[1] - 1 :].reshape(len(z), horizon // stride, -1)
    return target(view), imagined, blocks, None


def _components(latents: Float[Tensor, "n h1 f"]) -> Components:
    rows = latents.flatten(0, 1)
    mean = rows.mean(0)
    count = min(MAX_FEATURES, len(rows) // 2)
    _, _, basis = torch.svd_lowrank(rows - mean, q=count, niter=4)
    return Components(mean, basis)
