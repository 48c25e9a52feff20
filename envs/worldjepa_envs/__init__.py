"""Gymnasium environments on MuJoCo with scripted experts, and adapters to the simulators users have.

Importing this package registers the environments and imports no simulator. Own: worldjepa/Push-v0, worldjepa/Reach-v0,
worldjepa/TwoRooms-v0, which needs no simulator, worldjepa/Turntable-v0, views of objects under known rotations, and
worldjepa/PushNear-v0 and worldjepa/TurntableNear-v0, easier for small models.
Adapters: worldjepa/PushT-v0 (gym-pusht), worldjepa/MetaWorld-<task>-v0, worldjepa/Fetch<Task>-v0 and
worldjepa/PointMaze-<maze>-v0 (gymnasium-robotics), `make_from_env_args` (robosuite and Gymnasium through robomimic's
``env_args``).

Every one gives Dict observations (float32 parts; images uint8, rows x columns x 3) and says in ``info["is_success"]``,
at reset and at each step, whether its task is solved (Turntable where it is given a goal).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gymnasium.envs.registration import register

if TYPE_CHECKING:
    from worldjepa_envs.env_args import make_from_env_args as make_from_env_args
    from worldjepa_envs.experts import expert as expert
    from worldjepa_envs.fast_render import FastRender as FastRender
    from worldjepa_envs.metaworld import make_metaworld as make_metaworld
    from worldjepa_envs.rendering import check_frame as check_frame
    from worldjepa_envs.robotics import make_robotics as make_robotics

_HOME = {
    "FastRender": "fast_render",
    "check_frame": "rendering",
    "expert": "experts",
    "make_from_env_args": "env_args",
    "make_metaworld": "metaworld",
    "make_robotics": "robotics",
}
__all__ = [
    "METAWORLD_TASKS",
    "POINT_MAZES",
    "FastRender",
    "check_frame",
    "expert",
    "make_from_env_args",
    "make_metaworld",
    "make_robotics",
]

METAWORLD_TASKS = tuple(
    """
    assembly basketball bin-picking box-close button-press button-press-topdown button-press-topdown-wall
    button-press-wall coffee-button coffee-pull coffee-push dial-turn disassemble door-close door-lock door-open
    door-unlock drawer-close drawer-open faucet-close faucet-open hammer hand-insert handle-press handle-press-side
    handle-pull handle-pull-side lever-pull peg-insert-side peg-unplug-side pick-out-of-hole pick-place pick-place-wall
    plate-slide plate-slide-back plate-slide-back-side plate-slide-side push push-back push-wall reach reach-wall
    shelf-place soccer stick-pull stick-push sweep sweep-into window-close window-open
    """.split()  # noqa: SIM905
)
"""The tasks of Meta-World 3."""

POINT_MAZES = {"Open": 300, "UMaze": 300, "Medium": 600, "Large": 800}
"""The point mazes, with the steps of an episode."""


def _register(name: str, entry_point: str, max_episode_steps: int, vector: str | None = None, **kwargs: Any) -> None:
    register(
        f"worldjepa/{name}-v0",
        f"worldjepa_envs.{entry_point}",
        vector_entry_point=vector and f"worldjepa_envs.{vector}",
        max_episode_steps=max_episode_steps,
        disable_env_checker=True,  # the tests check; at run time it would check each episode's first step anew
        kwargs=kwargs,
    )


_register("Push", "push:PushEnv", 150)
_NEAR = {"start_distance": (0.08, 0.16), "start_beside": 0.03, "start_turn": 0.3, "finger_turn": 1.0}
_VIEW = {"workspace": 0.34, "centre": (0.1, 0.0), "show_goal": False}
_register("PushNear", "push:PushEnv", 60, **_NEAR, **_VIEW)
_register("Reach", "reach:ReachEnv", 100)
_register("TwoRooms", "two_rooms:TwoRoomsEnv", 100, vector="two_rooms_vector:TwoRoomsVectorEnv")
_register("Turntable", "turntable:TurntableEnv", 49)  # 50 views
_register("TurntableNear", "turntable:TurntableEnv", 49, rotations="near")
_register("PushT", "pusht:PushTEnv", 300)
for _task in METAWORLD_TASKS:
    _register(f"MetaWorld-{_task}", "metaworld:make_metaworld", 200, task=_task)
for _maze, _steps in POINT_MAZES.items():
    _register(f"PointMaze-{_maze}", "pointmaze:PointMaze", _steps, maze=_maze)
for _task in ("Reach", "Push", "Slide", "PickAndPlace"):
    _register(f"Fetch{_task}", "robotics:make_robotics", 50, env_id=f"Fetch{_task}-v4")


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"worldjepa_envs.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
