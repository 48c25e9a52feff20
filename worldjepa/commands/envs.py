"""``worldjepa envs``: environments that can be made here, and what the missing ones need."""

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

NAMESPACE = "worldjepa/"


@dataclass(frozen=True)
class Options:
    """Any other Gymnasium environment can be collected from too; to be evaluated it needs a success predicate."""

    all: bool = False
    """List every task of a family, and every other environment that Gymnasium has registered here."""


def run(options: Options) -> int:
    """Print the table; a family of tasks takes one row, described by its first."""
    import gymnasium

    from worldjepa.commands import rendering
    from worldjepa.commands.console import make_console, plain_table

    rendering.choose()
    importlib.import_module("worldjepa_envs")
    console = make_console()
    table = plain_table("environment", "actions", "steps", "expert", "score", "observations")
    missing: dict[str, str] = {}
    groups = families([x for x in gymnasium.registry if x.startswith(NAMESPACE)])
    with console.status("making environments"):
        for name, members in groups.items():
            try:
                table.add_row(name, *describe(members[0]))
            except (ImportError, ValueError, RuntimeError, gymnasium.error.Error) as error:
                missing[name] = str(error)
    console.print(table)
    for name, why in missing.items():
        console.print(f"{name} cannot be made here: {why}", markup=False)
    if options.all:
        for name, members in groups.items():
            if len(members) > 1:
                console.print(f"{name}: {', '.join(members)}", markup=False)
        console.print(f"also registered: {', '.join(sorted(x for x in gymnasium.registry if NAMESPACE not in x))}")
    return 0


def families(ids: Sequence[str]) -> dict[str, list[str]]:
    """Ids by family, those of one simulator's adapter together: "worldjepa/MetaWorld-<50 tasks>-v0"."""
    import gymnasium

    groups: dict[str, list[str]] = {}
    for env_id in sorted(ids):
        groups.setdefault(str(gymnasium.registry[env_id].entry_point), []).append(env_id)
    found = {}
    for members in groups.values():
        stem = os.path.commonprefix(members)  # noqa: RUF071  (ids are texts, not paths)
        found[members[0] if len(members) == 1 else f"{stem}<{len(members)} tasks>-v0"] = members
    return found


def describe(env_id: str) -> list[str]:
    """The cells of one environment: actions, steps, expert, score, observations.

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
    score = found.score_name if found.score else "-"
    return [actions, str(found.horizon), has_expert(env_id), score if found.success else "no success predicate", obs]


def has_expert(env_id: str) -> str:
    """ "yes" where the environment comes with a scripted expert."""
    try:
        importlib.import_module("worldjepa_envs").expert(env_id)
    except ValueError:
        return "no"
    return "yes"
