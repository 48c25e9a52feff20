"""``worldjepa compare RUN1 RUN2 ...``: runs side by side, from the files that ``evaluate`` wrote into them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Options:
    """Success with 95 % Wilson intervals, probes, open-loop errors, rank, time per plan and steps trained; of features
    of views, accuracy, R^2 of what differs between views, and retrieval."""

    runs: Positional[tuple[Path, ...]]
    """Run folders that were evaluated, best with worldjepa evaluate RUN --suite world-model or equivariance."""
    steps: tuple[int, ...] = ()
    """Steps ahead whose open-loop error is shown, in blocks of actions; by default the first, the middle, the last."""
    json: bool = False
    """Print JSON instead of a table."""


def run(options: Options) -> int:
    """Read and print."""
    from worldjepa.commands.console import make_console

    if not options.runs:
        raise ValueError("name at least one run folder: worldjepa compare RUN1 RUN2")
    rows = [read_row(path, options.steps) for path in options.runs]
    if options.json:
        print(json.dumps(rows, indent=1))
        return 0
    console = make_console()
    console.print(compare_table(rows))
    for line in warnings(rows):
        console.print(line)
    return 0


def read_row(run: Path, steps: tuple[int, ...] = ()) -> dict[str, Any]:
    """What is known of one run, as JSON values; None where a part was not measured.

    Args:
        run: the folder.
        steps: blocks ahead at which open-loop errors are read.

    Raises:
        ValueError: no run folder, or one that was never evaluated, or a step that was not imagined.
    """
    from worldjepa.evaluate.report import VIEW_RECIPES
    from worldjepa.evaluate.report_equivariance import summary
    from worldjepa.evaluate.report_read import read_run

    folder = read_run(run)
    path = run / "world_model.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} cannot be read ({error}); make it anew with worldjepa evaluate") from error
    views = folder.equivariance
    if views is None and "equivariance.json" in folder.problems:
        raise ValueError(f"{run}/equivariance.json cannot be read ({folder.problems['equivariance.json']})")
    if not found and not folder.evaluations and views is None:
        suite = "equivariance" if (folder.config or {}).get("recipe") in VIEW_RECIPES else "world-model"
        raise ValueError(f"{run} was never evaluated: worldjepa evaluate {run} --suite {suite}")
    recipe = str(found.get("recipe") or (folder.config or {}).get("recipe") or "")
    planning = found.get("planning") or _planned(folder.evaluations, recipe)
    policies = planning.get("policies", {})
    trained = max((int(x[-1]) for x, _ in folder.metrics.values()), default=None)
    probe = found.get("probe") or {}
    collapse = found.get("collapse") or (views or {}).get("collapse") or {}
    return {
        "run": run.resolve().name,
        "recipe": recipe,
        "steps": found.get("steps") or trained,
        "success": policies.get(recipe) or next(iter(policies.values()), None),
        "floors": {name: row["rate"] for name, row in policies.items() if name != recipe},
        "num_episodes": planning.get("num_episodes"),
        "manifest": planning.get("manifest"),
        "probe": {kind: probe[kind]["encoder"]["rmse"] for kind in ("linear", "mlp") if kind in probe},
        "open_loop": _open_loop(found.get("open_loop"), steps, run),
        "rank": collapse.get("rank"),
        "dim": collapse.get("dim"),
        "ms_per_plan": (planning.get("ms_per_plan") or {}).get("median"),
        "observed": None if views is None else views["observed"],
        "views": {} if views is None else summary(views),
        "factors": {name: part["policies"].get(recipe) for name, part in (found.get("factors") or {}).items()},
        "changes": {
            name: (part.get("change") or {}).get(recipe) for name, part in (found.get("factors") or {}).items()
        },
    }


def compare_table(rows: list[dict[str, Any]]) -> "Table":
    """A column for each run."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("")
    for row in rows:
        table.add_column(escape(row["run"]), justify="right", overflow="fold")
    for name, cells in _lines(rows).items():
        table.add_row(escape(name), *map(escape, cells))
    return table


