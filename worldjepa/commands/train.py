"""``worldjepa train``: a recipe, a data set, and a run folder that can be resumed, evaluated and reported."""

import importlib
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tyro.conf import Fixed, Positional, Suppress

if TYPE_CHECKING:
    from worldjepa.commands.training import Trained

RECIPES = {
    "act_jepa": "chunked policy whose encoder also predicts the latents of the future (ACT-JEPA)",
    "act": "the same network without the latent loss (ACT without a CVAE)",
    "bc": "behaviour cloning: a perceptron from the observation to one action",
    "gcbc": "goal-conditioned behaviour cloning on hindsight goals",
    "ac_jepa": "world model: a JEPA that is told the actions, to imagine and plan in (LeWorldModel, PLDM, DINO-WM)",
    "seq_jepa": "views of an object and the actions between them, aggregated to predict the next view (seq-JEPA)",
    "view_pairs": "two views of an object made alike, or joined by the action (SimCLR, BYOL, VICReg, EquiMod, SIE)",
}
"""What the command line offers; a test holds it equal to `worldjepa.recipes.RECIPES`."""
OF_VIEWS = ("seq_jepa", "view_pairs")
"""Recipes that learn features of views: nothing is played or imagined with them."""
FLAGS = ("--debug", "--resume")
DEBUG_STEPS = 20
USAGE = "\n".join(
    [
        "usage: worldjepa train RECIPE DATA [--out RUN] [--preset NAME] [--config FILE] [--resume] [--debug]",
        "                       [--episodes.NAME VALUE] [--model.NAME VALUE] [--fit.NAME VALUE]",
        "",
        "recipes:",
        *[f"  {name:<10} {what}" for name, what in RECIPES.items()],
        "",
        "worldjepa train RECIPE --help              every setting of a recipe and of the training",
        "worldjepa train --config RUN/config.json   the same run again; add --resume to continue it",
        "torchrun --nproc_per_node 2 -m worldjepa train ...   on several processes or machines",
        "",
        "  worldjepa train act_jepa demos.hdf5 --out runs/one --fit.steps 5000 --model.chunk 8",
    ]
)
"""Help that does not wait for torch."""

