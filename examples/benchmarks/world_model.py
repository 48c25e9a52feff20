"""World models from pixels: collect, train, imagine, plan; beside random, copy-latent planning and goal-conditioned BC.

    python examples/benchmarks/world_model.py --world two_rooms --cpu-minutes 10
    python examples/benchmarks/world_model.py --world push_near --cpu-minutes 6 --precision bf16 --lr 1e-3
    python examples/benchmarks/world_model.py --models sigreg vicreg --variants examples/benchmarks/variants.json

Every run is resumable: start the same command again and it goes on where it stopped. All methods learn from the same
recordings, 64 px images alone, for the same CPU time. Training and evaluation starts are apart, and `--tune` evaluates
on others than the reported ones, so that settings are never chosen on those.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from rich.table import Table
from study import CONSOLE, Budget, changed, frozen_starts, once, references, solve, success_table, train

import worldjepa_envs  # noqa: F401  (registers the environments)
from worldjepa.collapse import effective_rank
from worldjepa.data import Store, open_store
from worldjepa.data.collect import collect
from worldjepa.data.task import Task
from worldjepa.evaluate.floors import RandomPolicy
from worldjepa.evaluate.imagine import imagine
from worldjepa.evaluate.manifest import Manifest
from worldjepa.evaluate.probe import ProbeWindows, probe_windows
from worldjepa.evaluate.rollout import Evaluation, task
from worldjepa.learner import Learner
from worldjepa.plan import ICEM
from worldjepa.recipes import ac_jepa, from_pretrained, gcbc
from worldjepa.types import Policy
from worldjepa_policies import ChunkPolicy, ScriptedPolicy
from worldjepa_policies.amortised import InverseDynamicsPolicy
from worldjepa_policies.copy_latent import CopyLatentPolicy
from worldjepa_policies.mpc import MPCPolicy

TUNING_SEED, VALID = 77, 50


@dataclass(frozen=True)
class World:
    """An environment, how it is recorded, and what is probed."""

    env_id: str
    episodes: int
    """Recorded for each seed, `VALID` of them held out."""
    expert_share: float
    """Part of them that a noisy expert makes; the rest are random walks."""
    hold: int
    """Steps for which a random action is held."""
    probed: tuple[str, ...]
    """States that a linear map must read from imagined latents."""
    horizon: int
    """Blocks of a plan."""
    std: float = 1.0
    """Of the actions that a plan begins with, in standard deviations of the recorded ones."""
    model: dict[str, Any] = field(default_factory=dict)
    """Changes of the small preset."""
    unread: tuple[int, ...] = ()
    """Places of the probed states that a linear map cannot read, left out of a second error."""
    evaluation_seed: int = 2026
    """Of the starts that are reported: those that chose nothing."""


WORLDS = {
    "two_rooms": World("worldjepa/TwoRooms-v0", 1100, 0.25, 10, ("agent",), 8, std=1.5),
    "push_near": World(
        "worldjepa/PushNear-v0",
        1100,
        0.5,
        6,
        ("pusher", "block"),
        6,
        model={"temporal": 0.0, "trunk_width": 32},  # nothing stays the same within an episode only
        unread=(4,),  # the cosine of an angle near zero
        evaluation_seed=2027,  # the starts of 2026 were looked at when the learning rate was chosen
    ),
}


@dataclass(frozen=True, kw_only=True)
class Args:
    """What to run."""

    world: Literal["two_rooms", "push_near"] = "two_rooms"
    out: Path = Path("runs/world_model")
    """Folder of recordings and runs."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the recording, the weights and the order of the windows."""
    cpu_minutes: float = 6.0
    """CPU time of one training, on one thread."""
    episodes: int = 100
    """Goals a policy is given."""
    models: tuple[str, ...] = ("small",)
    """Names of world models: "small", or variants named in --variants."""
    variants: Path | None = None
    """JSON file {name: {field of ac_jepa.Config: value}}: changes of the small preset."""
    env: dict[str, str] = field(default_factory=dict)
    """Keyword arguments of the environment, JSON values: --env distractor true."""
    baselines: bool = True
    """Also goal-conditioned BC, inverse dynamics, copy-latent planning, the expert, random and no-op."""
    samples: int = 300
    """Sequences of actions that a plan begins with."""
    iterations: int = 6
    """Of a plan."""
    batch_size: int = 64
    lr: float = 2e-3
    """Of world models."""
    gcbc_lr: float = 3e-4
    """Of goal-conditioned BC, which does not leave its starting loss at 1e-3 or above."""
    device: Literal["cpu", "auto"] = "cpu"
    precision: Literal["no", "bf16"] = "no"
    """Of the forward pass in training, for all methods alike."""
    tune: bool = False
    """Evaluate on tuning starts."""


