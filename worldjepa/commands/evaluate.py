"""``worldjepa evaluate``: policies on the same recorded starts, with floors, intervals and paired tests."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional

from worldjepa.commands import rendering, tasks
from worldjepa.commands.frozen import check_needed
from worldjepa.commands.planners import PlannerName, planning
from worldjepa.commands.run_folder import saved_config
from worldjepa.commands.starts import find_manifest
from worldjepa.commands.train import OF_VIEWS

if TYPE_CHECKING:
    from worldjepa.data.task import Task
    from worldjepa.evaluate.manifest import Manifest
    from worldjepa.evaluate.results import Evaluation


WORLD_MODELS = ("ac_jepa",)
"""Recipes that are planned with."""
GOAL_CONDITIONED = (*WORLD_MODELS, "gcbc")
"""Recipes whose policies are told a goal."""
GOALS = {"goal_obs": True}
"""Arguments of an environment that shows the goal."""


@dataclass(frozen=True)
class Options:
    """Results go into the first run folder named; what stands there from earlier on the same starts is compared too."""

    policies: Positional[tuple[str, ...]]
    """Run folders (the first receives the results), model folders or hub names; also expert, random, noop."""
    suite: Literal["policy", "world-model", "equivariance"] = "policy"
    """"world-model" (of one run of recipe ac_jepa): open-loop errors, probes, collapse and planning success in one
    table, and in RUN/world_model.json. "equivariance" (of runs of recipes seq_jepa and view_pairs): what features of
    views say of object and view, in a table, in RUN/equivariance.json of each and in equivariance.png of the first."""
    env: str | None = None
    """Gymnasium id; by default the environment that the data was recorded in."""
    kwargs: tuple[str, ...] = ()
    """Arguments of the environment, as name=value."""
    horizon: int | None = None
    """Steps after which an episode is cut off; by default the environment's own limit."""
    out: Path | None = None
    """Folder for the results, where the first policy is no run folder."""
    episodes: int = 100
    """Starts: exactly so many episodes are run, once each, for every policy."""
    seed: int = 0
    """The starts are drawn from it."""
    manifest: Path | None = None
    """File of recorded starts; by default one is made in the run folder and used again."""
    hold: int = 1
    """Steps in a row for which the task must be solved."""
    action_steps: int | None = None
    """Actions executed of each predicted chunk; by default all of them."""
    ensemble: float | None = None
    """ACT's temporal ensembling with this decay: the network is asked at every step."""
    floors: bool = True
    """Run the random and the no-op policy as well; with --suite equivariance, read random weights and pixels too."""
    videos: int = 4
    """First episodes of each learned policy to film."""
    num_envs: int = 1
    """Environments side by side; no result depends on it."""
    parallel: bool = False
    """Each environment in a process of its own."""
    clip: bool = False
    """Clip actions that leave the action space and count them, instead of stopping with an error."""
    record: Path | None = None
    """Folder to write each policy's rollouts to, as robomimic HDF5."""
    device: str = "cpu"
    """Where the networks run."""
    features: str | None = None
    """Function that makes the frozen encoder of a model trained with --features, as package.module:function."""
    plan_horizon: int | None = None
    """Blocks of actions that a world model plans ahead; by default 5, or as many as it can imagine."""
    execute: int | None = None
    """Blocks executed of each plan; by default all of them."""
    planner: PlannerName = "cem"
    """What plans with a world model: the cross-entropy method or its improved form, MPPI, gradient descent, random
    shooting."""
    plan_samples: int | None = None
    """Sequences that the planner imagines in each iteration; by default 300, or 8 starts of gradient descent."""
    plan_iterations: int | None = None
    """Iterations of the planner; by default 10, or 50 of gradient descent."""
    plan_std: float | None = None
    """Spread of the first actions a search draws, in standard deviations of the recorded ones (of gradient descent, of
    its starts); by default 1. Wider is often better where recorded actions were timid."""
    plan_beta: float | None = None
    """Colour of the noise of --planner icem: 0 is white, higher is smoother over time; by default 2."""
    plan_reduce: Literal["sum", "last"] = "sum"
    """Whether a plan is judged by all steps that it imagines, or by its last."""
    budget_ms: float | None = None
    """Milliseconds that a plan may take: no iteration is begun that would end later. Results then depend on the
    machine."""
    plan_goal: float = 1.0
    """Weight in a plan of the distance to the goal; at 0 no goal is asked for."""
    plan_reward: float = 0.0
    """Weight in a plan of what the model's reward head expects."""
    plan_success: float = 0.0
    """Weight in a plan of what the model's success head expects (log odds)."""
    plan_penalty: float = 0.0
    """Weight in a plan of large actions, against them."""
    factors: tuple[str, ...] = ()
    """With --suite world-model: factors of variation of the environment to measure success under, one after another;
    "all" for every one it has."""
    open_loop: int | None = None
    """With --suite world-model: blocks of actions to imagine for open-loop errors; by default those of a training
    window or of a plan, whichever are more, as far as model and episodes reach."""
    max_windows: int | None = None
    """With --suite world-model: windows for open-loop errors and probes; by default those of 256 MB of images."""
    state_keys: tuple[str, ...] = ()
    """With --suite world-model: states to probe; empty: all of the data's. With --suite equivariance: states of
    recorded views that are read from features though the model is not told them, such as hues."""
    lengths: tuple[int, ...] = tuple(range(1, 9))
    """With --suite equivariance: numbers of views to aggregate or average."""
    views: int | None = None
    """With --suite equivariance: views of each object to encode; by default all that are recorded, at most 50, or as
    many as the longest sequence needs where views are made."""
    max_objects: int = 500
    """With --suite equivariance: training objects, and held-out ones, at most."""
    draws: int = 8
    """With --suite equivariance: sequences drawn of each object."""
    probe_epochs: int = 300
    """With --suite equivariance: most epochs of a probe; a share of the training objects says which is best."""
    probe_hidden: int = 256
    """With --suite equivariance: hidden width of the perceptron that reads transformations; published: 1024."""
    threads: int = 1
    """Threads of torch: a network asked for one action at a time gains nothing from more, and loses where they wait."""


