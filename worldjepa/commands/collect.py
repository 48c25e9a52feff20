"""``worldjepa collect``: record a policy in an environment."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

if TYPE_CHECKING:
    from worldjepa.data.task import Task
    from worldjepa.types import Policy


@dataclass(frozen=True)
class Options:
    """An interrupted collection keeps the episodes it has; --append goes on."""

    env: Positional[str]
    """Gymnasium id, such as worldjepa/Push-v0; "package:id" imports the package first."""
    out: Positional[Path]
    """File to write, robomimic HDF5."""
    policy: str = "expert"
    """expert, random, noop, or a run folder."""
    features: str | None = None
    """Function that makes the frozen encoder of a model trained with --features, as package.module:function."""
    episodes: int = 200
    """Episodes to write."""
    seed: int = 0
    """The episodes' seeds are drawn from it."""
    num_envs: int = 1
    """Environments side by side."""
    parallel: bool = False
    """Each environment in a process of its own (worth it for rendering)."""
    only_success: bool = False
    """Write solved episodes only, and go on until there are enough."""
    keep_going: bool = False
    """Go on after success instead of stopping there. Ours end by themselves when solved, unless they are told --kwargs
    terminate_on_success=false."""
    noise: float = 0.0
    """Standard deviation of Gaussian noise on the actions, in half ranges of the action space."""
    hold: int = 1
    """Steps for which a random action is kept: above 1 a random walk gets somewhere. Of --policy random."""
    horizon: int | None = None
    """Steps after which an episode is cut off; by default the environment's own limit."""
    kwargs: tuple[str, ...] = ()
    """Arguments of the environment, as name=value: obs_type=state+pixels."""
    clip: bool = False
    """Clip actions that leave the action space, instead of stopping with an error."""
    append: bool = False
    """Go on with an existing file; with the same --seed an interrupted collection is taken up where it stopped."""


def run(options: Options) -> int:
    """Collect, and say what was written."""
    from worldjepa.commands import rendering, tasks
    from worldjepa.commands.frozen import check_needed
    from worldjepa.data.collect import collect

    rendering.choose()
    task = tasks.find_task(options.env, {}, tasks.parse_kwargs(options.kwargs), options.horizon)
    check_needed([options.policy] if options.policy not in tasks.NAMES else [], options.features)
    _, policy = tasks.find_policy(options.policy, task, features=options.features)
    if options.hold != 1:
        policy = _held(options, task)
    found = collect(
        task,
        policy,
        options.out,
        options.episodes,
        seed=options.seed,
        num_envs=options.num_envs,
        parallel=options.parallel,
        only_success=options.only_success,
        noise=options.noise,
        stop_on_success=not options.keep_going,
        out_of_bounds="clip" if options.clip else "error",
        append=options.append,
        progress=True,
    )
    print(f"{found.path}: {found.num_episodes} episodes, {found.num_steps:,} steps")
    if task.success is not None:
        print(
            f"{found.num_success} of {found.num_tried} episodes solved; {found.num_dropped} starts were solved already"
        )
    if options.keep_going and found.num_ended:
        print(
            f"the environment itself ended {found.num_ended} episodes when they were solved; where it can be told not "
            "to, that is --kwargs terminate_on_success=false"
        )
    print(f"worldjepa inspect {shlex.quote(str(found.path))}")
    return 0


def _held(options: Options, task: "Task") -> "Policy":
    """The random policy whose actions are kept for some steps.

    Raises:
        ValueError: another policy was asked for, or the number is below 1.
    """
    from worldjepa.evaluate.floors import RandomPolicy

    if options.policy != "random":
        raise ValueError(f"--hold is for --policy random, not {options.policy!r}: leave it out")
    return RandomPolicy(task.action_space, hold=options.hold)
