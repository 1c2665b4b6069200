"""One Weights & Biases run per run, beside metrics.csv. It is there to look at: losing it never stops a training."""

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, final

from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from callbacks.loggers import Layers, table
from callbacks.metrics_file import MetricsFile

log = logging.getLogger(__name__)


@final
class WandbRun(WandbLogger):
    """A run on Weights & Biases, which is left alone once it is lost.

    Without a network wandb itself keeps everything on disk and goes on trying; what can be lost is its process, and at
    the end of the run its patience.
    """

    lost = False

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if not self.lost:
            self._try(lambda: super(WandbRun, self).log_metrics(metrics, step))

    @rank_zero_only
    def show_layers(self, layers: Layers, step: int) -> None:
        """Logs the sparsity of each tensor under layers/, and pictures as `masks` (white = the densest tile)."""
        self.log_metrics({f"layers/{name}": value for name, value in layers.sparsities.items()}, step)
        pictures = [(picture * 255).byte().numpy() for picture in layers.pictures.values()]
        self.log_image("masks", pictures, step, caption=[f"{n}: {layers.sparsities[n]:.2%}" for n in layers.pictures])

    @rank_zero_only
    def end(self, result: Mapping[str, Any], ledger: Mapping[str, Any]) -> None:
        """Ends the run with result and ledger attached; both are empty where it failed."""
        if result and not self.lost:
            self._try(lambda: self.experiment.summary.update(dict(result)))
            self.log_table("ledger", *table(ledger))
        self._try(lambda: self.experiment.finish(exit_code=0 if result else 1))

    def _try(self, act: Callable[[], object]) -> None:
        import wandb
        from wandb.sdk.mailbox import HandleAbandonedError  # what is raised for its process when that has died

        try:
            act()
        except (OSError, wandb.errors.Error, HandleAbandonedError) as error:
            if not self.lost:
                reason = (str(error) or type(error).__name__).splitlines()[0]
                log.warning("wandb is lost (%s): what it had is in %s/wandb, for 'wandb sync'", reason, self.save_dir)
            self.lost = True


def csv_and_wandb(
    run_id: str, folder: Path, labels: Mapping[str, str], config: Mapping[str, Any], project: str, timeout: float
) -> list[Logger]:
    """Returns the loggers of a run that is also shown on Weights & Biases, online or, with WANDB_MODE=offline, later.

    Args:
        run_id: a resumed run goes on under the same id.
        labels: task, model and method; the run's group is task/method.
        timeout: seconds to wait for the server before going on offline, and at the end for the last of the data.

    Raises:
        ValueError: wandb is not installed, or is online and has no account.
    """
    if timeout <= 0:
        raise ValueError(f"logger.timeout={timeout} must be above 0 seconds")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # wandb forks, and tokenizers' threads do not survive that
    if find_spec("wandb") is None or find_spec("PIL") is None:  # without the latter wandb fails at the first picture
        raise ValueError("logger=wandb needs wandb and pillow: pip install 'lacuna[wandb]'")
    import wandb

    def opened(mode: str | None) -> WandbRun:
        run = WandbRun(
            project=project,
            name=run_id,
            id=run_id.rsplit("-", 1)[-1],
            group=f"{labels['task']}/{labels['method']}",
            job_type=job_type(config),
            tags=sorted(labels.values()),
            save_dir=str(folder),
            config=dict(config),
            mode=mode,
            resume="allow" if (folder / "checkpoints" / "last.ckpt").exists() else None,  # else failed: overwritten
            settings=wandb.Settings(
                silent=True, init_timeout=timeout, finish_timeout=timeout, finish_timeout_raises=True
            ),
        )
        _ = run.experiment
        return run

    try:
        run = opened(None)
    except (wandb.errors.UsageError, wandb.errors.AuthenticationError) as error:
        raise ValueError(f"logger=wandb: {error}; run 'wandb login', or set WANDB_MODE=offline") from None
    except (wandb.errors.CommError, OSError) as error:
        reason = str(error).splitlines()[0]
        log.warning("wandb cannot be reached (%s): logging offline, for 'wandb sync' to upload", reason)
        os.environ["WANDB_MODE"] = "offline"  # the runs that this process trains next need not wait
        with suppress(OSError):
            wandb.teardown()  # else its process would hold the run's id
        run = opened("offline")
    return [MetricsFile(folder / "metrics.csv"), run]


def job_type(config: Mapping[str, Any]) -> str:
    """Returns what kind of run a config is of: evaluation, dense, lottery level or sparse."""
    method = config["method"]
    if config["steps"] == 0:
        return "evaluation"
    if method["name"] == "dense":
        return "dense"
    return "lottery level" if method["start"]["_target_"].endswith(".PreviousLevel") else "sparse"
