"""``worldjepa report``: a run as one HTML file that needs nothing beside it."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional


@dataclass(frozen=True)
class Options:
    """Parts that have not been made yet are named in the report, with the command that makes them."""

    run: Positional[Path]
    """Run folder, as worldjepa train makes it."""
    others: Positional[tuple[Path, ...]] = ()
    """Runs to show beside it."""
    title: str | None = None
    """Of the page."""


def run(options: Options) -> int:
    """Write the report and print its path."""
    from worldjepa.evaluate.report import write_report

    print(write_report(options.run, others=options.others, title=options.title))
    return 0
