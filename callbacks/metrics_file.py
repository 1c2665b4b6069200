"""The training curves as one tidy CSV file: step, metric, value.

Lines are only ever appended, so that a killed run leaves a whole file; a resumed run first takes away the lines after
the step it goes on from. (Lightning's CSVLogger deletes the file of an interrupted run.)
"""

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

HEADER = ["step", "metric", "value"]


@final
class MetricsFile(Logger):
    """Appends every logged metric to a file.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: the config stands beside the file."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(HEADER)
            writer.writerows([step, name, repr(float(value))] for name, value in metrics.items() if name != "epoch")

    @rank_zero_only
    def rewind(self, step: int) -> None:
        """Takes away what was logged at or after an optimizer step."""
        if self.path.exists():
            with self.path.open(newline="") as file:
                rows = [row for row in csv.reader(file) if len(row) == 3 and (row == HEADER or int(row[0]) < step)]
            partial = self.path.with_name(f".{self.path.name}.partial")
            with partial.open("w", newline="") as file:
                csv.writer(file).writerows(rows)
            os.replace(partial, self.path)


def csv_only(run_id: str, folder: Path, labels: Mapping[str, str], config: Mapping[str, Any]) -> list[Logger]:
    """Returns the loggers of a run that writes metrics.csv and nothing else."""
    return [MetricsFile(folder / "metrics.csv")]
