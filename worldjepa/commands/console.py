"""The terminal that commands print to."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def make_console() -> "Console":
    """Standard output; 120 columns where it is a file or a pipe."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 120, highlight=False)


def plain_table(*columns: str, fold: bool = False) -> "Table":
    """A table without lines; the last column wraps, the others are cut, or wrap too with ``fold``."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", show_header=any(columns))
    for position, column in enumerate(columns):
        wraps = fold or position == len(columns) - 1
        table.add_column(column, no_wrap=not wraps, overflow="fold" if wraps else "ellipsis")
    return table
