"""Where a run starts: from pretrained weights or from other runs, one of which may teach it.

A start maps a run's config to the configs of the runs it needs, by role:

* ``weights``: its final weights are this run's initial weights;
* ``ticket``: its trained weights and masks decide this run's mask;
* ``state``: its whole training state (weights, optimizer, schedule, data position) is where this run goes on;
* ``teacher``: its network says what this run's should say, where the loss asks for that and names no other teacher.

The configs are unresolved copies with a few keys changed, so that everything that depends on them follows.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, final

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from runs.nearest import nearest

CONF = Path(__file__).parent.parent / "conf"
METHODS = CONF / "method"

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
    """The weights of the dense run of the same task, model, recipe and seed, final ones or earlier.

    Attributes:
        same_loss: whether it is trained with this run's loss and rows, or with the task's own.
        step: after how many of its steps; null = at its end.
    """

    same_loss: bool = False
    step: int | None = None

    def __post_init__(self) -> None:
        if self.step is not None and self.step < 1:
            raise ValueError(f"method.start.step={self.step} must be at least 1, or null for the end")

    def needs(self, config: DictConfig) -> Needs:
        if self.step is not None and config.steps is not None and self.step > config.steps:
            raise ValueError(f"method.start.step={self.step} is beyond the dense run's steps={config.steps}")
        stop = None if self.step == config.steps else self.step
        return {"weights": _with(dense(config), **({} if self.same_loss else _own(config)), stop_step=stop)}


@final
@dataclass(frozen=True)
class PreviousLevel(Start):
    """The level before this one in iterative magnitude pruning (Frankle & Carbin 2019, arXiv 1803.03635).

    Level 0 is the dense run; a level prunes a share of the weights. A target between two levels is reached by one last
    smaller cut, so that it is hit exactly and the levels below it are shared by all targets.

    Attributes:
        rate: fraction of weights that a level prunes.
        of_remaining: the fraction is one of the remaining weights, so that level n leaves ``(1 - rate) ** n``; or else
            of all weights in scope, so that it leaves ``1 - n * rate``.
        rewind_step: weights, optimizer and learning rate go back to what they were after this many steps of the dense
            run; 0 = the initial weights and a fresh optimizer; null = the weights go on from the level before, and
            optimizer and learning rate start afresh (learning-rate rewinding, Renda et al. 2020, arXiv 2003.02389).
    """

    rate: float
    rewind_step: int | None
    of_remaining: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise ValueError(f"method.start.rate={self.rate} must be above 0 and below 1")
        if self.rewind_step is not None and self.rewind_step < 0:
            raise ValueError(f"method.start.rewind_step={self.rewind_step} must be at least 0")

    def needs(self, config: DictConfig) -> Needs:
        below = levels(config.sparsity, self.rate, self.of_remaining)[:-1]
        previous = _with(config, sparsity=below[-1]) if below else dense(config)
        if self.rewind_step is None:
            return {"weights": previous, "ticket": previous}
        if self.rewind_step == 0:
            return {"ticket": previous}
        if config.steps is not None and self.rewind_step >= config.steps:
            raise ValueError(f"method.start.rewind_step={self.rewind_step} must be below steps={config.steps}")
        return {"ticket": previous, "state": _with(dense(config), stop_step=self.rewind_step)}


@final
@dataclass(frozen=True)
class TicketOf(Start):
    """The mask that another method found at the same sparsity, with the weights as the model group builds them.

    All else is as in this run, also what the other method's file overrides, such as the distribution.

    Attributes:
        method: name of a file in conf/method.
        retrain_steps: optimizer steps of its training; null = as that file says.
    """

    method: str
    retrain_steps: int | None = None

    def needs(self, config: DictConfig) -> Needs:
        file = METHODS / f"{self.method}.yaml"
        if not file.exists():
            choices = nearest(self.method, (path.stem for path in METHODS.glob("*.yaml")))
            raise ValueError(f"method.start.method={self.method} is not a method{choices}")
        if self.method in ("dense", config.method.name):
            raise ValueError(f"method.start.method={self.method} has no mask to give; name a sparse method, like imp")
        other = {key: node for key, node in OmegaConf.load(file).items() if key != "defaults"}
        if self.retrain_steps is not None:
            other["retrain_steps"] = self.retrain_steps
        return {"ticket": _with(config, method=other)}


def levels(sparsity: float, rate: float, of_remaining: bool = True) -> list[float]:
    """The sparsities of iterative pruning, ascending, the last one `sparsity`.

    Those before are 1 - (1 - rate)^n, or n * rate where the rate is not one of the remaining weights: exact decimals,
    rounded to 12 places, so that a level has one name whichever target asks for it.

    >>> levels(0.5, 0.2)
    [0.2, 0.36, 0.488, 0.5]
    >>> levels(0.5, 0.2, of_remaining=False)
    [0.2, 0.4, 0.5]
    """
    found: list[float] = []
    remaining = Fraction(1)
    while True:
        remaining -= Fraction(str(rate)) * (remaining if of_remaining else 1)
        level = round(float(1 - remaining), 12)
        if level >= sparsity:
            return [*found, sparsity]
        found.append(level)


def needs(config: DictConfig) -> Needs:
    """The configs of the runs that a run needs, by role; who takes no step needs no teacher.

    Raises:
        ValueError: the start is not one for this config, or its teacher has to be named.
    """
    found: Needs = instantiate(config.method.start).needs(config)
    if "teacher" in config.loss and config.loss.teacher is None and config.steps != 0:
        if config.tuning != _file("tuning", "full"):
            raise ValueError(
                "loss.teacher=null asks for tuning=full; with another tuning name the folder of a finished run,"
                " loss.teacher=<folder>"
            )
        found["teacher"] = _with(dense(config), **_own(config), stop_step=None)
    return found


def dense(config: DictConfig) -> DictConfig:
    """The config of the dense run that belongs to `config`, with the same loss."""
    return _with(config, method=_file("method", "dense"), sparsity=0.0)


def _own(config: DictConfig) -> dict[str, Any]:
    """The task's own loss, and sets of another distribution without what is trained on."""
    sets = config.ood.copy()
    OmegaConf.set_struct(sets, False)
    for name in sets:
        sets[name].get("names", {}).pop("train", None)
    return {"loss": _file("loss", "supervised"), "ood": sets}


def _file(group: str, option: str) -> Any:
    return OmegaConf.load(CONF / group / f"{option}.yaml")


def _with(config: DictConfig, **changes: object) -> DictConfig:
    copy = config.copy()
    OmegaConf.set_readonly(copy, False)
    for key, value in changes.items():
        copy[key] = value
    return copy
