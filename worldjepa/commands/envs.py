"""``worldjepa envs``: environments that can be made here, and what the missing ones need."""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

NAMESPACE = "worldjepa/"


@dataclass(frozen=True)
class Options:
    """Any other Gymnasium environment can be collected from too; to be evaluated it needs a success predicate."""

    all: bool = False
    """Also list every other environment that Gymnasium has registered here."""


def run(options: Options) -> int:
    """Print the table."""
    import gymnasium

    from worldjepa.commands import rendering
    from worldjepa.commands.console import make_console, plain_table

    rendering.choose()
    importlib.import_module("worldjepa_envs")
    console = make_console()
    table = plain_table("environment", "observations", "actions", "steps", "expert", "success and score")
    missing: dict[str, str] = {}
    with console.status("making environments"):
        for env_id in sorted(x for x in gymnasium.registry if x.startswith(NAMESPACE)):
            try:
                table.add_row(env_id, *describe(env_id))
            except (ImportError, ValueError, RuntimeError, gymnasium.error.Error) as error:
                missing[env_id] = str(error)
    console.print(table)
    for env_id, why in missing.items():
        console.print(f"{env_id} cannot be made here: {why}", markup=False)
    if options.all:
        console.print(f"also registered: {', '.join(sorted(x for x in gymnasium.registry if NAMESPACE not in x))}")
    return 0


def describe(env_id: str) -> list[str]:
    """The cells of one environment: observations, actions, steps, expert, success.

    Raises:
        ImportError: its simulator is not installed.
    """
    from worldjepa.data.task import task

    found = task(env_id)
    spec = found.spec
    obs = ", ".join(f"{key} {'x'.join(map(str, value.shape))}" for key, value in spec.obs.items())
    actions = str(spec.action_dim)
    if spec.action_low is not None and spec.action_high is not None:
        actions += f" in [{min(spec.action_low):g}, {max(spec.action_high):g}]"
    how = "by its own predicate" if found.success else "needs a predicate"
    return [
        obs,
        actions,
        str(found.horizon),
        has_expert(env_id),
        how + (f", {found.score_name}" if found.score else ""),
    ]


def has_expert(env_id: str) -> str:
    """ "yes" where the environment comes with a scripted expert."""
    try:
        importlib.import_module("worldjepa_envs").expert(env_id)
    except ValueError:
        return "no"
    return "yes"