def run(options: Options) -> int:
    """Evaluate, save and print the table."""
    import torch

    from worldjepa.commands.console import make_console
    from worldjepa.evaluate.compare import save_comparison
    from worldjepa.evaluate.table import success_table

    if not options.policies:
        raise ValueError("name at least one policy: worldjepa evaluate RUN (or expert, random, noop)")
    torch.set_num_threads(options.threads)
    console = make_console()
    if options.suite != "equivariance":
        check_acts(options.policies)
        check_needed([x for x in options.policies if x not in tasks.NAMES], options.features)
    if options.suite == "world-model":
        from worldjepa.commands.world_model import run_suite

        return run_suite(options, console)
    if options.suite == "equivariance":
        from worldjepa.commands.equivariance import run_views

        return run_views(options, console)
    backend = rendering.choose()
    videos = options.videos if backend != "disable" else 0
    if videos < options.videos:
        console.print("no videos: nothing can draw here (worldjepa doctor says what to install)")
    out = find_out(options)
    kwargs = (GOALS if told_goals(options) else {}) | tasks.parse_kwargs(options.kwargs)
    task = tasks.find_task(options.env, recorded_env(options.policies), kwargs, options.horizon)
    manifest = find_manifest(task, out, options)
    if manifest.dropped:
        console.print(f"{len(manifest.dropped)} starts were solved already; others took their place")
    new = [evaluate_one(x, task, manifest, out, videos, options) for x in find_policies(task, options)]
    found = [*new, *earlier(out, new)]
    comparison = None
    if len(found) > 1:
        import json

        comparison = json.loads(save_comparison(found, out).read_text())
        first = new[0].policy
        comparison["pairs"] = [pair for pair in comparison["pairs"] if first in (pair["a"], pair["b"])]
    console.print(success_table(found, comparison))
    console.print(f"{out}/evaluations; worldjepa report {shlex.quote(str(out))}")
    return 0


