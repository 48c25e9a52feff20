"""What changes and what stays: seq-JEPA on objects seen from several sides, ten minutes on one core.

    python examples/03_transformations.py [--out runs/views] [--objects 2000] [--steps 3000]

Nothing here knows a class or an angle: a network is shown three views of an object and how it was turned between them,
and asked for the next view. A second one is not told the turns. What each then knows of class and turn is read from it.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

import worldjepa as wj
import worldjepa_envs  # noqa: F401  (registers the environments)
from worldjepa.commands.compare import compare_table, read_row
from worldjepa.commands.console import make_console
from worldjepa.commands.equivariance import FILE, measure_run, tables
from worldjepa.commands.evaluate import Options as Suite
from worldjepa.commands.imagine import write_json
from worldjepa.commands.train import Options, Selection, train
from worldjepa.evaluate.report import write_report
from worldjepa.evaluate.report_equivariance import plot_views, save_png
from worldjepa.recipes import seq_jepa
from worldjepa_policies import ScriptedPolicy

TURNTABLE = "worldjepa/TurntableNear-v0"
"""Objects turned by up to 45 degrees about each axis; worldjepa/Turntable-v0 turns them further and is harder."""

console = make_console()


def main(out: Path, objects: int, views: int, steps: int, lengths: Sequence[int], probe_epochs: int) -> None:
    """Record, train, measure, compare; what is there already is not made again."""
    torch.set_num_threads(1)
    data = out / "views.hdf5"
    if not data.exists():
        console.rule(f"1. Record {objects} objects, each from {views} random sides and under random hues")
        turntable = wj.task(TURNTABLE, horizon=views - 1)
        part = out / "part.hdf5"
        part.unlink(missing_ok=True)
        wj.collect(turntable, ScriptedPolicy(TURNTABLE), part, objects, seed=0)
        part.rename(data)

    console.rule("2. Three views and the turns between them: what is next?")
    told = seq_jepa.small()
    configs = {"told": told, "not_told": replace(told, condition_tokens=False, condition_predictor=False)}
    fit = wj.FitConfig(
        steps=steps, batch_size=64, lr=1e-3, warmup=steps // 10, weight_decay=1e-3, average=0.0, threads=1, device="cpu"
    )
    for name, config in configs.items():
        options = Options(
            recipe="seq_jepa",
            data=data,
            out=out / name,
            resume=True,
            episodes=Selection(valid=0.2),
            model=config,
            fit=fit,
        )
        trained = train(options)
        console.print(f"{name}: {trained.fit.steps} steps, {trained.fit.seconds:.0f} s")

    console.rule("3. What do frozen features say of held-out objects?")
    runs, found = [out / name for name in configs], []
    for run in runs:
        suite = Suite(
            (str(run),),
            suite="equivariance",
            lengths=tuple(lengths),
            probe_epochs=probe_epochs,
            max_objects=objects,
            floors=run == runs[0],
        )
        found.append(measure_run(run, suite, console))
        write_json(run / FILE, found[-1])
        for table in tables(found[-1]):
            console.print(table)

    console.rule("4. Told against not told")
    console.print(compare_table([read_row(run) for run in runs]))
    console.print(f"figure: {save_png(plot_views(found), out / 'equivariance.png')}", soft_wrap=True)
    console.print(f"report: {write_report(runs[0], others=runs[1:])}", soft_wrap=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/views"))
    parser.add_argument("--objects", type=int, default=2000, help="over all classes; a fifth is held out")
    parser.add_argument("--views", type=int, default=20, help="of each object")
    parser.add_argument("--steps", type=int, default=3000, help="of training, 64 sequences each")
    parser.add_argument("--lengths", type=int, nargs="+", default=[1, 3, 5], help="views at inference")
    parser.add_argument("--probe-epochs", type=int, default=60, help="at most")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    main(args.out, args.objects, args.views, args.steps, args.lengths, args.probe_epochs)
