"""One Weights & Biases run per run, beside metrics.csv."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from callbacks.metrics_file import MetricsFile


def csv_and_wandb(
    run_id: str, folder: Path, labels: Mapping[str, str], config: Mapping[str, Any], project: str
) -> list[Logger]:
    """Returns the loggers of a run that is also shown on Weights & Biases, online or, with WANDB_MODE=offline, later.

    Args:
        run_id: a resumed run goes on under the same id.
        labels: task, model and method; the run's group is task/method.

    Raises:
        ValueError: wandb is not installed, or is online and has no account.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # wandb forks, and tokenizers' threads do not survive that
    try:
        import wandb
    except ImportError:
        raise ValueError("logger=wandb needs wandb: pip install 'lacuna[wandb]'") from None
    logger = WandbLogger(
        project=project,
        name=run_id,
        id=run_id.rsplit("-", 1)[-1],
        group=f"{labels['task']}/{labels['method']}",
        tags=sorted(labels.values()),
        save_dir=str(folder),
        config=dict(config),
        resume="allow" if (folder / "checkpoints" / "last.ckpt").exists() else None,  # else what failed is overwritten
        settings=wandb.Settings(silent=True),
    )
    try:
        _ = logger.experiment
    except wandb.errors.UsageError as error:
        raise ValueError(f"logger=wandb: {error}; run 'wandb login', or set WANDB_MODE=offline") from None
    return [MetricsFile(folder / "metrics.csv"), logger]


@rank_zero_only
def close(loggers: Sequence[Logger], result: Mapping[str, Any], ledger: Mapping[str, Any]) -> None:
    """Ends the Weights & Biases run among the loggers, if any, with result and ledger attached (empty = failed).

    Without this, the next run of the process would go on in the same one.
    """
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            if result:
                logger.experiment.summary.update(dict(result))
                rows = [[t["name"], str(t["shape"]), t["numel"], t["kept"], t["sparsity"]] for t in ledger["tensors"]]
                logger.log_table("ledger", columns=["name", "shape", "numel", "kept", "sparsity"], data=rows)
            logger.experiment.finish(exit_code=0 if result else 1)
