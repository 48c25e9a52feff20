"""``worldjepa evaluate RUN --suite equivariance``: what a model's features say of an object and of how it is seen."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldjepa.commands.evaluate import Options
from worldjepa.commands.imagine import write_json
from worldjepa.commands.run_data import RunData, fresh_learner, open_run_data
from worldjepa.commands.train import OF_VIEWS

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from worldjepa.evaluate.equivariance import Split
    from worldjepa.evaluate.view_features import Features, ViewTable
    from worldjepa.learner import Learner

FILE = "equivariance.json"
FIGURE = "equivariance.png"


def run_views(options: Options, console: "Console") -> int:
    """Measure every run, write RUN/equivariance.json, print the tables, draw all runs in one figure.

    Raises:
        ValueError: a folder that is no run, or a run of another recipe.
    """
    from worldjepa.evaluate.report_equivariance import plot_views, save_png

    runs = [Path(name) for name in options.policies]
    for run in runs:
        if not (run / "config.json").is_file():
            raise ValueError(f"{run} is no run folder: the equivariance suite takes runs made by worldjepa train")
    found = []
    for run in runs:
        found.append(measure_run(run, options, console))
        for table in tables(found[-1]):
            console.print(table)
        console.print(str(write_json(run / FILE, found[-1])), soft_wrap=True)
    out = options.out or runs[0]
    out.mkdir(parents=True, exist_ok=True)
    console.print(str(save_png(plot_views(found), out / FIGURE)), soft_wrap=True)
    return 0


def measure_run(run: Path, options: Options, console: "Console") -> dict[str, Any]:
    """The record of one run.

    Raises:
        ValueError: a run of another recipe, nothing held out, too few objects or views.
    """
    from worldjepa.evaluate.report_read import read_run
    from worldjepa.evaluate.view_suite import measure_views
    from worldjepa.recipes import from_pretrained

    learner = from_pretrained(run).to(options.device).eval()
    origin = learner.origin
    if origin.recipe not in OF_VIEWS:
        raise ValueError(
            f"{run} is a run of recipe {origin.recipe!r}; the equivariance suite evaluates {' and '.join(OF_VIEWS)}"
        )
    data = open_run_data(run)
    data.need_held_out()
    with console.status(f"{run.name}: encoding views") as status:
        split = encode_split(learner, data, options)
        measured = measure_views(
            learner, split, options.lengths, progress=lambda what: status.update(f"{run.name}: {what}")
        )
    metrics = read_run(run).metrics
    return {
        "run": run.resolve().name,
        "recipe": origin.recipe,
        "method": getattr(origin.config, "method", origin.recipe),
        "observed": int(getattr(origin.config, "observed", 1)),
        "source": origin.config.source,
        "steps": max((int(steps[-1]) for steps, _ in metrics.values()), default=None),
        "num_objects": {role: len(set(t.group.tolist())) for role, t in (("train", split.train), ("test", split.test))},
        "num_views": split.test.num_views,
        "draws": options.draws,
        "seed": options.seed,
        "probe": {"epochs": options.probe_epochs, "hidden": options.probe_hidden},
        **measured,
    }


def encode_split(learner: "Learner", data: RunData, options: Options) -> "Split":
    """Features of the training and of the held-out objects, of the model and of its floors."""
    from worldjepa.evaluate.aggregates import told_actions
    from worldjepa.evaluate.equivariance import Split
    from worldjepa.evaluate.frozen_probe import ProbeSettings
    from worldjepa.evaluate.view_features import online_features, pixel_features, target_features
    from worldjepa.evaluate.view_retrieval import TARGET

    key = learner.origin.config.image_key
    floors: dict[str, Features] = {}
    if options.floors:
        fresh = fresh_learner(learner, data, options.seed).to(options.device)
        floors = {"random init": online_features(fresh, key), "pixels": pixel_features(key)}
    models = {"encoder": online_features(learner, key), **floors}
    targets = {TARGET: target_features(learner, key)} if told_actions(learner) else {}
    train = encode_role(learner, data, "train", models, options)
    test = encode_role(learner, data, "valid", models | targets, options)
    settings = ProbeSettings(
        epochs=options.probe_epochs, hidden=options.probe_hidden, seed=options.seed, device=options.device
    )
    return Split(train, test, settings, options.draws)


def encode_role(
    learner: "Learner", data: RunData, role: str, models: "dict[str, Features]", options: Options
) -> "ViewTable":
    """The views of the objects of one role, "train" or "valid", encoded."""
    from worldjepa.evaluate.view_features import encode_views
    from worldjepa.evaluate.view_sets import find_view_sets
    from worldjepa.evaluate.view_suite import check_lengths
    from worldjepa.recipes import recipe

    origin = learner.origin
    window = recipe(origin.recipe).window(origin.config, origin.spec)
    sets = find_view_sets(
        learner.model.views,
        data.store,
        data.episodes[role],
        keys=window.keys,
        stride=window.stride,
        num_views=options.views,
        longest=max(options.lengths, default=1),
        most=options.max_objects,
        seed=options.seed,
        also=options.state_keys,
    )
    check_lengths(options.lengths, sets.num_views)
    return encode_views(models, sets)


def tables(found: dict[str, Any]) -> "list[Table]":
    """Accuracy and path integration over lengths, transformations by encoder, retrieval, leakage and collapse."""
    shown = [accuracy_table(found), transformation_table(found), *path_tables(found), retrieval_table(found)]
    return [table for table in shown if table is not None]


def accuracy_table(found: dict[str, Any]) -> "Table | None":
    """Top-1 in percent by number of views."""
    from worldjepa.commands.console import plain_table

    if found["accuracy"] is None:
        return None
    objects = found["num_objects"]
    title = f"{found['run']}: top-1 %, {objects['test']} objects, views:"
    table = plain_table(title, *map(str, found["lengths"]), "", fold=True)
    for name, row in found["accuracy"].items():
        text = name if name == "aggregate" else f"{name}, mean of views"
        table.add_row(text, *(f"{100 * row[str(m)]['estimate']:.1f}" for m in found["lengths"]), "")
    chance = f"{100 * found['chance']:.1f}"
    table.add_row("commonest class", *[chance for _ in found["lengths"]], "")
    return table


def transformation_table(found: dict[str, Any]) -> "Table":
    """R^2 with its interval of transformations from pairs of views, of poses from single ones, and collapse."""
    from worldjepa.commands.console import plain_table

    table = plain_table(f"{found['run']}: R^2", *found["groups"], "", fold=True)
    for kind, text in (("relative", "from two views"), ("individual", "from one view")):
        for name, row in (found[kind] or {}).items():
            table.add_row(f"{name}, {text}", *(_score(row.get(group)) for group in found["groups"]), "")
    if found["action_leakage"] is not None:
        leak = found["action_leakage"]
        table.add_row("aggregate (leakage)", *(_score(leak.get(group)) for group in found["groups"]), "")
    collapse = found["collapse"]
    blank = [""] * (len(found["groups"]) - 1)
    text = f"rank {collapse['rank']:.1f} of {collapse['dim']}, spread {collapse['std']:.3g}"
    table.add_row("features of single views", text, *blank, "")
    return table


def path_tables(found: dict[str, Any]) -> "list[Table]":
    """R^2 of the way from the first view to the last by number of views, one table a group."""
    from worldjepa.commands.console import plain_table

    shown = []
    for group in found["groups"] if found["path_integration"] else ():
        table = plain_table(f"path integration, R^2 of {group}, views:", *map(str, found["lengths"]), "", fold=True)
        for name, row in found["path_integration"].items():
            cells = [row[str(m)].get(group) for m in found["lengths"]]
            table.add_row(name, *("-" if x is None else f"{x['estimate']:.2f}" for x in cells), "")
        shown.append(table)
    return shown


def retrieval_table(found: dict[str, Any]) -> "Table | None":
    """MRR, H@k and PRE by number of observed views, beside copying and chance."""
    from worldjepa.commands.console import plain_table

    if not found["retrieval"]:
        return None
    rows = found["retrieval"]
    names = list(next(iter(rows.values()))["model"])
    table = plain_table("retrieval", *names, "", fold=True)
    for length, row in rows.items():
        table.add_row(f"from {length} view{'s' * (length != '1')}", *(_score(row["model"][name]) for name in names), "")
    last = next(reversed(rows.values()))
    table.add_row("copy of the last view", *(_score(last["copy"][name]) for name in names), "")
    chance = [last["chance"].get(name) for name in names]
    table.add_row("chance", *("-" if x is None else f"{x:.3f}" for x in chance), f"of {last['num_views']} views")
    return table


def _score(value: dict[str, float] | None) -> str:
    if value is None:
        return "-"
    return f"{value['estimate']:.3f} [{value['low']:.2f}, {value['high']:.2f}]"
