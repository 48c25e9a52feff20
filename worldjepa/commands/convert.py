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
    """Recording (robomimic HDF5, Push-T style zarr, Minari folder) or images (folder or zip of class folders, 3DIEBench
    folder)."""
    out: Positional[Path]
    """NAME.hdf5 for robomimic HDF5; another name for a store (a folder)."""
    filter: str | None = None
    """Only the episodes of this named subset."""
    next_obs: Literal["check", "ignore"] = "check"
    """What to do with robomimic's next_obs: join its last frame after checking it, or leave it out."""
    size: int | None = None
    """Images: rows and columns to bring all to. Of class folders by default those they have, of 3DIEBench 128."""
    fit: Literal["crop", "stretch"] = "crop"
    """Images of class folders: crop the middle to a square before scaling, or stretch."""
    saliency: str | None = None
    """Images of class folders: add saliency maps: "spectral_residual" (computed), or a folder or zip of grey images of
    the same names."""
    lists: Path | None = None
    """3DIEBench: folder of train_images.npy, train_labels.npy and so on, where it is not the data's own."""


def run(options: Options) -> int:
    """Convert, and say what was written."""
    from rich.console import Console
    from rich.progress import Progress

    from worldjepa.data import Store

    source = open_with(options)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        row = bar.add_task(f"converting {options.source.name}", total=len(source))
        if options.out.suffix in HDF5:
            write_hdf5(source, options.out, lambda done, total: bar.update(row, completed=done))
        else:
            Store.convert(source, options.out, progress=lambda done, total: bar.update(row, completed=done))
    print(f"{options.out}: {len(source)} episodes")
    return 0


def open_with(options: Options) -> "EpisodeSource":
    """The source, with the options that its kind has.

    Raises:
        ValueError: an option that its kind does not have.
    """
    from worldjepa.data import open_source
    from worldjepa.data.images import ImageSource
    from worldjepa.data.threedie import ThreeDIESource, holds_views

    wanted = {name: getattr(options, name) for name in ("size", "fit", "saliency", "lists")}
    given = {name: value for name, value in wanted.items() if value != getattr(Options, name)}
    if not given:
        return open_source(options.source, filter=options.filter, next_obs=options.next_obs)
    path = options.source.expanduser()
    if path.is_dir() and holds_views(path):  # not opened to find out: lists of its own may not fit what is there
        kind, known = ThreeDIESource, ("size", "lists")
    else:
        source = open_source(path, next_obs=options.next_obs)
        source.close()
        kind, known = type(source), ("size", "fit", "saliency") if isinstance(source, ImageSource) else ()
    if unknown := sorted(given.keys() - set(known)):
        raise ValueError(
            f"{options.source} has no options {unknown} (it is read by {kind.__name__}, which has "
            f"{list(known) or 'none'})"
        )
    reader = ThreeDIESource if kind is ThreeDIESource else ImageSource
    return reader(path, filter=options.filter, **given)


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