def main(args: Args) -> None:
    """Run what is missing, then print the table."""
    torch.set_num_threads(1)
    world, folder = WORLDS[args.world], args.out / setting(args)
    goals = environment(world, args, goal_obs=True)
    starts = frozen_starts(goals, args.episodes, TUNING_SEED if args.tune else world.evaluation_seed, folder)
    outcomes = []
    for seed in args.seeds:
        store = recorded(world, args, seed)
        for model in args.models:
            place = folder / f"{model}-seed{seed}"
            run = partial(run_model, args, world, model, seed, store, goals, starts)
            outcomes.append(unchanged(once(place, run), variant(args, model)))
        if args.baselines:
            run = partial(run_gcbc, args, seed, store, goals, starts)
            outcomes.append(once(folder / f"gcbc-seed{seed}", run))
    floors = {}
    if args.baselines:
        floors = references(goals, starts, folder / "references", {"expert": ScriptedPolicy(world.env_id)})
    title = (
        f"{args.world}: {len(args.seeds)} seeds x {args.episodes} goals, {args.cpu_minutes:g} CPU-minutes a training"
    )
    CONSOLE.print(success_table(title, outcomes, floors, args.models[0]))
    CONSOLE.print(world_table([o for o in outcomes if "open_loop" in o]))
    for path in sorted(args.out.glob(f"{args.world}{environment_name(args)}-seed*.json")):
        CONSOLE.print(f"{path.stem}: recorded in {json.loads(path.read_text())['cpu_seconds'] / 60:.1f} CPU-minutes")


def setting(args: Args) -> str:
    """Folder name of what all runs share."""
    forms = {"batch_size": "batch{}", "lr": "lr{:g}", "gcbc_lr": "cloning{:g}", "precision": "{}", "device": "{}"}
    budget = f"-{args.cpu_minutes:g}min-{args.episodes}goals"
    search = changed(args, samples="{}samples", iterations="{}iterations")
    return f"{args.world}{environment_name(args)}{budget}{changed(args, **forms)}{search}" + "-tune" * args.tune


def environment_name(args: Args) -> str:
    """What is changed in the environment, for the names of recordings and folders."""
    return "".join(f"-{k}{v}" for k, v in sorted(args.env.items()))


def environment(world: World, args: Args, **options: Any) -> Task:
    """The task with states and 64 px images."""
    given = {key: json.loads(value) for key, value in args.env.items()}
    return task(f"worldjepa_envs:{world.env_id}", obs_type="state+pixels", image_size=64, **given, **options)


def recorded(world: World, args: Args, seed: int) -> Store:
    """Random walks with held actions, and the expert with noise; recorded once a seed."""
    path = args.out / f"{args.world}{environment_name(args)}-seed{seed}.hdf5"
    if not path.exists():
        part = path.with_suffix(".part")
        part.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        env = environment(world, args, terminate_on_success=False)
        count = round(world.episodes * world.expert_share)
        kept: dict[str, Any] = {"num_envs": 16, "stop_on_success": False, "out_of_bounds": "clip"}
        begun = time.process_time()
        collect(env, RandomPolicy(env.action_space, hold=world.hold), part, world.episodes - count, seed=seed, **kept)
        if count:
            expert = ScriptedPolicy(world.env_id, noise=0.5, seed=seed)
            collect(env, expert, part, count, seed=1000 + seed, append=True, **kept)
        path.with_suffix(".json").write_text(json.dumps({"cpu_seconds": time.process_time() - begun}) + "\n")
        part.rename(path)
    return open_store(path)


def split(store: Store) -> tuple[np.ndarray, np.ndarray]:
    """Episodes to learn from, and held-out ones: every so many, so that both kinds of recording are among them."""
    held_out = np.linspace(0, len(store) - 1, VALID).round().astype(int)
    return np.setdiff1d(np.arange(len(store)), held_out), held_out


def variant(args: Args, name: str) -> ac_jepa.Config:
    """The small preset, changed as a variant says."""
    known = json.loads(args.variants.read_text()) if args.variants else {}
    if name not in {"small", *known}:
        raise ValueError(f"there is no variant {name!r}; --variants names {sorted(known)}")
    return replace(ac_jepa.small(), **{**WORLDS[args.world].model, **known.get(name, {})})


def unchanged(outcome: dict[str, Any], config: ac_jepa.Config) -> dict[str, Any]:
    """The outcome, if it is of this configuration: a name in --variants may have come to mean something else."""
    now = json.loads(json.dumps(asdict(config)))
    if differ := [key for key, value in outcome.get("config", {}).items() if now.get(key, value) != value]:
        raise SystemExit(f"{outcome['folder']} has other {differ} than asked for; choose another name or --out")
    return outcome


def budget(args: Args, lr: float) -> Budget:
    """The same for all methods."""
    return Budget(
        cpu_minutes=args.cpu_minutes,
        batch_size=args.batch_size,
        lr=lr,
        warmup=100,
        device=args.device,
        precision=args.precision,
    )


