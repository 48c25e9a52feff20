"""The parts of a report that show files as they are: videos, data, configuration, versions."""

import base64
import json
import re
from pathlib import Path
from typing import Any

from worldjepa.evaluate.report_read import RunFolder, label
from worldjepa.evaluate.report_text import plain, size

MAX_VIDEO_BYTES = 3_000_000
MAX_ALL_VIDEO_BYTES = 40_000_000


def video_section(run: RunFolder) -> list[dict[str, Any]]:
    """One entry for each video of the run, its bytes inside where they are not too many.

    A video belongs to the evaluation that lists it, and to the episode of that evaluation whose index ends its name, or
    else to the episode at the same place in the list.
    """
    owners: dict[Path, tuple[dict, dict | None]] = {}
    for evaluation in run.evaluations:
        for i, listed in enumerate(evaluation.get("videos") or []):
            path = (run.path / str(listed)).resolve()
            owners[path] = (evaluation, _episode(evaluation, path, i))
    inside = run.path.resolve()
    paths = [p for p in owners if p.is_relative_to(inside) and p.is_file()]
    paths += [p for v in run.videos if (p := v.resolve()) not in owners and p.is_relative_to(inside)]
    entries, total = [], 0
    for path in paths:
        num_bytes = path.stat().st_size
        fits = 0 < num_bytes <= MAX_VIDEO_BYTES and total + num_bytes <= MAX_ALL_VIDEO_BYTES
        total += num_bytes if fits else 0
        evaluation, episode = owners.get(path, (None, None))
        entries.append(
            {
                "name": path.relative_to(inside).as_posix(),
                "size": size(num_bytes),
                "uri": "data:video/mp4;base64," + base64.b64encode(path.read_bytes()).decode() if fits else None,
                "policy": label(evaluation["policy"]) if evaluation else None,
                "success": episode.get("success") if episode else None,
                "episode": episode.get("index") if episode else None,
                "steps": episode.get("steps") if episode else None,
            }
        )
    return entries


def _episode(evaluation: dict, path: Path, place: int) -> dict | None:
    episodes = evaluation.get("episodes") or []
    digits = re.search(r"(\d+)$", path.stem)
    for episode in episodes:
        if digits and episode.get("index") == int(digits[1]):
            return episode
    return episodes[place] if place < len(episodes) else None


def data_section(run: RunFolder) -> dict[str, Any] | None:
    """What the model was trained on; None where the configuration does not say."""
    config = run.config or {}
    data, spec = config.get("data"), config.get("spec")
    if not isinstance(data, dict) and not isinstance(spec, dict):
        return None
    data, spec = (value if isinstance(value, dict) else {} for value in (data, spec))
    facts = [("File", data["path"])] if "path" in data else []
    facts += [("Fingerprint", str(data["fingerprint"])[:16])] if "fingerprint" in data else []
    for name, episodes in (data.get("episodes") or {}).items():
        facts.append((f"Episodes, {name}", len(episodes) if isinstance(episodes, list) else episodes))
    shown = {"path", "fingerprint", "episodes"}
    facts += [(k, v) for k, v in data.items() if k not in shown and isinstance(v, str | int | float)]
    if spec.get("fps"):
        facts.append(("Control steps a second", plain(spec["fps"])))
    keys = [
        {"key": key, "shape": " x ".join(map(str, value.get("shape", []))) or "scalar", "dtype": value.get("dtype", "")}
        for key, value in (spec.get("obs") or {}).items()
    ]
    if "action_dim" in spec:
        keys.append({"key": "action", "shape": str(spec["action_dim"]), "dtype": _bounds(spec)})
    return {"facts": facts, "keys": keys}


def _bounds(spec: dict) -> str:
    low, high = spec.get("action_low"), spec.get("action_high")
    if not low or not high:
        return "unbounded"
    if len(set(low)) == len(set(high)) == 1:
        return f"{plain(low[0])} to {plain(high[0])}"
    return ", ".join(f"{plain(a)} to {plain(b)}" for a, b in zip(low, high))


def config_section(run: RunFolder) -> list[dict[str, str]]:
    """Parts of the configuration as readable JSON."""
    config = run.config or {}
    titles = {"config": "Model", "fit": "Training", "spec": "Observations and actions", "data": "Data"}
    rest = {k: v for k, v in config.items() if k not in {*titles, "versions", "command", "recipe"}}
    parts = [(title, config[key]) for key, title in titles.items() if key in config]
    parts += [("Everything else", rest)] if rest else []
    return [{"title": title, "json": json.dumps(value, indent=2, ensure_ascii=False)} for title, value in parts]
