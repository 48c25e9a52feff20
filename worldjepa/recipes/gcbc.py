"""Goal-conditioned behaviour cloning: the action that led from here to there; the baseline of planning with a model.

Trained on hindsight goals (`worldjepa.data.goals.GoalSampler`): a later frame of the same episode is the goal of what
was done before it. One encoder for observation and goal, a perceptron on both.
"""

from dataclasses import dataclass
from typing import Literal

from worldjepa.encoders import ConvTrunk, FrameEncoder, GoalEncoder, StateEncoder
from worldjepa.jepa import JEPA
from worldjepa.objectives import ActionChunk, MLPChunk, Sum
from worldjepa.recipes.keys import Window, check_keys, resolve_states, sizes
from worldjepa.types import DataSpec
from worldjepa.views import FutureViews


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that defines the model."""

    state_keys: tuple[str, ...] = ()
    """Low-dimensional observations it sees; empty: all of the data's, or none if there are cameras."""
    image_keys: tuple[str, ...] = ()
    """Cameras it sees."""
    history: int = 1
    """Frames of context, the present included."""
    goal_steps: float = 15.0
    """Mean number of control steps from a present to its hindsight goal, drawn geometrically. Far goals say little of
    the next action."""
    chunk: int = 1
    """Actions predicted at once."""
    dim: int = 128
    """Width of the latents."""
    trunk_width: int = 16
    """Channels of the CNN's first stage."""
    hidden: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers."""
    distance: Literal["l1", "l2"] = "l2"
    """Loss of the action."""
    normalization: Literal["zscore", "minmax", "identity"] = "zscore"
    """How states and actions are normalised."""


def build(config: Config, spec: DataSpec) -> tuple[JEPA, Sum]:
    """The model and its objective for data of ``spec``.

    Raises:
        ValueError: keys that the data lacks.
    """
    keys = _keys(config, spec)
    state_keys = tuple(k for k in keys if k not in config.image_keys)
    state = StateEncoder(sizes(state_keys, spec), config.dim, hidden=config.dim) if state_keys else None
    shapes = {key: spec.obs[key].shape for key in config.image_keys}
    trunks = {key: ConvTrunk(shape, width=config.trunk_width) for key, shape in shapes.items()}
    encoder = GoalEncoder(FrameEncoder(state, trunks, shapes, dim=config.dim))
    head = MLPChunk(
        in_dim=config.history * encoder.num_tokens * config.dim,
        action_dim=spec.action_dim,
        chunk=config.chunk,
        hidden=config.hidden,
    )
    seen = window(config, spec).seen
    views = FutureViews(seen, (), config.history, config.chunk)  # no future is predicted
    return JEPA(views, encoder), Sum((1.0, ActionChunk(head, start=config.history - 1, kind=config.distance)))


def window(config: Config, spec: DataSpec) -> Window:
    """The windows this recipe is trained on."""
    keys = _keys(config, spec)
    return Window(config.history, config.chunk, config.history, keys, goal_keys=keys, goal_steps=config.goal_steps)


def _keys(config: Config, spec: DataSpec) -> tuple[str, ...]:
    check_keys(config.image_keys, "image", spec)
    states = () if config.image_keys and not config.state_keys else resolve_states(config.state_keys, spec)
    return (*states, *config.image_keys)
