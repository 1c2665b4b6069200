"""What our launchers share: configs are checked and put in order, then a pool trains what is missing."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from runs.folder import Run
from runs.forecast import forecast
from runs.graph import Graph, graph, missing
from runs.pool import Pool
from runs.settings import check
from runs.status import note
from runs.sweep import Sweep, failures


class SweepLauncher(Launcher, ABC):
    """Launches a sweep; a subclass says where.

    Args:
        retries: how often a run is tried again that failed in training.
        dry_run: whether to say what would be trained, and train nothing.

    Raises:
        ValueError: `retries` is negative.
    """

    def __init__(self, retries: int = 0, dry_run: bool = False) -> None:
        if retries < 0:
            raise ValueError(f"hydra.launcher.retries={retries} must be at least 0")
        self.retries = retries
        self.dry_run = dry_run

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.config = config

    @abstractmethod
    def pool(self) -> Pool:
        """Returns the place where jobs run."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        asked = [Run(self.composed(overrides)) for overrides in job_overrides]  # all, before the first is trained
        whole = graph(asked)
        if self.dry_run:
            print(forecast(whole, asked))
        else:
            self._train(whole, asked)
        done = JobReturn()
        done.status, done.return_value = JobStatus.COMPLETED, None
        return [done]

    def _train(self, whole: Graph, asked: Sequence[Run]) -> None:
        note(self.config.root, whole, {})
        sweep = Sweep(self.pool(), self.retries)
        try:
            sweep.run(missing(whole, asked))
        finally:
            note(self.config.root, whole, sweep.failed)
            there = sum(job.run.finished for job in whole.values())
            print(f"{there} of {len(whole)} runs completed", flush=True)
        if sweep.failed:
            raise failures(sweep.failed)

    def composed(self, overrides: Sequence[str]) -> DictConfig:
        """Returns the checked config of a job.

        Raises:
            ValueError: it is wrong.
        """
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            del config["hydra"]
        OmegaConf.set_struct(config, True)
        check(config, overrides)
        return config
