"""seq-JEPA, its ablations and the baselines: one encoder, one data set, one budget, and the tables of the paper's kind.

    python examples/benchmarks/seq_jepa.py                        # TurntableNear, everything, three seeds
    python examples/benchmarks/seq_jepa.py --quick                # one seed, a quarter of the views, fewer objects
    python examples/benchmarks/seq_jepa.py --data tiny_imagenet20.zip --source augmentations
    python examples/benchmarks/seq_jepa.py --data tiny_imagenet20.zip --source saccades
    python examples/benchmarks/seq_jepa.py --preset threedie --device auto --views 50000000     # where a GPU is at hand

The budget counts views that pass the online or the target encoder in training, the same number for every method: one
that looks at more views of an object makes fewer steps. Every run is an ordinary run folder (``worldjepa evaluate RUN
--suite equivariance``, ``worldjepa report RUN``) and resumable: start the same command again and it goes on where it
stopped. A run whose outcome.json is deleted is measured anew and not trained again.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from gpu_use import watched
from seq_jepa_tables import averaged, tables
from study import CONSOLE, changed, once

from worldjepa.commands import equivariance
from worldjepa.commands.convert import Options as Conversion
from worldjepa.commands.convert import run as convert
from worldjepa.commands.evaluate import Options as Measured
from worldjepa.commands.run_data import RunData
from worldjepa.commands.train import Options, Selection, train
from worldjepa.commands.training import Trained, choose_episodes, open_data
from worldjepa.data.collect import collect
from worldjepa.evaluate.equivariance import Split
from worldjepa.evaluate.frozen_probe import ProbeSettings
from worldjepa.evaluate.report_equivariance import plot_views, save_png
from worldjepa.evaluate.rollout import task
from worldjepa.evaluate.view_features import online_features, pixel_features
from worldjepa.evaluate.view_suite import measure_views
from worldjepa.recipes import fit_statistics, make_learner, seq_jepa, view_pairs
from worldjepa.train import FitConfig
from worldjepa_policies import ScriptedPolicy

HUES = ("floor_hue", "light_hue")
"""Observations of objects that methods are not told, but for "hues told", and that are read all the same."""
COLLECTION_SEED = 7
HELD_OUT = Selection(valid=0.2)

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
    "hues told": lambda config: replace(config, difference_keys=HUES),
}
"""seq-JEPA with one observed view and with three, without actions, and told them in one of two places. If asked for:
other lengths, averaged statistics in the target's batch norm, fixations drawn uniformly or without inhibition, changes
of the hues in the action beside the rotation."""
MAIN = ("seq-3", "seq-1", "no action", "tokens only", "predictor only")
BASELINES = ("simclr", "byol", "vicreg", "equimod", "sie")


@dataclass(frozen=True, kw_only=True)
class Preset:
    """How large everything is."""

    config: Callable[[], Views]
    baseline: Callable[[view_pairs.Config], view_pairs.Config]
    """What becomes of a published baseline."""
    env: str
    """Environment that is recorded."""
    image_size: int
    batch_size: int
    lr: float
    probe_epochs: int
    probe_hidden: int


PRESETS = {
    "small": Preset(
        config=seq_jepa.small,
        baseline=view_pairs.small,
        env="worldjepa/TurntableNear-v0",
        image_size=64,
        batch_size=64,
        lr=1e-3,
        probe_epochs=60,
        probe_hidden=256,
    ),
    "threedie": Preset(
        config=seq_jepa.threedie,
        baseline=lambda published: published,
        env="worldjepa/Turntable-v0",
        image_size=128,
        batch_size=512,
        lr=4e-4,
        probe_epochs=300,
        probe_hidden=1024,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Args:
    """What to run."""

    out: Path = Path("runs/seq_jepa")
    """Folder of recordings and runs."""
    data: Path | None = None
    """A view set or images; None: the preset's Turntable, which is recorded first."""
    preset: Literal["small", "threedie"] = "small"
    """"small": a small CNN, TurntableNear at 64 px, for a CPU. "threedie": the paper's ResNet-18, batch and learning
    rate, Turntable at 128 px, for a GPU (--device auto); the paper trains for 168 million views."""
    source: Literal["poses", "augmentations", "saccades"] = "poses"
    """Where views and actions come from."""
    methods: tuple[str, ...] = (*MAIN, *BASELINES)
    """Which to run. The floors, random weights and pixels, are measured in any case."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of weights, order and views."""
    views: int = 1_000_000
    """Views that a training encodes."""
    quick: bool = False
    """One seed, a quarter of the views, 2000 objects, probes on 500."""
    objects: int = 5000
    """Recorded objects of Turntable, over all classes; a fifth is held out."""
    recorded_views: int = 20
    """Of each."""
    batch_size: int | None = None
    """None: the preset's."""
    lr: float | None = None
    """None: the preset's."""
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
    check(args)
    data = looked_at(args) if args.source == "saccades" else args.data or recorded(args)
    open_data(data, True)  # converted once, so that no training's time has it
    folder = args.out / f"{data.stem}-{args.source}-{args.views}views{settings(args)}"
    outcomes: dict[str, list[dict[str, Any]]] = {name: [] for name in args.methods}
    floors = []
    for seed in args.seeds:
        floors.append(once(folder / f"floors-seed{seed}", lambda path, s=seed: measure_floors(args, data, s)))
        for name in args.methods:
            place = folder / f"{name.replace(' ', '_')}-seed{seed}"
            outcomes[name].append(once(place, lambda path, n=name, s=seed: run(args, data, n, s, path)))
    for table in tables(outcomes, floors, args.lengths, saccades=args.source == "saccades"):
        CONSOLE.print(table)
    CONSOLE.print(spent([*floors, *(outcome for found in outcomes.values() for outcome in found)]))
    lengths = [name for name in outcomes if name.startswith("seq-")]
    figure = plot_views([averaged(name, outcomes[name]) for name in lengths or outcomes])
    num = len(args.seeds)
    figure.suptitle(f"means and 95 % intervals over {num} seeds" if num > 1 else "1 seed; 95 % intervals over objects")
    CONSOLE.print(str(save_png(figure, folder / "equivariance.png")), soft_wrap=True)


