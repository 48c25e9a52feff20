"""Milliseconds of one plan on a processor: worldjepa beside stable-worldmodel and torch-world.

    OMP_NUM_THREADS=1 python examples/benchmarks/planning.py \
        [--peer-python PEER/bin/python] [--torch-world-python TORCH_WORLD/bin/python]

Everyone plans by CEM from the latent of one frame to the latent of a goal, with a causal AdaLN predictor of the same
shape and random weights: 300 samples, the best 30, 10 iterations, 5 blocks of 5 actions of 2 numbers. Encoding is not
counted. Times are of the processor, one thread, the best of some, so that other work on the machine counts little.

The peers run in processes of their own, where they are installed (see peer_stable_worldmodel.py and
peer_torch_world.py); nothing is said of them otherwise. As released they look back on 3 frames (the context), ours
always on all 5. stable-worldmodel plans one environment after the other by default; "together" lets it take all.

Last, the time of one imagined rollout (300 samples, 5 steps) over that of the predictor's forward passes: one over
5 frames of 300 rows (as in training), and five over one frame each. "fast" is how plans imagine (`fast_rollout`),
"plain" is `rollout`, which gradients can pass. How much they differ depends on the processor: see predictors/packed.py.

Before that, anytime planning: the small predictor's plan with ``budget_ms``, by the clock on the wall, which is what a
robot waits for. "Cost" is that of the plan over the cost of the full plan from the same latents and random numbers;
"gap closed" is how much of the way from the plan that does nothing to the full one.
"""

import json
import os
import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import tyro
from tensordict import TensorDict

from worldjepa.plan import CEM
from worldjepa.plan.cost import goal_cost
from worldjepa.predictors.causal import CausalPredictor

HORIZON = 5
SIZES = {
    "small": {"dim": 64, "num_layers": 2, "num_heads": 4, "head_dim": 16, "ffn_dim": 256},
    "paper": {"dim": 192, "num_layers": 6, "num_heads": 16, "head_dim": 64, "ffn_dim": 2048},
}
BLOCK = {"action_dim": 10, "block": 5}
SEARCH = {"num_samples": 300, "num_elites": 30, "iterations": 10}


def main(
    repeats: int = 5,
    budgets: tuple[float, ...] = (5, 20, 50, 100),
    budget_plans: int = 20,
    paper_repeats: int = 2,
    paper_batch: bool = False,
    contexts: tuple[int, ...] = (3, 5),
    peer_python: Path | None = None,
    torch_world_python: Path | None = None,
    out: Path | None = None,
) -> None:
    """Measure and print the tables.

    Args:
        repeats: the best of so many plans counts, for everyone.
        budgets: milliseconds of anytime plans.
        budget_plans: plans a budget, each to a goal of its own.
        paper_repeats: the same for the large predictor.
        paper_batch: plan for 8 environments with the large predictor too; takes minutes.
        contexts: frames that the peers look back on.
        peer_python: interpreter of an environment with stable-worldmodel 0.1.1.
        torch_world_python: interpreter of an environment with torch-world 0.2.0.
        out: JSON file for the results.
    """
    torch.set_num_threads(1)
    rows = []
    for size, num_envs in (("small", 1), ("small", 8), ("paper", 1), ("paper", 8))[: 4 if paper_batch else 3]:
        count = paper_repeats if size == "paper" else repeats
        rows.append({"size": size, "num_envs": num_envs, "planner": "worldjepa", **ours(size, num_envs, count)})
        for context in contexts:
            job = {"sizes": {**SIZES[size], **BLOCK, "context": context}, "num_envs": num_envs, "repeats": count}
            for name, found in peers(job, peer_python, torch_world_python).items():
                about = {"size": size, "num_envs": num_envs, "planner": f"{name}, context {context}"}
                rows.append({**about, **found})
    timed = anytime(budgets, budget_plans)
    ratios = {size: rollout_times(size, max(repeats, 5)) for size in SIZES}
    print(table(rows))
    print("\n| budget, ms | iterations | ms, p50 | ms, p95 | cost / the full plan's | gap closed |")
    print("|---|---|---|---|---|---|")
    for row in timed:
        print("| {budget} | {iterations:.1f} | {p50:.1f} | {p95:.1f} | {cost:.2f} | {closed:.0%} |".format(**row))
    print("\n| predictor | rollout | ms | / one forward pass of 5 frames | / 5 forward passes of one frame |")
    print("|---|---|---|---|---|")
    for size, found in ratios.items():
        for way in ("fast", "plain"):
            over = " | ".join(f"{found[way] / found[n]:.2f}" for n in ("whole", "apart"))
            print(f"| {size} | {way} | {found[way]:.1f} | {over} |")
    print(f"\n{machine()}")
    if out is not None:
        out.write_text(json.dumps({"machine": machine(), "rows": rows, "anytime": timed, "rollout": ratios}, indent=1))


