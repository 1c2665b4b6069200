"""In-distribution against out-of-distribution: what a method loses on rows where a data set's shortcuts mislead."""

from dataclasses import dataclass
from typing import final

from matplotlib.figure import Figure as Canvas

from results.figures.figure import Figure, NothingToDrawError, dense_point, legend, panels
from results.figures.study import Study
from results.groups import metrics_of


@final
@dataclass(frozen=True)
class Robustness(Figure):
    """A metric on other sets over the same metric in distribution: a panel per set, a point per method and sparsity.

    Attributes:
        caption: what the page says below.
        metric: without its split, as ``accuracy``; null = what the task is judged by.
    """

    caption: str
    metric: str | None = None

    def draw(self, study: Study) -> Canvas:
        name = self.metric or study.metric.partition("/")[2]
        there = metrics_of(study.groups)
        sets = [metric for metric in there if metric.startswith("ood/") and metric.endswith(f"/{name}")]
        inside = next((f"{split}/{name}" for split in ("test", "val") if f"{split}/{name}" in there), None)
        if not sets or inside is None:
            raise NothingToDrawError(f"no run has {name} on sets of another distribution, as ood=[...] adds them")
        canvas, grid = panels(len(sets), size=(2.8, 2.5))
        for axes, outside in zip(grid, sets, strict=True):
            for label, groups in study.series.items():
                points = [(x.mean, y.mean) for g in groups if (x := g.summary(inside)) and (y := g.summary(outside))]
                if points:
                    axes.plot(*zip(*points, strict=True), **study.looks[label], label=label)
            for group in study.dense:
                if (x := group.summary(inside)) and (y := group.summary(outside)):
                    dense_point(axes, x.mean, y.mean, study.dense_looks[group.label], group.label)
            axes.set_title(outside.split("/")[1])
        for axes in grid:
            low, high = max(axes.get_xlim()[0], axes.get_ylim()[0]), min(axes.get_xlim()[1], axes.get_ylim()[1])
            if low < high:
                axes.axline((low, low), slope=1, color="0.6", linewidth=0.8, linestyle=":")
        canvas.supxlabel(inside, fontsize=9)
        canvas.supylabel(f"out-of-distribution {name}", fontsize=9)
        legend(canvas, grid)
        return canvas
