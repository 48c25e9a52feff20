"""Seconds to collect 2,000 steps of TwoRooms with pictures: worldjepa beside stable-worldmodel's TwoRoom.

    OMP_NUM_THREADS=1 python examples/benchmarks/collection.py [--peer-python PEER/bin/python]

Random actions, episodes of 100 steps, 64 x 64 pictures, written to disk; 20 episodes, or one an environment where
there are more environments than that. "vector" is the environment that steps all rows in numpy, "task" runs one
environment after the other and stops episodes that are solved, as most simulators do. Imports and the making of the
environments are not counted. Where other work shares the machine, the processor's time says more than the clock's; the
best run of each counts. The peer runs 20 episodes of the like in its own process, if it is installed (see
peer_stable_worldmodel.py); nothing is said of it otherwise.
"""

import json
import os
import platform
import subprocess
import tempfile
import time
from importlib import metadata
from pathlib import Path

import gymnasium as gym
import torch
import tyro

from worldjepa.data.collect import collect
from worldjepa.data.task import task
from worldjepa.evaluate.floors import RandomPolicy

ENV_ID, PEER_ENV_ID = "worldjepa/TwoRooms-v0", "swm/TwoRoom-v1"
EPISODES, HORIZON, STEPS = 20, 100, 2000


def main(
    num_envs: tuple[int, ...] = (1, 8, 64),
    size: int = 64,
    repeats: int = 5,
    peer_python: Path | None = None,
    out: Path | None = None,
) -> None:
    """Measure and print the table.

    Args:
        num_envs: environments side by side.
        size: rows and columns of the pictures.
        repeats: the best of so many runs counts, for everyone.
        peer_python: interpreter of an environment with stable-worldmodel 0.1.1.
        out: JSON file for the results.
    """
    torch.set_num_threads(1)
    rows = []
    if peer_python is not None:
        for format in ("lance", "hdf5"):
            rows.append({"name": f"stable-worldmodel, {format}", "envs": 1, **peer(peer_python, format, size, repeats)})
    rows += [
        {"name": f"worldjepa, {kind}", "envs": num, **ours(kind, num, size, repeats)}
        for kind in ("vector", "task")
        for num in num_envs
    ]
    print(table(rows))
    print(f"\n{machine()}")
    if out is not None:
        out.write_text(json.dumps({"machine": machine(), "size": size, "rows": rows}, indent=1))


def ours(kind: str, num: int, size: int, repeats: int) -> dict:
    """Seconds of each run, and the steps in it."""
    options = {"obs_type": "state+pixels", "image_size": size}
    seconds, cpu, steps = [], [], 0
    for _ in range(repeats):
        made = task(ENV_ID, **options)
        if kind == "vector":
            made = gym.make_vec(ENV_ID, num, vectorization_mode="vector_entry_point", **options)
        with tempfile.TemporaryDirectory() as folder:
            policy = RandomPolicy(task(ENV_ID).action_space)
            begin, cpu_begin = time.perf_counter(), time.process_time()
            found = collect(made, policy, Path(folder) / "data.hdf5", max(EPISODES, num), num_envs=num)
            seconds.append(time.perf_counter() - begin)
            cpu.append(time.process_time() - cpu_begin)
            steps = found.num_steps
    return {"seconds": seconds, "cpu_seconds": cpu, "steps": steps}


def peer(python: Path, format: str, size: int, repeats: int) -> dict:
    """The same of stable-worldmodel."""
    job = {"env": PEER_ENV_ID, "format": format, "episodes": EPISODES, "size": size, "horizon": HORIZON}
    script = Path(__file__).parent / "peer_stable_worldmodel.py"
    command = [str(python), str(script), "collect", json.dumps({**job, "num_envs": 1, "repeats": repeats})]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def table(rows: list[dict]) -> str:
    """The results as a Markdown table."""
    for row in rows:
        row["wall"], row["cpu"] = (STEPS * min(row[name]) / row["steps"] for name in ("seconds", "cpu_seconds"))
    peers = [row for row in rows if row["name"].startswith("stable-worldmodel")]
    lines = [
        f"| collector | environments | steps/s | s for {STEPS:,} steps | processor s | x best peer | x processor |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row["name"], row["envs"], f"{STEPS / row['wall']:,.0f}", f"{row['wall']:.2f}", f"{row['cpu']:.2f}"]
        for name in ("wall", "cpu"):
            cells.append(f"{min(peer[name] for peer in peers) / row[name]:.1f}" if peers else "not measured")
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def machine() -> str:
    """What the numbers were measured on."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "h5py", "numpy", "gymnasium"))
    load = f"load {os.getloadavg()[0]:.1f}"
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, one thread used, {load}; {versions}"


if __name__ == "__main__":
    tyro.cli(main)
