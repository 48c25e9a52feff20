"""seq-JEPA, its ablations and the baselines: one encoder, one data set, one budget, and the tables of the paper's kind.

    python examples/benchmarks/seq_jepa.py                        # TurntableNear, everything, three seeds
    python examples/benchmarks/seq_jepa.py --quick                # one seed, a quarter of the views, fewer objects
    python examples/benchmarks/seq_jepa.py --data tiny_imagenet20.zip --source augmentations
    python examples/benchmarks/seq_jepa.py --data tiny_imagenet20.zip --source saccades

The budget counts views that pass the online or the target encoder in training, the same number for every method: one
that looks at more views of an object makes fewer steps. Every run is an ordinary run folder (``worldjepa evaluate RUN
--suite equivariance``, ``worldjepa report RUN``) and resumable: start the same command again and it goes on where it
stopped.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from rich.table import Table
from study import CONSOLE, changed, once, over_seeds

from worldjepa.commands import equivariance
from worldjepa.commands.convert import Options as Conversion
from worldjepa.commands.convert import run as convert
from worldjepa.commands.evaluate import Options as Measured
from worldjepa.commands.train import Options, Selection, train
from worldjepa.data.collect import collect
from worldjepa.evaluate.report_equivariance import plot_views, save_png
from worldjepa.evaluate.rollout import task
from worldjepa.recipes import seq_jepa, view_pairs
from worldjepa.train import FitConfig
from worldjepa_policies import ScriptedPolicy

TURNTABLE = "worldjepa/TurntableNear-v0"
HUES = ("floor_hue", "light_hue")
"""Observations of objects that no method is told, and that are read all the same."""
COLLECTION_SEED = 7

Views = seq_jepa.Config
VARIANTS: dict[str, Callable[[Views], Views]] = {
    "seq-1": lambda config: replace(config, observed=1),
    "seq-3": lambda config: config,
    "no action": lambda config: replace(config, condition_tokens=False, condition_predictor=False),
    "tokens only": lambda config: replace(config, condition_predictor=False),
    "predictor only": lambda config: replace(config, condition_tokens=False),
    "seq-2": lambda config: replace(config, observed=2),
    "seq-5": lambda config: replace(config, observed=5),
    "averaged": lambda config: replace(config, target_statistics="averaged"),
    "no saliency": lambda config: replace(config, saliency_key=None),
    "no inhibition": lambda config: replace(config, inhibition=None),
}
"""seq-JEPA with one observed view and with three, without actions, and told them in one of two places. If asked for:
other lengths, averaged statistics in the target's batch norm, fixations drawn uniformly or without inhibition."""
MAIN = ("seq-3", "seq-1", "no action", "tokens only", "predictor only")
BASELINES = ("simclr", "byol", "vicreg", "equimod", "sie")


@dataclass(frozen=True, kw_only=True)
class Args:
    """What to run."""

    out: Path = Path("runs/seq_jepa")
    """Folder of recordings and runs."""
    data: Path | None = None
    """A view set or images; None: TurntableNear, which is recorded first."""
    source: Literal["poses", "augmentations", "saccades"] = "poses"
    """Where views and actions come from."""
    methods: tuple[str, ...] = (*MAIN, *BASELINES)
    """Which to run. The floors, random weights and pixels, are measured beside the first."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of weights, order and views."""
    views: int = 1_000_000
    """Views that a training encodes."""
    quick: bool = False
    """One seed, a quarter of the views, 2000 objects, probes on 500."""
    objects: int = 5000
    """Recorded objects of TurntableNear, over all classes; a fifth is held out."""
    recorded_views: int = 20
    """Of each."""
    batch_size: int = 64
    lr: float = 1e-3
    precision: Literal["no", "bf16"] = "bf16"
    """Of the forward pass, for all methods alike."""
    lengths: tuple[int, ...] = (1, 2, 3, 5, 8)
    """Numbers of views at inference; 1 among them."""
    probe_objects: int = 1000
    """Objects that probes are fitted on, and that they are scored on, at most."""
    device: Literal["cpu", "auto"] = "cpu"


