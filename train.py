"""Trains one sparse model, or with -m a sweep of them; README.md says how, --help what there is to choose."""

import sys
from collections.abc import Callable
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig

from runs.errors import sentences
from runs.folder import Run
from runs.settings import ROLES, check, training_steps
from runs.sweeps import deferred


def obtain(config: DictConfig) -> Run:
    """Returns the finished run of a config: reused, resumed or trained, after the runs that it starts from."""
    run = Run(config)
    with run.lock():
        if run.finished:
            run.mention_version()
        else:
            build(config.method.sparsifier.get("budget"))  # what nothing can meet is told before other runs are trained
            origins = {role: obtain(needed) for role, needed in instantiate(config.method.start).needs(config).items()}
            run.carry_out(lambda begin: train(run, origins, begin), origins)
    return run


def train(run: Run, origins: dict[str, Run], begin: Callable[[], None]) -> dict[str, Any]:
    """Builds what the config names, connects it, trains, evaluates, saves and returns the numbers of the result."""
    from lightning.pytorch import seed_everything  # takes seconds; finished runs and wrong commands do not wait for it

    from callbacks.fit import fit

    config = run.config
    trainer, model, optim = build(config.trainer), build(config.model), build(config.optim)
    checkpoints = {role: str(origin.checkpoint) for role, origin in origins.items()}
    sparsifier = build(config.method.sparsifier, **{role: checkpoints[role] for role in ROLES & origins.keys()})
    data = build(config.task.data)  # last, because it takes longest to find a mistake
    steps, accumulate = training_steps(config, len(data.get("train", ()))), config.trainer.accumulate_grad_batches
    seed_everything(config.seed, verbose=False)
    recipe = {"batch_size": config.batch_size, "steps": steps, "accumulate": accumulate, "seed": config.seed}
    module = build(config.task.module)(data=data, model=model, optim=optim, **recipe)
    numbers, ledger = fit(
        trainer,
        module,
        sparsifier,
        run.folder,
        loggers=build(config.logger)(run.id, run.folder, run.labels, run.resolved),
        weights=checkpoints.get("weights"),
        resume=run.checkpoint if run.interrupted else checkpoints.get("state"),
        stop_step=config.stop_step,
        checkpoint_every=config.checkpoint_every,
        begin=begin,
    )
    module.save(run.folder / "model")
    run.write("ledger.json", ledger)
    return numbers


def build(node: DictConfig, **more: Any) -> Any:
    """Calls what a config node names, with plain containers."""
    return instantiate(node, **more, _convert_="all")


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> None:
    with sentences():
        check(config, HydraConfig.get().overrides.task)
        run = obtain(config)
        print(run.summary)


if __name__ == "__main__":
    with sentences():
        sys.argv[1:] = deferred(sys.argv[1:])
        main()
