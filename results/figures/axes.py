"""What a metric can be drawn over: sparsity, or the work of training or of inference."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from results.figures.figure import percent
from results.groups import Group

APART = 0.055  # of an axis, so that labels of ticks do not touch


class Axis(ABC):
    """The horizontal axis of a figure."""

    label: str
    dense_is_a_point: bool  # or a line across only

    @abstractmethod
    def value(self, group: Group) -> float | None:
        """Where a group lies, or None where that is not known."""

    @abstractmethod
    def arrange(self, axes: Axes, values: Sequence[float]) -> None:
        """Scales and labels the axis and sets its ticks, for the values drawn."""


@final
class Sparsity(Axis):
    """Sparsity, spaced by the logarithm of what is kept, so that levels of iterative pruning lie equally far apart."""

    label = "sparsity (%)"
    dense_is_a_point = False

    def value(self, group: Group) -> float | None:
        return group.sparsity

    def arrange(self, axes: Axes, values: Sequence[float]) -> None:
        axes.set_xlabel(self.label)
        axes.set_xscale("function", functions=(lambda s: -np.log1p(-np.minimum(s, 1 - 1e-9)), lambda t: -np.expm1(-t)))
        places = {value: float(-np.log1p(-value)) for value in values}
        first, last = min(places.values()), max(places.values())
        margin = 0.04 * (last - first) or 0.1
        low, high = max(first - margin, 0.0), last + margin
        axes.set_xlim(float(-np.expm1(-low)), float(-np.expm1(-high)))
        ticks = [max(values)]
        for value in sorted(values, reverse=True):
            if places[ticks[-1]] - places[value] >= APART * (high - low):
                ticks.append(value)
        axes.set_xticks(ticks, [percent(value) for value in ticks])
        axes.set_xticks([], minor=True)


@final
class TrainingFlops(Axis):
    """Floating-point operations of a run's training and of those it starts from, as its masks would allow."""

    label = "training FLOPs, with runs that it starts from"
    dense_is_a_point = True

    def value(self, group: Group) -> float | None:
        return group.training_flops or None

    def arrange(self, axes: Axes, values: Sequence[float]) -> None:
        _scale(axes, self.label)


@final
class InferenceFlops(Axis):
    """Floating-point operations of the inference of one example, as the masks would allow."""

    label = "inference FLOPs per example"
    dense_is_a_point = True

    def value(self, group: Group) -> float | None:
        return group.mean(lambda run: run.result["flops"]["inference"]) or None

    def arrange(self, axes: Axes, values: Sequence[float]) -> None:
        _scale(axes, self.label)


def _scale(axes: Axes, label: str) -> None:
    """A logarithmic axis where the data span more than a power of ten, or else one power for all numbers."""
    low, high = axes.dataLim.intervalx
    if high > 10 * low:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
        axes.xaxis.set_major_formatter(lambda value, _: _scientific(value))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(label)
    else:
        power = int(np.floor(np.log10(high)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value / 10.0**power:.3g}")
        axes.set_xlabel(f"{label} ($10^{{{power}}}$)")


def _scientific(value: float) -> str:
    mantissa, _, power = f"{value:.0e}".partition("e")
    return f"$10^{{{int(power)}}}$" if mantissa == "1" else rf"${mantissa}\times10^{{{int(power)}}}$"
