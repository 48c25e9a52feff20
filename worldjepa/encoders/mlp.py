"""Low-dimensional states as one token a step."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.types import nested


class StateEncoder(nn.Module):
    """All state keys of a step in one token: a linear map of their concatenation, kept as one map a key.

    Because the maps of the keys add up, an encoder restricted to some keys (`restrict`) shares the weights of the rest:
    a target encoder may see fewer keys than the context encoder whose weights it follows.

    Args:
        keys: sizes by observation key; a key's values are flattened.
        dim: width D.
        hidden: width of a hidden layer (GELU) between the sum and the token; None: the token is linear in the state.

    Raises:
        ValueError: no keys.
    """

    num_tokens = 1

    def __init__(self, keys: Mapping[str, int], dim: int, *, hidden: int | None = None):
        super().__init__()
        if not keys:
            raise ValueError("a state encoder needs at least one observation key")
        self.dim = dim
        width = hidden or dim
        self.keys = tuple(keys)
        self.embed = nn.ModuleDict({module_name(k): nn.Linear(size, width) for k, size in keys.items()})
        if len(self.embed) != len(self.keys):
            raise ValueError(f"observation keys differ only in dots, slashes and underscores: {list(self.keys)}")
        self.out = nn.Sequential(nn.GELU(), nn.Linear(width, dim)) if hidden else nn.Identity()

    def forward(self, view: TensorDict) -> Float[Tensor, "b t 1 d"]:
        """``view`` [B, T] holds each key as [B, T, ...] floats."""
        parts: list[Tensor] = []
        for key in self.keys:
            value = view.get(nested(key), None)
            if value is None:
                raise ValueError(
                    f"observation {key!r} is missing; the view has {sorted(map(str, view.keys(True, True)))}"
                )
            parts.append(self.embed[module_name(key)](value.flatten(2)))
        return self.out(torch.stack(parts).sum(0) if len(parts) > 1 else parts[0])[:, :, None]

    def restrict(self, keys: tuple[str, ...]) -> "StateEncoder":
        """The same weights (not copies) for some of the keys."""
        missing = [k for k in keys if k not in self.keys]
        if missing:
            raise ValueError(f"this state encoder has no keys {missing}; it has {list(self.keys)}")
        part = StateEncoder.__new__(StateEncoder)
        nn.Module.__init__(part)
        part.dim, part.keys = self.dim, tuple(keys)
        part.embed = nn.ModuleDict({module_name(k): self.embed[module_name(k)] for k in keys})
        part.out = self.out
        return part


def module_name(key: str) -> str:
    """Module names must not hold dots or be empty."""
    return key.replace(".", "_").replace("/", "__")
