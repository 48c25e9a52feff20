"""The frozen list of starts that every policy is evaluated on: seeds, what they look like, and a hash over it all."""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worldjepa.data.observations import Observations
from worldjepa.data.simulate import MANIFEST_STREAM, Start, draw_seeds, vector_env
from worldjepa.data.task import Task

FORMAT = 1
MAX_NUMBERS = 64
"""Numbers of each state key that a start is recognised by."""
DROPPED_LIMIT = 50
"""Solved starts for each one kept, at which the search for starts gives up."""
OF_THE_VIEW = (
    *("obs_type", "image_size", "camera", "render_mode", "render_size"),
    *("observation_width", "observation_height", "visualization_width", "visualization_height"),
    *(
        "use_camera_obs",
        "use_object_obs",
        "has_renderer",
        "has_offscreen_renderer",
        "render_camera",
        "render_gpu_device_id",
    ),
    *("camera_names", "camera_heights", "camera_widths", "camera_depths", "camera_segmentations"),
)
"""Arguments of environments that change what is seen, not what happens."""


@dataclass(frozen=True)
class Manifest:
    """Starts of a task. The hash covers everything but ``path``."""

    env_id: str
    kwargs: dict[str, Any]
    horizon: int
    seed: int
    """What the episodes' seeds were drawn from."""
    seeds: tuple[int, ...]
    """One for each episode: the environment is reset with it."""
    starts: tuple[dict[str, list[float]], ...]
    """The first numbers of every state key at each start, by which a changed simulator is noticed."""
    dropped: tuple[int, ...]
    """Seeds whose start was solved already."""
    versions: dict[str, str] = field(default_factory=dict)
    """Of the packages the manifest was made with."""
    path: Path | None = field(default=None, compare=False)
    """The file it was read from or saved to."""

    def __len__(self) -> int:
        return len(self.seeds)

    @property
    def sha256(self) -> str:
        """Hash of the canonical JSON of the content."""
        return _digest(self._content())

    def episodes(self) -> list[Start]:
        """The episodes to run."""
        return [Start(index, seed) for index, seed in enumerate(self.seeds)]

    def first(self, n: int) -> "Manifest":
        """A manifest of the first ``n`` starts only, with a hash of its own."""
        if not 1 <= n <= len(self):
            raise ValueError(f"the manifest has {len(self)} starts, cannot take {n}")
        return Manifest(
            self.env_id,
            self.kwargs,
            self.horizon,
            self.seed,
            self.seeds[:n],
            self.starts[:n],
            self.dropped,
            self.versions,
        )

    def save(self, path: str | Path) -> "Manifest":
        """Write it as JSON; returns it with its path."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**self._content(), "sha256": self.sha256}, indent=1) + "\n")
        return Manifest(**{**self.__dict__, "path": path})

    @staticmethod
    def load(path: str | Path) -> "Manifest":
        """Read and verify a manifest.

        Raises:
            ValueError: not a manifest, of another format, or changed since it was saved.
        """
        path = Path(path)
        try:
            content = json.loads(path.read_text())
            stated = content.pop("sha256")
            if content["format"] != FORMAT:
                raise ValueError(f"{path} is a manifest of format {content['format']}, this version reads {FORMAT}")
        except (json.JSONDecodeError, KeyError, AttributeError, TypeError) as error:
            raise ValueError(
                f"{path} is not a manifest of starts; make one with make_manifest(...).save(path)"
            ) from error
        if _digest(content) != stated:
            raise ValueError(
                f"{path} was changed after it was saved: its content does not match its sha256. Results on it cannot "
                "be compared with others; restore the file, or make a new manifest"
            )
        del content["format"]
        for name in ("seeds", "starts", "dropped"):
            content[name] = tuple(content[name])
        return Manifest(**content, path=path)

    def check_task(self, task: Task) -> None:
        """Raise ValueError if the manifest belongs to another task."""
        mine, theirs = _dynamics(self.kwargs), _dynamics(dict(task.kwargs))
        for what, expected, got in (
            ("environment", self.env_id.rpartition(":")[2], task.env_id.rpartition(":")[2]),
            ("arguments", mine, theirs),
            ("horizon", self.horizon, task.horizon),
        ):
            if expected != got:
                raise ValueError(
                    f"the manifest is for the {what} {expected!r}, the task has {got!r}; make the task alike, or a "
                    "manifest for it: make_manifest(task, n, seed)"
                )

    def check_start(self, index: int, obs: dict[str, np.ndarray], solved: bool) -> None:
        """Compare the start of an episode with the recorded one.

        Args:
            index: of the episode.
            obs: state keys at the start.
            solved: whether it is solved already.

        Raises:
            ValueError: it is another start, so results would not be comparable.
        """
        recorded, seen = self.starts[index], _fingerprint(obs)
        differs = [k for k in recorded.keys() & seen.keys() if not _alike(recorded[k], seen[k])]
        if not differs and not solved:
            return
        what = f"differs from it in {differs}" if differs else "is solved already"
        raise ValueError(
            f"start {index} (seed {self.seeds[index]}) of {self.env_id} {what}; the manifest was made with "
            f"{self.versions}, here are {versions()}. Either a version changed the environment (make a new manifest), "
            "or its reset is not determined by its seed"
        )

    def _content(self) -> dict[str, Any]:
        content = {key: value for key, value in self.__dict__.items() if key != "path"}
        return json.loads(json.dumps({"format": FORMAT, **content}))


def make_manifest(task: Task, n: int, seed: int, *, num_envs: int = 1) -> Manifest:
    """Draw ``n`` starts of a task from ``seed``, dropping (and counting) those that are solved already.

    Raises:
        ValueError: no success predicate, n below 1, or nearly every start is solved.
    """
    task.need_success()
    if n < 1:
        raise ValueError(f"a manifest needs at least one start, got n={n}")
    seeds: list[int] = []
    starts: list[dict[str, list[float]]] = []
    dropped: list[int] = []
    for drawn, obs, solved in _resets(task, seed, min(num_envs, n)):
        if solved:
            dropped.append(drawn)
        else:
            seeds.append(drawn)
            starts.append(_fingerprint(obs))
        if len(seeds) == n:
            break
        if len(dropped) > DROPPED_LIMIT * (len(seeds) + 1):
            raise ValueError(
                f"{len(dropped)} of {len(dropped) + len(seeds)} starts of {task.env_id} are solved before the first "
                "action; the success predicate is too loose, or the environment starts at its goal"
            )
    kwargs = json.loads(json.dumps(dict(task.kwargs), default=str))
    return Manifest(task.env_id, kwargs, task.horizon, seed, tuple(seeds), tuple(starts), tuple(dropped), versions())


def versions() -> dict[str, str]:
    """Versions of what can change an episode: Python, this package, the simulators that are installed."""
    found = {"python": platform.python_version()}
    for name in (
        *("worldjepa", "torch", "numpy", "gymnasium", "mujoco", "pymunk"),
        *("gym-pusht", "metaworld", "gymnasium-robotics", "robosuite"),
    ):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _resets(task: Task, seed: int, num_envs: int) -> Iterator[tuple[int, dict[str, np.ndarray], bool]]:
    """Endless starts: seed, state keys, solved."""
    drawn = draw_seeds(seed, MANIFEST_STREAM)
    reader = Observations(task.observation_space)
    envs = vector_env(task, num_envs, parallel=False)
    try:
        while True:
            seeds: Any = [next(drawn) for _ in range(num_envs)]
            raw, info = envs.reset(seed=seeds)
            obs = reader.arrays(raw)
            for row in range(num_envs):
                state = {key: obs[key][row] for key in reader.state_keys}
                yield seeds[row], state, bool(info["success"][row])
    finally:
        envs.close()


def _fingerprint(obs: dict[str, np.ndarray]) -> dict[str, list[float]]:
    return {
        key: [float(f"{number:.6g}") for number in value.reshape(-1)[:MAX_NUMBERS].tolist()]
        for key, value in obs.items()
    }


def _alike(recorded: list[float], seen: list[float]) -> bool:
    return len(recorded) == len(seen) and bool(np.allclose(recorded, seen, rtol=1e-4, atol=1e-5))


def _dynamics(kwargs: dict[str, Any]) -> dict[str, Any]:
    return json.loads(
        json.dumps({k: v for k, v in kwargs.items() if k not in OF_THE_VIEW}, default=str, sort_keys=True)
    )


def _digest(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
