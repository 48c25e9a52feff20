"""The same jobs with stable-worldmodel 0.1.1, for the benchmarks beside this file; prints one JSON object.

Run by the interpreter of a virtual environment of its own (it needs other versions than worldjepa):

    pip install 'torch===2.13.0' torchvision==0.28.0
    printf 'torch===2.13.0\ntorchvision==0.28.0\n' > constraints.txt
    pip install -c constraints.txt 'stable-worldmodel[env,format,train]==0.1.1'

    python peer_stable_worldmodel.py collect '{"format": "lance", "episodes": 20, ...}'

Imports and the making of environments and data are not in the times.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import stable_worldmodel as swm
import torch
from stable_worldmodel.data.format import get_format
from stable_worldmodel.policy import PlanConfig, RandomPolicy
from stable_worldmodel.solver import CEMSolver
from stable_worldmodel.wm.lewm import LeWM
from stable_worldmodel.wm.lewm.module import Embedder, Predictor
from torch import nn


def collect(env: str, format: str, episodes: int, size: int, horizon: int, num_envs: int, repeats: int) -> dict:
    """Seconds to collect ``episodes`` with random actions, and the steps in them."""
    world = swm.World(env, num_envs=num_envs, image_shape=(size, size), max_episode_steps=horizon)
    world.set_policy(RandomPolicy(seed=0))
    seconds, cpu, steps = [], [], 0
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / f"data.{'h5' if format == 'hdf5' else format}")
            begin, cpu_begin = time.perf_counter(), time.process_time()
            world.collect(path, episodes=episodes, seed=0, format=format, progress=False)
            seconds.append(time.perf_counter() - begin)
            cpu.append(time.process_time() - cpu_begin)
            steps = int(np.sum(swm.data.load_dataset(path, format=format).lengths))
    return {"seconds": seconds, "cpu_seconds": cpu, "steps": steps}


def write(folder: str, format: str, pixels: str) -> dict:
    """Write the episodes of ``pixels`` (an npz of ``image`` [E, T, rows, columns, 3] and ``action`` [E, T, A])."""
    with np.load(pixels) as arrays:
        image, action = arrays["image"], arrays["action"]
    path = str(Path(folder) / f"peer.{'h5' if format == 'hdf5' else format}")
    begin = time.perf_counter()
    with get_format(format).open_writer(path) as writer:
        for frames, actions in zip(image, action):
            writer.write_episode({"pixels": list(frames), "action": list(actions)})
    return {"path": path, "seconds": time.perf_counter() - begin}


def windows(path: str, format: str, length: int, stride: int, batch_size: int, seconds: float) -> dict:
    """Windows a second from a shuffled DataLoader without workers."""
    dataset = swm.data.load_dataset(
        path, format=format, num_steps=length, frameskip=stride, keys_to_load=["pixels", "action"]
    )
    loader = torch.utils.data.DataLoader(dataset, batch_size=batch_size, shuffle=True, drop_last=True)
    count, shape, begin, cpu_begin, until = 0, None, 0.0, 0.0, float("inf")
    while time.perf_counter() < until:
        for batch in loader:
            if shape is None:  # the first batch opens the file; it does not count
                shape = {key: list(value.shape) for key, value in batch.items()}
                begin, cpu_begin = time.perf_counter(), time.process_time()
                until = begin + seconds
                continue
            count += batch_size
            if time.perf_counter() >= until:
                break
    rates = {"windows_per_s": time.perf_counter() - begin, "windows_per_cpu_s": time.process_time() - cpu_begin}
    return {**{name: count / spent for name, spent in rates.items()}, "num_windows": len(dataset), "shapes": shape}


def plan(sizes: dict, settings: dict, num_envs: int, repeats: int) -> dict:
    """Milliseconds (of the processor) of a plan from latents, with the embeddings of start and goal given."""
    dim, action_dim = sizes["dim"], sizes["action_dim"] // sizes["block"]
    torch.manual_seed(0)
    predictor = Predictor(
        num_frames=sizes["context"],
        depth=sizes["num_layers"],
        heads=sizes["num_heads"],
        dim_head=sizes["head_dim"],
        mlp_dim=sizes["ffn_dim"],
        input_dim=dim,
        hidden_dim=dim,
    )
    model = LeWM(nn.Identity(), predictor, Embedder(sizes["action_dim"], sizes["action_dim"], dim)).eval()
    solver = CEMSolver(
        model,
        batch_size=settings["batch_size"],
        num_samples=settings["num_samples"],
        n_steps=settings["iterations"],
        topk=settings["num_elites"],
    )
    space = gym.spaces.Box(-1, 1, (num_envs, action_dim), np.float32)
    config = PlanConfig(horizon=settings["horizon"], receding_horizon=1, action_block=sizes["block"])
    solver.configure(action_space=space, n_envs=num_envs, config=config)
    info = {
        "pixels": torch.zeros(num_envs, 1, 1),
        "goal": torch.zeros(num_envs, 1, 1),
        "emb": torch.randn(num_envs, 1, dim),
        "goal_emb": torch.randn(num_envs, 1, dim),
    }
    times = []
    for _ in range(repeats + 1):
        begin = time.process_time()
        solver.solve(dict(info))
        times.append(1e3 * (time.process_time() - begin))
    return {"ms": times[1:], "parameters": sum(p.numel() for p in model.parameters())}


if __name__ == "__main__":
    torch.set_num_threads(1)
    job = {"collect": collect, "write": write, "windows": windows, "plan": plan}[sys.argv[1]]
    print(json.dumps(job(**json.loads(sys.argv[2]))))
