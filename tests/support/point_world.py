"""A point that is pushed about in a square, and a world model that knows it exactly: planning's known answers."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Float
from tensordict import TensorDict
from torch import Tensor, nn
from toys import ToyStatistics

from worldjepa.jepa import JEPA
from worldjepa.learner import Learner, Origin
from worldjepa.normalize import Normalizer
from worldjepa.objectives import LatentDistance, Sum
from worldjepa.objectives.dynamics import InverseDynamics
from worldjepa.plan import CEM, Plan
from worldjepa.recipes import ac_jepa, bc, make_learner
from worldjepa.targets import Shared
from worldjepa.types import DataSpec, ObsSpec, Policy
from worldjepa.views import TransitionViews

SPEED = 0.2
"""Distance moved by an action of 1."""
SPEC = DataSpec({"place/x": ObsSpec((2,), "float32")}, 2, action_low=(-1.0, -1.0), action_high=(1.0, 1.0))


class Point(gym.Env):
    """x' = x + SPEED a, kept in [-2, 2]; solved within 0.15 of the goal. ``goal_obs`` shows the goal."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, goal_obs: bool = True, drift: float = 0.0, render_mode: str | None = None) -> None:
        self.render_mode, self._goal_obs, self._drift = render_mode, goal_obs, drift
        place = spaces.Dict({"x": spaces.Box(-2, 2, (2,), np.float32)})
        self.observation_space = spaces.Dict({"place": place, **({"goal_place": place} if goal_obs else {})})
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[dict, dict]:
        super().reset(seed=seed)
        self._x, self._goal = self.np_random.uniform(-1.5, 1.5, (2, 2))
        return self._see()

    def step(self, action: np.ndarray) -> tuple[dict, float, bool, bool, dict]:
        noise = self._drift * self.np_random.normal(size=2)
        self._x = np.clip(self._x + SPEED * action + noise, -2, 2)
        obs, info = self._see()
        return obs, 0.0, info["is_success"], False, info

    def _see(self) -> tuple[dict, dict]:
        obs: dict[str, Any] = {"place": {"x": self._x.astype(np.float32)}}
        if self._goal_obs:
            obs["goal_place"] = {"x": self._goal.astype(np.float32)}
        away = float(np.linalg.norm(self._x - self._goal))
        return obs, {"is_success": away < 0.15}


class PlaceEncoder(nn.Module):
    """The latent is the normalised place."""

    num_tokens, dim = 1, 2

    def forward(self, view: TensorDict) -> Float[Tensor, "b t n d"]:
        return view["place", "x"][:, :, None]


class ExactPredictor(nn.Module):
    """The truth in normalised units; remembers what it was asked, and looks no further than ``context_length``."""

    def __init__(self, stride: int, scale: Tensor, shift: Tensor, context_length: int):
        super().__init__()
        self.stride, self.context_length, self.action_dim = stride, context_length, 2 * stride
        self.scale, self.shift = scale, shift
        self.asked: list[tuple[Tensor, Tensor]] = []

    def forward(self, z: Tensor, query: TensorDict) -> Tensor:
        raise AssertionError("planning asks for rollouts alone")

    def rollout(self, z: Tensor, action: Tensor) -> Tensor:
        self.asked.append((z.clone(), action.clone()))
        if action.shape[-2] > self.context_length:
            raise ValueError(f"{action.shape[-2]} steps are beyond the context of {self.context_length}")
        told = action[..., z.shape[1] - 1 :, :]
        raw = (told.unflatten(-1, (self.stride, 2)) * self.scale[1] + self.shift[1]).sum(-2)
        moved = (SPEED * raw / self.scale[0]).cumsum(-2)
        now = z[:, -1:] if action.ndim == 3 else z[:, None, -1:]
        return now + moved[..., None, :]


def point_learner(stride: int = 2, history: int = 1, horizon: int = 5, spec: DataSpec = SPEC) -> Learner:
    """The exact world model as a learner, with statistics that are not trivial."""
    place = ToyStatistics(np.array([0.1, -0.2]), np.array([0.8, 1.1]), np.full(2, -2.0), np.full(2, 2.0))
    tiled = [np.tile(x, stride) for x in ([0.05, -0.1], [0.6, 0.5], [-1.0, -1.0], [1.0, 1.0])]
    normalizer = Normalizer({"place/x": place, "action": ToyStatistics(*tiled)})
    scale = torch.tensor(np.stack([place.std, tiled[1][:2]]), dtype=torch.float32)
    shift = torch.tensor(np.stack([place.mean, tiled[0][:2]]), dtype=torch.float32)
    encoder = PlaceEncoder()
    predictor = ExactPredictor(stride, scale, shift, history - 1 + horizon)
    model = JEPA(TransitionViews(("place/x",), history, horizon), encoder, Shared(encoder), predictor)
    objective = Sum((1.0, LatentDistance("l2")), (1.0, InverseDynamics(2, 2 * stride, (32,))))
    config = ac_jepa.Config(state_keys=("place/x",), stride=stride, history=history, horizon=horizon)
    return Learner(normalizer, model, objective, Origin("ac_jepa", config, spec))


PLANNER = CEM(num_samples=64, iterations=4, num_elites=8)
"""Small, for tests."""


def look(place: Tensor, goal: Tensor) -> TensorDict:
    """Observations of points [B, 2] and their goals."""
    value = {"place": {"x": place}, "goal_place": {"x": goal}}
    return TensorDict({k: TensorDict(v, batch_size=len(place)) for k, v in value.items()}, batch_size=[len(place)])


def drive(policy: Policy, place: Tensor, goal: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Actions [steps, B, 2] and places [steps + 1, B, 2]."""
    actions, places = [], [place]
    for _ in range(steps):
        actions.append(policy.act(look(places[-1], goal)))
        places.append(places[-1] + SPEED * actions[-1])
    return torch.stack(actions), torch.stack(places)


def points(rows: int) -> tuple[Tensor, Tensor]:
    drawn = torch.rand(2, rows, 2, generator=torch.Generator().manual_seed(4)) * 2 - 1
    return drawn[0], drawn[1]


class Script:
    """A planner that notes what it is given and plans blocks 1, 2, 3, ... tenths; hands on ``elites``."""

    def __init__(self, elites: int = 0):
        self.inits, self.candidates, self.bounds, self.elites = [], [], [], elites

    def plan(self, cost, init, generators, *, low=None, high=None, candidates=None) -> Plan:
        self.inits.append(init.clone())
        self.candidates.append(candidates.clone())
        self.bounds.append((low, high))
        steps = torch.arange(1, init.shape[1] + 1) / 10 + len(self.inits) - 1
        action = steps[None, :, None].expand_as(init).clone()
        elites = None
        if self.elites:
            elites = torch.stack([action + 100 * (k + 1) for k in range(self.elites)], 1)
        return Plan(action, cost(action[:, None])[:, 0], 1, elites)


def point_statistics() -> dict[str, ToyStatistics]:
    """Statistics that change nothing."""
    plain = ToyStatistics(np.zeros(2), np.ones(2), -np.ones(2), np.ones(2))
    return {"place/x": plain, "action": plain}


def chunk_learner(chunk: int = 10, history: int = 2) -> Learner:
    """A fresh imitation learner for the point."""
    config = bc.Config(hidden=(16,), dim=8, chunk=chunk, history=history)
    return make_learner("bc", config, SPEC, point_statistics()).eval()


if "tiny/Point-v0" not in gym.registry:
    gym.register("tiny/Point-v0", "point_world:Point", max_episode_steps=40)
