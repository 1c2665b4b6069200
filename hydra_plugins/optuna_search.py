"""A sweeper that searches with Optuna: its trials are jobs of the launcher, and it can be continued."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from omegaconf import DictConfig

from hydra_plugins.search import Search
from hydra_plugins.search_space import lowest, search_space
from runs.folder import Run
from runs.forecast import forecast
from runs.graph import Graph, graph, missing
from runs.sweep import Sweep

Node = Mapping[str, Any]


@final
class Optuna(Sweeper):
    """Searches for the values of a config that are best in one or more numbers of the result.

    Args:
        trials: how many there are in all, whoever runs them, those of earlier commands included.
        storage, sampler, pruner: of Optuna, as constructor calls; no pruner = every trial is trained to its end.
        objectives: what is best, by name of a metric or another number of the result (`sparsity.model`,
            `flops.inference`), and in which direction, maximize or minimize; null = the most of val/accuracy.
        at_once: most trials at once; null = as many as the launcher has room for.
        study: a name, under which other commands may join; null = one that says what is searched.
        params: overrides as `-m` takes them, by key; the command line has more, or replaces them.

    Raises:
        ValueError: a number or a direction is wrong, or there is a pruner and more than one objective.
    """

    def __init__(
        self,
        trials: int,
        storage: Node,
        sampler: Node,
        objectives: Mapping[str, str] | None = None,
        pruner: Node | None = None,
        at_once: int | None = None,
        study: str | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        for key, number in {"trials": trials, "at_once": at_once}.items():
            if number is not None and number < 1:
                raise ValueError(f"hydra.sweeper.{key}={number} must be at least 1")
        objectives = {"val/accuracy": "maximize"} if objectives is None else objectives
        for name, direction in objectives.items():
            if direction not in ("maximize", "minimize"):
                raise ValueError(f"hydra.sweeper.objectives.{name}={direction} must be maximize or minimize")
        if not objectives:
            raise ValueError("hydra.sweeper.objectives is empty; give {val/accuracy: maximize}")
        if pruner and (len(objectives) > 1 or not next(iter(objectives)).startswith("val/")):
            raise ValueError("hydra.sweeper.pruner needs a single objective, which is a metric of validation (val/...)")
        self.trials, self.at_once, self.study, self.params = trials, at_once, study, params or {}
        self.objectives, self.storage, self.sampler, self.pruner = dict(objectives), storage, sampler, pruner

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra_plugins.launching import SweepLauncher  # not before, as Hydra loads each plugin once more

        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        if not isinstance(launcher, SweepLauncher):
            raise ValueError("hydra/sweeper=optuna needs a launcher of ours: hydra/launcher=local, ray or slurm")
        self.hydra_context, self.config, self.launcher = hydra_context, config, launcher
        self.jobs, self.root = launcher, Path(config.root)

    def sweep(self, arguments: list[str]) -> None:
        try:
            import optuna
        except ImportError:
            raise ValueError("hydra/sweeper=optuna needs Optuna: pip install 'lacuna[search]'") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        fixed, space = search_space(self.params, arguments)
        if self.jobs.dry_run:
            first = Run(self.jobs.composed([*fixed, *(f"{key}={lowest(each)}" for key, each in space.items())]))
            keys = ", ".join(f"{key} of {each}" for key, each in space.items())
            print(f"{self.trials} trials over {keys}; one of them:\n{forecast(graph([first]), [first])}")
            return
        (self.root / ".sweep").mkdir(parents=True, exist_ok=True)
        directions = [optuna.study.StudyDirection[each.upper()] for each in self.objectives.values()]
        study = optuna.create_study(
            study_name=self.study or _name(fixed, space, self.objectives),
            storage=instantiate(self.storage),
            sampler=instantiate(self.sampler),
            directions=directions,
            load_if_exists=True,
        )
        if study.directions != directions:
            raise ValueError(f"hydra.sweeper.study={study.study_name} has other objectives; give it another name")
        pool = self.jobs.pool()
        at_once = self.at_once or pool.capacity
        if at_once is None:
            raise ValueError("hydra.sweeper.at_once=null is no number here: say how many trials may run at once")
        search = Search(study, space, self.objectives, Sweep(pool, self.jobs.retries))
        print(search.run(lambda trial: self._plan(study, trial, fixed), self.trials, at_once), flush=True)

    def _plan(self, study: Any, trial: Any, fixed: Sequence[str]) -> tuple[Run, Graph]:
        config = self.jobs.composed([*fixed, *(f"{key}={value}" for key, value in trial.params.items())])
        if self.pruner:
            (metric,) = self.objectives
            whose = {"study": study.study_name, "number": trial.number, "metric": metric}
            parts = {"storage": self.storage, "pruner": self.pruner}
            config.trial = {"_target_": "callbacks.trial.Trial", **parts, **whose}
        run = Run(config)
        return run, missing(graph([run]), [run])


def _name(fixed: Sequence[str], space: Mapping[str, Any], objectives: Node) -> str:
    """A name that a search has whenever and wherever it is continued."""
    said = json.dumps([sorted(fixed), sorted((key, repr(value)) for key, value in space.items()), list(objectives)])
    return f"search-{hashlib.sha256(said.encode()).hexdigest()[:10]}"
