"""Push-T from human demonstrations: reaching goal states by planning, by cloning, and by both.

    python examples/benchmarks/pusht_planning.py --data pusht_cchi_v7_replay.zarr.zip --cpu-minutes 10

The protocol of DINO-WM, LeWorldModel and stable-worldmodel: an episode starts at a state of a held-out demonstration,
its goal is the state that the human had come to 25 control steps later, within 50 steps; it is reached where agent and
block together are within 20 px and the block's angle within pi / 9. Actions are counted from the agent's position, up
to 100 px. As there, 25 steps of the hand may leave the block where it was: the last table is of those starts alone
whose block must move (by 20 px or pi / 9). Other than there: starts that are solved already are dropped, everything
is at rest at the start (the recording has no velocities), and goals are of demonstrations that nobody learned from.

The last `NUM_VALID` demonstrations are held out, the first `NUM_TUNING` of them for `--tune`: settings are never chosen
on the reported starts. All methods learn from the others and their mirror images, from states alone, for the same CPU
time: a world model, and goal-conditioned cloning of chunks. The hybrid plans with the world model from the chunk that
the cloner proposes. (ACT-JEPA is not told goals, so it has nothing to propose
here; world_model_hybrid.py has it.) Every run is resumable: start the
same command again and it goes on where it stopped.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
import tyro
from numpy import ndarray
from pusht import EVALUATION_SEED, STATES, TUNING_SEED, write_twins
from rich.table import Table
from study import CONSOLE, Budget, changed, frozen_starts, once, references, solve, success_table, train
from world_model import imagination, world_table

from worldjepa.data import Episode, Store, open_source, open_store
from worldjepa.data.task import Task, task
from worldjepa.evaluate.manifest import Manifest
from worldjepa.evaluate.results import Evaluation
from worldjepa.learner import Learner
from worldjepa.plan import ICEM
from worldjepa.recipes import ac_jepa, from_pretrained, gcbc
from worldjepa.types import Policy
from worldjepa_envs.pusht import GOAL_ANGLE, GOAL_DISTANCE, REACH
from worldjepa_envs.recorded import RecordedGoals
from worldjepa_policies import ChunkPolicy
from worldjepa_policies.copy_latent import CopyLatentPolicy
from worldjepa_policies.mpc import MPCPolicy
from worldjepa_policies.prior import HybridPolicy

ENV_ID = "worldjepa/PushT-v0"
OPTIONS = {"obs_type": "state", "goal_obs": True, "relative_actions": True}
NUM_VALID, NUM_TUNING = 30, 10
LEARNED = ("gcbc", "ac_jepa")
BLOCK = 5
"""Control steps of a transition of the world model, and actions that every policy executes before it looks again."""


@dataclass(frozen=True, kw_only=True)
class Args:
    """What to run."""

    data: Path
    """Push-T zarr, folder or zip."""
    out: Path = Path("runs/pusht_planning")
    """Folder of the runs."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Training seeds."""
    cpu_minutes: float = 10.0
    """CPU time of one training, on one thread (wall minutes on an accelerator)."""
    episodes: int = 100
    """Goals a policy is given."""
    offset: int = 25
    """Control steps from start to goal in the demonstration; a plan looks as far ahead."""
    limit: int = 50
    """Steps a policy may take."""
    samples: int = 300
    """Sequences of the planner's first iteration."""
    iterations: int = 6
    """Of the planner."""
    std: float = 1.0
    """Spread of the planner's first sequences, in standard deviations of the actions."""
    hybrid_std: float = 0.5
    """The same around the cloner's chunk."""
    penalty: float = 0.0
    """Weight of the action penalty in both planners' cost."""
    batch_size: int = 128
    """Windows in a batch."""
    lr: float = 2e-3
    """Peak learning rate of the world model."""
    gcbc_lr: float = 3e-4
    """Peak learning rate of the cloner."""
    device: Literal["cpu", "auto"] = "cpu"
    """"auto" takes an accelerator for the training."""
    tune: bool = False
    """Evaluate on tuning starts."""


