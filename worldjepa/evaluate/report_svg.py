"""Charts that follow the page: matplotlib figures as inline SVG whose colours are the style sheet's variables.

A figure is drawn with the colours below. `to_svg` replaces each by a CSS variable with that colour as its default, so
that one drawing serves light and dark pages, and strips what a browser does not need. Text stays text: it is drawn in
the page's own font, can be searched, and stays sharp.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.figure import Figure

INK = "#1b2430"
MUTED = "#5b6675"
GRID = "#dfe4ea"
SERIES = ("#0072b2", "#d55e00", "#00875f", "#a64d8c", "#8f6b00", "#3b4fa3")
"""Told apart with the common forms of colour blindness (after Okabe and Ito, darkened for contrast on white)."""
FLOOR = "#7a8594"

VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--grid", FLOOR: "--floor"}
VARIABLES |= {color: f"--s{i}" for i, color in enumerate(SERIES, 1)}

STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "worldjepa",
    "text.parse_math": False,  # names of states are not formulas
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.labelsize": 11,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "legend.fontsize": 10.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.columnspacing": 1.4,
    "text.color": INK,
    "axes.titlecolor": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@contextmanager
def style() -> Iterator[None]:
    """Draws figures in the report's style and silences the font's complaints: the reader's browser sets the text."""
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def to_svg(figure: Figure, name: str) -> str:
    """The figure as one <svg> element for an HTML page.

    Args:
        figure: Drawn under `style`.
        name: Unique in the page: prefix of every id, so that no figure borrows the parts of another.
    """
    buffer = io.StringIO()
    with style():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text, count=2)
    text = re.sub(
        r'<svg[^>]*viewBox="([^"]*)"[^>]*>', r'<svg class="chart" viewBox="\1" aria-hidden="true">', text, count=1
    )
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'xlink:href="#', f'href="#{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    for color, variable in VARIABLES.items():
        text = re.sub(rf"(fill|stroke): {color}", rf"\1: var({variable}, {color})", text)
    return re.sub(r"\n\s*", "\n", text)
