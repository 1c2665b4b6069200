"""What a figure is drawn of: the groups of one task and model, and how each method looks in all figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle
from typing import Any, final

from results.groups import Group

# Tol's muted scheme (P. Tol, Colour Schemes, 2021), safe for colour-blind readers; black is the dense model's.
COLOURS = ("#332288", "#CC6677", "#117733", "#88CCEE", "#AA4499", "#DDCC77", "#44AA99", "#882255", "#999933")
MARKERS = ("o", "s", "^", "D", "v", "p", ">", "<", "h", "d")
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (5, 1, 1, 1)))
DENSE = (("black", (0, (4, 2)), "*"), ("0.35", (0, (1, 1)), "X"), ("0.55", (0, (6, 1, 1, 1)), "P"))

Look = dict[str, Any]


def looks(labels: Sequence[str]) -> dict[str, Look]:
    """A look for each label: no two share colour, marker and line, and neighbours differ in all of them."""
    return {
        label: {
            "color": COLOURS[number % len(COLOURS)],
            "marker": MARKERS[number % len(MARKERS)],
            "linestyle": LINES[(number + number // len(COLOURS)) % len(LINES)],
        }
        for number, label in enumerate(dict.fromkeys(labels))
    }


@final
@dataclass(frozen=True)
class Study:
    """The groups of one task and model; runs that stop on their way are none of it.

    Attributes:
        metric: what the task is judged by.
        looks: of every sparse label, the same in all figures of a report.
    """

    task: str
    model: str
    groups: Sequence[Group]
    metric: str
    looks: Mapping[str, Look]

    @cached_property
    def dense(self) -> list[Group]:
        return [group for group in self.groups if group.dense]

    @cached_property
    def sparse(self) -> list[Group]:
        return [group for group in self.groups if not group.dense]

    @cached_property
    def dense_looks(self) -> dict[str, Look]:
        """Of each dense label, mostly one: line and marker are for different figures."""
        labels = dict.fromkeys(group.label for group in self.dense)
        found = zip(labels, cycle(DENSE))
        return {
            label: {"color": colour, "linestyle": line, "marker": marker} for label, (colour, line, marker) in found
        }

    @cached_property
    def series(self) -> dict[str, list[Group]]:
        """Sparse groups by label, ascending in sparsity."""
        found: dict[str, list[Group]] = {}
        for group in sorted(self.sparse, key=lambda group: (group.label, group.sparsity)):
            found.setdefault(group.label, []).append(group)
        return found

    @property
    def sparsities(self) -> list[float]:
        return sorted({group.sparsity for group in self.sparse})


def studies(groups: Sequence[Group], metric_of: Mapping[str, str]) -> list[Study]:
    """Returns a study for each task and model.

    Args:
        metric_of: by task, what it is judged by.
    """
    whole = [group for group in groups if not group.partial]
    look = looks(sorted({group.label for group in whole if not group.dense}))
    places = dict.fromkeys((group.task, group.model) for group in whole)
    return [
        Study(task, model, [g for g in whole if (g.task, g.model) == (task, model)], metric_of[task], look)
        for task, model in places
    ]
