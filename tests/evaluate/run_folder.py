"""A made-up run folder with every part of a real one, for the tests of the report. The numbers mean nothing."""

import json
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np

RATES = {"act_jepa": 0.87, "act": 0.72, "bc": 0.41, "scripted": 0.98, "random": 0.03, "noop": 0.0}


def write_run(folder: Path, *, policies: tuple[str, ...] = tuple(RATES), num_episodes: int = 100) -> Path:
    """Writes a complete run folder and returns it."""
    rng = np.random.default_rng(0)
    (folder / "evaluations").mkdir(parents=True)
    dump(folder / "config.json", config())
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in metrics(rng)))
    for policy in policies:
        dump(folder / "evaluations" / f"{policy}.json", evaluation(policy, rng, num_episodes))
    pairs = [("act_jepa", "act", 0.15, 0.06, 0.24, 0.0013), ("act_jepa", "bc", 0.46, 0.35, 0.56, 1e-9)]
    pairs += [("act", "random", 0.03, -0.02, 0.08, 0.4)]
    keys = ("a", "b", "difference", "low", "high", "p_value")
    dump(folder / "comparison.json", {"pairs": [dict(zip(keys, p)) | {"test": "exact McNemar"} for p in pairs]})
    dump(folder / "probe.json", probe())
    dump(folder / "imagination.json", imagination(rng))
    (folder / "videos").mkdir()
    for i in range(3):
        write_video(folder / "videos" / f"act_jepa_{i:03d}.mp4", i)
    return folder


def dump(path: Path, value: Any) -> None:
    """Writes JSON."""
    path.write_text(json.dumps(value))


def config() -> dict:
    """A config.json."""
    obs = {"agent_pos": {"shape": [2], "dtype": "float32"}, "block_pose": {"shape": [3], "dtype": "float32"}}
    spec = {"obs": obs, "action_dim": 2, "action_low": [-1, -1], "action_high": [1, 1], "fps": 10.0}
    return {
        "recipe": "act_jepa",
        "config": {"chunk": 16, "dim": 128, "jepa_weight": 1.0, "state_keys": []},
        "fit": {"steps": 6000, "batch_size": 128, "lr": 3e-4, "seed": 0},
        "data": {"path": "demos/push.hdf5", "fingerprint": "9b1c" * 16, "episodes": {"train": 180, "valid": 20}},
        "spec": spec | {"env": {"id": "worldjepa/Push-v0"}},
        "versions": {"worldjepa": "0.1.0", "python": "3.11.2", "torch": "2.13.0", "mujoco": "3.3.0"},
        "command": "worldjepa train act_jepa demos/push.hdf5 --out runs/push --fit.steps 6000",
    }


def metrics(rng: np.random.Generator) -> list[dict]:
    """Rows of a metrics.jsonl."""
    rows = []
    for step in range(20, 6001, 20):
        action, latent = (a + 0.9 * np.exp(-step / 900) * rng.uniform(0.8, 1.2) for a in (0.03, 0.06))
        row = {"step": step, "time_s": step * 0.07, "loss": action + latent, "action_l1": action, "latent_l1": latent}
        row |= {"lr": 3e-4 * (1 - step / 6000), "grad_norm": float(rng.uniform(0.3, 1.1))}
        if step % 500 == 0:
            row |= {
                "collapse/std": 0.9 - 0.3 * np.exp(-step / 800),
                "collapse/std_min": 0.4 - 0.1 * np.exp(-step / 800),
                "collapse/rank": 4 + 8 * (1 - np.exp(-step / 1500)),
            }
            row |= {"collapse/target_std": 0.85, "collapse/target_rank": 3 + 8 * (1 - np.exp(-step / 1500))}
            row["collapse/copy_ratio"] = 0.35 + 0.9 * np.exp(-step / 700)
        rows.append(row)
    return rows


