"""The vocabulary of the toolkit: axis letters, records and protocols. Read this file first.

Axis letters: B batch, T transitions in a window (T+1 observations), Tc / Tt context / target views, N tokens per view
(Nc, Nt), D latent width (Dt: target width), A action size, H horizon of a plan or rollout, S action samples.
The order is always batch, time, tokens, features: latents are [B, T, N, D] with no exception.

Time: ``action[:, t]`` takes ``obs[:, t]`` to ``obs[:, t + 1]``.

A batch is a ``TensorDict`` with batch_size [B]:

=================  ==============  =====================================================================
``obs``            [B, T+1, ...]   nested by key; an image key may hold fewer frames, always the first ones
``action``         [B, T, A]
``valid``          [B, T+1] bool   False where an observation is padding
``action_valid``   [B, T] bool     False where an action is padding
``reward``         [B, T]          where the data has it
``terminated``     [B, T] bool     where the data has it
``success``        [B, T] bool     where the data has it: the task is solved in ``obs[:, t + 1]``
=================  ==============  =====================================================================

Observation keys are written "a/b" in configurations and nested (``obs["a", "b"]``) in tensordicts.
"""

from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Bool, Float
from tensordict import TensorDict
from torch import Generator, Tensor


@dataclass(frozen=True)
class ObsSpec:
    """One observation key of a data set or environment."""

    shape: tuple[int, ...]
    """Shape of one observation, without batch and time; images are (rows, columns, channels)."""
    dtype: str
    """numpy name: "float32" for states, "uint8" for images."""

    @property
    def kind(self) -> Literal["state", "image"]:
        """An image is uint8 with three axes; all else is state."""
        return "image" if self.dtype == "uint8" and len(self.shape) == 3 else "state"


@dataclass(frozen=True)
class DataSpec:
    """What a model must know of its data before it can be built."""

    obs: dict[str, ObsSpec]
    """By key, nested keys joined with "/"."""
    action_dim: int
    action_low: tuple[float, ...] | None = None
    """Lower bounds of the action space in raw units [A], where known."""
    action_high: tuple[float, ...] | None = None
    fps: float | None = None
    """Control steps a second, where known."""
    env: dict = field(default_factory=dict)
    """How to make the environment again: robomimic ``env_args`` or a Gymnasium spec, as JSON values."""

    def to_json(self) -> dict:
        """As JSON values, exactly invertible by `from_json`."""
        return {
            "obs": {k: {"shape": list(v.shape), "dtype": v.dtype} for k, v in self.obs.items()},
            "action_dim": self.action_dim,
            "action_low": None if self.action_low is None else list(self.action_low),
            "action_high": None if self.action_high is None else list(self.action_high),
            "fps": self.fps,
            "env": self.env,
        }

    @staticmethod
    def from_json(value: dict) -> "DataSpec":
        """Inverse of `to_json`."""
        bounds = {k: None if value[k] is None else tuple(value[k]) for k in ("action_low", "action_high")}
        obs = {k: ObsSpec(tuple(v["shape"]), v["dtype"]) for k, v in value["obs"].items()}
        return DataSpec(obs, value["action_dim"], fps=value["fps"], env=value["env"], **bounds)


def nested(key: str) -> tuple[str, ...]:
    """The tensordict key of an observation key: "a/b" -> ("a", "b")."""
    return tuple(key.split("/"))


@dataclass(frozen=True)
class Views:
    """A batch split into what is seen, what must be predicted and what the predictor is told."""

    context: TensorDict
    """[B, Tc]: the observations the encoder may see; "visible" [B, Tc, Nc] if it may see only some tokens."""
    target: TensorDict
    """[B, Tt]: the observations to predict; "valid" [B, Tt]; "select" [B, Tt, Nt] if only some tokens count."""
    query: TensorDict
    """[B]: "action" [B, T, A], "position" [B, Tt, Nt], "weight" [B, Tt, Nt]: whatever the predictor is told."""
    within: slice | None = None
    """Which of the context's frames the target's are, if they are: a target that shares the encoder then takes their
    latents instead of encoding them again."""


@dataclass(frozen=True)
class Prediction:
    """All that an objective sees of a model's forward pass."""

    context: Float[Tensor, "b tc nc d"]
    """Latents of the context views, attached."""
    target: Float[Tensor, "b tt nt dt"] | None
    """Latents to be predicted; detached or not as the target decides. None: the model has no predictor."""
    predicted: Float[Tensor, "b tt nt dt"] | None
    """The predictor's estimate of ``target``, attached."""
    weight: Float[Tensor, "b tt nt"] | None
    """0 where a target is padding or not asked for, else its weight in the loss."""


class ViewFunction(Protocol):
    """Splits a batch into views; sampling (masks, positions) happens here, on the device, from ``generator``.

    One whose targets are steps of time in their order has an attribute ``in_time = True``: `Learner.diagnostics` then
    compares predicting the later ones with copying the first.
    """

    def __call__(self, batch: TensorDict, generator: Generator | None = None) -> Views: ...


@runtime_checkable
class Encoder(Protocol):
    """Turns views into latents."""

    @property
    def num_tokens(self) -> int:
        """N, tokens of a view."""
        ...

    @property
    def dim(self) -> int:
        """D, width of a token."""
        ...

    def __call__(self, view: TensorDict) -> Float[Tensor, "b t n d"]: ...


@runtime_checkable
class Target(Protocol):
    """An encoder of targets that may follow the online encoder."""

    def __call__(self, view: TensorDict) -> Float[Tensor, "b t n d"]: ...

    def update(self, step: int) -> None:
        """Follow the online encoder; called once after each optimiser step."""
        ...


@runtime_checkable
class Predictor(Protocol):
    """Predicts target latents from context latents and a query. One that can be told actions also has ``rollout``."""

    context_length: int
    """Tc: frames of context that it reads, or the most that it can."""

    def __call__(self, z: Float[Tensor, "b tc nc d"], query: TensorDict) -> Float[Tensor, "b tt nt dt"]: ...


@runtime_checkable
class Objective(Protocol):
    """A loss term: named, unweighted, attached scalars. `objectives.Sum` weighs terms and adds "loss"."""

    def __call__(self, prediction: Prediction, batch: TensorDict) -> dict[str, Tensor]: ...


@runtime_checkable
class Policy(Protocol):
    """Chooses actions for a batch of environments, in raw units."""

    def reset(self, done: Bool[Tensor, "b"]) -> None:
        """Forget the memory of the rows where ``done`` is True: a new episode begins there."""
        ...

    def act(self, obs: TensorDict) -> Float[Tensor, "b a"]:
        """Actions for ``obs`` (TensorDict [B], nested by observation key, one frame each)."""
        ...
