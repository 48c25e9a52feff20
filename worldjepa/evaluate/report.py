"""One self-contained HTML page about a run: how it was made, what it can do, and what has not been measured."""

import logging
import os
import shlex
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from worldjepa.evaluate.report_equivariance import views_section
from worldjepa.evaluate.report_files import config_section, data_section, video_section
from worldjepa.evaluate.report_pictures import picture_section, suite_section
from worldjepa.evaluate.report_read import RunFolder, label, number, read_run
from worldjepa.evaluate.report_success import main_policy, success_section
from worldjepa.evaluate.report_text import duration, interval, percent, signed, significant
from worldjepa.evaluate.report_training import training_section
from worldjepa.evaluate.report_world import imagination_ratio, imagination_section, probe_section

NO_PREDICTOR = ("act", "bc")
"""Recipes that have nothing to imagine with."""
VIEW_RECIPES = ("seq_jepa", "view_pairs")
"""Recipes that learn features of views: nothing is played or rolled out with them."""
TEMPLATE = "report.html.jinja"
_FILES = {
    "training": "metrics.jsonl",
    "success": "evaluations/",
    "comparison": "comparison.json",
    "probe": "probe.json",
    "imagination": "imagination.json",
}
_log = logging.getLogger(__name__)


def write_report(run: Path, *, others: Sequence[Path] = (), title: str | None = None) -> Path:
    """Writes RUN/report.html: one file that needs nothing else, neither beside it nor from the network.

    Parts of the run that do not exist are named with the command that makes them; parts that cannot be read are named
    with what is wrong. The file appears whole or not at all.

    Args:
        run: The run folder.
        others: Run folders whose policies and probes stand beside this run's (ACT and BC trained on the same data).
        title: Of the page; by default the recipe and the task.

    Returns:
        The path of the page.

    Raises:
        ValueError: `run` or one of `others` is not a folder.
    """
    folder = read_run(run)
    beside = [read_run(path) for path in others]
    page = _environment().get_template(TEMPLATE).render(_context(folder, beside, title))
    path = folder.path / "report.html"
    half = path.with_name(f".report.{os.getpid()}.html")
    try:
        half.write_text(page, encoding="utf-8")
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
    return path


def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["svg"] = Markup  # our own drawings only; matplotlib escapes the names in them
    return environment


def _context(run: RunFolder, others: Sequence[RunFolder], title: str | None) -> dict[str, Any]:
    config = run.config or {}
    problems = {
        f"{folder.path.name}/{name}": what for folder in (run, *others) for name, what in folder.problems.items()
    }

    def section(name: str, make: Callable[[], Any], empty: Any = None) -> Any:
        try:
            return make()
        except (TypeError, ValueError, KeyError, AttributeError, IndexError, OSError) as error:
            # Fields outside the checked ones may hold anything; one odd file must not cost the reader the other parts.
            _log.warning("the %s part of the report cannot be made", name, exc_info=True)
            problems[name] = f"this part cannot be shown ({type(error).__name__}: {error})"
            return empty

    policy = section("title", lambda: main_policy(run))
    env = (policy or {}).get("env") or section("title", lambda: _env_name(config))
    recipe = label(str(config.get("recipe") or (policy or {}).get("policy") or "Run"))
    return {
        "title": title or (f"{recipe} on {env}" if env else recipe),
        "name": run.path.resolve().name,
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "facts": section("facts", lambda: _facts(run, env), []),
        "tiles": section("tiles", lambda: _tiles(run), []),
        "success": section("success", lambda: success_section(run, others)),
        "training": section("training", lambda: training_section(run)),
        "probe": section("probe", lambda: probe_section(run, others)),
        "imagination": section("imagination", lambda: imagination_section(run)),
        "pictures": section("pictures", lambda: picture_section(run), []),
        "views": section("equivariance", lambda: views_section(run, others)),
        "suite": section("world_model", lambda: suite_section(run)),
        "videos": section("videos", lambda: video_section(run), []),
        "data": section("data", lambda: data_section(run)),
        "configs": section("configuration", lambda: config_section(run), []),
        "versions": section("versions", lambda: list((config.get("versions") or {}).items()), []),
        "command": section("command", lambda: _command(config.get("command"))),
        "runs": section("runs", lambda: [_run_row(folder) for folder in (run, *others)], []) if others else [],
        "commands": _commands(run),
        "plays": config.get("recipe") not in VIEW_RECIPES,
        "imagines": config.get("recipe") not in NO_PREDICTOR,
        "has_comparison": run.comparison is not None,
        "problems": problems,
        "broken": {p for p, file in _FILES.items() if p in problems or any(n.startswith(file) for n in run.problems)},
    }


