"""The main job end to end: demonstrations -> ACT-JEPA, ACT and BC -> evaluation -> imagination -> report.

Every step is a command that works the same on your own data; each is printed before it runs. A step that has ended is
not run again, and a training that was stopped goes on from its last checkpoint: run the same command once more.

    make demo                                   or: python examples/00_demo.py [--out FOLDER] [--quick]
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from worldjepa.cli import main as worldjepa

ENV = "worldjepa/Push-v0"
DEMONSTRATIONS, EPISODES = 200, 100
STEPS = {"act_jepa": 4000, "act": 4000, "bc": 4000}
FIT = ["--fit.lr", "1e-3", "--fit.average", "0.99"]
HEAD = ["--model.head", "mlp"]  # a third of the published decoder's time on a CPU, and at least as good on this task
STEERED = ["--model.action-conditioned", "--model.target-sees", "step", "--model.stride", "4"]
SETTINGS = {"act_jepa": [*FIT, *HEAD, *STEERED], "act": [*FIT, *HEAD], "bc": FIT}
MAX_SECONDS = 300
"""A training that has taken this long anneals its learning rate and ends, so that slow machines finish too."""
ACTION_STEPS = 8
QUICK = {"demonstrations": 12, "episodes": 4, "steps": 20}

console = Console(highlight=False)


def demo(out: Path, quick: bool) -> Path:
    """Run all steps that are not done yet; returns the path of the report."""
    demonstrations = QUICK["demonstrations"] if quick else DEMONSTRATIONS
    episodes = QUICK["episodes"] if quick else EPISODES
    steps = {recipe: QUICK["steps"] if quick else number for recipe, number in STEPS.items()}
    data, runs = out / "push.hdf5", [out / recipe for recipe in STEPS]
    names = [str(run) for run in runs]
    out.mkdir(parents=True, exist_ok=True)

    if not data.exists():
        part = out / "recording.hdf5"
        part.unlink(missing_ok=True)
        step(f"1/5 Record {demonstrations} demonstrations of the scripted expert")
        command(["collect", ENV, str(part), "--episodes", str(demonstrations)])
        part.replace(data)
    command(["inspect", str(data)])

    step("2/5 Train ACT-JEPA, ACT and behaviour cloning on them")
    train(data, dict(zip(STEPS, runs, strict=True)), steps)

    step(f"3/5 Evaluate: {episodes} starts, the same for all; random and no-op floors")
    if not (runs[0] / "comparison.json").exists():
        options = ["--episodes", str(episodes), "--action-steps", str(ACTION_STEPS)]
        command(["evaluate", *names, "expert", *options])

    step("4/5 What do the encoders know of the future, and what does ACT-JEPA imagine?")
    command(["imagine", *names[:2]])

    step("5/5 Write the report")
    command(["report", *names])
    return runs[0] / "report.html"


def train(data: Path, runs: dict[str, Path], steps: dict[str, int]) -> None:
    """Train all recipes, as many at a time as there are cores: small networks gain nothing from a second thread."""
    waiting = {recipe: arguments(recipe, data, run, steps[recipe]) for recipe, run in runs.items()}
    for words in waiting.values():
        show(words)
    slots = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    columns = (TextColumn("{task.description:<9}"), BarColumn(), TextColumn("{task.completed}/{task.total} steps"))
    running: dict[str, subprocess.Popen] = {}
    with Progress(*columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=console) as bars:
        rows = {recipe: bars.add_task(recipe, total=steps[recipe], start=False) for recipe in runs}
        try:
            while waiting or running:
                while waiting and len(running) < slots:
                    recipe = next(iter(waiting))
                    running[recipe] = start(waiting.pop(recipe), runs[recipe])
                    bars.start_task(rows[recipe])
                time.sleep(0.5)
                for recipe in list(running):
                    watch(bars, rows[recipe], runs[recipe])
                    if running[recipe].poll() is not None:
                        finish(running.pop(recipe), runs[recipe])
                        bars.update(rows[recipe], completed=steps[recipe])
        finally:
            for process in running.values():
                process.terminate()


def arguments(recipe: str, data: Path, run: Path, steps: int) -> list[str]:
    """The command that trains one recipe."""
    fixed = ["--fit.steps", str(steps), "--fit.max-seconds", str(MAX_SECONDS), "--fit.threads", "1"]
    return ["train", recipe, str(data), "--out", str(run), "--resume", *fixed, *SETTINGS[recipe]]


def start(words: list[str], run: Path) -> subprocess.Popen:
    """A training in a process of its own; what it says goes to RUN/train.log."""
    run.mkdir(parents=True, exist_ok=True)
    with (run / "train.log").open("w") as log:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        return subprocess.Popen([sys.executable, "-m", "worldjepa", *words], stdout=log, stderr=log, env=environment)


def watch(bars: Progress, row: TaskID, run: Path) -> None:
    """Move a bar to the last step that a training has logged."""
    metrics = run / "metrics.jsonl"
    lines = metrics.read_text().splitlines() if metrics.exists() else []
    if lines and lines[-1].endswith("}"):
        bars.update(row, completed=json.loads(lines[-1])["step"])


def finish(process: subprocess.Popen, run: Path) -> None:
    """Stop the demo where a training failed, with what it said."""
    if process.returncode != 0:
        raise SystemExit(f"the training in {run} failed:\n{(run / 'train.log').read_text()}")


def step(title: str) -> None:
    console.print(f"\n[bold]{title}[/]")


def show(words: list[str]) -> None:
    console.print(f"$ worldjepa {shlex.join(words)}", style="cyan", markup=False, soft_wrap=True)


def command(words: list[str]) -> None:
    """Show a command and run it."""
    show(words)
    if status := worldjepa(words):
        raise SystemExit(status)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder for data, runs and report")
    parser.add_argument("--quick", action="store_true", help="a few steps only, to see that everything works")
    options = parser.parse_args()
    begin = time.monotonic()
    report = demo(options.out, options.quick)
    console.print(f"\n[bold]The report: {report.resolve()}[/]  ({(time.monotonic() - begin) / 60:.1f} minutes)")


if __name__ == "__main__":
    main()