def check(args: Args) -> None:
    """Exit where the arguments do not go together."""
    known = (*VARIANTS, *view_pairs.PRESETS)
    if unknown := [name for name in args.methods if name not in known]:
        raise SystemExit(f"--methods must be among {', '.join(known)}; got {', '.join(unknown)}")
    if 1 not in args.lengths:
        raise SystemExit(f"--lengths must have 1, the length of single views, among them, got {args.lengths}")
    if args.source != "poses" and ("hues told" in args.methods or args.preset != "small"):
        raise SystemExit(f'"hues told" and --preset threedie are for --source poses, got {args.source}')


def spent(outcomes: list[dict[str, Any]]) -> str:
    """What all runs took, by the clock that their trainings were timed by."""
    parts = []
    for clock, text in (("cpu", "CPU-minutes"), ("wall", "minutes by the wall clock")):
        if seconds := [outcome["train_seconds"] for outcome in outcomes if outcome["clock"] == clock]:
            parts.append(f"{sum(seconds) / 60:.1f} {text} of training ({len(seconds)} runs)")
    measuring = sum(outcome["measure_seconds"] for outcome in outcomes) / 60
    return ", ".join([*parts, f"{measuring:.1f} CPU-minutes of measuring"])


def settings(args: Args) -> str:
    """What else changes results, for the folder's name, where it is not the default."""
    lengths = "" if args.lengths == Args.lengths else "-lengths" + "_".join(map(str, args.lengths))
    preset = PRESETS[args.preset]
    own = {name: None for name in ("batch_size", "lr") if getattr(args, name) == getattr(preset, name)}
    forms = {"batch_size": "batch{}", "lr": "lr{:g}", "precision": "{}", "probe_objects": "{}probed", "device": "{}"}
    return lengths + changed(replace(args, **own), preset="{}", **forms)


def recorded(args: Args) -> Path:
    """Objects of Turntable, each from as many random sides, under random hues; recorded once."""
    preset = PRESETS[args.preset]
    kind = "turntable" if args.preset == "small" else f"turntable{preset.image_size}px"
    path = args.out / f"{kind}{args.objects}x{args.recorded_views}.hdf5"
    if not path.exists():
        part = path.with_suffix(".part")
        part.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        begun = time.perf_counter()
        env = task(f"worldjepa_envs:{preset.env}", horizon=args.recorded_views - 1, image_size=preset.image_size)
        collect(env, ScriptedPolicy(preset.env), part, args.objects, seed=COLLECTION_SEED)
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
    preset = PRESETS[args.preset]
    config = preset.config()
    if args.source == "augmentations":
        config = replace(config, source="augmentations", rotation_key=None)
    elif args.source == "saccades":
        config = replace(config, source="saccades", rotation_key=None, view_size=32, trunk_width=64)
    if name in VARIANTS:
        return "seq_jepa", VARIANTS[name](config)
    return "view_pairs", view_pairs.same_views(preset.baseline(view_pairs.PRESETS[name]()), config)


