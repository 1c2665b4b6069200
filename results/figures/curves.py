"""Curves over training: a panel per sparsity, a line per method."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import final

from matplotlib.figure import Figure as Canvas

from results.figures.figure import Figure, NothingToDrawError, band, legend, panels, percent
from results.figures.study import Study
from results.groups import Group


@final
@dataclass(frozen=True)
class Curves(Figure):
    """A metric of metrics.csv over steps, mean over seeds with a band of one standard deviation.

    Attributes:
        caption: what the page says below.
        metric: what is drawn.
    """

    caption: str
    metric: str

    def draw(self, study: Study) -> Canvas:
        curves = {
            label: {group.sparsity: curve for group in groups if (curve := mean_curve(group, self.metric))}
            for label, groups in study.series.items()
        }
        sparsities = sorted({sparsity for found in curves.values() for sparsity in found})
        dense = {group.label: curve for group in study.dense if (curve := mean_curve(group, self.metric))}
        if not sparsities and not dense:
            raise NothingToDrawError(f"no run has a curve of {self.metric}")
        canvas, grid = panels(max(len(sparsities), 1))
        for axes, sparsity in zip(grid, sparsities or [0.0], strict=True):
            for label, curve in dense.items():
                look = study.dense_looks[label] | {"marker": "none"}
                steps, means, spreads = zip(*curve, strict=True)
                axes.plot(steps, means, **look, label=label)
                band(axes, steps, means, spreads, look)
            for label, found in curves.items():
                if sparsity in found:
                    look = study.looks[label]
                    steps, means, spreads = zip(*found[sparsity], strict=True)
                    axes.plot(steps, means, **look, markevery=max(len(steps) // 6, 1), label=label)
                    band(axes, steps, means, spreads, look)
            axes.set_title(f"{percent(sparsity)} % sparse" if sparsities else "dense")
        canvas.supxlabel("step", fontsize=9)
        canvas.supylabel(self.metric, fontsize=9)
        legend(canvas, grid)
        return canvas


def mean_curve(group: Group, metric: str) -> Sequence[tuple[int, float, float]]:
    """Step, mean and standard deviation over those runs that have a value there."""
    values = defaultdict[int, list[float]](list)
    for run in group.runs:
        for step, value in run.curves.get(metric, {}).items():
            values[step].append(value)
    return [(step, fmean(at), stdev(at) if len(at) > 1 else 0.0) for step, at in sorted(values.items())]
