"""Plain behaviour cloning: a perceptron from the observation to one action (robomimic's BC without a mixture head)."""

from dataclasses import dataclass
from typing import Literal

from worldjepa.encoders import FusedEncoder, StateEncoder
from worldjepa.jepa import JEPA
from worldjepa.objectives import ActionChunk, MLPChunk, Sum
from worldjepa.recipes.keys import Window, check_relative, resolve_states, sizes
from worldjepa.types import DataSpec
from worldjepa.views import FutureViews


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that defines the model."""

    state_keys: tuple[str, ...] = ()
    """Low-dimensional observations the policy sees; empty: all of the data's."""
    history: int = 1
    """Frames of context, the present included."""
    chunk: int = 1
    """Actions predicted at once; plain behaviour cloning predicts one."""
    dim: int = 256
    """Width of the state embedding."""
    hidden: tuple[int, ...] = (512, 512)
    """Widths of the hidden layers."""
    distance: Literal["l1", "l2"] = "l2"
    """Loss of the action."""
    normalization: Literal["zscore", "minmax", "identity"] = "zscore"
    """How states and actions are normalised."""
    relative_to: str | None = None
    """Observation whose present value is subtracted from every action, such as the position that an action of target
    positions moves: the policy then learns offsets. None: actions as they are."""


def build(config: Config, spec: DataSpec) -> tuple[JEPA, Sum]:
    """The model and its objective for data of ``spec``.

    Raises:
        ValueError: keys that the data lacks.
    """
    state_keys = resolve_states(config.state_keys, spec)
    check_relative(config.relative_to, state_keys, spec)
    encoder = FusedEncoder(StateEncoder(sizes(state_keys, spec), config.dim), num_layers=0)
    head = MLPChunk(
        in_dim=config.history * config.dim, action_dim=spec.action_dim, chunk=config.chunk, hidden=config.hidden
    )
    views = FutureViews(state_keys, state_keys, config.history, config.chunk)
    return JEPA(views, encoder), Sum((1.0, ActionChunk(head, start=config.history - 1, kind=config.distance)))


def window(config: Config, spec: DataSpec) -> Window:
    """The windows this recipe is trained on."""
    keys = resolve_states(config.state_keys, spec)
    return Window(config.history, config.chunk, config.history, keys)
