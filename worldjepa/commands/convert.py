"""``worldjepa convert``: any supported recording to robomimic HDF5, or to the store that training reads."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

if TYPE_CHECKING:
    from worldjepa.data.episodes import EpisodeSource

HDF5 = (".hdf5", ".h5")


@dataclass(frozen=True)
class Options:
    """Training converts by itself, once; this is for files to keep or to hand on."""

    source: Positional[Path]
    """Recording: robomimic HDF5, Push-T style zarr (folder or zip) or a Minari folder."""
    out: Positional[Path]
    """NAME.hdf5 for robomimic HDF5; another name for a store (a folder)."""
    filter: str | None = None
    """Only the episodes of this named subset."""
    next_obs: Literal["check", "ignore"] = "check"
    """What to do with robomimic's next_obs: join its last frame after checking it, or leave it out."""


def run(options: Options) -> int:
    """Convert, and say what was written."""
    from rich.console import Console
    from rich.progress import Progress

    from worldjepa.data import Store, open_source

    source = open_source(options.source, filter=options.filter, next_obs=options.next_obs)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        row = bar.add_task(f"converting {options.source.name}", total=len(source))
        if options.out.suffix in HDF5:
            write_hdf5(source, options.out, lambda done, total: bar.update(row, completed=done))
        else:
            Store.convert(source, options.out, progress=lambda done, total: bar.update(row, completed=done))
    print(f"{options.out}: {len(source)} episodes")
    return 0


def write_hdf5(source: "EpisodeSource", out: Path, progress=None) -> None:
    """Copy a recording into a new robomimic HDF5 file, its filters with it.

    Args:
        source: the recording.
        out: file to make.
        progress: called with the episodes done and all.

    Raises:
        FileExistsError: ``out`` is there.
        ValueError: an episode is damaged.
    """
    from worldjepa.data import RobomimicWriter

    out.parent.mkdir(parents=True, exist_ok=True)
    names: dict[str, str] = {}
    with RobomimicWriter(out, source.spec) as writer:
        for number, episode in enumerate(source):
            names[source.names[number]] = writer.append(episode)
            if progress:
                progress(number + 1, len(source))
        for name, members in source.filters.items():
            if kept := [names[x] for x in members if x in names]:
                writer.write_mask(name, kept)
