"""From a vector environment's observations to what policies and recordings hold."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from tensordict import TensorDict

from worldjepa.data.task import flat_spaces, space_spec
from worldjepa.types import nested


class Observations:
    """Reads batches of one observation space: uint8 images stay, all else becomes float32 with at least one axis."""

    def __init__(self, space: gym.Space):
        self.specs = {key: space_spec(leaf) for key, leaf in flat_spaces(space).items()}
        self.state_keys = [key for key, spec in self.specs.items() if spec.kind == "state"]
        self._is_dict = isinstance(space, gym.spaces.Dict)
        self._paths = _paths(space) if isinstance(space, gym.spaces.Dict) else {}

    def arrays(self, raw: Any) -> dict[str, np.ndarray]:
        """Observations of B environments by flat key: [B, ...]."""
        leaves = {key: _leaf(raw, path) for key, path in self._paths.items()} if self._is_dict else {}
        if not self._is_dict:
            leaves = dict.fromkeys(self.specs, raw)
        return {
            key: np.asarray(value, dtype=self.specs[key].dtype).reshape(-1, *self.specs[key].shape)
            for key, value in leaves.items()
        }

    def tensordict(self, arrays: dict[str, np.ndarray]) -> TensorDict:
        """The same as a TensorDict [B], nested by key."""
        num = len(next(iter(arrays.values())))
        tree: dict[str, Any] = {}
        for key, value in arrays.items():
            *parents, leaf = nested(key)
            branch = tree
            for parent in parents:
                branch = branch.setdefault(parent, {})
            branch[leaf] = torch.from_numpy(value)
        return TensorDict(tree, batch_size=[num])


def _paths(space: gym.spaces.Dict) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for key, child in space.spaces.items():
        if isinstance(child, gym.spaces.Dict):
            found.update({f"{key}/{rest}": (key, *path) for rest, path in _paths(child).items()})
        else:
            found[key] = (key,)
    return found


def _leaf(raw: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        raw = raw[key]
    return raw
