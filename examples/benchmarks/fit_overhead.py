"""What `worldjepa.train.fit` costs a step beyond a bare PyTorch loop, for networks of several widths.

    python examples/benchmarks/fit_overhead.py

CPU time of one thread, so that other programs on the machine count little; the two loops take turns and the median is
printed. The bare loop is forward, backward, clipping, AdamW and the target update; `fit` adds the processes' plumbing
(Accelerate), the NaN guard, metrics, progress and the clock, and with "average" the running average of the weights.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
from tensordict import TensorDict
from torch import nn

from worldjepa.data.statistics import Statistics
from worldjepa.learner import Learner
from worldjepa.recipes import make_learner, save_pretrained
from worldjepa.recipes.act_jepa import Config, small
from worldjepa.train import FitConfig, fit
from worldjepa.types import DataSpec, ObsSpec

STEPS, WARM, ROUNDS, BATCH = 100, 20, 5, 64
STATE, ACTION = 10, 2
WIDTHS = (32, 64, 128)


def make(width: int) -> tuple[Learner, TensorDict]:
    """A state-only ACT-JEPA of this width and a batch for it."""
    config: Config = replace(small(), dim=width, ffn_dim=4 * width)
    spec = DataSpec({"state": ObsSpec((STATE,), "float32")}, action_dim=ACTION)
    zeros, ones = torch.zeros(1).numpy(), torch.ones(1).numpy()
    sizes = {"state": STATE, "action": ACTION}
    statistics = {
        key: Statistics(zeros.repeat(n), ones.repeat(n), -ones.repeat(n), ones.repeat(n), 100)
        for key, n in sizes.items()
    }
    torch.manual_seed(0)
    steps = config.history - 1 + max(config.chunk, config.horizon)
    obs = {"state": torch.randn(BATCH, steps + 1, STATE)}
    rows = {
        "obs": TensorDict(obs, batch_size=[BATCH]),
        "action": torch.randn(BATCH, steps, ACTION).clamp(-1, 1),
        "valid": torch.ones(BATCH, steps + 1, dtype=torch.bool),
        "action_valid": torch.ones(BATCH, steps, dtype=torch.bool),
    }
    return make_learner("act_jepa", config, spec, statistics), TensorDict(rows, batch_size=[BATCH])


def bare_loop(width: int) -> float:
    """CPU seconds a step of a loop written by hand."""
    learner, batch = make(width)
    optimizer = torch.optim.AdamW([p for p in learner.parameters() if p.requires_grad], lr=1e-4, fused=True)
    begin = 0.0
    for step in range(WARM + STEPS):
        if step == WARM:
            begin = time.process_time()
        learner(batch)["loss"].backward()
        nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        learner.update_target(step)
    return (time.process_time() - begin) / STEPS


def our_loop(width: int, average: float) -> float:
    """CPU seconds a step of `fit`."""
    learner, batch = make(width)
    times: list[float] = []

    def timed(number: int, rank: int, world: int) -> TensorDict:
        times.append(time.process_time())
        return batch

    config = FitConfig(steps=WARM + STEPS + 1, lr=1e-4, average=average, monitor_every=0, save_every=0, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        fit(learner, timed, config, Path(folder), save_pretrained=save_pretrained)
    return (times[WARM + STEPS] - times[WARM]) / STEPS


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    loops: dict[str, Callable[[int], float]] = {
        "bare": bare_loop,
        "fit": lambda width: our_loop(width, 0.0),
        "average": lambda width: our_loop(width, 0.999),
    }
    print("| width | parameters | bare loop | fit | fit with weight average |")
    print("|---|---|---|---|---|")
    for width in WIDTHS:
        rounds = [{name: loop(width) for name, loop in loops.items()} for _ in range(ROUNDS)]
        ms = {name: 1e3 * median(times[name] for times in rounds) for name in loops}
        extra = [f"{ms[name]:.2f} ms (+{ms[name] / ms['bare'] - 1:.1%})" for name in ("fit", "average")]
        count = sum(p.numel() for p in make(width)[0].parameters() if p.requires_grad)
        print(f"| {width} | {count:,} | {ms['bare']:.2f} ms | {' | '.join(extra)} |")


if __name__ == "__main__":
    main()
