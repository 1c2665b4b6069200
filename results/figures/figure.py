"""What all figures share: a description is an object that draws a study, or says in a sentence why it cannot."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from results.figures.study import Look, Study

STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.labelsize": 9.0,
    "legend.fontsize": 8.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 5.5,
    "lines.markeredgecolor": "white",
    "lines.markeredgewidth": 0.5,
    "legend.handlelength": 2.6,
    "legend.frameon": False,
    "svg.hashsalt": "lacuna",  # so that the same results give the same file
    "savefig.dpi": 200,
}
SINGLE = (5.2, 3.4)  # inches
PANEL = (2.0, 1.75)


class NothingToDrawError(ValueError):
    """The runs hold nothing that a figure is of; the message says what is missing."""


class Figure(ABC):
    """A figure of each study. A subclass is described by a file in conf/figure/."""

    caption: str

    @abstractmethod
    def draw(self, study: Study) -> Canvas:
        """Draws a study.

        Raises:
            NothingToDrawError: it has no data for this figure.
        """


def in_style() -> Any:
    """The context in which figures are drawn and saved."""
    return mpl.rc_context(STYLE)


def panels(
    count: int, size: tuple[float, float] = PANEL, single: tuple[float, float] = SINGLE
) -> tuple[Canvas, list[Axes]]:
    """Returns so many axes of a size that share both scales, in rows of up to four; a single one may be larger."""
    rows = math.ceil(count / 4)
    columns = math.ceil(count / rows)
    width, height = single if count == 1 else (size[0] * columns, size[1] * rows)
    canvas = Canvas(figsize=(width, height), layout="constrained")
    grid = canvas.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flatten()
    for axes in grid[count:]:
        axes.set_visible(False)
    for axes in grid[max(count - columns, 0) : count]:
        axes.tick_params(labelbottom=True)  # also where the grid goes on below without a panel
    return canvas, list(grid[:count])


def legend(canvas: Canvas, axes: Sequence[Axes]) -> None:
    """Puts one legend for all panels: on the right of one, above several."""
    entries: dict[str, Any] = {}
    for one in axes:
        handles, labels = one.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    names = sorted(entries, key=lambda name: (name.startswith("dense"), name))
    if len(axes) == 1:
        canvas.legend([entries[name] for name in names], names, loc="outside right upper")
        return
    columns = max(int(canvas.get_figwidth() / 1.6), 1)
    rows = math.ceil(len(names) / columns)
    canvas.set_figheight(canvas.get_figheight() + 0.19 * rows)
    canvas.legend([entries[name] for name in names], names, loc="outside upper center", ncols=columns)


def band(axes: Axes, x: Sequence[float], y: Sequence[float], spread: Sequence[float], look: Look) -> None:
    """Shades one standard deviation on either side."""
    low, high = ([value + sign * s for value, s in zip(y, spread, strict=True)] for sign in (-1, 1))
    axes.fill_between(x, low, high, color=look["color"], alpha=0.15, linewidth=0)


def dense_lines(axes: Axes, study: Study, metric: str) -> None:
    """Draws the mean of each dense model as a line across, with its band."""
    for group in study.dense:
        if (summary := group.summary(metric)) is not None:
            look = study.dense_looks[group.label]
            axes.axhline(summary.mean, **look | {"marker": "none"}, linewidth=1.2, label=group.label)
            if summary.std:
                span = summary.mean - summary.std, summary.mean + summary.std
                axes.axhspan(*span, color=look["color"], alpha=0.1, linewidth=0)


def dense_point(axes: Axes, x: float, y: float, look: Look, label: str | None = None) -> None:
    """Marks where a dense model lies."""
    axes.plot([x], [y], **look | {"linestyle": "none"}, markersize=10, label=label)


def percent(sparsity: float) -> str:
    """A sparsity as a tick: 48.8."""
    return f"{100 * sparsity:.3g}"
