"""``worldjepa evaluate RUN --suite world-model``: everything that is measured of a world model, in one table."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldjepa.commands import tasks
from worldjepa.commands.compare import change_text
from worldjepa.commands.evaluate import GOALS, Options, evaluate_one, plans
from worldjepa.commands.frozen import open_learner
from worldjepa.commands.imagine import write_json
from worldjepa.commands.planners import planning, weights
from worldjepa.commands.run_data import features, fresh_learner, longest_episode, open_run_data, windows
from worldjepa.commands.starts import find_manifest

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from worldjepa.data.task import Task
    from worldjepa.evaluate.results import Evaluation
    from worldjepa.learner import Learner

FILE = "world_model.json"


def run_suite(options: Options, console: "Console") -> int:
    """Measure, write RUN/world_model.json, print the table.

    Raises:
        ValueError: not one run of a world model, no goals, unknown factors.
    """
    from worldjepa.evaluate.world_model import change_report, need_goals, need_world_model

    if len(options.policies) != 1 or not (Path(options.policies[0]) / "config.json").is_file():
        raise ValueError("the world-model suite takes one run folder; worldjepa compare shows several side by side")
    run = Path(options.policies[0])
    learner = open_learner(run, options.features).to(options.device)
    need_world_model(learner)
    if not plans(options.policies[0]):
        raise ValueError(f"recipe {learner.origin.recipe!r} is not planned with; the suite evaluates recipe ac_jepa")
    task = find_goal_task(learner, options)
    if options.plan_goal > 0:
        need_goals(task, learner.model.views.keys)  # pyright: ignore[reportAttributeAccessIssue]
    factors = find_factors(task, options.factors)
    with console.status("rolling out and probing"):
        found = {"run": run.resolve().name, "recipe": learner.origin.recipe, **measure_latents(learner, run, options)}
    console.print(latent_table(found))
    floors = (*tasks.FLOORS, *find_expert(task, console)) if options.floors else ()
    found["planning"] = measure_planning(learner, task, run, options, floors, copy=options.floors)
    console.print(planning_table(found["planning"]))
    found["factors"] = {}
    for name in factors:
        varied = find_goal_task(learner, options, {"variation": [name]})
        some = measure_planning(learner, varied, run / "factors" / name, options, floors[:1], compare=False)
        found["factors"][name] = {**some, "change": change_report(some, found["planning"])}
        console.print(planning_table(found["factors"][name], name))
    path = write_json(run / FILE, found)
    console.print(str(path), soft_wrap=True)
    return 0


def find_goal_task(learner: "Learner", options: Options, extra: dict[str, Any] | None = None) -> "Task":
    """The environment of the data, with goals in its observations.

    Raises:
        ValueError: it cannot show its goals.
    """
    kwargs = (GOALS if options.plan_goal > 0 else {}) | (extra or {}) | tasks.parse_kwargs(options.kwargs)
    try:
        return tasks.find_task(options.env, learner.origin.spec.env, kwargs, options.horizon)
    except ValueError as error:
        if "goal_obs" in str(error):
            raise ValueError(
                f"the environment takes no goal_obs=True, so it has no goals to plan to; use one that has ({error})"
            ) from error
        raise


def find_factors(task: "Task", wanted: tuple[str, ...]) -> tuple[str, ...]:
    """The factors to measure under.

    Raises:
        ValueError: the environment has no such factor.
    """
    from worldjepa.evaluate.world_model import factors_of

    if not wanted:
        return ()
    known = factors_of(task)
    unknown = sorted(set(wanted) - {*known, "all"})
    if unknown:
        raise ValueError(f"{task.env_id} has no factors {unknown}; it has {', '.join(known)}")
    return known if "all" in wanted else wanted


def measure_latents(learner: "Learner", run: Path, options: Options) -> dict[str, Any]:
    """Open-loop errors, probes of the present state and the collapse monitor, on held-out episodes."""
    from worldjepa.evaluate.imagine import imagine
    from worldjepa.evaluate.report_read import read_run
    from worldjepa.evaluate.world_model import collapse_report, open_loop_report, open_loop_steps, probes_report

    data = open_run_data(run, options.state_keys)
    data.need_held_out()
    steps = open_loop_steps(learner, longest_episode(data), options.open_loop, options.plan_horizon)
    train, test = windows([learner], data, steps, options.max_windows, options.seed)
    encoders = {"encoder": features(learner), "random init": features(fresh_learner(learner, data, options.seed))}
    metrics = read_run(run).metrics
    return {
        "steps": max((int(steps[-1]) for steps, _ in metrics.values()), default=None),
        "seconds": float(metrics["time_s"][1][-1]) if "time_s" in metrics else None,
        "states": list(data.states),
        "open_loop": open_loop_report(imagine(learner, train, test), len(test.state)),
        "probe": probes_report(encoders, train, test, options.seed),
        "collapse": collapse_report(learner, test),
    }


def find_expert(task: "Task", console: "Console") -> tuple[str, ...]:
    """The name of the scripted expert, where the environment has one that can act on what it shows."""
    import torch

    from worldjepa.data.observations import Observations

    try:
        name, policy = tasks.find_policy("expert", task)
    except ValueError:
        return ()
    env, reader = task.make(), Observations(task.observation_space)
    try:
        obs = reader.tensordict(reader.arrays(env.reset(seed=0)[0]))
        policy.reset(torch.ones(1, dtype=torch.bool))
        policy.act(obs)
    except ValueError as error:
        console.print(f"no expert beside: {error}")
        return ()
    finally:
        env.close()
    return (name,)


def measure_planning(
    learner: "Learner",
    task: "Task",
    out: Path,
    options: Options,
    floors: tuple[str, ...],
    *,
    copy: bool = False,
    compare: bool = True,
) -> dict[str, Any]:
    """Success of planning with the model over exactly the manifest's starts; saves every evaluation.

    Args:
        learner: plans.
        task: with goals in its observations.
        out: folder of starts and evaluations.
        options: of the command.
        floors: policies that need no training, to stand beside.
        copy: whether the copying floor stands beside too.
        compare: write a paired comparison.
    """
    import importlib

    from worldjepa.evaluate.compare import save_comparison
    from worldjepa.evaluate.world_model import TimedPlanner, planning_horizon, success_report

    plan = importlib.import_module("worldjepa_policies.mpc").MPCPolicy
    copying = importlib.import_module("worldjepa_policies.copy_latent").CopyLatentPolicy
    how = planning(learner.origin.config.stride, options)
    how["horizon"] = planning_horizon(learner, how["horizon"])
    timed = TimedPlanner(how.pop("planner"))
    manifest = find_manifest(task, out, options)
    policies = [(learner.origin.recipe, plan(learner, timed, **how))]
    if copy:
        policies.append(("copy_latent", copying(learner, timed.planner, **how)))
    policies += [tasks.find_policy(name, task) for name in floors]
    quiet = replace(options, record=None)
    found: list[Evaluation] = [evaluate_one(x, task, manifest, out, 0, quiet) for x in policies]
    if compare and len(found) > 1:
        save_comparison(found, out)
    planner = timed.planner
    about = {"kind": type(planner).__name__, **{k: how[k] for k in ("horizon", "execute", "reduce")}, **vars(planner)}
    about["cost"] = weights(options)
    return {**success_report(found, timed.report()), "planner": about}


def latent_table(found: dict[str, Any]) -> "Table":
    """Open-loop errors over the horizon, probes and collapse."""
    from worldjepa.commands.console import plain_table

    loop, probe, collapse = found["open_loop"], found["probe"], found["collapse"]
    shown = chosen_steps(len(loop["probe"]["imagined"]))
    table = plain_table("open loop, steps ahead", *(str(h * loop["stride"]) for h in shown), "")
    for kind in ("probe", "latent"):
        for name, errors in loop[kind].items():
            table.add_row(f"{kind} error, {name}", *(f"{errors[h - 1]:.3f}" for h in shown), "")
    blank = [""] * (len(shown) - 1)
    for kind in ("linear", "mlp"):
        text = ", ".join(f"{name} {row['rmse']:.3f}" for name, row in probe[kind].items())
        table.add_row(f"present state, {kind}", *blank, "", text)
    text = f"rank {collapse['rank']:.1f} of {collapse['dim']}, spread {collapse['std']:.3f}"
    table.add_row("latents", *blank, "", text)
    return table


def planning_table(found: dict[str, Any], factor: str | None = None) -> "Table":
    """Success of each policy with its interval; with a factor varied, also the difference to success without."""
    from worldjepa.commands.console import plain_table

    title = f"planning, {found['num_episodes']} starts" + (f", {factor} varied" if factor else "")
    changes, blank = found.get("change", {}), [""] if factor else []
    more = ["against none varied"] if factor else []
    table = plain_table(title, "success", "95 % interval", "solved", str(found["score_name"] or ""), *more)
    for name, row in found["policies"].items():
        score = "" if row["score"] is None else f"{row['score']:.3f}"
        interval = f"[{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
        cells = [f"{100 * row['rate']:.1f} %", interval, f"{row['count']}/{found['num_episodes']}", score]
        table.add_row(name, *cells, *([change_text(changes.get(name))] if factor else []))
    ms = found["ms_per_plan"]
    if ms:
        table.add_row("ms a plan", f"{ms['median']:.1f}", f"p95 {ms['p95']:.1f}", f"{ms['n']} plans", "", *blank)
    table.add_row("already solved", str(found["dropped_already_solved"]), "", "", "dropped", *blank)
    return table


def chosen_steps(horizon: int, most: int = 6) -> list[int]:
    """A few of the steps 1..horizon, the first and the last among them."""
    return sorted({round(1 + i * (horizon - 1) / max(1, most - 1)) for i in range(most)})