def _commands(run: RunFolder) -> dict[str, str]:
    """What makes each part, for those that are missing."""
    path = shlex.quote(str(run.path))
    return {
        "training": f"worldjepa train act_jepa DATA.hdf5 --out {path}",
        "success": f"worldjepa evaluate {path}",
        "videos": f"worldjepa evaluate {path} --videos 4",
        "probe": f"worldjepa imagine {path}",
        "imagination": f"worldjepa imagine {path}",
        "views": f"worldjepa evaluate {path} --suite equivariance",
    }


def _command(value: Any) -> str | None:
    if isinstance(value, list):
        return shlex.join(str(part) for part in value)
    return str(value) if value else None


def _env_name(config: dict) -> str | None:
    env = (config.get("spec") or {}).get("env") or {}
    found = next((env[key] for key in ("id", "env_name", "name") if env.get(key)), None)
    return str(found) if found else None


def _facts(run: RunFolder, env: str | None) -> list[tuple[str, str]]:
    config = run.config or {}
    facts = []
    if config.get("recipe"):
        facts.append(("Recipe", label(str(config["recipe"]))))
    if env:
        facts.append(("Task", env))
    data = config.get("data") or {}
    if data.get("path"):
        facts.append(("Data", Path(str(data["path"])).name))
    episodes = (data.get("episodes") or {}).get("train")
    if episodes is not None:
        facts.append(("Training episodes", str(len(episodes) if isinstance(episodes, list) else episodes)))
    facts += _progress(run)
    if number((config.get("fit") or {}).get("seed")) is not None:
        facts.append(("Seed", str(config["fit"]["seed"])))
    return facts


def _progress(run: RunFolder) -> list[tuple[str, str]]:
    if not run.metrics:
        return []
    last = max(int(steps[-1]) for steps, _ in run.metrics.values())
    wanted = number(((run.config or {}).get("fit") or {}).get("steps"))
    steps = f"{last:,}" if wanted is None or last >= wanted else f"{last:,} of {wanted:,.0f}"
    facts = [("Steps", steps)]
    if "time_s" in run.metrics:
        facts.append(("Training time", duration(float(run.metrics["time_s"][1][-1]))))
    return facts


def _tiles(run: RunFolder) -> list[dict[str, str]]:
    """The few numbers that say how the run went."""
    tiles = []
    policy = main_policy(run)
    if policy is not None:
        success, n = policy["success"], policy["num_episodes"]
        limits = interval(success["low"], success["high"], scale=100, spec=".0f", unit="\u00a0%")
        text = f"of {n} episodes solved by {label(policy['policy'])} (95\u00a0% interval {limits})"
        tiles.append({"value": percent(success["rate"]), "text": text})
        tiles += [_pair_tile(pair, policy["policy"]) for pair in _rivals(run, policy["policy"])]
    ratio = imagination_ratio(run)
    if ratio is not None:
        text = "error of the imagined states, as a multiple of assuming that nothing moves"
        tiles.append({"value": f"{significant(ratio, 2)}\u00d7", "text": text})
    return tiles


def _rivals(run: RunFolder, policy: str) -> list[dict]:
    pairs = [p for p in (run.comparison or {}).get("pairs", []) if policy in (p["a"], p["b"])]
    return [p for rival in ("act", "bc") for p in pairs if rival != policy and rival in (p["a"], p["b"])][:2]


def _pair_tile(pair: dict, policy: str) -> dict[str, str]:
    sign = 1 if pair["a"] == policy else -1
    rival = pair["b"] if sign == 1 else pair["a"]
    low, high = sorted((100 * sign * pair["low"], 100 * sign * pair["high"]))
    clear = "" if low > 0 or high < 0 else "; zero is inside"
    text = f"points of success against {label(rival)} (95\u00a0% interval {interval(low, high, spec='+.0f')}{clear})"
    return {"value": signed(100 * sign * pair["difference"], "+.0f"), "text": text}


def _run_row(run: RunFolder) -> dict[str, str]:
    config = run.config or {}
    facts = dict(_progress(run))
    recipe = label(str(config.get("recipe", "")))
    return {
        "name": run.path.resolve().name,
        "recipe": recipe,
        "steps": facts.get("Steps", ""),
        "time": facts.get("Training time", ""),
    }
