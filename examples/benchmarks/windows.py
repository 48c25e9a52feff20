"""Sequences per second and peak memory: worldjepa's sampler, robomimic's SequenceDataset and h5py with open handles.

    python examples/benchmarks/windows.py [--num-demos 40 160] [--seconds 4] [--out windows.json]

Recordings are made in a temporary folder, at two sizes: low-dimensional (20 numbers) and with a 96x96 camera. Every
contestant yields windows of the same frames in random order, in a process of its own, so that its memory (above what
its imports take) is its own. "peak" counts the pages of mapped files, which the system takes back when it needs them;
"private" does not. robomimic runs as its users run it: SequenceDataset behind a DataLoader without workers, in each of
its cache modes.
"""

import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import tyro

from worldjepa.data import Episode, RobomimicWriter, WindowSampler, open_store
from worldjepa.types import DataSpec, ObsSpec

LOW_DIM = {"eef_pos": 3, "eef_quat": 4, "gripper": 2, "object": 11}
ACTION_DIM = 7
SLICES = 8


@dataclass(frozen=True)
class Setting:
    """What is read: one row group of the table."""

    name: str
    image: bool
    batch_size: int
    length: int
    """Frames in a window."""
    steps: int
    """Actions in each demo."""


SETTINGS = (
    Setting("low-dim", image=False, batch_size=100, length=10, steps=300),
    Setting("96x96 images", image=True, batch_size=32, length=8, steps=120),
)
Batches = Iterator[dict | torch.Tensor]