def main(args: Args) -> None:
    """Train and evaluate what is missing, then print the tables."""
    torch.set_num_threads(1)
    store = open_store(demonstrations(args.data, args.out))
    goals = goal_task(store, held_out(store, tuning=args.tune), args)
    folder, shared = args.out / setting(args), args.out / budget_name(args)
    starts = frozen_starts(goals, args.episodes, TUNING_SEED if args.tune else EVALUATION_SEED, folder)
    outcomes = []
    for seed in args.seeds:
        learned = {n: once(shared / f"{n}-seed{seed}", partial(learn, args, store, n, seed)) for n in LEARNED}
        models = {name: from_pretrained(outcome["folder"]) for name, outcome in learned.items()}
        found = once(folder / f"seed{seed}", partial(evaluate_all, args, models, goals, starts))["evaluations"]
        cloned = {"GCBC": found.pop("GCBC")}
        outcomes += [{**learned["ac_jepa"], "evaluations": found}, {**learned["gcbc"], "evaluations": cloned}]
    floors = references(goals, starts, folder / "references")
    title = f"Push-T, goals {args.offset} steps ahead: {len(args.seeds)} seeds x {args.episodes} goals"
    CONSOLE.print(success_table(title, outcomes, floors, "hybrid"))
    CONSOLE.print(moved_table(starts, outcomes, floors))
    CONSOLE.print(world_table([o for o in outcomes if "open_loop" in o]))


def setting(args: Args) -> str:
    """Folder name of what all evaluations share."""
    search = f"{args.samples}x{args.iterations}-std{args.std:g}-{args.hybrid_std:g}-penalty{args.penalty:g}"
    goals = f"{args.offset}ahead-{args.limit}steps-{args.episodes}goals"
    return f"{budget_name(args)}-{goals}-{search}" + "-tune" * args.tune


def budget_name(args: Args) -> str:
    """Folder name of what all trainings share."""
    forms = {"batch_size": "batch{}", "lr": "lr{:g}", "gcbc_lr": "cloning{:g}", "device": "{}"}
    return f"{args.cpu_minutes:g}min{changed(args, **forms)}"


def demonstrations(data: Path, out: Path) -> Path:
    """The demonstrations and their mirror images with relative actions as one robomimic file; made once."""
    path = out / f"pusht_relative_{NUM_VALID}valid.hdf5"
    if path.exists():
        return path
    source = open_source(data)
    spec = replace(
        source.spec,
        obs={key: source.spec.obs[key] for key in (*STATES, "block_pose")},
        action_low=(-REACH, -REACH),
        action_high=(REACH, REACH),
        env={"env_name": ENV_ID, "type": 2, "env_kwargs": OPTIONS},
    )
    return write_twins(path, source, spec, NUM_VALID, relative)


def relative(episode: Episode) -> Episode:
    """The episode with actions counted from the agent's position; those beyond the reach (1 in 1000) cut to it."""
    offset = episode.action - episode.obs["agent_pos"][: len(episode.action)]
    return replace(episode, action=offset.clip(-REACH, REACH).astype(np.float32))


def held_out(store: Store, *, tuning: bool) -> ndarray:
    """Held-out demonstrations, without mirror images: for choosing settings, or for reporting."""
    originals = store.episodes("valid")[::2]
    return originals[:NUM_TUNING] if tuning else originals[NUM_TUNING:]


def goal_task(store: Store, episodes: ndarray, args: Args) -> Task:
    """Push-T from every state of the episodes that has one ``offset`` steps later, which is the goal."""
    state = np.concatenate([store.arrays[f"obs/{key}"] for key in ("agent_pos", "block_pose")], axis=1)
    rows = np.concatenate([np.arange(int(store.starts[i]), int(store.ends[i]) - args.offset) for i in episodes])
    starts, goals = state[rows].astype(np.float64), state[rows + args.offset].astype(np.float64)

    def make(render_mode: str | None = None, **kwargs: Any) -> gym.Env:
        env = gym.make(ENV_ID, render_mode=render_mode, disable_env_checker=True, **kwargs)
        return RecordedGoals(env, starts, goals)

    return task(ENV_ID, make=make, horizon=args.limit, **OPTIONS)


