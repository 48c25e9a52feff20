"""Views per second of worldjepa/Turntable-v0: drawn as it is, and with the settings that MuJoCo comes with.

    OMP_NUM_THREADS=1 MUJOCO_GL=egl taskset -c 0 python examples/benchmarks/turntable.py
    python examples/benchmarks/turntable.py --sheet docs/images/turntable.png

"step" steps one environment with actions of the expert; "collect" is `worldjepa collect` with them, views written to
disk as robomimic HDF5; 50 views of each object. "plain" is the same environment, objects and policy drawn by
``mujoco.Renderer`` at the size of the image with multisampling, shadows, reflections, sky and haze as MuJoCo has them
by default; ours draws at twice the size without these and averages. Where other work shares the machine, the
processor's time says more than the clock's; the best run of each counts. Imports are not counted.
"""

import os
import platform
import tempfile
import time
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import tyro
from PIL import Image
from tensordict import TensorDict

import worldjepa_envs
from worldjepa.data.collect import collect
from worldjepa.data.task import task
from worldjepa_envs import turntable_stage
from worldjepa_envs.turntable_rotation import draw, from_euler

ENV_ID, VIEWS = "worldjepa/Turntable-v0", 50


def main(
    sizes: tuple[int, ...] = (64, 128),
    objects: int = 20,
    repeats: int = 3,
    num_envs: int = 1,
    sheet: Path | None = None,
) -> None:
    """Measure and print the table, or draw a contact sheet.

    Args:
        sizes: rows and columns of the images.
        objects: episodes a run, of 50 views each; a tenth of them where it is drawn plain.
        repeats: the best of so many runs counts.
        num_envs: environments side by side when collecting.
        sheet: PNG to write instead: each class, in four views of one object.
    """
    torch.set_num_threads(1)
    if sheet is not None:
        contact_sheet(sheet)
        return
    print("| | image | views/s | views/s of processor time | x plain |")
    print("|---|---|---|---|---|")
    for name, run in (("step", step), ("collect", lambda size, num: record(size, num, num_envs))):
        for size in sizes:
            with plain():
                before = best(run, size, max(objects // 10, 1), repeats)
            now = best(run, size, objects, repeats)
            print(f"| {name}, plain | {size} px | {before[0]:,.0f} | {before[1]:,.0f} | 1.0 |")
            print(f"| {name} | {size} px | {now[0]:,.0f} | {now[1]:,.0f} | {now[1] / before[1]:.1f} |")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("mujoco", "torch", "h5py", "numpy"))
    load = f"load {os.getloadavg()[0]:.1f}"
    cores = f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} cores, MUJOCO_GL={os.environ['MUJOCO_GL']}"
    print(f"\n{platform.processor() or platform.machine()}, {cores}, {load}; {versions}")


def best(run, size: int, objects: int, repeats: int) -> tuple[float, float]:
    """Views a second of the clock and of the processor, the best of some runs of each."""
    rates = []
    for _ in range(repeats):
        clock, processor = run(size, objects)
        rates.append((objects * VIEWS / clock, objects * VIEWS / processor))
    return max(rate[0] for rate in rates), max(rate[1] for rate in rates)


def step(size: int, objects: int) -> tuple[float, float]:
    """Seconds of the clock and of the processor to see ``objects``; the policy's are not counted."""
    env, policy = gym.make(ENV_ID, image_size=size), worldjepa_envs.expert(ENV_ID)
    env.reset(seed=0)
    clock = processor = 0.0
    for seed in range(objects):
        begin = time.perf_counter(), time.process_time()
        obs = env.reset(seed=seed)[0]
        clock, processor = clock + time.perf_counter() - begin[0], processor + time.process_time() - begin[1]
        policy.reset(torch.ones(1, dtype=torch.bool))
        for _ in range(VIEWS - 1):
            batch = TensorDict({key: torch.from_numpy(value)[None] for key, value in obs.items()}, [1])
            action = policy.act(batch)[0].numpy()
            begin = time.perf_counter(), time.process_time()
            obs = env.step(action)[0]
            clock, processor = clock + time.perf_counter() - begin[0], processor + time.process_time() - begin[1]
    env.close()
    return clock, processor


def record(size: int, objects: int, num_envs: int) -> tuple[float, float]:
    """Seconds of the clock and of the processor to collect ``objects``."""
    views = task(ENV_ID, image_size=size)
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter(), time.process_time()
        collect(views, worldjepa_envs.expert(ENV_ID), Path(folder) / "views.hdf5", objects, num_envs=num_envs)
        return time.perf_counter() - begin[0], time.process_time() - begin[1]


class PlainCamera:
    """A camera of MuJoCo's Python package as it is."""

    def __init__(self, model: Any, height: int, width: int, camera: str) -> None:
        import mujoco

        self._renderer, self._camera = mujoco.Renderer(model, height, width), camera

    def frame(self, data: Any) -> np.ndarray:
        """The image [height, width, 3] uint8."""
        self._renderer.update_scene(data, self._camera)
        return self._renderer.render()

    def close(self) -> None:
        """Free the context."""
        self._renderer.close()


@contextmanager
def plain():
    """Within it the scene is compiled with MuJoCo's default quality and a lamp that casts shadows, and drawn so."""
    xml, camera = turntable_stage.XML, turntable_stage.rendering.Camera
    lines = [line for line in xml.splitlines() if "<quality" not in line]
    turntable_stage.XML = "\n".join(lines).replace('castshadow="false"', 'castshadow="true"')
    turntable_stage.rendering.Camera = PlainCamera  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        turntable_stage.XML, turntable_stage.rendering.Camera = xml, camera


def contact_sheet(path: Path, size: int = 64, views: int = 4, seed: int = 3) -> None:
    """Draw all classes in two columns: one object upright, then from random sides in random colours."""
    env = gym.make(ENV_ID, image_size=size)
    random, rows = np.random.default_rng(seed), []
    for label in range(len(env.get_wrapper_attr("classes"))):
        row = []
        for view in range(views):
            rotation = draw(random, "inside") if view else from_euler(np.array([0.0, 0.0, 0.6]))
            floor, light = random.uniform(size=2)
            options = {"label": label, "object": 3, "rotation": rotation, "floor_hue": floor, "light_hue": light}
            row.append(env.reset(seed=0, options=options)[0]["image"])
        rows.append(np.concatenate(row, 1))
    half = (len(rows) + 1) // 2
    gap = np.full((half * size, size // 16, 3), 255, np.uint8)
    image = np.concatenate([np.concatenate(rows[:half]), gap, np.concatenate(rows[half:])], 1)
    Image.fromarray(image & 0xFC).save(path, optimize=True)  # the last bits are noise and cost most
    env.close()


if __name__ == "__main__":
    tyro.cli(main)