def main(num_demos: tuple[int, ...] = (40, 160), seconds: float = 4.0, out: Path | None = None) -> None:
    """Run all contestants and print the table.

    Args:
        num_demos: sizes of the data sets.
        seconds: measured time for each contestant.
        out: JSON file for the results.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for setting in SETTINGS:
            for num in num_demos:
                path = record(Path(folder) / f"{setting.name.split()[0]}_{num}.hdf5", setting, num)
                size_mb = sum(f.stat().st_size for f in open_store(path).folder.rglob("*.memmap")) / 2**20
                for contestant in CONTESTANTS:
                    if setting.image or not contestant.endswith("first frame"):
                        row = {
                            "setting": setting.name,
                            "demos": num,
                            "data_mb": round(size_mb),
                            "contestant": contestant,
                        }
                        row |= measure_apart(contestant, path, setting, seconds)
                        print(json.dumps(row), file=sys.stderr)
                        rows.append(row)
    print(table(rows))
    print(f"\n{machine()}")
    if out is not None:
        out.write_text(json.dumps({"machine": machine(), "seconds": seconds, "rows": rows}, indent=1))


def record(path: Path, setting: Setting, num_demos: int) -> Path:
    """Record random demos; the images are noise, which is as good as any because nothing is compressed."""
    rng = np.random.default_rng(0)
    obs = {key: ObsSpec((dim,), "float32") for key, dim in LOW_DIM.items()}
    if setting.image:
        obs["camera"] = ObsSpec((96, 96, 3), "uint8")
    with RobomimicWriter(path, DataSpec(obs, ACTION_DIM)) as writer:
        for _ in range(num_demos):
            frames = {}
            for key, spec in obs.items():
                shape = (setting.steps, *spec.shape)
                noise = rng.integers(0, 256, shape) if spec.dtype == "uint8" else rng.normal(size=shape)
                frames[key] = noise.astype(spec.dtype)
            writer.append(Episode(frames, rng.normal(size=(setting.steps, ACTION_DIM)).astype(np.float32)))
    open_store(path)
    return path


def worldjepa(path: Path, setting: Setting, **options) -> Batches:
    """Our sampler; ``horizon`` is one frame short so that it loads no more frames than the others."""
    store = open_store(path)
    size = {"batch_size": setting.batch_size, "horizon": setting.length - 1, "image_frames": setting.length}
    sampler = WindowSampler(store, episodes=range(len(store)), **{**size, **options})
    step = 0
    while True:
        batch = sampler.batch(step)
        assert batch["action"].shape[0] == setting.batch_size
        yield batch["action"]
        step += 1


def robomimic(path: Path, setting: Setting, cache_mode: str | None) -> Batches:
    """robomimic's SequenceDataset behind its users' DataLoader."""
    import robomimic.utils.dataset as peer
    import robomimic.utils.obs_utils as obs_utils

    low_dim, rgb = list(LOW_DIM), ["camera"] if setting.image else []
    with quiet():
        obs_utils.initialize_obs_utils_with_obs_specs({"obs": {"low_dim": low_dim, "rgb": rgb}})
        dataset = peer.SequenceDataset(
            hdf5_path=str(path),
            obs_keys=[*low_dim, *rgb],
            dataset_keys=["actions"],
            seq_length=setting.length,
            hdf5_cache_mode=cache_mode,
            load_next_obs=False,
        )
    loader = torch.utils.data.DataLoader(dataset, batch_size=setting.batch_size, shuffle=True, drop_last=True)
    while True:
        yield from loader


def h5py_handles(path: Path, setting: Setting) -> Batches:
    """h5py at its best: dataset handles stay open, one read for each key of a window, batches are reused."""
    with h5py.File(path) as file:
        keys = [f"obs/{key}" for key in LOW_DIM] + (["obs/camera"] if setting.image else []) + ["actions"]
        data: Any = file["data"]
        demos = [{key: data[name][key] for key in keys} for name in data]
        shapes = {key: (setting.batch_size, setting.length, *demos[0][key].shape[1:]) for key in keys}
        batch = {key: np.zeros(shape, demos[0][key].dtype) for key, shape in shapes.items()}
        rng = np.random.default_rng(0)
        while True:
            for row in range(setting.batch_size):
                demo, start = demos[rng.integers(len(demos))], int(rng.integers(setting.steps))
                count = min(setting.length, setting.steps - start)
                for key in keys:
                    demo[key].read_direct(batch[key][row], np.s_[start : start + count], np.s_[:count])
                    batch[key][row, count:] = batch[key][row, count - 1]
            yield {key: torch.from_numpy(value) for key, value in batch.items()}


CONTESTANTS: dict[str, Callable[[Path, Setting], Batches]] = {
    "worldjepa": worldjepa,
    "worldjepa, 64 MiB mapped": lambda path, setting: worldjepa(path, setting, max_resident=1 << 26),
    "worldjepa, image of the first frame": lambda path, setting: worldjepa(path, setting, image_frames=1),
    "robomimic, cache all": lambda path, setting: robomimic(path, setting, "all"),
    "robomimic, cache low_dim": lambda path, setting: robomimic(path, setting, "low_dim"),
    "robomimic, no cache": lambda path, setting: robomimic(path, setting, None),
    "h5py, open handles": h5py_handles,
}


def measure_apart(contestant: str, path: Path, setting: Setting, seconds: float) -> dict:
    """Run `measure` in a process of its own."""
    task = json.dumps({"contestant": contestant, "path": str(path), "setting": asdict(setting), "seconds": seconds})
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--worker", task]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{contestant} failed: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(contestant: str, path: str, setting: dict, seconds: float) -> dict:
    """Sequences a second (in the least disturbed slice of time), seconds to the first batch, and memory."""
    torch.set_num_threads(1)
    if contestant.startswith("robomimic"):
        with quiet():
            import robomimic.utils.dataset  # noqa: F401 - its memory is not the data set's
    before, private = memory_mb("VmRSS"), memory_mb("RssAnon")
    begin = time.perf_counter()
    what = Setting(**setting)
    batches = CONTESTANTS[contestant](Path(path), what)
    next(batches)
    first_s = time.perf_counter() - begin
    for _ in range(5):
        next(batches)
    rate = 0.0
    for _ in range(SLICES):
        count, begin = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - begin) < seconds / SLICES or count < 2:
            next(batches)
            count += 1
        rate = max(rate, count * what.batch_size / elapsed)
    return {
        "sequences_per_s": round(rate),
        "first_batch_s": round(first_s, 2),
        "peak_mb": round(memory_mb("VmHWM") - before),
        "private_mb": round(memory_mb("RssAnon") - private),
    }


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """robomimic prints."""
    with Path(os.devnull).open("w") as sink, contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
        yield


def memory_mb(field: str) -> float:
    """A line of Linux's account of this process, MiB."""
    line = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith(field))
    return int(line.split()[1]) / 1024


def table(rows: list[dict]) -> str:
    """The results as a Markdown table."""
    lines = [
        "| data | demos | MB | contestant | sequences/s | x robomimic all | first batch s | peak MB | private MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        same = [r for r in rows if (r["setting"], r["demos"]) == (row["setting"], row["demos"])]
        rate = row["sequences_per_s"]
        base = next(r for r in same if r["contestant"] == "robomimic, cache all")["sequences_per_s"]
        cells = [row["setting"], row["demos"], row["data_mb"], row["contestant"], f"{rate:,}", f"{rate / base:.2g}"]
        lines.append(
            "| " + " | ".join(map(str, [*cells, row["first_batch_s"], row["peak_mb"], row["private_mb"]])) + " |"
        )
    return "\n".join(lines)


def machine() -> str:
    """What the numbers were measured on."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "robomimic", "h5py", "numpy"))
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, one thread used; {versions}"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        print(json.dumps(measure(**json.loads(sys.argv[2]))))
    else:
        tyro.cli(main)
