"""The launcher behind -m: every job is a process of its own, one after the other.

A job that raises, is killed or calls exit takes nobody with it. All configs are checked before the first job starts.
"""

import subprocess
import sys
from collections.abc import Sequence
from typing import final

from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from runs.errors import original_environment
from runs.folder import Run
from runs.settings import check, settle_length


class SweepError(RuntimeError):
    """Some jobs of a sweep failed; the message names them."""


@final
class ProcessLauncher(Launcher):
    """Runs `python <this program> <overrides of the job>` for each job."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        jobs = self._distinct(job_overrides)
        failed: list[str] = []
        for number, (run, overrides) in enumerate(jobs, start=1):
            line = " ".join(filter_overrides(overrides))
            print(f"[{number}/{len(jobs)}] {line or run.id}", flush=True)
            command = [sys.executable, sys.argv[0], *overrides, "hydra.mode=RUN"]
            code = subprocess.run(command, check=False, env=original_environment()).returncode
            if code == 0 and not run.finished:
                failed.append(f"{line} (ended without a result)")
            elif code != 0:
                reason = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
                failed.append(f"{line} ({reason})")
        print(f"{len(jobs) - len(failed)} of {len(jobs)} jobs completed", flush=True)
        if failed:
            raise SweepError("failed: " + "; ".join(failed) + ". The same command runs what is missing.")
        done = JobReturn()
        done.status, done.return_value = JobStatus.COMPLETED, None
        return [done]

    def _distinct(self, job_overrides: Sequence[Sequence[str]]) -> list[tuple[Run, list[str]]]:
        """Checks every job's config; jobs that are the same run are launched once."""
        jobs: dict[str, tuple[Run, list[str]]] = {}
        for overrides in job_overrides:
            config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
            with open_dict(config):
                del config["hydra"]
            OmegaConf.set_struct(config, True)
            settle_length(config, list(overrides))
            check(config)
            run = Run(config)
            jobs.setdefault(run.id, (run, list(overrides)))
        return list(jobs.values())