def run(args: Args, data: Path, name: str, seed: int, folder: Path) -> dict[str, Any]:
    """Train, or go on, and measure."""
    recipe, config = configuration(args, name)
    fit = training(args, getattr(config, "observed", 1) + 1, seed, clock(args, folder))
    options = Options(recipe=recipe, data=data, out=folder, resume=True, episodes=HELD_OUT, model=config, fit=fit)
    with watched(args.device) as gpu:
        trained = train(options)
    speed = {"train_seconds": trained.fit.seconds, "clock": fit.clock, "ms_per_step": ms_per_step(trained)}
    if trained.fit.metrics:  # else an earlier process has made the last step, and what the GPU did now says nothing
        speed |= gpu
    CONSOLE.print(said(folder.name, trained.fit.steps, speed))
    begun = time.process_time()
    found = equivariance.measure_run(folder, measurement(args, folder), CONSOLE)
    equivariance.write_json(folder / equivariance.FILE, found)
    parameters = sum(p.numel() for p in trained.learner.model.parameters() if p.requires_grad)
    seconds = time.process_time() - begun
    return {"steps": fit.steps, **speed, "measure_seconds": seconds, "parameters": parameters, "measured": found}


def training(args: Args, encoded: int, seed: int, clock: Literal["wall", "cpu"]) -> FitConfig:
    """The training loop's settings for a method that encodes so many views of a sample."""
    preset = PRESETS[args.preset]
    batch_size = args.batch_size or preset.batch_size
    steps = max(1, args.views // (batch_size * encoded))
    return FitConfig(
        steps=steps,
        batch_size=batch_size,
        lr=args.lr or preset.lr,
        lr_final=0.02,
        warmup=min(200, steps // 10) if args.preset == "small" else steps // 50,
        weight_decay=1e-3,
        average=0.0,
        precision=args.precision,
        clock=clock,
        device=args.device,
        threads=1 if args.device == "cpu" else None,
        seed=seed,
        evaluate_every=0,
        save_every=1000,
        monitor_every=0,
    )


def clock(args: Args, folder: Path) -> Literal["wall", "cpu"]:
    """The clock that a run was begun by; of a new one processor time, where it is not a GPU that computes."""
    begun = folder / "config.json"
    if begun.exists():
        return json.loads(begun.read_text())["fit"]["clock"]
    return "cpu" if device(args) == "cpu" else "wall"


def device(args: Args) -> str:
    """Where networks run."""
    return "cuda" if args.device == "auto" and torch.cuda.is_available() else "cpu"


def measurement(args: Args, folder: Path) -> Measured:
    """What is measured, of all methods and of the floors alike."""
    preset = PRESETS[args.preset]
    return Measured(
        (str(folder),),
        lengths=args.lengths,
        max_objects=args.probe_objects,
        state_keys=HUES if args.data is None and args.source == "poses" else (),
        floors=False,
        probe_epochs=preset.probe_epochs,
        probe_hidden=preset.probe_hidden,
        device=device(args),
    )


def measure_floors(args: Args, data: Path, seed: int) -> dict[str, Any]:
    """Random weights of the encoder that all methods have, and pixels, on the objects that methods are scored on."""
    begun = time.process_time()
    name, config = configuration(args, "simclr")
    store = open_data(data, True)
    episodes = choose_episodes(store, HELD_OUT)
    torch.manual_seed(seed)
    learner = make_learner(name, config, store.spec, fit_statistics(config, store, episodes["train"]))
    options, key = measurement(args, data), config.image_key
    learner = learner.to(options.device).eval()
    models = {"encoder": online_features(learner, key), "pixels": pixel_features(key)}
    views = RunData(store, episodes, ())
    roles = [equivariance.encode_role(learner, views, role, models, options) for role in ("train", "valid")]
    probe = ProbeSettings(
        epochs=options.probe_epochs, hidden=options.probe_hidden, seed=options.seed, device=options.device
    )
    measured = measure_views(learner, Split(roles[0], roles[1], probe, options.draws), args.lengths)
    return {
        "clock": None,
        "train_seconds": 0.0,
        "measure_seconds": time.process_time() - begun,
        "measured": measured,
    }


def ms_per_step(trained: Trained) -> float:
    """Milliseconds of a step over the whole training, by its clock."""
    return 1e3 * trained.fit.seconds / trained.fit.steps


def said(name: str, steps: int, speed: dict[str, Any]) -> str:
    """A line on a finished training."""
    text = f"{name}: {steps} steps of {speed['ms_per_step']:.1f} ms ({speed['clock']} time)"
    if "gpu_busy" in speed:
        text += f", the GPU computing {100 * speed['gpu_busy']:.0f} % of the time"
    if "gpu_mib" in speed:
        text += f", at most {speed['gpu_mib']:.0f} MiB of its memory"
    return text


if __name__ == "__main__":
    main(tyro.cli(Args))
