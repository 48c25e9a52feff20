"""A world model from play, imagined with and planned in: TwoRooms from 64 px images, six minutes of training on a CPU.

    python examples/01_world_model_and_plan.py [--out runs/rooms] [--minutes 6] [--goals 20]

Nothing here knows the task: the robot has only played. The goal is a picture.
"""

import argparse
from pathlib import Path

import gymnasium as gym
import torch
from rich.console import Console

import worldjepa as wj
import worldjepa_envs  # noqa: F401  (registers the environments)
from worldjepa.evaluate.compare import compare
from worldjepa.evaluate.floors import RandomPolicy
from worldjepa.evaluate.imagine import imagine
from worldjepa.evaluate.probe import probe_windows
from worldjepa.evaluate.rollout import evaluate
from worldjepa.plan import ICEM
from worldjepa.recipes import ac_jepa
from worldjepa_policies import load_policy

console = Console(highlight=False)


def main(out: Path, minutes: float, goals: int, episodes: int) -> None:
    """Collect, train, imagine, plan; what is there already is not made again."""
    torch.set_num_threads(1)
    if not (out / "play.hdf5").exists():
        console.rule("1. Play: random actions, each held for a second")
        envs = gym.make_vec("worldjepa/TwoRooms-v0", 32, obs_type="state+pixels", terminate_on_success=False)
        found = wj.collect(envs, RandomPolicy(envs.single_action_space, hold=10), out / "part.hdf5", episodes, seed=0)
        found.path.rename(out / "play.hdf5")
        envs.close()
    store = wj.open_store(out / "play.hdf5")
    split = wj.split_episodes(store, valid=0.1)

    console.rule("2. A world model: what will the next picture's latents be after these actions?")
    config = ac_jepa.small()
    window = ac_jepa.window(config, store.spec)
    windows = wj.WindowSampler(store, episodes=split["train"], batch_size=64, **window.options())
    learner = wj.make_learner("ac_jepa", config, store.spec, store.statistics(split["train"]))
    settings = wj.FitConfig(steps=None, max_seconds=60 * minutes, lr=2e-3, average=0.998, threads=1)
    wj.fit(learner, windows.batch, settings, out / "model", save_pretrained=wj.save_pretrained, resume=True)

    console.rule("3. Imagine: forty steps ahead, under actions that were really done")
    learner = wj.from_pretrained(out / "model")
    keys = {"state_keys": ("agent",), "keys": window.keys, "history": 1, "horizon": 8, "stride": config.stride}
    seen, held_out = (
        probe_windows(store, split[part], **keys, images=True, max_windows=1000, reference=split["train"])
        for part in ("train", "valid")
    )
    errors = imagine(learner, seen, held_out).per_step()
    for block in (1, 2, 4, 8):
        ahead, copied = errors["imagined"][block - 1], errors["copy"][block - 1]
        console.print(
            f"{5 * block:3d} steps ahead: position wrong by {ahead:.2f} std; copying the present {copied:.2f}"
        )

    console.rule(f"4. Plan: reach {goals} pictures in the other room")
    rooms = wj.task("worldjepa/TwoRooms-v0", obs_type="state+pixels", goal_obs=True)
    planner = ICEM(num_samples=300, iterations=6, block=config.stride)
    policy = load_policy(out / "model", planner=planner, horizon=8, execute=1)
    starts = wj.make_manifest(rooms, goals, seed=2026)
    planned = evaluate(policy, rooms, starts, name="planner", progress=True, videos=3, run_dir=out / "model")
    chance = evaluate(RandomPolicy(rooms.action_space), rooms, starts, name="random")
    planned.save(out / "model")
    console.print(planned.summary())
    console.print(chance.summary())
    pair = compare([planned, chance])["pairs"][0]
    console.print(f"difference {pair['difference']:+.2f} [{pair['low']:+.2f}, {pair['high']:+.2f}]")
    console.print(f"films in {out / 'model' / 'videos'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/rooms"))
    parser.add_argument("--minutes", type=float, default=6.0, help="of training")
    parser.add_argument("--goals", type=int, default=20)
    parser.add_argument("--episodes", type=int, default=850, help="of play, 100 steps each")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    main(args.out, args.minutes, args.goals, args.episodes)
