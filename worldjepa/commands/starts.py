"""The file of recorded starts that an evaluation in a run folder uses: one of its own for each task."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from worldjepa.commands import tasks

if TYPE_CHECKING:
    from worldjepa.commands.evaluate import Options
    from worldjepa.data.task import Task
    from worldjepa.evaluate.manifest import Manifest


def find_manifest(task: "Task", out: Path, options: "Options") -> "Manifest":
    """The starts: from the file named, from an earlier evaluation of the run, or new.

    Files are named after environment, number and seed. Where the user changes the episodes (arguments of the
    environment beside those of the view, the horizon), or the plain name is taken by starts of another task, a hash of
    arguments and horizon is added.

    Raises:
        ValueError: a file that is damaged, or no starts can be found.
    """
    from worldjepa.evaluate.manifest import Manifest, make_manifest

    if options.manifest is not None:
        return Manifest.load(options.manifest)
    goals = "-goals" if task.kwargs.get("goal_obs") else ""
    stem = f"{task.env_id.replace('/', '-').replace(':', '-')}{goals}-{options.episodes}-seed{options.seed}"
    plain = out / "starts" / f"{stem}.json"
    if plain.is_file() and belongs(found := Manifest.load(plain), task):
        return found  # also where it was made before names had a hash
    path = plain
    if plain.is_file() or changes_episodes(options):
        path = plain.with_name(f"{stem}-{episodes_hash(task)}.json")
        if path.is_file():
            return Manifest.load(path)
    return make_manifest(task, options.episodes, options.seed, num_envs=min(options.num_envs, 8)).save(path)


def belongs(manifest: "Manifest", task: "Task") -> bool:
    """Whether the starts are of this task."""
    try:
        manifest.check_task(task)
    except ValueError:
        return False
    return True


def changes_episodes(options: "Options") -> bool:
    """Whether the user asks for other episodes than those of the recorded environment."""
    from worldjepa.evaluate.manifest import OF_THE_VIEW

    return options.horizon is not None or bool(set(tasks.parse_kwargs(options.kwargs)) - set(OF_THE_VIEW))


def episodes_hash(task: "Task") -> str:
    """Eight letters that stand for what decides what happens in an episode: arguments and horizon."""
    from worldjepa.evaluate.manifest import OF_THE_VIEW

    kwargs = {name: value for name, value in task.kwargs.items() if name not in OF_THE_VIEW}
    content = json.dumps([kwargs, task.horizon], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:8]
