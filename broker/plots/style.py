"""How every picture looks, and matplotlib, which is imported when the first one is drawn."""

from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import Any

from peercell.agents.errors import MissingExtraError
from peercell.grid.layout import Place

# matplotlib's stubs leave most of what is used here untyped.
Axes = Any
Figure = Any

INK, FAINT, ALARM = "#22303c", "#aab4be", "#e8790c"
LOW, HIGH, PLAIN = "#2166ac", "#b2182b", "#4d5b68"
_STYLE = {
    "font.size": 9.0,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#e6eaee",
    "axes.axisbelow": True,
    # Equal answers give equal files.
    "svg.hashsalt": "peercell",
}


def house_style() -> AbstractContextManager[None]:
    """Return the context in which to draw.

    Raises
    ------
    MissingExtraError : matplotlib is not installed.
    """
    context: AbstractContextManager[None] = library("matplotlib").rc_context(_STYLE)
    return context


def library(name: str) -> Any:
    """Return a module of matplotlib.

    Raises
    ------
    MissingExtraError : it is not installed.
    """
    try:
        return import_module(name)
    except ImportError:
        raise MissingExtraError("drawing a picture", "plot") from None


def new_figure(width_inch: float, height_inch: float) -> Figure:
    """Return an empty figure."""
    figure = library("matplotlib.figure")
    return figure.Figure((width_inch, height_inch), layout="constrained")


def save(figure: Figure, title: str, path: Path) -> None:
    """Write a figure under a title; the ending of the path says which kind."""
    figure.suptitle(title, x=0.004, ha="left", fontsize=12, fontweight="bold")
    metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
    figure.savefig(path, dpi=160, metadata=metadata, facecolor="white")


def write(axes: Axes, text: str, place: Place, shift: Place, colour: str) -> None:
    """Write a word beside a place, shifted by points."""
    axes.annotate(
        text,
        place,
        shift,
        textcoords="offset points",
        color=colour,
        fontsize=8,
        zorder=4,
        # A white outline of the letters would read better still, but doubles the file.
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.4},
    )
