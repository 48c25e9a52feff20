"""What policies read of an environment's observations: present frames and goals."""

from collections.abc import Mapping, Sequence

import torch
from tensordict import TensorDict
from torch import Tensor

from worldjepa.types import ObsSpec, nested

Frame = dict[str, Tensor]
"""One frame of observations by flat key, without batch and time."""


def read_frame(obs: TensorDict, key: str) -> Tensor:
    """Observation ``key`` of all rows [B, ...]: images as uint8, all else as float32.

    Raises:
        ValueError: it is missing.
    """
    value = obs.get(nested(key), None)
    if value is None:
        raise ValueError(f"the policy reads observation {key!r}; the environment gives {_names(obs)}")
    # A copy, because an environment may write its next observation into the same memory.
    return value.to(torch.uint8 if value.dtype == torch.uint8 else torch.float32, copy=True)


def read_goal(obs: TensorDict, key: str, spec: Mapping[str, ObsSpec], prefix: str) -> Tensor:
    """The goal of observation ``key`` for all rows [B, ...], as `read_frame`.

    Raises:
        ValueError: the environment gives no such goal, or one of another shape or kind than the observation.
    """
    name = prefix + key
    value = obs.get(nested(name), None)
    if value is None:
        given = [x for x in _names(obs) if x.startswith(prefix)]
        if given:
            raise ValueError(
                f"the model sees {key!r}, so its goal must be given as {name!r}; the environment gives goals of "
                f"another modality: {given}. Make it with the observations that the model was trained on"
            )
        raise ValueError(
            f"planning needs a goal observation {name!r}; the environment gives {_names(obs)}. Make it with "
            "goal_obs=True"
        )
    wanted = spec[key]
    if tuple(value.shape[1:]) != wanted.shape or (value.dtype == torch.uint8) != (wanted.dtype == "uint8"):
        raise ValueError(
            f"goal {name!r} is {value.dtype} {list(value.shape[1:])}, the model sees {key!r} as {wanted.dtype} "
            f"{list(wanted.shape)}: goals must be of the modality of the observations"
        )
    return read_frame(obs, name)


def row_of(frames: Mapping[str, Tensor], row: int) -> Frame:
    """One row of frames [B, ...]."""
    return {key: value[row] for key, value in frames.items()}


def stack_frames(rows: Sequence[Sequence[Frame]]) -> TensorDict:
    """Observations [B, T] of B rows of T frames each, nested by key."""
    out = TensorDict({}, batch_size=[len(rows), len(rows[0])])
    for key in rows[0][0]:
        out[nested(key)] = torch.stack([torch.stack([frame[key] for frame in row]) for row in rows])
    return out


def _names(obs: TensorDict) -> list[str]:
    return sorted(key if isinstance(key, str) else "/".join(key) for key in obs.keys(True, True))