def main(args: Args) -> None:
    """Run what is missing, print the tables, draw the figure."""
    torch.set_num_threads(1)
    if args.quick:
        args = replace(args, seeds=args.seeds[:1], views=args.views // 4, objects=2000, probe_objects=500)
    if 1 not in args.lengths:
        raise SystemExit(f"--lengths must have 1, the length of single views, among them, got {args.lengths}")
    data = looked_at(args) if args.source == "saccades" else args.data or recorded(args)
    folder = args.out / f"{data.stem}-{args.source}-{args.views}views{settings(args)}"
    outcomes: dict[str, list[dict[str, Any]]] = {name: [] for name in args.methods}
    for seed in args.seeds:
        for name in args.methods:
            place = folder / f"{name.replace(' ', '_')}-seed{seed}"
            outcomes[name].append(once(place, lambda path, n=name, s=seed: run(args, data, n, s, path)))
    if outcomes[args.methods[0]][0]["measured"]["accuracy"]:
        CONSOLE.print(accuracy_table(args, outcomes))
    CONSOLE.print(transformation_table(outcomes))
    if len(args.seeds) > 1 and len(outcomes) > 1:
        CONSOLE.print(difference_table(outcomes))
    for table in path_tables(args, outcomes):
        CONSOLE.print(table)
    CONSOLE.print(retrieval_table(outcomes))
    minutes = [outcome["cpu_seconds"] / 60 for found in outcomes.values() for outcome in found]
    CONSOLE.print(f"{len(minutes)} runs, {sum(minutes):.0f} CPU-minutes, measuring included")
    lengths = [name for name in outcomes if name.startswith("seq-")]
    figure = plot_views([outcomes[name][0]["measured"] for name in lengths or outcomes])
    CONSOLE.print(str(save_png(figure, folder / "equivariance.png")), soft_wrap=True)


def settings(args: Args) -> str:
    """What else changes results, for the folder's name, where it is not the default."""
    lengths = "" if args.lengths == Args.lengths else "-lengths" + "_".join(map(str, args.lengths))
    forms = {"batch_size": "batch{}", "lr": "lr{:g}", "precision": "{}", "probe_objects": "{}probed"}
    return lengths + changed(args, **forms)


def recorded(args: Args) -> Path:
    """Objects of TurntableNear, each from as many random sides, under random hues; recorded once."""
    path = args.out / f"turntable{args.objects}x{args.recorded_views}.hdf5"
    if not path.exists():
        part = path.with_suffix(".part")
        part.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        begun = time.perf_counter()
        env = task(f"worldjepa_envs:{TURNTABLE}", horizon=args.recorded_views - 1)
        collect(env, ScriptedPolicy(TURNTABLE), part, args.objects, seed=COLLECTION_SEED)
        CONSOLE.print(f"{path.name}: {args.objects * args.recorded_views} views, {time.perf_counter() - begun:.0f} s")
        part.rename(path)
    return path


def looked_at(args: Args) -> Path:
    """The pictures with saliency maps, which are computed once."""
    if args.data is None:
        raise SystemExit("--source saccades needs pictures: --data FOLDER or ZIP of class folders")
    path = args.out / f"{args.data.stem}-saliency"
    if not path.exists():
        convert(Conversion(args.data, path, saliency="spectral_residual"))
    return path


def configuration(args: Args, name: str) -> tuple[str, Any]:
    """Recipe and configuration of a method."""
    config = seq_jepa.small()
    if args.source == "augmentations":
        config = replace(config, source="augmentations", rotation_key=None)
    elif args.source == "saccades":
        config = replace(config, source="saccades", rotation_key=None, view_size=32, trunk_width=64)
    if name in VARIANTS:
        return "seq_jepa", VARIANTS[name](config)
    return "view_pairs", view_pairs.same_views(view_pairs.small(view_pairs.PRESETS[name]()), config)


def run(args: Args, data: Path, name: str, seed: int, folder: Path) -> dict[str, Any]:
    """Train, or go on, and measure."""
    recipe, config = configuration(args, name)
    encoded = getattr(config, "observed", 1) + 1
    steps = args.views // (args.batch_size * encoded)
    fit = FitConfig(
        steps=steps,
        batch_size=args.batch_size,
        lr=args.lr,
        lr_final=0.02,
        warmup=min(200, steps // 10),
        weight_decay=1e-3,
        average=0.0,
        precision=args.precision,
        device=args.device,
        threads=1 if args.device == "cpu" else None,
        seed=seed,
        evaluate_every=0,
        save_every=1000,
        monitor_every=0,
    )
    options = Options(
        recipe=recipe, data=data, out=folder, resume=True, episodes=Selection(valid=0.2), model=config, fit=fit
    )
    begun = time.process_time()
    trained = train(options)
    seconds = time.process_time() - begun
    measured = Measured(
        (str(folder),),
        lengths=args.lengths,
        max_objects=args.probe_objects,
        state_keys=HUES if args.data is None and args.source == "poses" else (),
        floors=name == args.methods[0],
        probe_epochs=60,
    )
    found = equivariance.measure_run(folder, measured, CONSOLE)
    equivariance.write_json(folder / equivariance.FILE, found)
    parameters = sum(p.numel() for p in trained.learner.model.parameters() if p.requires_grad)
    return {"steps": steps, "train_cpu_seconds": seconds, "parameters": parameters, "measured": found}


def score(values: Sequence[float | None]) -> str:
    """A cell: mean with interval, or the single value."""
    known = [value for value in values if value is not None]
    if len(known) < len(values) or not known:
        return "-"
    return over_seeds(known)


def accuracy_table(args: Args, outcomes: dict[str, list[dict[str, Any]]]) -> Table:
    """Top-1 of a linear probe: from one view's features, and from the aggregate (baselines: the mean) of M views."""
    table = Table(
        "method", "one view", *(f"{m} views" for m in args.lengths), "CPU min", title="top-1, held-out objects"
    )
    for name, found in outcomes.items():
        rows = [o["measured"]["accuracy"] for o in found]
        kind = "aggregate" if "aggregate" in rows[0] else "encoder"
        single = score([r["encoder"]["1"]["estimate"] for r in rows])
        many = [score([r[kind][str(m)]["estimate"] for r in rows]) for m in args.lengths]
        minutes = np.mean([o["train_cpu_seconds"] for o in found]) / 60
        table.add_row(name, single, *many, f"{minutes:.1f}")
        if kind == "aggregate":
            mean = [score([r["encoder"][str(m)]["estimate"] for r in rows]) for m in args.lengths]
            table.add_row(f"{name}, mean of features", "", *mean, "", style="dim")
    first = next(iter(outcomes.values()))
    for floor in ("random init", "pixels"):
        rows = [o["measured"]["accuracy"][floor] for o in first]
        cells = [score([r[str(m)]["estimate"] for r in rows]) for m in args.lengths]
        table.add_row(floor, cells[0] if 1 in args.lengths else "", *cells, "", style="dim")
    return table


def transformation_table(outcomes: dict[str, list[dict[str, Any]]]) -> Table:
    """R^2 of the transformation between two views, of one view's pose, and of the former from the aggregate."""
    first = next(iter(outcomes.values()))
    groups = first[0]["measured"]["groups"]
    columns = [f"{kind} {group}" for kind in ("relative", "single") for group in groups]
    table = Table("method", *columns, "leak", "rank", title="R^2, held-out objects; leak: relative, from the aggregate")

    def cells(found: list[dict[str, Any]], encoder: str) -> list[str]:
        shown = []
        for kind in ("relative", "individual"):
            for group in groups:
                rows = [(o["measured"][kind] or {}).get(encoder, {}).get(group) for o in found]
                shown.append(score([None if r is None else r["estimate"] for r in rows]))
        return shown

    for name, found in outcomes.items():
        leaks = [o["measured"]["action_leakage"] for o in found]
        leak = score([None if x is None else x[groups[0]]["estimate"] for x in leaks])
        rank = np.mean([o["measured"]["collapse"]["rank"] for o in found])
        table.add_row(name, *cells(found, "encoder"), leak, f"{rank:.1f}")
    for floor in ("random init", "pixels"):
        table.add_row(floor, *cells(first, floor), "", "", style="dim")
    return table


def difference_table(outcomes: dict[str, list[dict[str, Any]]]) -> Table:
    """The first method less each other one in R^2 of the first group, seed by seed: both saw the same objects."""
    first, *others = outcomes
    group = outcomes[first][0]["measured"]["groups"][0]
    table = Table("method", *(f"{kind} {group}" for kind in ("relative", "single")), title="differences of R^2")

    def scores(name: str, kind: str) -> list[float]:
        return [o["measured"][kind]["encoder"][group]["estimate"] for o in outcomes[name]]

    kinds = [kind for kind in ("relative", "individual") if outcomes[first][0]["measured"][kind]]
    for other in others:
        pairs = [zip(scores(first, kind), scores(other, kind), strict=True) for kind in kinds]
        table.add_row(f"{first} - {other}", *(over_seeds([a - b for a, b in pair], sign=True) for pair in pairs))
    return table


def path_tables(args: Args, outcomes: dict[str, list[dict[str, Any]]]) -> list[Table]:
    """R^2 of the transformation from the first view to the one to be predicted, with the two ablations."""
    tables = []
    for name, found in outcomes.items():
        if not found[0]["measured"]["path_integration"]:
            continue
        group = found[0]["measured"]["groups"][0]
        table = Table("path integration", *(f"{m} views" for m in args.lengths), title=f"{name}: R^2 of {group}")
        for condition in found[0]["measured"]["path_integration"]:
            rows = [o["measured"]["path_integration"][condition] for o in found]
            cells = [score([r[str(m)][group]["estimate"] for r in rows]) for m in args.lengths]
            table.add_row(condition, *cells)
        tables.append(table)
    return tables


def retrieval_table(outcomes: dict[str, list[dict[str, Any]]]) -> Table:
    """Where a predicted view stands among an object's, with as many observed views as in training."""
    shown = {name: found for name, found in outcomes.items() if found[0]["measured"]["retrieval"]}
    known = [list(next(iter(f[0]["measured"]["retrieval"].values()))["model"]) for f in shown.values()]
    table = Table("method", *(known[0] if known else ()), title="retrieval of the predicted view")
    for name, found in shown.items():
        rows = [o["measured"]["retrieval"] for o in found]
        fitting = [int(m) for m in rows[0] if int(m) <= found[0]["measured"]["observed"]]
        length = str(max(fitting))
        cells = [score([r[length]["model"][key]["estimate"] for r in rows]) for key in known[0]]
        table.add_row(name, *cells)
    return table


if __name__ == "__main__":
    main(tyro.cli(Args))
