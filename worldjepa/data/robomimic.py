"""robomimic HDF5 (v0.3 to v0.5 and Isaac Lab's variant): reader and writer.

``data/demo_<i>`` holds ``actions`` [T, A], ``obs/<key>`` [T, ...] and, if the recorder wrote them, ``next_obs/<key>``,
``rewards``, ``dones``; ``mask/<name>`` lists demos; ``data.attrs["env_args"]`` is JSON. Isaac Lab nests groups in
``obs`` and leaves the optional parts out. Observations are joined to T + 1 frames, each once: obs[0..T-1] and the last
next_obs. Our own files add ``terminated``, ``truncated`` and ``step_success`` (whether each action led to success).
"""

import errno
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
from numpy import ndarray

from worldjepa.data.episodes import (
    Episode,
    check_fits,
    observation_specs,
    select_names,
)
from worldjepa.data.hdf5 import Node, open_hdf5, read_actions, read_group, read_json, read_vector
from worldjepa.data.journal import JournaledFile
from worldjepa.types import DataSpec


class RobomimicSource:
    """Reads robomimic HDF5, episode by episode; the file stays open until `close`.

    Args:
        path: the file.
        filter: only the demos of ``mask/<filter>``.
        next_obs: "check": the last next_obs becomes observation T, after a check that next_obs[t] is obs[t + 1];
            "ignore": next_obs is not read, episodes have T observations for T actions.

    Raises:
        ValueError: the file is damaged or not in this layout, the filter is unknown or empty.
    """

    def __init__(self, path: str | Path, *, filter: str | None = None, next_obs: str = "check"):
        if next_obs not in ("check", "ignore"):
            raise ValueError(f'expected next_obs "check" or "ignore", got {next_obs!r}')
        self.path = Path(path).expanduser()
        self._next_obs = next_obs
        self._file = open_hdf5(self.path)
        data = self._file.get("data")
        if not isinstance(data, h5py.Group):
            raise ValueError(
                f"{self.path} has no group 'data' (it has {sorted(self._file)}), so it is not robomimic HDF5; "
                "convert it first, or check that it is the file you mean"
            )
        self._data: Node = data
        names = sorted_demos(list(data), self.path)
        self.filters = _read_masks(self._file)
        self.names = select_names(names, self.filters, filter, self.path)
        if not self.names:
            raise ValueError(
                f"{self.path} holds no demos; record some, or check that the recording was not interrupted"
            )
        self.spec = self._read_spec()

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Episode]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Episode:
        """Episode ``index``, checked against the specification of the first one."""
        episode = self._read(self.names[index])
        check_fits(episode, self.spec, self.path)
        return episode

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "RobomimicSource":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _read(self, name: str) -> Episode:
        demo: Node = self._data[name]
        where = f"{self.path}: {name}"
        if "actions" not in demo:
            raise ValueError(f"{where} has no 'actions', only {sorted(demo)}; leave it out with a filter (mask/...)")
        if not isinstance(demo.get("obs"), h5py.Group) or not len(demo["obs"]):
            raise ValueError(
                f"{where} has no observations in 'obs', only {sorted(demo)}; a raw robosuite recording needs "
                "robomimic's dataset_states_to_obs.py first"
            )
        action = read_actions(demo["actions"])
        declared = demo.attrs.get("num_samples")
        if declared is not None and int(declared) != len(action):
            raise ValueError(
                f"{where} declares num_samples {int(declared)} but holds {len(action)} actions: the recording is "
                "damaged; leave it out with a filter (mask/...)"
            )
        obs = read_group(demo["obs"], where)
        if self._next_obs == "check" and "next_obs" in demo:
            obs = _append_last(obs, read_group(demo["next_obs"], where), where)
        terminated = "terminated" if "terminated" in demo else "dones"
        success, seed = demo.attrs.get("success"), demo.attrs.get("seed")
        return Episode(
            obs,
            action,
            reward=read_vector(demo, "rewards", np.float32),
            terminated=read_vector(demo, terminated, np.bool_),
            truncated=read_vector(demo, "truncated", np.bool_),
            success=None if success is None else bool(success),
            seed=None if seed is None else int(seed),
            name=name,
            step_success=read_vector(demo, "step_success", np.bool_),
        )

    def _read_spec(self) -> DataSpec:
        first = self._read(self.names[0])
        env = read_json(self._data, "env_args", self.path)
        written = read_json(self._data, "worldjepa_spec", self.path)
        own = DataSpec.from_json(written) if written else None
        rate = env.get("env_kwargs", {}).get("control_freq") if isinstance(env.get("env_kwargs"), dict) else None
        return DataSpec(
            obs=observation_specs(first.obs),
            action_dim=first.action.shape[1],
            action_low=own.action_low if own else None,
            action_high=own.action_high if own else None,
            fps=own.fps if own else (None if rate is None else float(rate)),
            env=own.env if own else env,
        )


