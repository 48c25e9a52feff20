"""Meta-World's fifty tasks: the goal observed, new positions with every seed, scripted experts."""

import warnings
from typing import Any

import numpy as np

from worldjepa_envs.adapter import Adapter
from worldjepa_envs.experts import Expert
from worldjepa_envs.missing import require

_PREFIX, _SUFFIX = "worldjepa/MetaWorld-", "-v0"


def make_metaworld(task: str, **kwargs: Any) -> Adapter:
    """An environment for a task of Meta-World 3.

    Action [4] in [-1, 1]: the hand's displacement and the gripper's effort. Observation: "hand" [4] (position in m,
    opening of the gripper), "object" [14] (two objects: position, quaternion; zeros where there is no second one),
    "goal" [3]. Each reset draws new positions of objects and goal from the seed (Meta-World itself repeats one).
    Info ``is_success`` is Meta-World's "success".

    Args:
        task: such as "push", "drawer-open"; "push-v3" means the same.
        kwargs: obs_type, image_size, render_mode, render_size, terminate_on_success: see `Adapter`; camera: one of
            corner (default corner2), topview, behindGripper, gripperPOV.

    Raises:
        ValueError: unknown task; lists the names.
        ModuleNotFoundError: Meta-World is not installed; names the extra.
    """
    camera = kwargs.pop("camera", "corner2")
    env: Any = _environments()[_full_name(task)]()
    env.seeded_rand_vec, env._freeze_rand_vec, env._set_task_called = True, False, True
    env._partially_observable = False
    vars(env).pop("sawyer_observation_space", None)  # cached with the goal hidden, and observations are clipped to it
    env.max_path_length = np.iinfo(np.int64).max  # the time limit is the registration's
    _mend_reset(env)

    def success(obs: np.ndarray, info: dict) -> bool:
        if "success" not in info:  # at reset
            info = env.evaluate_state(obs, np.zeros(4, np.float32))[1]
        return info["success"] > 0.0

    env.path_key = "hand"
    return Adapter(env, split=_split, success=success, camera=camera, upside_down=camera == "corner2", **kwargs)


def metaworld_expert(task: str, *, noise: float = 0.0, seed: int = 0) -> Expert:
    """The scripted expert of a task, written by Meta-World's authors; see `Expert` for noise and seed."""
    policies = require("metaworld.policies", "metaworld").ENV_POLICY_MAP
    policy = policies[_full_name(task)]()

    def law(obs: dict[str, np.ndarray]) -> np.ndarray:
        hand, other, goal = obs["hand"], obs["object"], obs["goal"]
        frame = np.concatenate([hand, other], 1)
        rows = np.concatenate([frame, frame, goal], 1)  # Meta-World repeats the previous frame; experts skip it
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Constant.s. may be too high")  # clipped, as it says
            return np.stack([np.clip(policy.get_action(row), -1.0, 1.0) for row in rows])

    return Expert(law, reads=("hand", "object", "goal"), noise=noise, seed=seed)


def task_of(env_id: str) -> str | None:
    """The task of an id "worldjepa/MetaWorld-<task>-v0", None for other ids."""
    if env_id.startswith(_PREFIX) and env_id.endswith(_SUFFIX):
        return env_id[len(_PREFIX) : -len(_SUFFIX)]
    return None


def _environments() -> dict[str, Any]:
    return dict(require("metaworld", "metaworld").ALL_V3_ENVIRONMENTS)


def _full_name(task: str) -> str:
    name = task.removesuffix("-v3") + "-v3"
    names = _environments()
    if name not in names:
        raise ValueError(f"unknown Meta-World task {task!r}; there are {', '.join(n[:-3] for n in sorted(names))}")
    return name


def _split(obs: np.ndarray) -> dict[str, np.ndarray]:
    values = obs.astype(np.float32)
    return {"hand": values[:4], "object": values[4:18], "goal": values[36:39]}


def _mend_reset(env: Any) -> None:
    """Let ``reset(seed=...)`` seed the environment, and observe the start as it is.

    Meta-World ignores the seed, and in some tasks (window-close) its first observation is from before the objects were
    placed, and looks solved.
    """
    import mujoco

    reset = env.reset

    def mended_reset(*, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        if seed is not None:
            env.seed(seed)
        reset()
        mujoco.mj_forward(env.model, env.data)  # pyright: ignore[reportAttributeAccessIssue]  (no stubs)
        return env._get_obs(), {}

    env.reset = mended_reset