def check_acts(names: tuple[str, ...]) -> None:
    """Raise ValueError where a run learned features of views, with which nothing is played or imagined."""
    for name in names:
        recipe = saved_config(name).get("recipe")
        if recipe in OF_VIEWS:
            raise ValueError(
                f"{name} is a run of recipe {recipe!r}, whose features of views neither act nor imagine: "
                f"worldjepa evaluate {name} --suite equivariance"
            )


def find_out(options: Options) -> Path:
    """Where results go.

    Raises:
        ValueError: the first policy is no run folder and no folder is given.
    """
    if options.out is not None:
        return options.out
    first = Path(options.policies[0])
    if (first / "config.json").is_file() and (first / "checkpoints").is_dir():
        return first
    what = "no run folder" if first.exists() or options.policies[0] in tasks.NAMES else "no run folder, and not there"
    raise ValueError(
        f"{first} is {what}: name a run made by worldjepa train, or say where results go with --out FOLDER"
    )


def recorded_env(policies: tuple[str, ...]) -> dict[str, Any]:
    """The environment in which the data of the first trained policy was recorded; empty if none says."""
    import json

    for name in policies:
        path = Path(name) / "config.json"
        if path.is_file():
            return dict(json.loads(path.read_text()).get("spec", {}).get("env") or {})
    return {}


def find_policies(task: "Task", options: Options) -> "list[tuple[str, Any]]":
    """(name, policy) of all policies to run, floors last; names that occur twice become folder names."""
    found: list[tuple[str, Any]] = []
    for source in options.policies:
        name, policy = tasks.find_policy(source, task, **fitting(source, options))
        taken = {x for x, _ in found}
        found.append((Path(source).resolve().name if name in taken else name, policy))
    if options.floors:
        found += [tasks.find_policy(x, task) for x in tasks.FLOORS if x not in options.policies]
    names = [name for name, _ in found]
    if len(set(names)) < len(names):
        raise ValueError(f"policies need different names, got {', '.join(names)}: rename a run folder")
    return found


def fitting(source: str, options: Options) -> dict[str, Any]:
    """Options that a policy has: of chunked execution, of planning, or neither where it predicts a single action."""
    saved = saved_config(source)
    if source in tasks.NAMES:
        return {}
    if plans(source):
        return {"features": options.features, **planning(saved["config"].get("stride", 1), options)}
    chunked = {"n_action_steps": options.action_steps, "temporal_ensemble": options.ensemble}
    return {"device": options.device, **(chunked if saved.get("config", {}).get("chunk", 2) > 1 else {})}


def plans(source: str) -> bool:
    """Whether a run folder or model folder holds a world model, which is planned with."""
    return saved_config(source).get("recipe") in WORLD_MODELS


def told_goals(options: Options) -> bool:
    """Whether any of the policies reads a goal observation."""
    aimless = WORLD_MODELS if options.plan_goal == 0 else ()
    return any(saved_config(x).get("recipe") in {*GOAL_CONDITIONED} - {*aimless} for x in options.policies)


def evaluate_one(
    named: tuple[str, Any], task: "Task", manifest: "Manifest", out: Path, videos: int, options: Options
) -> "Evaluation":
    """Run one policy on all starts and save what came of it."""
    from worldjepa.evaluate.rollout import evaluate

    name, policy = named
    found = evaluate(
        policy,
        task,
        manifest,
        name=name,
        num_envs=options.num_envs,
        hold=options.hold,
        out_of_bounds="clip" if options.clip else "error",
        parallel=options.parallel,
        videos=0 if name in tasks.FLOORS else min(videos, len(manifest)),
        run_dir=out,
        record=options.record / f"{name}.hdf5" if options.record else None,
        progress=True,
    )
    found.save(out)
    return found


def earlier(out: Path, new: "list[Evaluation]") -> "list[Evaluation]":
    """Evaluations in the folder on the same starts and terms, of policies that were not run now."""
    from worldjepa.evaluate.results import Evaluation

    found = []
    for path in sorted((out / "evaluations").glob("*.json")):
        before = Evaluation.load(path)
        alike = (before.manifest["sha256"], before.hold, before.success_threshold) == (
            new[0].manifest["sha256"],
            new[0].hold,
            new[0].success_threshold,
        )
        if alike and before.policy not in {x.policy for x in new}:
            found.append(before)
    return found
