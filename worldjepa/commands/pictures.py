"""Pictures of imagined futures in a run folder: the decoder that makes them, grids and films."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from torch import Tensor

    from worldjepa.commands.imagine import Options
    from worldjepa.commands.run_data import RunData
    from worldjepa.evaluate.decode import ImageDecoder
    from worldjepa.evaluate.probe import ProbeWindows
    from worldjepa.learner import Learner

FOLDER = "imagination"
"""In the run folder: decoder, grids and films."""


@dataclass(frozen=True)
class Studio:
    """Where rollouts of one model are turned into pictures."""

    learner: "Learner"
    decoder: "ImageDecoder"
    spread: float
    """Of the model's latents."""
    folder: Path
    fps: float | None

    @staticmethod
    def open(
        learner: "Learner", data: "RunData", train: "ProbeWindows", options: "Options", console: "Console"
    ) -> "Studio":
        """With the decoder that the run has, or a new one.

        Raises:
            ValueError: a model that predicts no frames, or sees no images.
        """
        from worldjepa.evaluate.decode import decodable, fit_decoder, load_decoder, save_decoder
        from worldjepa.evaluate.films import latent_spread

        decodable(learner)
        folder = options.run / FOLDER
        fitted = load_decoder(folder, learner)
        if fitted is None:
            with console.status("training a decoder of pictures") as status:
                fitted = fit_decoder(
                    learner,
                    data.store,
                    data.episodes["train"],
                    steps=options.decoder_steps,
                    seconds=options.decoder_seconds,
                    seed=options.seed,
                    progress=lambda done, steps, loss: status.update(f"decoder: step {done} of {steps}, {loss:.4f}"),
                )
            save_decoder(fitted, folder)
            console.print(f"decoder of pictures: {fitted.steps} steps, weighted squared error {fitted.loss:.4f}")
        return Studio(learner, fitted.decoder, latent_spread(learner, train), folder, data.store.spec.fps)

    def show(
        self, source: str, windows: "ProbeWindows", rows: Sequence[int], action: "Tensor | None" = None
    ) -> list[Path]:
        """Write a grid and a film of every window of ``rows``; those of an earlier call for ``source`` are removed.

        Args:
            source: what the actions come from; begins the files' names.
            windows: with images of all steps.
            rows: which of them.
            action: raw blocks [H, k * A] in place of the recorded ones.
        """
        from worldjepa.evaluate.films import make_films, save_film

        some = windows.rows(rows)
        names = [f"{source}: episode {e}, step {t}" for e, t in zip(some.episode, some.step)]
        films = make_films(self.learner, self.decoder, some, names, self.spread, action=action)
        for old in [x for kind in ("png", "mp4") for x in self.folder.glob(f"{source}_*.{kind}")]:
            old.unlink()
        paths = []
        for i, film in enumerate(films):
            paths += save_film(film, self.folder / f"{source}_{i:03d}", fps=self.fps)
        return paths