class RobomimicWriter:
    """Writes robomimic HDF5 that robomimic itself can train from; a context manager.

    Each episode appears in the file as a whole and is flushed, so that an interrupted recording stays readable.

    Args:
        path: the file to make; its folder must exist.
        spec: keys, shapes and environment. ``spec.env`` becomes ``env_args``.
        append: go on with an existing file of the same specification.

    Raises:
        FileExistsError: the file is there and ``append`` is False.
        ValueError: the existing file has another specification.
    """

    def __init__(self, path: str | Path, spec: DataSpec, *, append: bool = False):
        self.path, self.spec = Path(path).expanduser(), spec
        if self.path.exists() and not append:
            raise FileExistsError(
                f"{self.path} exists; choose another name, remove it, or pass append=True to go on with it"
            )
        if self.path.exists():
            with RobomimicSource(self.path) as source:
                if source.spec.obs != spec.obs or source.spec.action_dim != spec.action_dim:
                    raise ValueError(f"{self.path} holds {source.spec}; {spec} cannot be appended to it")
        self._disk = _open_journaled(self.path)
        self._file = h5py.File(self._disk, "a")
        self._data: Node = self._file.require_group("data")
        self._data.attrs["env_args"] = json.dumps(env_args(spec.env))
        self._data.attrs["worldjepa_spec"] = json.dumps(spec.to_json())
        self._data.attrs.setdefault("total", np.int64(0))
        self._count = 1 + max((int(name[5:]) for name in self._data), default=-1)
        self._commit()

    def append(self, episode: Episode) -> str:
        """Write one episode and flush it; returns its name in the file, ``demo_<i>``.

        Raises:
            ValueError: the episode does not fit the specification, or writing failed before.
            OSError: the disk is full; all episodes before this one are safe, and the file is closed.
        """
        if self._disk.closed:
            raise ValueError(f"writing {self.path} failed and is closed, or was finished; open it with append=True")
        check_fits(episode, self.spec, self.path)
        name = f"demo_{self._count}"
        try:
            # linked only when complete, so that a half-written demo is never seen
            self._data[name] = self._write(episode)
            self._data.attrs["total"] = np.int64(self._data.attrs["total"] + episode.num_actions)
            self._commit()
        except OSError as error:
            self._disk.abandon()
            self._file.close()
            self._disk.close()
            raise OSError(
                error.errno or errno.EIO,
                f"{self.path} cannot be written ({error}): perhaps the disk is full; the {self._count} episodes "
                "recorded before are safe: make room and go on with append=True",
            ) from error
        self._count += 1
        return name

    def _write(self, episode: Episode) -> Node:
        num = episode.num_actions
        demo: Node = self._file.create_group(None)
        demo.attrs["num_samples"] = np.int64(num)
        if episode.success is not None:
            demo.attrs["success"] = bool(episode.success)
        if episode.seed is not None:
            demo.attrs["seed"] = int(episode.seed)
        demo["actions"] = episode.action.astype(np.float32)
        for key, value in episode.obs.items():
            demo[f"obs/{key}"] = value[:num]
            if episode.num_observations == num + 1:
                demo[f"next_obs/{key}"] = value[1:]
        if episode.reward is not None:
            demo["rewards"] = episode.reward.astype(np.float32)
        ends = [flag for flag in (episode.terminated, episode.truncated) if flag is not None]
        if ends:
            demo["dones"] = np.logical_or.reduce(ends).astype(np.int64)
        if episode.terminated is not None:
            demo["terminated"] = episode.terminated.astype(np.int8)
        if episode.truncated is not None:
            demo["truncated"] = episode.truncated.astype(np.int8)
        if episode.step_success is not None:
            demo["step_success"] = episode.step_success.astype(np.int8)
        return demo

    def write_mask(self, name: str, demos: Sequence[str]) -> None:
        """Write the filter ``mask/<name>``: a list of demo names as `append` returned them.

        Raises:
            ValueError: the list is empty or names demos that are not in the file.
        """
        if not demos:
            raise ValueError(f"the filter {name!r} would be empty; give it at least one demo")
        if absent := sorted(set(demos) - set(self._data)):
            raise ValueError(f"the filter {name!r} names demos that are not in {self.path}: {absent[:5]}")
        masks: Node = self._file.require_group("mask")
        if name in masks:
            del masks[name]
        masks[name] = np.array(list(demos), dtype="S")
        self._commit()

    def close(self) -> None:
        """Close the file."""
        if not self._disk.closed:
            self._commit()
            self._file.close()
            self._disk.commit()
            self._disk.close()

    def _commit(self) -> None:
        self._file.flush()
        self._disk.commit()

    def __enter__(self) -> "RobomimicWriter":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _open_journaled(path: Path) -> JournaledFile:
    try:
        return JournaledFile(path)
    except BlockingIOError as error:
        raise BlockingIOError(
            f"{path} is open in another process; wait until that is done, or choose another name"
        ) from error


