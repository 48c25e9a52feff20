"""The success section of a report: every policy's rate with its interval, floors beside it, and paired comparisons."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldjepa.evaluate.report_plots import colors_of, plot_score_curve, plot_steps_curve, plot_success
from worldjepa.evaluate.report_read import FLOORS, RunFolder, label, number, rank
from worldjepa.evaluate.report_svg import to_svg
from worldjepa.evaluate.report_text import NONE, comparison_sentence, interval, oriented, percent, plain, significant


@dataclass(frozen=True)
class Row:
    """One policy's evaluation, named so that rows of several runs can stand in one table."""

    label: str
    evaluation: dict
    run: Path


def rows_of(run: RunFolder, others: Sequence[RunFolder]) -> list[Row]:
    """Evaluations of the run and of the others, ordered; floors repeated on the same starts are left out."""
    rows: list[Row] = []
    for folder in (run, *others):
        for evaluation in folder.evaluations:
            name = label(evaluation["policy"])
            same = [r for r in rows if r.evaluation["policy"] == evaluation["policy"]]
            if same and is_floor(evaluation) and any(starts(r.evaluation) == starts(evaluation) for r in same):
                continue
            rows.append(Row(_unique(name, folder.path, {r.label for r in rows}), evaluation, folder.path))
    return sorted(rows, key=lambda row: rank(row.evaluation["policy"]))


def _unique(name: str, path: Path, taken: set[str]) -> str:
    """The name itself, or with as much of the run's path as tells it from the others."""
    parts = path.resolve().parts
    for depth in range(1, len(parts) + 1):
        if name not in taken:
            return name
        name = f"{name.split(' (')[0]} ({'/'.join(parts[-depth:])})"
    return name if name not in taken else f"{name} #{len(taken)}"


def is_floor(evaluation: dict) -> bool:
    """True for random and do-nothing policies."""
    return evaluation["policy"].lower().replace("-", "_") in FLOORS


def starts(evaluation: dict) -> str | None:
    """Hash of the list of starts, which makes two evaluations comparable start by start."""
    manifest = evaluation.get("manifest")
    return manifest.get("sha256") if isinstance(manifest, dict) else None


def main_policy(run: RunFolder) -> dict | None:
    """The evaluation that the report is about: of the run's recipe, else of the first learned policy."""
    recipe = (run.config or {}).get("recipe")
    for evaluation in run.evaluations:
        if evaluation["policy"] == recipe:
            return evaluation
    return run.evaluations[0] if run.evaluations and rank(run.evaluations[0]["policy"])[0] == 0 else None


def success_section(run: RunFolder, others: Sequence[RunFolder]) -> dict[str, Any] | None:
    """Everything the template shows of the evaluations; None where there are none."""
    rows = rows_of(run, others)
    if not rows:
        return None
    colors = _colors(rows)
    score_name = next((str(s["name"]) for r in rows if (s := _score(r.evaluation)) and s.get("name")), "score")
    return {
        "chart": to_svg(plot_success([_dot(row, colors) for row in rows]), "success"),
        "rows": [_cells(row) for row in rows],
        "score_name": score_name if any(_score(r.evaluation) for r in rows) else None,
        "curves": _curves(rows, colors, score_name),
        "comparisons": _comparisons(run),
        "notes": _notes(rows),
        "num_policies": len(rows),
        "has_floors": any(is_floor(row.evaluation) for row in rows),
    }


def _colors(rows: Sequence[Row]) -> dict[str, str]:
    """By label; a policy's second run takes the next free colour."""
    names: list[str] = []
    for row in rows:
        policy = row.evaluation["policy"]
        names.append(row.label if policy in names else policy)
    return dict(zip((row.label for row in rows), colors_of(names).values()))


def _score(evaluation: dict) -> dict | None:
    score = evaluation.get("score")
    return score if isinstance(score, dict) and number(score.get("mean")) is not None else None


def _dot(row: Row, colors: dict[str, str]) -> dict[str, Any]:
    success = row.evaluation["success"]
    dot = {k: success[k] for k in ("rate", "low", "high")}
    return {"label": row.label, "color": colors[row.label], "floor": is_floor(row.evaluation), **dot}


def _episode_values(evaluation: dict, key: str) -> np.ndarray:
    values = [number(episode.get(key)) for episode in evaluation.get("episodes") or []]
    return np.array([v for v in values if v is not None], dtype=float)