def ours(size: str, num_envs: int, repeats: int) -> dict:
    """Milliseconds of each plan."""
    predictor = make_predictor(size)
    dim = SIZES[size]["dim"]
    z, goal = torch.randn(num_envs, 1, 1, dim), torch.randn(num_envs, 1, 1, dim)
    planner = CEM(**SEARCH)
    bound = torch.ones(BLOCK["action_dim"])
    init = torch.zeros(num_envs, HORIZON, BLOCK["action_dim"])
    times = []
    for _ in range(repeats + 1):
        generators = [torch.Generator().manual_seed(row) for row in range(num_envs)]
        begin = time.process_time()
        planner.plan(goal_cost(predictor, z, goal, reduce="last"), init, generators, low=-bound, high=bound)
        times.append(1e3 * (time.process_time() - begin))
    return {"ms": times[1:], "parameters": sum(p.numel() for p in predictor.parameters())}


def anytime(budgets: tuple[float, ...], num_plans: int) -> list[dict[str, Any]]:
    """Time and cost of plans under each budget and of the full plan, which is last; budgets taken in turns."""
    predictor, dim = make_predictor("small"), SIZES["small"]["dim"]
    for weight in predictor.parameters():  # fresh predictors are told actions through maps of zeros: nothing to plan
        weight.normal_(std=max(weight.shape[-1], 1) ** -0.5 if weight.ndim > 1 else 0.02)
    bound, init = torch.ones(BLOCK["action_dim"]), torch.zeros(1, HORIZON, BLOCK["action_dim"])
    limits: list[float | None] = [*budgets, None]
    times: dict[float | None, list[float]] = {limit: [] for limit in limits}
    costs: dict[float | None, list[float]] = {limit: [] for limit in limits}
    counts: dict[float | None, list[int]] = {limit: [] for limit in limits}
    nothing = []
    for number in range(num_plans + 1):
        source = torch.Generator().manual_seed(number)
        z = torch.randn(1, 1, 1, dim, generator=source)
        # A goal that can be reached: where unknown actions lead.
        hidden = torch.rand(1, 1, HORIZON, BLOCK["action_dim"], generator=source) * 2 - 1
        cost = goal_cost(predictor, z, predictor.rollout(z, hidden)[:, 0, -1:], reduce="last")
        nothing.append(cost(init[:, None]).item())
        for limit in limits:
            planner = CEM(**SEARCH, budget_ms=limit)
            begin = time.perf_counter()
            plan = planner.plan(cost, init, [torch.Generator().manual_seed(number)], low=-bound, high=bound)
            times[limit].append(1e3 * (time.perf_counter() - begin))
            costs[limit].append(plan.cost.item())
            counts[limit].append(plan.num_evaluated // SEARCH["num_samples"])
    rows = []
    for limit in limits:  # the first plan of each is for warming up
        spent, left, still = (torch.tensor(x[1:]) for x in (times[limit], costs[limit], nothing))
        full = torch.tensor(costs[None][1:])
        rows.append(
            {
                "budget": "none" if limit is None else f"{limit:g}",
                "iterations": sum(counts[limit][1:]) / num_plans,
                "p50": spent.quantile(0.5).item(),
                "p95": spent.quantile(0.95).item(),
                "cost": (left.mean() / full.mean()).item(),
                "closed": ((still - left).mean() / (still - full).mean()).item(),
            }
        )
    return rows


def peers(job: dict, peer_python: Path | None, torch_world_python: Path | None) -> dict[str, dict]:
    """The same of those peers whose interpreter is given."""
    here, found = Path(__file__).parent, {}
    ways = {"stable-worldmodel": 1, "stable-worldmodel, together": job["num_envs"]}
    for name, together in list(ways.items())[: 1 if job["num_envs"] == 1 else 2]:
        if peer_python is not None:
            settings = {**SEARCH, "horizon": HORIZON, "batch_size": together}
            script = [str(peer_python), str(here / "peer_stable_worldmodel.py"), "plan"]
            found[name] = run([*script, json.dumps({**job, "settings": settings})])
    if torch_world_python is not None:
        script = [str(torch_world_python), str(here / "peer_torch_world.py")]
        found["torch-world"] = run([*script, json.dumps({**job, "settings": {**SEARCH, "horizon": HORIZON}})])
    return found


def make_predictor(size: str) -> CausalPredictor:
    """A predictor with random weights, for use without gradients."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = SIZES[size]
    predictor = CausalPredictor(action_dim=BLOCK["action_dim"], context_length=HORIZON, **sizes)
    return predictor.eval().requires_grad_(False)


def rollout_times(size: str, repeats: int) -> dict[str, float]:
    """Milliseconds of rollouts and of forward passes: best of ``repeats``, taken in turns."""
    predictor, num, dim = make_predictor(size), SEARCH["num_samples"], SIZES[size]["dim"]
    z, action = torch.randn(1, 1, 1, dim), torch.randn(1, num, HORIZON, BLOCK["action_dim"])
    frames = torch.randn(num, HORIZON, 1, dim)
    whole = TensorDict({"action": action[0]}, [num])
    apart = [TensorDict({"action": action[0, :, t : t + 1]}, [num]) for t in range(HORIZON)]
    fast = predictor.fast_rollout()
    jobs = {
        "fast": lambda: fast(z, action),
        "plain": lambda: predictor.rollout(z, action),
        "whole": lambda: predictor(frames, whole),
        "apart": lambda: [predictor(frames[:, :1], query) for query in apart],
    }
    best = dict.fromkeys(jobs, float("inf"))
    with torch.no_grad():
        for _ in range(repeats):
            for name, job in jobs.items():
                begin = time.process_time()
                job()
                best[name] = min(best[name], 1e3 * (time.process_time() - begin))
    return best


def run(command: list[str]) -> dict:
    """The JSON that a peer prints last."""
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def table(rows: list[dict]) -> str:
    """The results as a Markdown table."""
    lines = [
        "| predictor | environments | planner | parameters | ms a plan of all | worldjepa is faster by |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        same = [r for r in rows if (r["size"], r["num_envs"]) == (row["size"], row["num_envs"])]
        base = min(next(r for r in same if r["planner"] == "worldjepa")["ms"])
        cells = [row["size"], row["num_envs"], row["planner"], f"{row['parameters']:,}", f"{min(row['ms']):,.0f}"]
        lines.append("| " + " | ".join(map(str, [*cells, f"{min(row['ms']) / base:.1f}"])) + " |")
    return "\n".join(lines)


def machine() -> str:
    """What the numbers were measured on."""
    load = f"load {os.getloadavg()[0]:.1f}"
    name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, one thread used, {load}; torch {metadata.version('torch')}"


if __name__ == "__main__":
    tyro.cli(main)