def env_args(env: dict) -> dict:
    """robomimic's ``env_args`` for an environment description; a Gymnasium spec becomes type 2 (gym)."""
    if "env_name" in env:
        return {"type": 2, "env_kwargs": {}, **env}
    return {"env_name": env.get("id", ""), "type": 2, "env_kwargs": env.get("kwargs", {}), **env}


def sorted_demos(names: list[str], path: Path) -> list[str]:
    """Demo names in robomimic's order, by their number."""
    if odd := [name for name in names if not re.fullmatch(r"demo_\d+", name)]:
        raise ValueError(f"{path}: expected groups named demo_<number> in 'data', got {odd[:5]}; rename or remove them")
    return sorted(names, key=lambda name: int(name[5:]))


def _read_masks(file: h5py.File) -> dict[str, list[str]]:
    masks: Node = file.get("mask", {})
    return {key: [n.decode() if isinstance(n, bytes) else str(n) for n in masks[key][()]] for key in masks}


def _append_last(obs: dict[str, ndarray], next_obs: dict[str, ndarray], where: str) -> dict[str, ndarray]:
    """obs[0..T-1] and the last of next_obs, after checking that both tell the same story."""
    advice = "open the file with next_obs='ignore' to use 'obs' alone"
    if obs.keys() != next_obs.keys():
        raise ValueError(f"{where}: 'obs' has {sorted(obs)} but 'next_obs' {sorted(next_obs)}; {advice}")
    joined = {}
    for key, value in obs.items():
        after = next_obs[key]
        if len(after) != len(value) or after.shape != value.shape:
            raise ValueError(f"{where}: 'obs/{key}' is {value.shape} but 'next_obs/{key}' {after.shape}; {advice}")
        wrong = ~np.isclose(after[:-1], value[1:], rtol=1e-4, atol=1e-5, equal_nan=True)
        if wrong.any():
            step = int(np.argwhere(wrong)[0][0])
            raise ValueError(f"{where}: next_obs/{key} of step {step} is not obs/{key} of step {step + 1}; {advice}")
        joined[key] = np.concatenate([value, after[-1:]])
    return joined
