"""What loggers of ours can do beyond Lightning's: show layers, take back steps, end with the result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final, runtime_checkable

from lightning.pytorch.loggers import Logger
from torch import Tensor


@final
@dataclass(frozen=True)
class Layers:
    """The masks at a step.

    Attributes:
        sparsities: fraction of zeros by tensor name.
        pictures: of a few tensors by name, (rows, columns) with values from 0 (nothing kept) to 1 (the densest tile).
    """

    sparsities: Mapping[str, float]
    pictures: Mapping[str, Tensor]


@runtime_checkable
class Dashboard(Protocol):
    """A logger that has a place for pictures and tables, and for what a run came to."""

    def show_layers(self, layers: Layers, step: int) -> None: ...

    def end(self, result: Mapping[str, Any], ledger: Mapping[str, Any]) -> None:
        """Ends the run with result and ledger attached; both are empty where it failed."""


@runtime_checkable
class Rewindable(Protocol):
    """A logger that can forget."""

    def rewind(self, step: int) -> None:
        """Takes away what was logged at or after an optimizer step."""


def end(loggers: Sequence[Logger], result: Mapping[str, Any], ledger: Mapping[str, Any]) -> None:
    """Ends the dashboards among the loggers; else the next run of the process would go on in the same ones."""
    for logger in loggers:
        if isinstance(logger, Dashboard):
            logger.end(result, ledger)


def table(ledger: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Returns the columns and rows of a ledger's tensors."""
    columns = ["name", "shape", "numel", "kept", "sparsity"]
    return columns, [[str(line[c]) if c == "shape" else line[c] for c in columns] for line in ledger["tensors"]]
