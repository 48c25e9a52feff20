"""Reading a run folder for its report: what is there, what is missing, and what cannot be read.

Nothing here raises on a bad file: a report is most wanted when a run went wrong. What cannot be read is named.
"""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

FLOORS = ("random", "noop", "no_op", "zero", "copy_latent")
"""Policies that show what a score is worth: anything a learned policy must beat."""
EXPERTS = ("scripted", "expert", "oracle")
ORDER = ("act_jepa", "act", "bc")
LABELS = {
    "act_jepa": "ACT-JEPA",
    "act": "ACT",
    "ac_jepa": "World model",
    "copy_latent": "Copy-latent planning",
    "gcbc": "Goal-conditioned BC",
    "seq_jepa": "seq-JEPA",
    "view_pairs": "Pairs of views",
    "bc": "BC",
    "random": "Random",
    "noop": "No-op",
    "no_op": "No-op",
    "zero": "Zero action",
    "scripted": "Scripted expert",
    "expert": "Expert",
    "random init": "Random encoder",
    "random_init": "Random encoder",
    "raw state linear": "Linear, raw state",
    "copy": "Copy of the start",
}


@dataclass(frozen=True)
class RunFolder:
    """The parts of a run folder; None or empty where a part has not been made."""

    path: Path
    config: dict | None = None
    metrics: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    """By scalar name: steps [K] and values [K], finite values only, the last entry of each step."""
    evaluations: list[dict] = field(default_factory=list)
    comparison: dict | None = None
    probe: dict | None = None
    imagination: dict | None = None
    world_model: dict | None = None
    equivariance: dict | None = None
    videos: list[Path] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    """By file name relative to the run: what is wrong with it."""


def label(name: str) -> str:
    """The readable name of a policy or model, e.g. "act_jepa" -> "ACT-JEPA"; unknown names stay as they are."""
    return LABELS.get(name.lower().replace("-", "_"), name)


def number(value: Any) -> float | None:
    """A finite float, or None for anything else (JSON null, NaN, text, booleans)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def rank(name: str) -> tuple[int, int, str]:
    """Sort key of policies: learned ones first (ours, ACT, BC, others), then experts, then the floors."""
    key = name.lower().replace("-", "_")
    group = 2 if key in FLOORS else 1 if key in EXPERTS else 0
    return group, ORDER.index(key) if key in ORDER else len(ORDER), key


def read_run(path: Path) -> RunFolder:
    """Reads a run folder.

    Args:
        path: The folder that `fit` and the evaluations wrote.

    Raises:
        ValueError: `path` is not a folder.
    """
    path = Path(path)
    if not path.is_dir():
        raise ValueError(f"expected a run folder (it holds config.json and metrics.jsonl), got {path}: no such folder")
    problems: dict[str, str] = {}

    def load(name: str, check: Callable[[dict], object]) -> dict | None:
        try:
            value = json.loads((path / name).read_text(encoding="utf-8"))
            if not isinstance(value, dict):
                raise ValueError("expected a JSON object")
            check(value)
        except FileNotFoundError:
            return None
        except KeyError as error:
            problems[name] = f"has no field {error}"
        except (OSError, ValueError, TypeError, AttributeError, IndexError) as error:
            problems[name] = str(error)
        else:
            return value
        return None

    names = sorted(f"evaluations/{p.name}" for p in (path / "evaluations").glob("*.json"))
    found = [value for name in names if (value := load(name, _check_evaluation)) is not None]
    return RunFolder(
        path=path,
        config=load("config.json", lambda _: None),
        metrics=_metrics(path, problems),
        evaluations=sorted(found, key=lambda e: rank(e["policy"])),
        comparison=load("comparison.json", _check_comparison),
        probe=load("probe.json", _check_probe),
        imagination=load("imagination.json", _check_imagination),
        world_model=load("world_model.json", _check_world_model),
        equivariance=load("equivariance.json", _check_equivariance),
        videos=sorted((path / "videos").glob("*.mp4")),
        problems=problems,
    )


def _metrics(path: Path, problems: dict[str, str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By scalar name, steps and values; a resumed run repeats steps, of which the last entry counts."""
    try:
        lines = (path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        problems["metrics.jsonl"] = str(error)
        return {}
    values: dict[str, dict[int, float]] = {}
    bad = 0
    for line in filter(str.strip, lines):
        try:
            row = json.loads(line)
            step = int(row["step"])
        except (ValueError, KeyError, TypeError):
            bad += 1  # a killed run leaves half a line
            continue
        for name, value in row.items():
            if name != "step" and (finite := number(value)) is not None:
                values.setdefault(name, {})[step] = finite
    if bad:
        problems["metrics.jsonl"] = f"{bad} of {len(lines)} lines cannot be read and are left out"
    return {k: (np.array(sorted(v)), np.array([v[s] for s in sorted(v)])) for k, v in values.items()}


def _check_evaluation(value: dict) -> None:
    success = value["success"]
    _numbers(success[k] for k in ("rate", "low", "high"))
    if not isinstance(value["policy"], str):
        raise ValueError("policy is not a name")
    if not (int(value["num_episodes"]) >= int(success["count"]) >= 0):
        raise ValueError(f"{success['count']} successes in {value['num_episodes']} episodes")
    if not all(isinstance(e, dict) for e in value.get("episodes", [])):
        raise ValueError("episodes are not JSON objects")


def _check_comparison(value: dict) -> None:
    for pair in value["pairs"]:
        _numbers(pair[k] for k in ("difference", "low", "high"))
        if not (isinstance(pair["a"], str) and isinstance(pair["b"], str)):
            raise ValueError("a and b of a pair are not names")


def _check_probe(value: dict) -> None:
    for row in value["rows"]:
        _numbers([row["rmse"]])
        if not isinstance(row["model"], str):
            raise ValueError("model is not a name")
    for errors in value.get("per_step", {}).values():
        np.asarray(errors, dtype=float).reshape(-1)


def _check_imagination(value: dict) -> None:
    width = len(value["names"])
    for start in value["starts"]:
        for key in ("real", "imagined", "copy"):
            if key not in start and key == "copy":
                continue
            shape = np.asarray(start[key], dtype=float).shape
            if len(shape) != 2 or shape[1] != width:
                raise ValueError(f"{key} has shape {list(shape)}, expected [steps, {width}]")


def _check_world_model(value: dict) -> None:
    _numbers([value["collapse"]["rank"], value["collapse"]["std"], value["collapse"].get("std_min", 0.0)])
    for kind in ("linear", "mlp"):
        _numbers(row["rmse"] for row in value["probe"][kind].values())
    for errors in value["open_loop"]["latent"].values():
        np.asarray(errors, dtype=float).reshape(-1)


def _check_equivariance(value: dict) -> None:
    _numbers([value["observed"], value["collapse"]["rank"], *(value["lengths"])])
    for rows in (value["accuracy"] or {}, *(value["path_integration"] or {}).values()):
        if not isinstance(rows, dict):
            raise ValueError("scores are not JSON objects")
    _numbers(x["estimate"] for row in value["relative"].values() for x in row.values())
    _numbers(x["estimate"] for row in (value["accuracy"] or {}).values() for x in row.values())


def _numbers(values: Iterable[Any]) -> None:
    for value in values:
        if number(value) is None:
            raise ValueError(f"expected a finite number, got {value!r}")
