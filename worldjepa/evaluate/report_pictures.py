"""The parts of a report about a world model: pictures of what it imagined, and the record of the world-model suite."""

import base64
from pathlib import Path
from typing import Any

from worldjepa.evaluate.report_files import MAX_VIDEO_BYTES
from worldjepa.evaluate.report_plots import colors_of, has_values, plot_horizon
from worldjepa.evaluate.report_read import RunFolder, label, number
from worldjepa.evaluate.report_svg import to_svg
from worldjepa.evaluate.report_text import interval, percent, significant

MAX_PICTURES = 12
MAX_PICTURE_BYTES = 15_000_000
"""Of all pictures and films of imagined futures together."""
CURVES = {"imagined": "Imagined", "copy": "Copy of the start", "linear": "Linear model"}


def picture_section(run: RunFolder) -> list[dict[str, Any]]:
    """Grids and films of RUN/imagination, their bytes inside where they are not too many; "recorded" ones first."""
    folder = (run.path / "imagination").resolve()
    paths = sorted(folder.glob("*_[0-9][0-9][0-9].png"), key=lambda p: (not p.name.startswith("recorded_"), p.name))
    entries, total = [], 0
    for path in paths[:MAX_PICTURES]:
        if not path.resolve().is_relative_to(folder):
            continue
        film = path.with_suffix(".mp4")
        uris: dict[str, str | None] = {}
        for kind, file in (("image/png", path), ("video/mp4", film)):
            size = file.stat().st_size if file.is_file() and file.resolve().is_relative_to(folder) else 0
            fits = 0 < size <= MAX_VIDEO_BYTES and total + size <= MAX_PICTURE_BYTES
            total += size if fits else 0
            uris[kind] = _uri(kind, file) if fits else None
        source, _, place = path.stem.rpartition("_")
        actions = {"recorded": "the recorded actions", "actions": "actions of a file"}.get(source, f"{label(source)}")
        entries.append(
            {
                "name": f"imagination/{path.name}",
                "title": f"Under {actions}, start {int(place)}",
                "grid": uris["image/png"],
                "film": uris["video/mp4"],
            }
        )
    return entries


def suite_section(run: RunFolder) -> dict[str, Any] | None:
    """What world_model.json holds; None where the suite was not run."""
    found = run.world_model
    if found is None:
        return None
    loop, probe = found["open_loop"], found["probe"]
    latent = {CURVES[k]: v for k, v in loop["latent"].items() if k in CURVES and has_values(v)}
    colors = dict(zip(latent, colors_of(["act_jepa", "copy", "raw state linear"][: len(latent)]).values()))
    stride = int(number(loop.get("stride")) or 1)
    chart = to_svg(plot_horizon(latent, colors, unit="", stride=stride), "latent") if latent else None
    planning = found.get("planning") or {}
    ms = planning.get("ms_per_plan") or {}
    return {
        "chart": chart,
        "probes": [
            {"model": name, **{kind: significant(probe[kind][name]["rmse"]) for kind in ("linear", "mlp")}}
            for name in probe["linear"]
        ],
        "rank": significant(found["collapse"]["rank"]),
        "dim": found["collapse"]["dim"],
        "std": significant(found["collapse"]["std"]),
        "std_min": significant(least) if (least := found["collapse"].get("std_min")) is not None else None,
        "dropped": planning.get("dropped_already_solved"),
        "ms": significant(ms.get("median"), 2) if ms else None,
        "num_plans": ms.get("n"),
        "factors": [_factor(name, part, found["recipe"]) for name, part in (found.get("factors") or {}).items()],
    }


def _factor(name: str, found: dict[str, Any], recipe: str) -> dict[str, Any]:
    own, random = found["policies"][recipe], found["policies"].get("random")
    return {
        "name": name.replace("_", " "),
        "rate": percent(own["rate"]),
        "interval": interval(own["low"], own["high"], scale=100, spec=".0f", unit="\u00a0%"),
        "count": f"{own['count']}/{found['num_episodes']}",
        "random": "" if random is None else percent(random["rate"]),
    }


def _uri(kind: str, path: Path) -> str:
    return f"data:{kind};base64," + base64.b64encode(path.read_bytes()).decode()
