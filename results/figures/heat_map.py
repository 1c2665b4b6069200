"""Where the zeros are: sparsity of each part of the network at each sparsity of the whole, a panel per method."""

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from results.figures.figure import Figure, NothingToDrawError, panels, percent
from results.figures.study import Study
from results.groups import Group

FEW = 400  # cells up to which each has its number, beside its colour


@final
@dataclass(frozen=True)
class HeatMap(Figure):
    """Sparsity by part of the network, from ledger.json, over all seeds.

    Attributes:
        caption: what the page says below.
        part: regex whose first group is the part that a tensor belongs to; tensors without it are parts of their own.
        rows: what the parts are called together.
    """

    caption: str
    part: str
    rows: str

    def draw(self, study: Study) -> Canvas:
        columns = study.sparsities
        found = {
            label: {group.sparsity: parts for group in groups if (parts := self.sparsities(group))}
            for label, groups in study.series.items()
        }
        found = {label: by_sparsity for label, by_sparsity in found.items() if by_sparsity}
        if not found:
            raise NothingToDrawError("no sparse run has a ledger.json")
        rows = list(dict.fromkeys(row for by in found.values() for parts in by.values() for row in parts))
        size = max(0.19 * len(columns), 1.2), max(0.15 * len(rows), 0.6) + 0.4
        canvas, grid = panels(len(found), size, single=size)
        width, height = canvas.get_size_inches()
        canvas.set_size_inches(width + 0.07 * max(map(len, rows)) + 1.2, height + 0.4)
        for axes, (label, by_sparsity) in zip(grid, found.items(), strict=True):
            values = np.array([[by_sparsity.get(s, {}).get(row, np.nan) for s in columns] for row in rows])
            image = axes.pcolormesh(values, vmin=0, vmax=1, cmap="cividis", edgecolors="white", linewidth=0.4)
            if len(found) * values.size <= FEW:
                self._write(axes, values)
            axes.set_title(label)
            axes.grid(visible=False)
            every = math.ceil(len(columns) / 5)
            shown = range(len(columns) - 1, -1, -every)
            axes.set_xticks([at + 0.5 for at in shown], [percent(columns[at]) for at in shown])
            axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
            axes.set_ylim(len(rows), 0)
        canvas.supxlabel("sparsity of the scope (%)", fontsize=9)
        canvas.supylabel(self.rows, fontsize=9)
        canvas.colorbar(image, ax=grid, label="sparsity", fraction=0.05, aspect=30)
        return canvas

    def sparsities(self, group: Group) -> Mapping[str, float]:
        """Sparsity by part over all runs of a group."""
        numel, kept = Counter[str](), Counter[str]()
        for run in group.runs:
            for tensor in run.ledger:
                match = re.search(self.part, tensor["name"])
                part = match[1] if match else ".".join(tensor["name"].removesuffix(".weight").split(".")[-2:])
                numel[part] += tensor["numel"]
                kept[part] += tensor["kept"]
        return {part: 1 - kept[part] / numel[part] for part in numel}

    @staticmethod
    def _write(axes: Axes, values: np.ndarray) -> None:
        for (row, column), value in np.ndenumerate(values):
            if not np.isnan(value):
                colour = "black" if value > 0.55 else "white"
                text = f"{100 * value:.0f}"
                axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", size=5.5, color=colour)
