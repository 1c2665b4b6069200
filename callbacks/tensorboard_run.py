"""One TensorBoard run per run, beside metrics.csv: `tensorboard --logdir <root>` shows them all."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, final

from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from callbacks.loggers import Layers, table
from callbacks.metrics_file import MetricsFile


@final
class TensorBoardRun(TensorBoardLogger):
    """Event files in the run folder, which is what TensorBoard calls the run by.

    Args:
        folder: of the run.
        parameters: what the run is compared by, in the tab HParams.
    """

    def __init__(self, folder: Path, parameters: Mapping[str, Any]) -> None:
        super().__init__(save_dir=folder.parent, name="", version=folder.name, default_hp_metric=False)
        self._parameters = dict(parameters)

    @rank_zero_only
    def rewind(self, step: int) -> None:
        """Has TensorBoard hide what the process before logged at or after an optimizer step."""
        self.experiment.close()  # Lightning has opened it before anyone could know the step
        self.experiment.purge_step = step

    @rank_zero_only
    def show_layers(self, layers: Layers, step: int) -> None:
        """Logs the sparsity of each tensor under layers/, and pictures under masks/ (white = the densest tile)."""
        self.log_metrics({f"layers/{name}": value for name, value in layers.sparsities.items()}, step)
        for name, picture in layers.pictures.items():
            self.experiment.add_image(f"masks/{name}", picture, step, dataformats="HW")

    @rank_zero_only
    def end(self, result: Mapping[str, Any], ledger: Mapping[str, Any]) -> None:
        """Ends the run with result and ledger attached; both are empty where it failed."""
        if result:
            step, sparsity = result["steps"], result["sparsity"]
            numbers = {**result["metrics"], "sparsity/scope": sparsity["scope"], "sparsity/model": sparsity["model"]}
            numbers |= {f"flops/{name}": value for name, value in result["flops"].items()}
            self.log_hyperparams(self._parameters, {f"final/{name}": value for name, value in numbers.items()}, step)
            columns, rows = table(ledger)
            lines = [columns, ["---"] * len(columns), *rows]
            self.experiment.add_text("ledger", "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines), step)
        self.experiment.close()

    @rank_zero_only
    def save(self) -> None:
        """Writes out what is waiting; the config stands beside the event files."""
        self.experiment.flush()


def csv_and_tensorboard(
    run_id: str, folder: Path, labels: Mapping[str, str], config: Mapping[str, Any]
) -> list[Logger]:
    """Returns the loggers of a run that TensorBoard shows, too.

    Args:
        labels: task, model and method.
        config: what it holds of numbers and words at its top is compared as well.

    Raises:
        ValueError: tensorboard is not installed.
    """
    if find_spec("tensorboard") is None:
        raise ValueError("logger=tensorboard needs tensorboard: pip install 'lacuna[tensorboard]'")
    settings = {key: value for key, value in config.items() if isinstance(value, str | int | float) and key != "root"}
    return [MetricsFile(folder / "metrics.csv"), TensorBoardRun(folder, {**labels, **settings})]
