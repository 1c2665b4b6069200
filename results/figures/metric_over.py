"""A metric over sparsity or work: a line per method, and the dense model across."""

from dataclasses import dataclass
from typing import final

from matplotlib.figure import Figure as Canvas

from results.figures.axes import Axis
from results.figures.figure import Figure, NothingToDrawError, band, dense_lines, dense_point, legend, panels
from results.figures.study import Study


@final
@dataclass(frozen=True)
class MetricOver(Figure):
    """Means over seeds with bands of one standard deviation.

    Attributes:
        caption: what the page says below.
        over: the horizontal axis.
        metric: what is drawn; null = what the task is judged by.
    """

    caption: str
    over: Axis
    metric: str | None = None

    def draw(self, study: Study) -> Canvas:
        metric = self.metric or study.metric
        canvas, (axes,) = panels(1)
        drawn: list[float] = []
        for label, groups in study.series.items():
            points = [
                (x, summary.mean, summary.std or 0.0)
                for group in groups
                if (summary := group.summary(metric)) and (x := self.over.value(group)) is not None
            ]
            if points:
                places, means, spreads = zip(*points, strict=True)
                axes.plot(places, means, **study.looks[label], label=label)
                band(axes, places, means, spreads, study.looks[label])
                drawn += places
        if not drawn:
            raise NothingToDrawError(f"no sparse run has {metric} to draw over {self.over.label}")
        dense_lines(axes, study, metric)
        if self.over.dense_is_a_point:
            for group in study.dense:
                if (summary := group.summary(metric)) and (at := self.over.value(group)) is not None:
                    dense_point(axes, at, summary.mean, study.dense_looks[group.label])
        self.over.arrange(axes, drawn)
        axes.set_ylabel(metric)
        legend(canvas, [axes])
        return canvas
