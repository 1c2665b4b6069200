"""Where a run starts: from pretrained weights or from other runs.

A start maps a run's config to the configs of the runs it needs, by role:

* ``weights``: its final weights are this run's initial weights;
* ``ticket``: its trained weights and masks decide this run's mask;
* ``state``: its whole training state (weights, optimizer, schedule, data position) is where this run goes on.

The configs are unresolved copies with a few keys changed, so that everything that depends on them follows.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import final

from omegaconf import DictConfig, OmegaConf

DENSE = Path(__file__).parent.parent / "conf" / "method" / "dense.yaml"

Needs = dict[str, DictConfig]


class Start(ABC):
    """Where a run starts."""

    @abstractmethod
    def needs(self, config: DictConfig) -> Needs:
        """Returns the configs of the runs that the run with `config` starts from, by role."""


@final
@dataclass(frozen=True)
class Pretrained(Start):
    """The model as its group builds it: pretrained, or random where it has no weights."""

    def needs(self, config: DictConfig) -> Needs:
        return {}


@final
@dataclass(frozen=True)
class DenseRun(Start):
    """The final weights of the dense run of the same task, model, recipe and seed."""

    def needs(self, config: DictConfig) -> Needs:
        return {"weights": dense(config)}


@final
@dataclass(frozen=True)
class PreviousLevel(Start):
    """The level before this one in iterative magnitude pruning (Frankle & Carbin 2019, arXiv 1803.03635).

    Level 0 is the dense run; level n leaves ``(1 - rate) ** n`` of the weights. A target between two levels is
    reached by one last smaller cut, so that it is hit exactly and the levels below it are shared by all targets.

    Attributes:
        rate: fraction of the remaining weights that a level prunes.
        rewind_step: weights, optimizer and learning rate go back to what they were after this many steps of the dense
            run; 0 = the initial weights and a fresh optimizer.
    """

    rate: float
    rewind_step: int

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise ValueError(f"method.start.rate={self.rate} must be above 0 and below 1")
        if self.rewind_step < 0:
            raise ValueError(f"method.start.rewind_step={self.rewind_step} must be at least 0")

    def needs(self, config: DictConfig) -> Needs:
        below = levels(config.sparsity, self.rate)[:-1]
        needed = {"ticket": _with(config, sparsity=below[-1]) if below else dense(config)}
        if self.rewind_step:
            if config.steps is not None and self.rewind_step >= config.steps:
                raise ValueError(f"method.start.rewind_step={self.rewind_step} must be below steps={config.steps}")
            needed["state"] = _with(dense(config), stop_step=self.rewind_step)
        return needed


def levels(sparsity: float, rate: float) -> list[float]:
    """The sparsities of iterative pruning: 1 - (1 - rate)^n for n = 1, 2, ..., the last one `sparsity`.

    Exact decimals, rounded to 12 places, so that a level has one name whichever target asks for it.

    >>> levels(0.5, 0.2)
    [0.2, 0.36, 0.488, 0.5]
    """
    found: list[float] = []
    remaining = Fraction(1)
    while True:
        remaining *= 1 - Fraction(str(rate))
        level = round(float(1 - remaining), 12)
        if level >= sparsity:
            return [*found, sparsity]
        found.append(level)


def dense(config: DictConfig) -> DictConfig:
    """The config of the dense run that belongs to `config`."""
    return _with(config, method=OmegaConf.load(DENSE), sparsity=0.0)


def _with(config: DictConfig, **changes: object) -> DictConfig:
    copy = config.copy()
    OmegaConf.set_readonly(copy, False)
    for key, value in changes.items():
        copy[key] = value
    return copy
