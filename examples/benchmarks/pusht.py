"""Push-T from the real human demonstrations: ACT-JEPA, ACT and BC with one budget of CPU time, several seeds.

    python examples/benchmarks/pusht.py --data pusht_cchi_v7_replay.zarr.zip --cpu-minutes 20
    python examples/benchmarks/pusht.py --data ... --num-demos 20 --unlabelled        # the rest trains the JEPA alone
    python examples/benchmarks/pusht.py --data ... --images --device auto             # 96 px images

Every run is resumable: start the same command again and it goes on where it stopped. Training and evaluation seeds are
apart: `--tune` evaluates on other starts than the reported ones, so that settings are never chosen on those. Starts are
drawn once and saved in the folder of the runs; a simulator that starts elsewhere is refused.
Demonstrations are doubled by the task's mirror symmetry (about the goal's axis), for all methods alike.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from numpy import ndarray
from pusht_table import print_table
from rich.console import Console
from study import Budget, changed, frozen_starts, probe, read_outcome, references, train

from worldjepa.data import Episode, EpisodeSource, RobomimicWriter, Store, open_source, open_store
from worldjepa.evaluate.manifest import Manifest
from worldjepa.evaluate.rollout import evaluate, task
from worldjepa.recipes import act_jepa, bc
from worldjepa.types import DataSpec
from worldjepa_policies.load import load_policy

TASK = "worldjepa_envs:worldjepa/PushT-v0"
NUM_VALID = 20
"""Demonstrations held out for the probe, with their mirror images."""
EVALUATION_SEED, TUNING_SEED = 2026, 77
STATES = ("agent_pos", "keypoints")
CONSOLE = Console()


@dataclass(frozen=True, kw_only=True)
class Args:
    """What to run."""

    data: Path
    """Push-T zarr, folder or zip."""
    out: Path = Path("runs/pusht")
    """Folder of the runs."""
    methods: tuple[str, ...] = ("act_jepa", "act", "bc")
    """act_jepa, act, bc; a suffix names a variant for the table: act_jepa:long."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Training seeds."""
    cpu_minutes: float = 20.0
    """CPU time of one training, on one thread (wall minutes on an accelerator)."""
    episodes: int = 200
    """Evaluation episodes a run."""
    n_action_steps: int = 8
    """Actions executed of each chunk."""
    num_demos: int | None = None
    """Learn actions from so many demonstrations only."""
    unlabelled: bool = False
    """Train the latent prediction on the other demonstrations too, without their actions (ACT-JEPA only)."""
    images: bool = False
    """See 96 px images and the agent's position instead of the block's keypoints."""
    steps: int | None = None
    """Optimiser steps instead of a time budget."""
    device: Literal["cpu", "auto"] = "cpu"
    """"auto" takes an accelerator."""
    tune: bool = False
    """Evaluate on tuning starts."""
    model: dict[str, str] = field(default_factory=dict)
    """Changes of the ACT and ACT-JEPA configuration, JSON values: --model jepa_weight 0.5."""
    batch_size: int = 128
    """Windows in a batch."""
    lr: float = 1e-3
    """Peak learning rate."""


def main(args: Args) -> None:
    """Train and evaluate what is missing, then print the table."""
    torch.set_num_threads(1)
    store = open_store(mirrored(args.data, args.out, images=args.images))
    # what is seen does not change where it starts: images and states have the same starts and floors
    pusht, drawn_from = task(TASK, obs_type="state"), TUNING_SEED if args.tune else EVALUATION_SEED
    starts = frozen_starts(pusht, args.episodes, drawn_from, args.out)
    floors = references(pusht, starts, args.out / f"references-{args.episodes}-seed{drawn_from}")
    outcomes = []
    for seed in args.seeds:
        for method in args.methods:
            folder = args.out / setting(args) / f"{method.replace(':', '-')}-seed{seed}"
            if not (folder / "outcome.json").exists():
                CONSOLE.rule(f"{method}, seed {seed}")
                outcome = run(args, store, starts, method, seed, folder)
                (folder / "outcome.json").write_text(json.dumps(outcome, indent=1) + "\n")
            outcomes.append(read_outcome(folder, method, seed))
    print_table(outcomes, floors, CONSOLE, paired=args.num_demos is not None)


def setting(args: Args) -> str:
    """Folder name of everything but method and seed."""
    budget = f"{args.steps}steps" if args.steps else f"{args.cpu_minutes:g}min"
    demos = f"-{args.num_demos}demos" if args.num_demos else ""
    change = "".join(f"-{k}{v}" for k, v in sorted(args.model.items())).replace("/", "_")
    parts = [budget, demos, "-unlabelled" * args.unlabelled, "-images" * args.images, change, "-tune" * args.tune]
    others = changed(args, episodes="{}episodes", n_action_steps="{}executed", lr="lr{:g}", batch_size="batch{}")
    return "".join(parts) + others


def mirrored(data: Path, out: Path, *, images: bool) -> Path:
    """The demonstrations and their mirror images as one robomimic file, the last ones held out; made once."""
    path = out / ("pusht_mirrored_images.hdf5" if images else "pusht_mirrored.hdf5")
    if path.exists():
        return path
    source = open_source(data)
    keys = ("agent_pos", "image") if images else STATES
    keep = {k: v for k, v in source.spec.obs.items() if k in keys or k == "keypoints"}
    return write_twins(path, source, replace(source.spec, obs=keep), NUM_VALID)