def evaluation(policy: str, rng: np.random.Generator, n: int) -> dict:
    """An evaluation of one policy."""
    rate = RATES.get(policy, 0.5)
    solved = rng.permutation(n) < round(rate * n)
    episodes = []
    for i, success in enumerate(solved):
        steps = int(rng.integers(40, 160)) if success else 200
        best = float(rng.uniform(0.95, 1.0) if success else rng.beta(1 + 5 * rate, 3))
        extra = {"return": best, "score_max": best, "path_length": float(rng.uniform(0.5, 2)), "smoothness": 0.02}
        reached = steps if success else None
        base = {"index": i, "seed": 1000 + i, "success": bool(success), "steps": steps, "steps_to_success": reached}
        episodes.append(base | extra)
    count = int(solved.sum())
    rate, z = count / n, 1.96
    middle = (rate + z * z / 2 / n) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(rate * (1 - rate) / n + z * z / 4 / n / n))
    mean = float(np.mean([e["score_max"] for e in episodes]))
    return {
        "policy": policy,
        "env": "worldjepa/Push-v0",
        "success_threshold": 0.95,
        "manifest": {"path": "starts.json", "sha256": "c0ffee" * 10, "n": n},
        "dropped_already_solved": 2,
        "num_episodes": n,
        "success": {"rate": rate, "low": max(0.0, middle - half), "high": min(1.0, middle + half), "count": count},
        "score": {"name": "coverage", "mean": mean, "low": mean - 0.03, "high": mean + 0.03},
        "ms_per_action": {"median": 0.4, "p95": 2.9},
        "episodes": episodes,
        "videos": [f"videos/act_jepa_{i:03d}.mp4" for i in range(3)] if policy == "act_jepa" else [],
    }


def probe() -> dict:
    """A probe.json."""
    scale = {"act_jepa": 1.0, "act": 1.6, "random init": 2.6, "raw state linear": 1.9, "copy": 2.4}
    per_step = {k: [float(s * (0.02 + 0.012 * t**0.8)) for t in range(1, 17)] for k, s in scale.items()}
    rows = []
    for name, errors in per_step.items():
        rmse = float(np.sqrt(np.mean(np.square(errors))))
        limits = {"rmse_low": 0.93 * rmse, "rmse_high": 1.08 * rmse, "ate_low": 1.3 * rmse, "ate_high": 1.5 * rmse}
        rows.append({"model": name, "rmse": rmse, "ate": 1.4 * rmse} | limits)
    return {"horizon": 16, "rows": rows, "per_step": per_step, "unit": "m"}


def imagination(rng: np.random.Generator, names: tuple[str, ...] = ()) -> dict:
    """An imagination.json: two points that move in the plane and an angle, or smooth curves for other names."""
    names = names or ("agent_pos.x", "agent_pos.y", "block.x", "block.y", "block.angle")
    starts = []
    for i in range(6):
        phase = rng.uniform(0, 6, len(names))
        t = np.linspace(0, 1.6, 17)[:, None]
        real = np.sin(t + phase) * np.linspace(0.4, 0.15, len(names))
        imagined = real + 0.03 * t * rng.normal(size=(1, len(names))) + 0.004 * rng.normal(size=real.shape)
        copy = np.repeat(real[:1], len(real), axis=0)
        curves = {"real": real.tolist(), "imagined": imagined.tolist(), "copy": copy.tolist()}
        starts.append({"episode": f"demo_{180 + i}", "index": int(rng.integers(0, 60))} | curves)
    return {"starts": starts, "names": list(names), "rmse": 0.021, "copy_rmse": 0.13}


def write_video(path: Path, seed: int, *, num_frames: int = 20) -> None:
    """A short film of a square that moves."""
    frames = np.full((num_frames, 96, 96, 3), 235, dtype=np.uint8)
    for t in range(num_frames):
        x = 8 + 3 * t
        frames[t, 30 + 8 * seed : 46 + 8 * seed, x : x + 16] = (0, 114, 178)
    iio.imwrite(path, frames, fps=10, codec="libx264", macro_block_size=16)
