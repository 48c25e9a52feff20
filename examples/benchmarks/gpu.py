"""On an accelerator: how fast LeWorldModel trains at 224 px, how busy that keeps the device, how long a plan takes.

    python examples/benchmarks/gpu.py                                   # where there is a GPU
    python examples/benchmarks/gpu.py --device cpu --steps 4 --warm 2 --batch-size 4 --episodes 2 --samples 30 --plans 2

Training is `fit` itself on recorded pictures through the window sampler, bf16, with and without torch.compile; "busy"
is the share of time in which kernels ran, from the first on, in a second training of the same kind. Plans are CEM's
with a small predictor and one of LeWorldModel's size, random weights, 10 iterations of 5 blocks, from a latent to a
goal latent, waited for until they are on the host.
"""

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from gpu_use import watched
from planning import BLOCK, HORIZON, SIZES, make_predictor
from rich.table import Table
from study import CONSOLE

from worldjepa.data import Store, open_store
from worldjepa.data.collect import collect
from worldjepa.evaluate.floors import RandomPolicy
from worldjepa.evaluate.rollout import task
from worldjepa.plan import CEM
from worldjepa.plan.cost import goal_cost
from worldjepa.recipes import ac_jepa, fit_statistics, make_learner, recipe, save_pretrained
from worldjepa.train import FitConfig, fit


@dataclass(frozen=True, kw_only=True)
class Args:
    """What to measure."""

    device: Literal["auto", "cpu"] = "auto"
    """"cpu" measures the same without an accelerator."""
    image_size: int = 224
    episodes: int = 40
    """Recorded, of 100 steps each; 15 MB an episode at 224 px."""
    batch_size: int = 128
    """Windows of 4 frames."""
    steps: int = 200
    """Measured steps of training."""
    warm: int = 50
    """Steps before them."""
    compiled: tuple[bool, ...] = (False, True)
    """Without and with torch.compile."""
    samples: tuple[int, ...] = (300, 3000)
    """Sequences of a plan."""
    plans: int = 50
    """Measured plans, after three others."""


def main(args: Args) -> None:
    """Measure and print two tables."""
    if args.device == "auto" and not torch.cuda.is_available():
        raise SystemExit("there is no CUDA device here; --device cpu measures the same on the processor")
    device = torch.device("cuda" if args.device == "auto" else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    title = f"LeWorldModel at {args.image_size} px, batches of {args.batch_size} windows of 4 frames, {name}"
    table = Table("torch.compile", "windows/s", "ms a step", "busy", "peak GiB", title=title)
    with tempfile.TemporaryDirectory() as folder:
        store = recorded(args, Path(folder))
        for compiled in args.compiled:
            found = training(args, store, Path(folder) / f"run-{compiled}", compiled=compiled)
            table.add_row(str(compiled), *found)
    CONSOLE.print(table)
    table = Table("predictor", "samples", "ms a plan, p50", "p95", title=f"CEM, {name}")
    for size in SIZES:
        for samples in args.samples:
            p50, p95 = planning(args, size, samples, device)
            table.add_row(size, str(samples), f"{p50:.1f}", f"{p95:.1f}")
    CONSOLE.print(table)


def recorded(args: Args, folder: Path) -> Store:
    """Random walks in TwoRooms."""
    env = task("worldjepa_envs:worldjepa/TwoRooms-v0", obs_type="pixels", image_size=args.image_size)
    path = folder / "walks.hdf5"
    collect(env, RandomPolicy(env.action_space, hold=10), path, args.episodes, seed=0, num_envs=16)
    return open_store(path)


def training(args: Args, store: Store, folder: Path, *, compiled: bool) -> tuple[str, str, str, str]:
    """Windows a second, milliseconds a step, share of the time in which kernels ran, most memory."""
    config = ac_jepa.lewm()
    sampler = (
        recipe("ac_jepa")
        .window(config, store.spec)
        .sampler(store, episodes=np.arange(len(store)), batch_size=args.batch_size, seed=0)
    )

    def run(steps: int, where: Path) -> None:
        learner = make_learner("ac_jepa", config, store.spec, fit_statistics(config, store, np.arange(len(store))))
        settings = FitConfig(
            steps=steps,
            batch_size=args.batch_size,
            lr=5e-5,
            precision="bf16",
            device=args.device,
            compile=compiled,
            log_every=1,
            monitor_every=0,
            evaluate_every=0,
            save_every=0,
        )
        fit(learner, sampler.batch, settings, where, save_pretrained=save_pretrained)

    run(args.warm, folder.with_name(f"{folder.name}-warm"))  # compiles: what follows finds it in inductor's cache
    with watched("cpu" if args.device == "cpu" else "cuda") as gpu:
        run(args.warm + args.steps, folder)
    times = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    at = {row["step"]: row["time_s"] for row in times if "time_s" in row}
    first, last = min(s for s in at if s >= args.warm), max(at)
    seconds = (at[last] - at[first]) / (last - first)
    share = f"{gpu['gpu_busy']:.0%}" if "gpu_busy" in gpu else "-"
    peak = f"{gpu['gpu_mib'] / 1024:.1f}" if "gpu_mib" in gpu else "-"
    return f"{args.batch_size / seconds:,.0f}", f"{1e3 * seconds:.1f}", share, peak


@torch.no_grad()
def planning(args: Args, size: str, samples: int, device: torch.device) -> tuple[float, float]:
    """Median and 95th percentile of a plan, ms."""
    predictor, dim = make_predictor(size).to(device), SIZES[size]["dim"]
    planner = CEM(num_samples=samples, num_elites=max(2, samples // 10), iterations=10)
    bound = torch.ones(BLOCK["action_dim"], device=device)
    init = torch.zeros(1, HORIZON, BLOCK["action_dim"], device=device)
    times = []
    for number in range(args.plans + 3):
        generator = torch.Generator(device).manual_seed(number)
        z, goal = (torch.randn(1, 1, 1, dim, device=device, generator=generator) for _ in range(2))
        begun = time.perf_counter()
        plan = planner.plan(goal_cost(predictor, z, goal, reduce="last"), init, [generator], low=-bound, high=bound)
        plan.cost.cpu()
        times.append(1e3 * (time.perf_counter() - begun))
    p50, p95 = torch.tensor(times[3:]).quantile(torch.tensor([0.5, 0.95])).tolist()
    return p50, p95


if __name__ == "__main__":
    main(tyro.cli(Args))