def write_twins(
    path: Path,
    source: EpisodeSource,
    spec: DataSpec,
    num_valid: int,
    change: Callable[[Episode], Episode] = lambda episode: episode,
) -> Path:
    """Every episode and its mirror image, the observations of ``spec``, both changed; the last episodes held out."""
    part = path.with_suffix(".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    part.unlink(missing_ok=True)
    names: dict[str, list[str]] = {"train": [], "valid": []}
    with RobomimicWriter(part, spec) as writer:
        for i in range(len(source)):
            episode = source[i]
            for twin in (episode, mirror(episode)):
                obs = {k: v for k, v in twin.obs.items() if k in spec.obs}
                name = writer.append(change(replace(twin, obs=obs)))
                names["valid" if i >= len(source) - num_valid else "train"].append(name)
        for name, members in names.items():
            writer.write_mask(name, members)
    part.rename(path)
    return path


def mirror(episode: Episode) -> Episode:
    """The episode mirrored about the goal's axis, x -> 512 - y, y -> 512 - x; the T turns from a to pi / 2 - a."""
    from worldjepa_envs.pusht import keypoints

    pose = episode.obs["block_pose"].astype(np.float64)
    turned = np.concatenate([512.0 - pose[:, 1::-1], np.pi / 2 - pose[:, 2:]], axis=1)
    obs: dict[str, ndarray] = {
        "agent_pos": (512.0 - episode.obs["agent_pos"][:, ::-1]).astype(np.float32),
        "block_pose": turned.astype(np.float32),
        "keypoints": np.stack([keypoints(p) for p in turned]).astype(np.float32),
    }
    if "image" in episode.obs:  # rows are y, columns x: the anti-transpose
        obs["image"] = np.ascontiguousarray(episode.obs["image"][:, ::-1, ::-1].transpose(0, 2, 1, 3))
    return replace(episode, obs=obs, action=(512.0 - episode.action[:, ::-1]).astype(np.float32))


def configuration(args: Args, method: str) -> tuple[str, Any]:
    """Recipe name and configuration of a method; ACT and ACT-JEPA differ in the weight of the latent loss alone."""
    name = method.split(":")[0]
    states = ("agent_pos",) if args.images else STATES
    if name == "bc":
        if args.images:
            raise ValueError("plain BC sees states only; leave it out with --methods act_jepa act")
        return name, bc.Config(history=2, state_keys=states, relative_to="agent_pos", distance="l1")
    config = replace(act_jepa.small(), state_keys=states, relative_to="agent_pos", stride=4)
    if args.images:
        config = replace(config, image_keys=("image",), trunk_width=32, encoder_layers=2)
    config = replace(config, **{k: json.loads(v) for k, v in args.model.items()})
    return name, (act_jepa.act(config) if name == "act" else config)


def run(args: Args, store: Store, starts: Manifest, method: str, seed: int, folder: Path) -> dict[str, Any]:
    """Train (or go on), evaluate and probe one method with one seed."""
    name, config = configuration(args, method)
    labelled, extra = training_episodes(args, store, seed)
    extra = extra if name == "act_jepa" else extra[:0]
    budget = Budget(
        cpu_minutes=args.cpu_minutes, steps=args.steps, batch_size=args.batch_size, lr=args.lr, device=args.device
    )
    trained = train(name, config, store, labelled, extra, seed, budget, folder)
    evaluation = rollouts(args, starts, folder, method)
    limit = 1000 if args.images else 8000
    held_out = store.episodes("valid")
    probes = probe(folder, store, labelled, held_out, ("agent_pos", "keypoints"), max_windows=limit)
    return {**trained, "evaluation": str(evaluation), "probe": probes}


def training_episodes(args: Args, store: Store, seed: int) -> tuple[ndarray, ndarray]:
    """Labelled and unlabelled episodes; a demonstration goes with its mirror image."""
    pairs = store.episodes("train").reshape(-1, 2)
    if args.num_demos is None:
        return pairs.ravel(), pairs[:0].ravel()
    order = np.random.default_rng(seed).permutation(len(pairs))
    labelled, rest = pairs[order[: args.num_demos]], pairs[order[args.num_demos :]]
    return np.sort(labelled.ravel()), np.sort(rest.ravel()) if args.unlabelled else rest[:0].ravel()


def rollouts(args: Args, starts: Manifest, folder: Path, method: str) -> Path:
    """Evaluate the last checkpoint from the same starts as every other run; returns the file."""
    pusht = task(TASK, obs_type="state+pixels" if args.images else "state")
    policy = load_policy(folder, n_action_steps=None if method.startswith("bc") else args.n_action_steps)
    torch.set_num_threads(1)
    name = method.replace(":", "-")
    found = evaluate(policy, pusht, starts, name=name, num_envs=10, out_of_bounds="clip", progress=True)
    return found.save(folder)


if __name__ == "__main__":
    main(tyro.cli(Args))