M = TypeVar("M")
F = TypeVar("F")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which episodes to learn from."""

    valid: float = 0.1
    """Share of the episodes held out, where the recording has no filters of its own for that."""
    seed: int = 0
    """Of the choice of held-out episodes and of the order of windows."""
    train_filter: str = "train"
    """Named subset (robomimic's mask/NAME) to train on, if the recording has it and the one held out."""
    valid_filter: str = "valid"
    """Named subset to hold out."""
    num_demos: int | None = None
    """Train on this many of the training episodes only, drawn with the seed."""
    unlabelled_filter: str | None = None
    """Named subset, such as "failure", that trains the prediction of the future and not the actions."""


@dataclass(frozen=True, kw_only=True)
class Options(Generic[M, F]):
    """Every field of the model and of the training can be set: --model.chunk 8 --fit.steps 5000."""

    recipe: Fixed[Suppress[str]]
    """What to train, a name in RECIPES."""
    data: Positional[Path]
    """Recording (robomimic HDF5, Push-T zarr, Minari), images (folder or zip of class folders, 3DIEBench folder) or
    converted store."""
    out: Path | None = None
    """Run folder; by default runs/<name of the data>-<recipe>."""
    preset: str = "small"
    """Where the defaults of --model come from: "small" (for a CPU) or another that the recipe has, such as
    "paper"; a wrong name lists them."""
    config: Path | None = None
    """config.json of an earlier run, whose recipe, data and settings are taken as defaults."""
    features: str | None = None
    """With --preset dino_wm (--model.trunk features): function without arguments that returns the frozen encoder, a
    torch.nn.Module, as package.module:function; the module may lie in the current directory. Later commands want it
    again."""
    resume: bool = False
    """Go on with the run in --out from its last checkpoint, or start it if there is none."""
    debug: bool = False
    """A run of a few steps, and errors with their traceback."""
    episodes: Selection = field(default_factory=Selection)
    model: M
    fit: F


def parse(args: Sequence[str]) -> Options:
    """Options from a command line, in two passes: the recipe first, then its settings.

    Raises:
        ValueError: an unknown recipe or preset, a configuration file that cannot be used.
    """
    import tyro

    args = list(args)
    place = next((i for i, x in enumerate(args) if x not in FLAGS), None)
    recipe = args.pop(place) if place is not None and not args[place].startswith("-") else None
    config, preset = _value(args, "--config"), _value(args, "--preset")
    if recipe is None and config is None and any(x in ("-h", "--help") for x in args):
        print(USAGE)
        raise SystemExit(0)
    if recipe not in RECIPES and (recipe or config is None):
        raise ValueError(f"expected a recipe first, got {recipe or 'none'}; choose one of {', '.join(RECIPES)}")
    default = _from_saved(Path(config), recipe) if config else _from_preset(str(recipe), preset or "small")
    kind = Options[type(default.model), type(default.fit)]  # type: ignore[misc]  # known only now
    about = f"Train {default.recipe}: {RECIPES[default.recipe]}."
    return tyro.cli(kind, args=args, default=default, prog=f"worldjepa train {default.recipe}", description=about)


def run(options: Options) -> int:
    """Train and say what to do next."""
    result = train(options)
    if int(os.environ.get("RANK", "0")) == 0:
        name = shlex.quote(str(result.run))
        print(f"\n{options.recipe}: {result.fit.steps} steps in {result.fit.seconds:.0f} s, {result.run}")
        views = options.recipe in OF_VIEWS
        then = f"evaluate {name} --suite equivariance" if views else f"evaluate {name}; worldjepa imagine {name}"
        print(f"worldjepa {then}; worldjepa report {name}")
    return 0


def train(options: Options) -> "Trained":
    """Train as ``options`` say; what `run` does, for Python.

    Raises:
        ValueError: data or settings that cannot be used, a run folder that exists.
    """
    from worldjepa.commands.training import run_training

    if options.debug:
        fit = replace(options.fit, steps=DEBUG_STEPS, max_seconds=None, log_every=1, monitor_every=5, warmup=2)
        options = replace(options, fit=fit)
    command = ["worldjepa", *sys.argv[1:]] if Path(sys.argv[0]).stem in ("worldjepa", "__main__") else list(sys.argv)
    return run_training(options, out=options.out or _default_out(options), command=command)


def _default_out(options: Options) -> Path:
    if options.config is not None and options.resume:
        return options.config if options.config.is_dir() else options.config.parent
    return Path("runs") / f"{options.data.name.split('.')[0]}-{options.recipe}"


def _value(args: list[str], name: str) -> str | None:
    """The value given for an option: "--name value" or "--name=value"."""
    for position, arg in enumerate(args):
        if arg == name and position + 1 < len(args):
            return args[position + 1]
        if arg.startswith(f"{name}="):
            return arg.split("=", 1)[1]
    return None


def _from_preset(recipe: str, preset: str) -> Options:
    import tyro

    table = importlib.import_module("worldjepa.recipes.table")
    presets = table.recipe(recipe).presets
    if preset not in presets:
        raise ValueError(f"{recipe} has no preset {preset!r}; it has {', '.join(sorted(presets))}")
    fit = importlib.import_module("worldjepa.train.config").FitConfig()
    data: Any = tyro.MISSING
    return Options(recipe=recipe, data=data, preset=preset, model=presets[preset](), fit=fit)


def _from_saved(path: Path, recipe: str | None) -> Options:
    from worldjepa.commands.run_folder import read_config

    saved = read_config(path)
    table = importlib.import_module("worldjepa.recipes.table")
    fit_config = importlib.import_module("worldjepa.train.config").FitConfig
    if recipe not in (None, saved["recipe"]):
        raise ValueError(f"{path} is of recipe {saved['recipe']!r}, so it cannot configure {recipe!r}")
    unknown = sorted(set(saved["fit"]) - {f.name for f in fields(fit_config)})
    if unknown:
        raise ValueError(f"{path} has training settings this version does not know: {unknown}")
    fit = fit_config(**{k: tuple(v) if isinstance(v, list) else v for k, v in saved["fit"].items()})
    return Options(
        recipe=saved["recipe"],
        data=Path(saved["data"]["path"]),
        config=path,
        episodes=Selection(**saved["data"]["selection"]),
        model=table.config_from_json(saved["recipe"], saved["config"]),
        fit=fit,
    )