def configuration(name: str) -> Any:
    """A cloner of whole plans, or a world model; both are shown two frames, from which speed can be told."""
    if name == "gcbc":
        return gcbc.Config(state_keys=STATES, history=2, chunk=5 * BLOCK, goal_steps=15.0)
    return replace(ac_jepa.states(), state_keys=STATES, history=2, horizon=5, stride=BLOCK)


def learn(args: Args, store: Store, name: str, seed: int, folder: Path) -> dict[str, Any]:
    """Train a method, and measure a world model's imagination on the demonstrations held out for tuning."""
    training = store.episodes("train")
    lr = args.gcbc_lr if name == "gcbc" else args.lr
    budget = Budget(cpu_minutes=args.cpu_minutes, batch_size=args.batch_size, lr=lr, warmup=100, device=args.device)
    trained = train(name, configuration(name), store, training, training[:0], seed, budget, folder)
    if name == "gcbc":
        return trained
    probed = imagination(from_pretrained(folder), STATES, store, training, held_out(store, tuning=True))
    return {**trained, **probed}


def evaluate_all(args: Args, models: dict[str, Learner], goals: Task, starts: Manifest, folder: Path) -> dict[str, Any]:
    """Every policy of one training seed from the same starts."""
    chunks, model = (models[name] for name in LEARNED)
    search = {"num_samples": args.samples, "iterations": args.iterations, "beta": 2.0, "block": BLOCK}
    planner, near = ICEM(std=args.std, **search), ICEM(std=args.hybrid_std, **search)
    options: dict[str, Any] = {"horizon": -(-args.offset // BLOCK), "execute": 1, "penalty": args.penalty}
    policies: dict[str, Policy] = {
        "hybrid": HybridPolicy(model, chunks, near, **options),
        "MPC": MPCPolicy(model, planner, **options),
        "GCBC": ChunkPolicy(chunks, n_action_steps=BLOCK),
        "copy latent": CopyLatentPolicy(model, planner, **{**options, "penalty": 0.0}),
    }
    return {"evaluations": {name: solve(policy, goals, starts, name, folder) for name, policy in policies.items()}}


def moved_table(starts: Manifest, outcomes: list[dict[str, Any]], floors: dict[str, Evaluation]) -> Table:
    """Success where the block must move, seed by seed."""
    moved = block_moves(starts)
    title = f"block must move: {moved.sum()} of {len(moved)} starts"
    table = Table("policy", "success", "each seed", title=title)
    found: dict[str, list[Evaluation]] = {}
    for name, path in [pair for outcome in outcomes for pair in outcome["evaluations"].items()]:
        found.setdefault(name, []).append(Evaluation.load(Path(path)))
    for name, evaluations in {**found, **{name: [e] for name, e in floors.items()}}.items():
        rates = [e.successes[moved].mean() for e in evaluations] if moved.any() else []
        table.add_row(name, f"{np.mean(rates):.3f}" if rates else "", " ".join(f"{x:.2f}" for x in rates))
    return table


def block_moves(starts: Manifest) -> ndarray:
    """[n] whether the block's place or angle at the goal is not already that of the start."""
    now, then = (np.array([s[key] for s in starts.starts]) for key in ("block_pose", "goal_block_pose"))
    turned = np.abs((then[:, 2] - now[:, 2] + np.pi) % (2 * np.pi) - np.pi)
    return (np.linalg.norm(then[:, :2] - now[:, :2], axis=1) >= GOAL_DISTANCE) | (turned >= GOAL_ANGLE)


if __name__ == "__main__":
    main(tyro.cli(Args))