def _lines(rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Cells by the name of their line; lines that no run has are left out."""
    lines = {
        "recipe": [row["recipe"] for row in rows],
        "steps trained": [_number(row["steps"], ",.0f") for row in rows],
        "success": [_rate(row["success"]) for row in rows],
        "starts": [_number(row["num_episodes"], "d") for row in rows],
    }
    for name in dict.fromkeys(name for row in rows for name in row["floors"]):
        lines[f"success, {name}"] = [_percent(row["floors"].get(name)) for row in rows]
    for name in dict.fromkeys(name for row in rows for name in row["factors"]):
        lines[f"success, {name} varied"] = [_rate(row["factors"].get(name)) for row in rows]
        lines[f"change, {name} varied"] = [change_text(row["changes"].get(name)) for row in rows]
    lines["ms a plan"] = [_number(row["ms_per_plan"], ".1f") for row in rows]
    for kind in ("linear", "mlp"):
        lines[f"probe of the present, {kind}"] = [_number(row["probe"].get(kind), ".3f") for row in rows]
    for step in dict.fromkeys(step for row in rows for step in row["open_loop"]):
        for name in ("imagined", "copy", "linear"):
            errors = [row["open_loop"].get(step, {}).get(name) for row in rows]
            lines[f"open loop +{step}, {name}"] = [_number(error, ".3f") for error in errors]
    lines["views in training"] = [_number(row["observed"], "d") for row in rows]
    for name in dict.fromkeys(name for row in rows for name in row["views"]):
        lines[name] = [_score(row["views"].get(name)) for row in rows]
    lines["rank of the latents"] = ["-" if x["rank"] is None else f"{x['rank']:.1f} of {x['dim']}" for x in rows]
    return {name: cells for name, cells in lines.items() if set(cells) != {"-"}}


def warnings(rows: list[dict[str, Any]]) -> list[str]:
    """What a reader must know before comparing."""
    found = []
    if len({row["manifest"] for row in rows if row["manifest"]}) > 1:
        found.append("These runs were evaluated on different starts: differences of success are not paired.")
    if any(row["open_loop"] for row in rows):
        found.append(
            "Open loop: error of the probed state so many control steps ahead; copying the present in brackets."
        )
    return found


def _open_loop(found: dict[str, Any] | None, steps: tuple[int, ...], run: Path) -> dict[str, dict[str, float]]:
    """Errors by control steps ahead."""
    if not found:
        return {}
    errors = {name: found["probe"][name] for name in ("imagined", "copy", "linear") if name in found["probe"]}
    count = len(errors["imagined"])
    beyond = sorted(step for step in steps if not 1 <= step <= count)
    if beyond:
        raise ValueError(f"{run} was imagined 1 to {count} blocks ahead, not {beyond}")
    chosen = steps or tuple(dict.fromkeys((1, (count + 1) // 2, count)))
    stride = int(found.get("stride", 1))
    return {str(h * stride): {name: values[h - 1] for name, values in errors.items()} for h in chosen}


def _planned(evaluations: list[dict], recipe: str) -> dict[str, Any]:
    """The "planning" part from evaluation files alone, those on the starts of the run's own policy."""
    own = next((x for x in evaluations if x["policy"] == recipe), evaluations[0] if evaluations else None)
    if own is None:
        return {}
    sha = (own.get("manifest") or {}).get("sha256")
    alike = [x for x in evaluations if (x.get("manifest") or {}).get("sha256") == sha]
    policies = {x["policy"]: {k: x["success"][k] for k in ("rate", "low", "high", "count")} for x in [own, *alike]}
    return {"policies": policies, "num_episodes": own["num_episodes"], "manifest": sha}


def _number(value: Any, spec: str) -> str:
    return "-" if value is None else format(value, spec)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _score(score: dict[str, Any] | None) -> str:
    """A score with its interval."""
    if score is None:
        return "-"
    return f"{score['estimate']:.3f} [{score['low']:.2f}, {score['high']:.2f}]"


def change_text(change: dict[str, Any] | None) -> str:
    """A difference of success rates, in points, with its interval."""
    if change is None:
        return "-"
    return f"{100 * change['rate']:+.1f} [{100 * change['low']:+.1f}, {100 * change['high']:+.1f}]"


def _rate(success: dict[str, Any] | None) -> str:
    """A success rate with its interval."""
    if success is None:
        return "-"
    return f"{_percent(success['rate'])} [{100 * success['low']:.1f}, {100 * success['high']:.1f}]"
