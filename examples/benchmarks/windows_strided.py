"""Windows a second with a stride, from pixels: worldjepa's sampler beside stable-worldmodel's HDF5 and Lance readers.

    OMP_NUM_THREADS=1 python examples/benchmarks/windows_strided.py [--peer-python PEER/bin/python]

4 frames 5 steps apart and the blocks of 5 actions between them, 64 windows a batch in random order, at 64 and 224
pixels. Everyone reads the same smooth pictures from files written before, which lie in the system's cache; the first
batch is not counted. Lance keeps JPEGs (smaller files, not the same pixels), the others raw pixels. Both give uint8,
worldjepa with the channels last, and with one block of actions less: that behind the last frame. Rates are by the clock
and by the processor's time, which counts where other work shares the machine.

The peer reads in its own process by a DataLoader without workers, if it is installed (see peer_stable_worldmodel.py);
nothing is said of it otherwise.
"""

import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
import tyro

from worldjepa.data import Episode, RobomimicWriter, WindowSampler, open_store
from worldjepa.types import DataSpec, ObsSpec

RATES = ("windows_per_s", "windows_per_cpu_s")
LENGTH, STRIDE, BATCH, ACTION_DIM, EPISODE_STEPS = 4, 5, 64, 2, 100


def main(
    sizes: tuple[int, ...] = (64, 224),
    episodes: int = 20,
    seconds: float = 4.0,
    rounds: int = 2,
    peer_python: Path | None = None,
    out: Path | None = None,
) -> None:
    """Measure and print the table.

    Args:
        sizes: rows and columns of the pictures.
        episodes: of 100 steps each.
        seconds: measured time a round and reader.
        rounds: everyone takes turns so often; the best counts.
        peer_python: interpreter of an environment with stable-worldmodel 0.1.1.
        out: JSON file for the results.
    """
    torch.set_num_threads(1)
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            image, action = pictures(size, episodes)
            path = record(Path(folder) / "ours.hdf5", image, action)
            readers: dict[str, Callable[[], dict]] = {"worldjepa": partial(ours, path, seconds)}
            if peer_python is not None:
                np.savez(Path(folder) / "pixels.npz", image=image, action=action)
                for format in ("hdf5", "lance"):
                    job = {"folder": folder, "format": format, "pixels": str(Path(folder) / "pixels.npz")}
                    written = peer(peer_python, "write", job)["path"]
                    job = {"path": written, "format": format, "length": LENGTH, "stride": STRIDE}
                    job |= {"batch_size": BATCH, "seconds": seconds}
                    readers[f"stable-worldmodel, {format}"] = partial(peer, peer_python, "windows", job)
            best: dict[str, dict] = {}
            for _ in range(rounds):
                for name, read in readers.items():
                    found = read()
                    best[name] = {**found, **{key: max(found[key], best.get(name, found)[key]) for key in RATES}}
            rows += [{"size": size, "name": name, **found} for name, found in best.items()]
    print(table(rows))
    print(f"\n{machine()}")
    if out is not None:
        out.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1))


def pictures(size: int, episodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Moving blobs, which JPEG finds as easy as most rendered scenes: [E, T, size, size, 3] and actions [E, T, 2]."""
    rng = np.random.default_rng(0)
    action = rng.uniform(-1, 1, (episodes, EPISODE_STEPS, ACTION_DIM)).astype(np.float32)
    place = 0.5 + 0.3 * np.sin(np.cumsum(0.1 * action, axis=1))
    grid = np.linspace(0, 1, size)
    image = np.empty((episodes, EPISODE_STEPS, size, size, 3), np.uint8)
    for frames, centres in zip(image, place):
        rows, columns = (np.exp(-(((grid - centre[:, None]) / 0.1) ** 2)) for centre in centres.T)
        blob = rows[:, :, None] * columns[:, None]
        for channel, weight in enumerate((1.0, 0.6, 0.3)):
            frames[..., channel] = 40 + 200 * weight * blob
    return image, action


def record(path: Path, image: np.ndarray, action: np.ndarray) -> Path:
    """Write robomimic HDF5 and convert it once to the store."""
    spec = DataSpec({"pixels": ObsSpec(image.shape[2:], "uint8")}, ACTION_DIM)
    with RobomimicWriter(path, spec) as writer:
        for frames, actions in zip(image, action):
            writer.append(Episode({"pixels": frames}, actions))
    open_store(path)
    return path


def ours(path: Path, seconds: float) -> dict:
    """Windows a second of our sampler; no frame more than the others load."""
    store = open_store(path)
    sampler = WindowSampler(
        store,
        episodes=range(len(store)),
        batch_size=BATCH,
        horizon=LENGTH - 1,
        image_frames=LENGTH,
        stride=STRIDE,
        pad_back=False,
        max_resident=8 << 30,
    )
    shape = sampler.batch(0)["obs", "pixels"].shape
    step, begin, cpu_begin = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() < begin + seconds:
        step += 1
        sampler.batch(step)
    rates = step * BATCH / (time.perf_counter() - begin), step * BATCH / (time.process_time() - cpu_begin)
    return {**dict(zip(RATES, rates)), "num_windows": len(sampler), "shapes": {"pixels": list(shape)}}


def peer(python: Path, job: str, options: dict) -> dict:
    """What stable-worldmodel prints of a job."""
    script = Path(__file__).parent / "peer_stable_worldmodel.py"
    command = [str(python), str(script), job, json.dumps(options)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def table(rows: list[dict]) -> str:
    """The results as a Markdown table."""
    lines = [
        "| pixels | reader | windows/s | worldjepa is faster by | windows/processor s | by |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        base = next(r for r in rows if r["size"] == row["size"] and r["name"] == "worldjepa")
        cells = [row["size"], row["name"]]
        for name in RATES:
            cells += [f"{row[name]:,.0f}", f"{base[name] / row[name]:.1f}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def machine() -> str:
    """What the numbers were measured on."""
    load = f"load {os.getloadavg()[0]:.1f}"
    name = platform.processor() or platform.machine()
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "numpy"))
    return f"{name}, {os.cpu_count()} cores, one thread used, {load}; {versions}"


if __name__ == "__main__":
    tyro.cli(main)
