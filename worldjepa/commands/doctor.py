"""``worldjepa doctor``: what works on this machine, what does not, and what to do about it."""

import importlib.metadata
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from worldjepa.commands import rendering, versions

MARKS = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "fault": "[red]fault[/]"}


@dataclass(frozen=True)
class Options:
    """Exit status 1 if something must be mended before training or evaluation can be trusted."""

    folder: Path = Path()
    """Where runs will be written: its free space is checked."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    level: Literal["ok", "note", "fault"]
    topic: str
    what: str
    do: str = ""
    """What to do; empty if nothing is needed."""


def check_python() -> list[Finding]:
    """Python and operating system."""
    what = f"worldjepa {importlib.metadata.version('worldjepa')}, Python {platform.python_version()}"
    return [Finding("ok", "python", f"{what}, {platform.system()} {platform.machine()}")]


def check_rendering() -> list[Finding]:
    """The OpenGL backend that MuJoCo can draw with."""
    chosen = os.environ.get("MUJOCO_GL", "")
    tried = [rendering.probe(name) for name in rendering.candidates()]
    working = [x for x in tried if x.works]
    broken = [
        Finding("note", "rendering", f"MUJOCO_GL={x.name} does not work: {x.error}", _how_to_install(x.name))
        for x in tried
        if not x.works and (x.name == chosen or not working)
    ]
    if not working:
        what = "no backend can draw: image observations and videos are out, state observations still work"
        return [Finding("fault", "rendering", what), *broken]
    best = working[0]
    speed = f"{best.ms:.1f} ms a frame of 84 x 84"
    if chosen and best.name != chosen:
        found = Finding(
            "fault", "rendering", f"{best.name} works ({best.renderer}, {speed})", f"export MUJOCO_GL={best.name}"
        )
    elif not chosen and best.name == "egl" and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        do = "export MUJOCO_GL=egl, so that no window is opened"
        found = Finding("note", "rendering", f"egl works ({best.renderer}, {speed})", do)
    else:
        found = Finding("ok", "rendering", f"{best.name or 'the default backend'}: {best.renderer}, {speed}")
    return [found, *broken]


def _how_to_install(name: str) -> str:
    if name not in rendering.PACKAGES:
        return "choose egl, osmesa or glfw, or unset MUJOCO_GL"
    if name == "glfw":
        return f"glfw needs {rendering.PACKAGES['glfw']}"
    return f"Debian and Ubuntu: apt-get install {rendering.PACKAGES[name]}"


def check_versions() -> list[Finding]:
    """Packages present, and those that do not go together."""
    present = versions.installed()
    listed = ", ".join(f"{name} {version}" for name, version in present.items())
    found = [Finding("ok", "versions", listed)]
    for x in versions.conflicts():
        found.append(Finding("fault", "versions", f"{x.package} needs {x.needs}, here is {x.found}: {x.why}", x.do))
    return found


def check_torch() -> list[Finding]:
    """Device, cores and threads."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = torch.get_num_threads()
    found = []
    if torch.cuda.is_available():
        names = {torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())}
        found.append(Finding("ok", "torch", f"{torch.cuda.device_count()} GPU: {', '.join(sorted(names))}"))
    else:
        found.append(Finding("ok", "torch", "no GPU that torch can use: training runs on the CPU"))
    what = f"{threads} torch thread{'s' if threads > 1 else ''} on {cores} core{'s' if cores > 1 else ''}"
    if threads > cores:
        found.append(
            Finding("note", "threads", what, f"export OMP_NUM_THREADS={cores}: more threads than cores is slower")
        )
    else:
        found.append(Finding("ok", "threads", what))
    return found


def check_space(folder: Path) -> list[Finding]:
    """Room for runs and converted data."""
    free = shutil.disk_usage(folder).free / 2**30
    what = f"{free:.1f} GiB free in {folder.resolve()}"
    if free < 2:
        return [
            Finding("note", "disk", what, "images take 27 kB a frame of 96 x 96 once converted: choose another folder")
        ]
    return [Finding("ok", "disk", what)]


def examine(folder: Path) -> list[Finding]:
    """All checks.

    Args:
        folder: where runs will be written.

    Raises:
        ValueError: the folder does not exist.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder: name an existing one with --folder")
    return [*check_python(), *check_versions(), *check_rendering(), *check_torch(), *check_space(folder)]


def run(options: Options) -> int:
    """Print the findings; 1 if one is a fault."""
    from rich.markup import escape

    from worldjepa.commands.console import make_console, plain_table

    console = make_console()
    with console.status("looking at this machine"):
        findings = examine(options.folder)
    table = plain_table("", "", "")
    for x in findings:
        do = f"\n[bold]-> {escape(x.do)}[/]" if x.do else ""
        table.add_row(MARKS[x.level], x.topic, escape(x.what) + do)
    console.print(table)
    faults = sum(x.level == "fault" for x in findings)
    console.print("everything worldjepa needs works here" if not faults else f"{faults} to mend, see -> above")
    return 1 if faults else 0