def run_model(
    args: Args, world: World, name: str, seed: int, store: Store, goals: Task, starts: Manifest, folder: Path
) -> dict[str, Any]:
    """Train a world model, measure its imagination, plan in it."""
    config = variant(args, name)
    training, held_out = split(store)
    trained = train("ac_jepa", config, store, training, training[:0], seed, budget(args, args.lr), folder)
    begun = time.process_time()
    learner = from_pretrained(folder)
    planner, options = search(world, config.stride, args.samples, args.iterations)
    policies: dict[str, Policy] = {name: MPCPolicy(learner, planner, **options)}
    if args.baselines:
        policies[f"copy latent ({name})"] = CopyLatentPolicy(learner, planner, **options)
        if config.inverse:
            policies[f"inverse dynamics ({name})"] = InverseDynamicsPolicy(learner)
    found = {key: solve(policy, goals, starts, key, folder) for key, policy in policies.items()}
    return {
        **trained,
        "config": asdict(config),
        **imagination(learner, world.probed, store, training, held_out, world.unread),
        "evaluations": found,
        "measured_seconds": time.process_time() - begun,
    }


def search(world: World, stride: int, samples: int, iterations: int) -> tuple[ICEM, dict[str, Any]]:
    """How a world's models are planned in: the planner, and how far ahead and how much of a plan is executed."""
    planner = ICEM(num_samples=samples, iterations=iterations, std=world.std, beta=2.0, block=stride)
    return planner, {"horizon": world.horizon, "execute": 1}


def run_gcbc(args: Args, seed: int, store: Store, goals: Task, starts: Manifest, folder: Path) -> dict[str, Any]:
    """Goal-conditioned behaviour cloning on the same recordings."""
    training, _ = split(store)
    config = gcbc.Config(image_keys=("image",))
    trained = train("gcbc", config, store, training, training[:0], seed, budget(args, args.gcbc_lr), folder)
    policy = ChunkPolicy(from_pretrained(folder))
    return {**trained, "evaluations": {"GCBC": solve(policy, goals, starts, "GCBC", folder)}}


def imagination(
    learner: Learner,
    probed: tuple[str, ...],
    store: Store,
    training: np.ndarray,
    held_out: np.ndarray,
    unread: tuple[int, ...] = (),
) -> dict[str, Any]:
    """Open-loop error of a linear probe, of copying the present, both also without the places ``unread`` of the probed
    states, and the rank of the latents."""
    config = learner.origin.config

    def windows(episodes: np.ndarray) -> ProbeWindows:
        keys = ac_jepa.resolve_keys(config, learner.origin.spec)
        options: dict[str, Any] = {"history": config.history, "horizon": config.horizon, "stride": config.stride}
        options["images"] = bool(config.image_keys)
        return probe_windows(
            store, episodes, state_keys=probed, keys=keys, max_windows=1500, reference=training, **options
        )

    test = windows(held_out)
    found = imagine(learner, windows(training), test)
    with torch.no_grad():
        rank = float(effective_rank(learner.encode(test.obs).flatten(1)))
    shown: dict[str, Any] = {"open_loop": found.per_step(), "stride": config.stride, "rank": rank}
    if unread:
        kept = np.setdiff1d(np.arange(found.real.shape[-1]), unread)
        parts: dict[str, Any] = {k: getattr(found, k)[..., kept] for k in ("real", "imagined", "decoded", "linear")}
        shown["open_loop_read"] = replace(found, **parts).per_step()
    return shown


def world_table(outcomes: Sequence[dict[str, Any]]) -> Table:
    """Rank, success of planning, open-loop probe error (of copying the present) by control steps, CPU time."""
    title = "open loop: RMSE of the probed state, standard deviations (copy)"
    table = Table("world model", "CPU minutes", "rank", "success", title=title)
    names: dict[str, list[dict[str, Any]]] = {}
    for outcome in outcomes:
        names.setdefault(outcome["folder"].name.rpartition("-seed")[0], []).append(outcome)
    stride = outcomes[0]["stride"]
    ahead = [n for n in (5, 10, 20, 40) if n % stride == 0 and n // stride <= len(outcomes[0]["open_loop"]["copy"])]
    for n in ahead:
        table.add_column(f"{n} steps")
    for name, found in names.items():
        minutes = " ".join(f"{_minutes(o):.1f}" for o in found)
        rank = f"{np.mean([o['rank'] for o in found]):.1f}"
        solved = [
            Evaluation.load(Path(o["evaluations"][name])).rate.estimate for o in found if name in o["evaluations"]
        ]
        success = f"{np.mean(solved):.3f}" if solved else ""
        table.add_row(name, minutes, rank, success, *_errors([o["open_loop"] for o in found], ahead, stride))
        if read := [o["open_loop_read"] for o in found if "open_loop_read" in o]:
            table.add_row(f"{name}, what a linear map can read", "", "", "", *_errors(read, ahead, stride))
    return table


def _minutes(outcome: dict[str, Any]) -> float:
    """CPU time of training and of what `run_model` measured, though it may have been measured anew."""
    measured = outcome.get("measured_seconds")
    return (outcome["cpu_seconds"] if measured is None else outcome["train_seconds"] + measured) / 60


def _errors(found: Sequence[dict[str, Any]], ahead: Sequence[int], stride: int) -> list[str]:
    """A cell for each number of steps: the error over seeds, and that of copying."""
    cells = []
    for n in ahead:
        error, copy = (np.mean([o[k][n // stride - 1] for o in found]) for k in ("imagined", "copy"))
        cells.append(f"{error:.3f} ({copy:.3f})")
    return cells


if __name__ == "__main__":
    main(tyro.cli(Args))
