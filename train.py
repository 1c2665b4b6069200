"""Trains one sparse model, or with -m a sweep of them; README.md says how, --help what there is to choose."""

import sys
from functools import partial
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig

from runs.errors import one_voice, sentences
from runs.folder import Begin, Run
from runs.ranks import Ranks, company, start
from runs.settings import LESSONS, ROLES, check, training_steps
from runs.start import needs
from runs.sweeps import prepared

build = partial(instantiate, _convert_="all")  # calls what a config node names, with plain containers


def obtain(config: DictConfig, ranks: Ranks | None = None) -> Run:
    """Returns the finished run of a config: reused, resumed or trained, after the runs that it starts from."""
    run = Run(config, ranks)
    with run.lock():
        if run.finished:
            run.mention_version()
        else:
            build(config.method.sparsifier.get("budget"))  # what nothing can meet is told before other runs are trained
            origins = {role: obtain(needed, ranks) for role, needed in needs(config).items()}
            run.carry_out(partial(train, run, origins), origins)
    return run


def train(run: Run, origins: dict[str, Run], begin: Begin, accumulate: int) -> dict[str, Any]:
    """Builds what the config names, connects it, trains, evaluates, saves and returns the numbers of the result."""
    from lightning.pytorch import seed_everything  # takes seconds: not for finished runs and wrong commands

    from callbacks.fit import fit
    from tasks.ood import joined
    from tasks.recipe import Recipe

    config = run.config
    places = {role: str(origin.model if role in LESSONS else origin.checkpoint) for role, origin in origins.items()}
    loss = build(config.loss, **{role: places[role] for role in LESSONS & places.keys()})
    sparsifier = build(config.method.sparsifier, **{role: places[role] for role in ROLES & places.keys()})
    trainer, model, optim, tuning = (build(config[key]) for key in ("trainer", "model", "optim", "tuning"))
    data = joined(build(config.task.data), build(config.ood))  # last, because it takes longest to find a mistake
    seed_everything(config.seed, verbose=False)
    steps = partial(training_steps, config)
    recipe = Recipe(optim, loss, tuning, config.batch_size, steps, config.seed, accumulate)
    module = build(config.task.module)(data=data, model=model, recipe=recipe)
    numbers, ledger = fit(
        *(trainer, module, sparsifier, run.folder),
        loggers=build(config.logger)(run.id, run.folder, run.labels, run.resolved),
        weights=places.get("weights"),
        resume=run.checkpoint if run.interrupted else places.get("state"),
        trial=build(config.trial),
        begin=begin,
        **{key: config[key] for key in ("stop_step", "checkpoint_every", "validations", "collapse")},
    )
    module.save(run.model)
    module.write_predictions(run.folder)
    run.write("ledger.json", ledger)
    return numbers


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> None:
    with sentences(), one_voice(company()) as ranks:
        check(config, HydraConfig.get().overrides.task)
        start(config.trainer, unless=lambda: Run(config).finished)
        obtain(config, ranks).show()


if __name__ == "__main__":
    with sentences():
        sys.argv[1:] = prepared(sys.argv[1:])
        main()
