"""Small recordings that tests write themselves."""

import numpy as np

from worldjepa.data.episodes import Episode
from worldjepa.types import DataSpec, ObsSpec

SPEC = DataSpec(
    obs={
        "agent/pos": ObsSpec((2,), "float32"),
        "state": ObsSpec((3,), "float32"),
        "image": ObsSpec((4, 5, 3), "uint8"),
    },
    action_dim=2,
    action_low=(-1.0, -2.0),
    action_high=(1.0, 2.0),
    fps=10.0,
    env={"env_name": "worldjepa/Push-v0", "type": 2, "env_kwargs": {"obs_type": "state"}},
)


def make_episode(num_actions: int, number: int, *, last: bool = True, spec: DataSpec = SPEC, **fields) -> Episode:
    """An episode of random numbers; no two frames are alike. ``last``: with the observation after the last action."""
    rng = np.random.default_rng(number)
    obs = {}
    for key, value in spec.obs.items():
        shape = (num_actions + last, *value.shape)
        obs[key] = rng.integers(0, 256, shape).astype("uint8") if value.dtype == "uint8" else _floats(rng, shape)
    return Episode(obs, _floats(rng, (num_actions, spec.action_dim)), name=f"demo_{number}", **fields)


def make_full_episode(num_actions: int, number: int, *, last: bool = True, spec: DataSpec = SPEC) -> Episode:
    """As `make_episode`, with everything that may be recorded."""
    flags = np.arange(num_actions) == num_actions - 1
    return make_episode(
        num_actions,
        number,
        last=last,
        spec=spec,
        reward=np.arange(num_actions, dtype=np.float32) + number,
        terminated=flags,
        truncated=~flags & (np.arange(num_actions) == 0),
        success=bool(number % 2),
        seed=1000 + number,
    )


def assert_same(a: Episode, b: Episode) -> None:
    """Equality of two episodes but for their names, exact in values and types."""
    assert a.obs.keys() == b.obs.keys()
    arrays = [(a.obs[key], b.obs[key]) for key in a.obs] + [(a.action, b.action)]
    arrays += [(getattr(a, name), getattr(b, name)) for name in ("reward", "terminated", "truncated", "step_success")]
    for x, y in arrays:
        assert (x is None) == (y is None)
        if x is not None and y is not None:
            assert x.dtype == y.dtype
            np.testing.assert_array_equal(x, y)
    assert (a.success, a.seed) == (b.success, b.seed)


def _floats(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)
