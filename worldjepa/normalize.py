"""Normalisation with statistics that travel inside the model: a checkpoint needs nothing beside it."""

from collections.abc import Mapping
from typing import Literal, Protocol

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.types import nested

Mode = Literal["zscore", "minmax", "identity"]


class HasStatistics(Protocol):
    """Per-dimension statistics of one key over the training episodes, each of the key's shape."""

    @property
    def mean(self) -> np.ndarray: ...
    @property
    def std(self) -> np.ndarray: ...
    @property
    def min(self) -> np.ndarray: ...
    @property
    def max(self) -> np.ndarray: ...


class Normalizer(nn.Module):
    """Affine maps of observation keys and of the action to the model's units and back: ``(x - shift) / scale``.

    Args:
        statistics: by observation key and "action"; images have none and pass unchanged.
        mode: "zscore" (mean 0, std 1), "minmax" (to [-1, 1]) or "identity", for all keys.
        modes: exceptions by key.
        relative_to: an observation key of the action's shape whose present value is subtracted from every action
            before it is normalised, and added to every predicted one: chunks of target positions become offsets from
            where the robot is. The "action" statistics must then be those of the offsets. None: actions as they are.
        now: index of the present frame in a batch's observations, Tc - 1.

    A dimension that is constant in the data is only shifted: its scale is 1.

    Raises:
        ValueError: statistics that are missing or not finite, an unknown mode.
    """

    def __init__(
        self,
        statistics: Mapping[str, HasStatistics],
        *,
        mode: Mode = "zscore",
        modes: Mapping[str, Mode] | None = None,
        relative_to: str | None = None,
        now: int = 0,
    ):
        super().__init__()
        self.relative_to, self.now = relative_to, now
        if "action" not in statistics:
            raise ValueError(f'statistics of "action" are missing; there are some for {sorted(statistics)}')
        self.keys = tuple(statistics)
        if len({_buffer("", key) for key in self.keys}) != len(self.keys):
            raise ValueError(f"keys differ only in dots, slashes and underscores: {sorted(self.keys)}")
        for key, value in statistics.items():
            shift, scale = _affine(key, value, (modes or {}).get(key, mode))
            self.register_buffer(_buffer("shift", key), torch.as_tensor(shift, dtype=torch.float32))
            self.register_buffer(_buffer("scale", key), torch.as_tensor(scale, dtype=torch.float32))

    @classmethod
    def empty(
        cls, shapes: Mapping[str, tuple[int, ...]], *, relative_to: str | None = None, now: int = 0
    ) -> "Normalizer":
        """A normaliser whose statistics are still to be loaded: NaN, so that using it unloaded shows."""
        self = cls.__new__(cls)
        nn.Module.__init__(self)
        self.relative_to, self.now = relative_to, now
        self.keys = tuple(shapes)
        for key, shape in shapes.items():
            for name in ("shift", "scale"):
                self.register_buffer(_buffer(name, key), torch.full(shape, torch.nan))
        return self

    def normalize(self, key: str, value: Tensor) -> Tensor:
        """``value`` [..., *shape of the key] in raw units to the model's."""
        shift, scale = self._buffers_of(key)
        return (value.to(shift.dtype) - shift) / scale

    def denormalize(self, key: str, value: Tensor) -> Tensor:
        """Inverse of `normalize`."""
        shift, scale = self._buffers_of(key)
        return value * scale + shift

    def observations(self, obs: TensorDict) -> TensorDict:
        """A copy of ``obs`` with its states normalised; images (uint8 without statistics) pass unchanged.

        Raises:
            ValueError: a state key without statistics.
        """
        out = TensorDict({}, batch_size=obs.batch_size)
        for path in obs.keys(include_nested=True, leaves_only=True):
            value = obs[path]
            key = path if isinstance(path, str) else "/".join(path)
            is_image = value.dtype == torch.uint8 and key not in self.keys
            out[path] = value if is_image else self.normalize(key, value)
        return out

    def forward(self, batch: TensorDict) -> TensorDict:
        """A copy of a batch with its observations and actions normalised."""
        out = batch.copy()
        out["obs"] = self.observations(batch["obs"])
        out["action"] = self.normalize_action(batch["action"], batch["obs"])
        return out

    def normalize_action(self, action: Tensor, obs: TensorDict) -> Tensor:
        """Raw actions [B, T, A] to the model's units; ``obs`` are the raw observations [B, >= Tc, ...] beside them."""
        return self.normalize("action", action - self._origin(obs))

    def denormalize_action(self, action: Tensor, obs: TensorDict) -> Tensor:
        """Inverse of `normalize_action`."""
        return self.denormalize("action", action) + self._origin(obs)

    def _origin(self, obs: TensorDict) -> Tensor | float:
        """What actions are counted from, [B, 1, A]."""
        if self.relative_to is None:
            return 0.0
        return obs[nested(self.relative_to)][:, self.now : self.now + 1]

    def _buffers_of(self, key: str) -> tuple[Tensor, Tensor]:
        if key not in self.keys:
            raise ValueError(f"no normalisation statistics for {key!r}; there are some for {sorted(self.keys)}")
        return getattr(self, _buffer("shift", key)), getattr(self, _buffer("scale", key))


def _buffer(name: str, key: str) -> str:
    return f"{name}_{key.replace('.', '_').replace('/', '__')}"


def _affine(key: str, statistics: HasStatistics, mode: Mode) -> tuple[np.ndarray, np.ndarray]:
    """Shift and scale of one key, float64."""
    if mode == "identity":
        shift, scale = np.zeros_like(statistics.mean, dtype=np.float64), np.ones_like(statistics.mean, dtype=np.float64)
    elif mode == "zscore":
        shift, scale = np.asarray(statistics.mean, np.float64), np.asarray(statistics.std, np.float64)
    elif mode == "minmax":
        low, high = np.asarray(statistics.min, np.float64), np.asarray(statistics.max, np.float64)
        shift, scale = (low + high) / 2, (high - low) / 2
    else:
        raise ValueError(f'mode must be "zscore", "minmax" or "identity", got {mode!r} for {key!r}')
    if not (np.isfinite(shift).all() and np.isfinite(scale).all()):
        raise ValueError(
            f"the statistics of {key!r} are not finite: look for NaN or infinite values with `worldjepa inspect`"
        )
    constant = scale <= 1e-6 * np.maximum(np.abs(shift), 1.0)
    return shift, np.where(constant, 1.0, scale)
