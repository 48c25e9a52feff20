"""Which latent vectors a regulariser looks at, and which of them are compared with each other."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from tensordict import TensorDict
from torch import Tensor

from worldjepa.objectives.reduce import blank
from worldjepa.types import Prediction

Source = Literal["context", "predicted", "target"]
Grouping = Literal["all", "step", "sequence"]
Tokens = Literal["rows", "features"]


@dataclass(frozen=True)
class Groups:
    """Latent vectors in groups; zero where they are padding."""

    rows: Float[Tensor, "g r d"]
    """G groups of R vectors."""
    keep: Bool[Tensor, "g r"]
    """False where a vector is padding."""
    shared: bool
    """Each process holds a part of every group; else each process has groups of its own."""


def check_choice(what: str, value: str, choices: object) -> None:
    """Raise a ValueError unless ``value`` is one of the Literal ``choices``."""
    names = get_args(choices)
    if value not in names:
        raise ValueError(f"{what} must be one of {list(names)}, got {value!r}")


def frame_valid(batch: TensorDict, num_frames: int) -> Bool[Tensor, "b t"] | None:
    """``batch["valid"]`` of the first ``num_frames`` frames; None where the batch has no padding at all.

    Raises:
        ValueError: the batch has fewer frames.
    """
    valid = batch.get("valid", None)
    if valid is None:
        return None
    if valid.shape[1] < num_frames:
        raise ValueError(f"the context has {num_frames} frames, batch['valid'] only {valid.shape[1]}")
    return valid[:, :num_frames]


def latents_of(
    prediction: Prediction, batch: TensorDict, of: Source
) -> tuple[Float[Tensor, "b t n d"], Bool[Tensor, "b t n"]]:
    """The latents named and where they are real: ``batch["valid"]`` for the context, else ``prediction.weight``.

    Raises:
        ValueError: the model has no predictor and target.
    """
    if of == "context":
        z, keep = prediction.context, frame_valid(batch, prediction.context.shape[1])
        keep = None if keep is None else keep[..., None].expand(z.shape[:3])
    else:
        z = prediction.predicted if of == "predicted" else prediction.target
        if z is None:
            raise ValueError(f"{of} latents need a model with a predictor and a target; this one has none")
        keep = None if prediction.weight is None else prediction.weight > 0
    return z, torch.ones(z.shape[:3], dtype=torch.bool, device=z.device) if keep is None else keep


def grouped(z: Float[Tensor, "b t n d"], keep: Bool[Tensor, "b t n"], by: Grouping, tokens: Tokens = "rows") -> Groups:
    """Group latent vectors.

    Args:
        z: latents.
        keep: False on padding.
        by: "all": one group of everything (VICReg); "step": a group per time step, over the batch (PLDM, LeWorldModel);
            "sequence": a group per sequence, over time (PLDM's temporal variance).
        tokens: "rows": every token is a vector; "features": the N tokens of a frame are one vector of N * D (PLDM).
    """
    if tokens == "features":
        z, keep = z.flatten(2)[:, :, None], keep.all(2, keepdim=True)
    z = blank(z, keep)
    if by == "all":
        return Groups(z.flatten(0, 2)[None], keep.flatten()[None], shared=True)
    if by == "step":
        return Groups(z.transpose(0, 1).flatten(1, 2), keep.transpose(0, 1).flatten(1, 2), shared=True)
    return Groups(z.transpose(1, 2).flatten(0, 1), keep.transpose(1, 2).flatten(0, 1), shared=False)