def _median(evaluation: dict, key: str, spec: str | None = None) -> str:
    values = _episode_values(evaluation, key)
    if not len(values):
        return NONE
    middle = float(np.median(values))
    return plain(middle, spec) if spec else significant(middle)


def _cells(row: Row) -> dict[str, Any]:
    evaluation, success = row.evaluation, row.evaluation["success"]
    score = _score(evaluation)
    speed = evaluation.get("ms_per_action")
    speed = speed if isinstance(speed, dict) else {}
    return {
        "label": row.label,
        "floor": is_floor(evaluation),
        "rate": percent(success["rate"], digits=1 if evaluation["num_episodes"] >= 200 else 0),
        "interval": interval(success["low"], success["high"], scale=100, spec=".0f", unit="\u00a0%"),
        "count": f"{success['count']} of {evaluation['num_episodes']}",
        "score": significant(score["mean"]) if score else NONE,
        "score_interval": interval(score.get("low"), score.get("high")) if score else NONE,
        "steps": _median(evaluation, "steps_to_success", ".0f"),
        "path_length": _median(evaluation, "path_length"),
        "smoothness": _median(evaluation, "smoothness"),
        "ms": significant(speed.get("median"), 2),
        "ms_p95": significant(speed.get("p95"), 2),
    }


def _curves(rows: Sequence[Row], colors: dict[str, str], score_name: str) -> list[dict[str, str]]:
    curves = []
    scores = {r.label: v for r in rows if len(v := _episode_values(r.evaluation, "score_max"))}
    if scores:
        threshold = next((t for r in rows if (t := number(r.evaluation.get("success_threshold"))) is not None), None)
        figure = plot_score_curve(scores, colors, name=score_name, threshold=threshold)
        text = "Success at every threshold: the share of episodes whose best score reaches the value on the axis."
        curves.append({"svg": to_svg(figure, "scores"), "title": f"Best {score_name}", "text": text})
    steps = {
        r.label: (_episode_values(r.evaluation, "steps_to_success"), len(r.evaluation["episodes"]))
        for r in rows
        if r.evaluation.get("episodes")
    }
    if any(len(values) for values, _ in steps.values()):
        text = (
            "The share of episodes solved within a number of steps: a curve further left is faster, a higher one surer."
        )
        svg = to_svg(plot_steps_curve(steps, colors), "steps")
        curves.append({"svg": svg, "title": "Time to success", "text": text})
    return curves


def _comparisons(run: RunFolder) -> list[dict[str, Any]] | None:
    if run.comparison is None:
        return None
    policy = main_policy(run)
    pairs = sorted(map(oriented, run.comparison["pairs"]), key=lambda pair: (rank(pair["a"]), rank(pair["b"])))
    ours = [policy is not None and policy["policy"] in (pair["a"], pair["b"]) for pair in pairs]
    return [
        comparison_sentence(pair, label) | {"is_ours": mine or not any(ours)}
        for pair, mine in zip(pairs, ours, strict=True)
    ]


def _notes(rows: Sequence[Row]) -> list[str]:
    """What a careful reader should know before believing the rates."""
    notes = []
    hashes = {starts(row.evaluation) for row in rows}
    if len(hashes) == 1 and None not in hashes:
        notes.append(f"Every policy met the same recorded starts (list {str(hashes.pop())[:12]}).")
    elif len(hashes) > 1:
        notes.append("The policies did not all meet the same starts: compare their rates with care.")
    dropped = max(int(number(row.evaluation.get("dropped_already_solved")) or 0) for row in rows)
    if dropped:
        notes.append(f"{dropped} drawn starts were solved already: they were dropped and count for nobody.")
    hold = max(int(number(row.evaluation.get("hold")) or 1) for row in rows)
    if hold > 1:
        notes.append(f"Success had to hold for {hold} steps in a row.")
    for row in rows:
        clipped = int(number(row.evaluation.get("clipped_actions")) or 0)
        if clipped:
            notes.append(f"{row.label}: the actions of {clipped} steps were clipped to the action space.")
    floors = [row for row in rows if is_floor(row.evaluation)]
    for row in rows:
        success = row.evaluation["success"]
        beaten = all(success["low"] > floor.evaluation["success"]["high"] for floor in floors)
        if floors and not is_floor(row.evaluation) and not beaten:
            notes.append(f"The success of {row.label} does not stand clear of the floors.")
    high = [row for row in floors if row.evaluation["success"]["rate"] >= 0.2]
    notes += [
        f"{row.label} already succeeds in {percent(row.evaluation['success']['rate'])}: an easy task." for row in high
    ]
    return notes
