"""A sweeper that trains a population (Jaderberg et al. 2017, arXiv 1711.09846) with Ray Tune.

All members are the same run but for values that change as they train: a member that does badly goes on from the state
of one that does well, weights, masks, optimizer and place in the data, with that one's values changed a little.
"""

import hashlib
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, final

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.members import train_member
from hydra_plugins.search_space import search_space
from runs.folder import Run
from runs.graph import Job, graph
from runs.sweep import SweepError, say

KEYS = {"lr": "lr", "optim.optimizer.weight_decay": "weight_decay"}  # what may change, and what a member calls it


@final
class Population(Sweeper):
    """Trains a population on the cluster that hydra/launcher=ray names.

    Args:
        members: how many there are.
        metric: of validation, that they are compared by.
        mode: max or min.
        interval: validations between two comparisons of a member.
        quantile: share of the members that is replaced, and of those that are copied.
        resample: how probable it is that a value is drawn anew and not changed by a fifth.
        params: what changes, as `-m` takes it, by key; the command line has more, or replaces it.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        members: int,
        metric: str,
        mode: str = "max",
        interval: int = 1,
        quantile: float = 0.25,
        resample: float = 0.25,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        for key, holds in {
            "members": members >= 2,
            "mode": mode in ("max", "min"),
            "interval": interval >= 1,
            "quantile": 0 < quantile <= 0.5,
            "resample": 0 <= resample <= 1,
        }.items():
            if not holds:
                raise ValueError(
                    f"hydra.sweeper.{key}={locals()[key]} is out of range; see conf/hydra/sweeper/pbt.yaml"
                )
        self.members, self.metric, self.mode, self.params = members, metric, mode, params or {}
        self.interval, self.quantile, self.resample = interval, quantile, resample

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra_plugins.ray_cluster import Ray  # not before, as Hydra loads each plugin once more

        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        if not isinstance(launcher, Ray):
            raise ValueError("hydra/sweeper=pbt trains on Ray: add hydra/launcher=ray")
        launcher.refuse_dry_run()
        self.hydra_context, self.config, self.launcher = hydra_context, config, launcher
        self.jobs, self.root = launcher, Path(config.root).resolve()

    def sweep(self, arguments: list[str]) -> None:
        fixed, space = search_space(self.params, arguments)
        if unknown := [key for key in space if key not in KEYS]:
            raise ValueError(
                f"a population cannot change {unknown[0]} while it trains, only {' and '.join(KEYS)}; search for it"
                " with hydra/sweeper=optuna"
            )
        job = self._job(fixed)
        name = f"population-{_digest(job.run.id, space, self.members, self.metric, self.mode)}"
        best = self.root / name / "best.txt"
        if not best.exists():
            pool = self.jobs.pool()
            try:
                pool.fit(job)
                best.write_text(self._train(pool, job, space, name))
            finally:
                pool.ray.shutdown()
        print(best.read_text(), flush=True)

    def _job(self, fixed: Sequence[str]) -> Job:
        """The run that all members are.

        Raises:
            ValueError: it starts from another run.
        """
        run = Run(self.jobs.composed(fixed))
        if graph([run])[run.id].needs:
            raise ValueError(f"method={run.config.method.name} starts from another run, which members do not share")
        return Job(run)

    def _train(self, pool: Any, job: Job, space: Mapping[str, Any], name: str) -> str:
        os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # the old one can be silent
        from ray import tune

        home, storage = self.root / name, self.root / ".sweep"
        each = {KEYS[key]: _domain(distribution) for key, distribution in space.items()}
        scheduler = tune.schedulers.PopulationBasedTraining(
            time_attr="training_iteration",
            metric=self.metric,
            mode=self.mode,
            perturbation_interval=self.interval,
            quantile_fraction=self.quantile,
            resample_probability=self.resample,
            hyperparam_mutations=each,
            custom_explore_fn=partial(_within, space={KEYS[key]: each for key, each in space.items()}),
        )
        config = OmegaConf.to_yaml(job.run.config, resolve=False)
        trainable = tune.with_resources(
            tune.with_parameters(train_member, config=config, home=str(home), metric=self.metric),
            {"CPU": self.jobs.cpus, "GPU": pool.share(job)},
        )
        if tune.Tuner.can_restore(str(storage / name)):
            tuner = tune.Tuner.restore(str(storage / name), trainable, resume_errored=True)
        else:
            tuner = tune.Tuner(
                trainable,
                param_space={key: _drawn(domain) for key, domain in each.items()},
                tune_config=tune.TuneConfig(scheduler=scheduler, num_samples=self.members),
                run_config=tune.RunConfig(
                    name=name,
                    storage_path=str(storage),
                    verbose=0,
                    stop={"finished": 1},
                    failure_config=tune.FailureConfig(max_failures=self.jobs.retries),
                    callbacks=[_speaker(self.metric, list(each))],
                ),
            )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Consider boosting PBT")  # members are processes, not actors
            results = tuner.fit()
        if failed := [str(error).splitlines()[-1] for error in results.errors]:
            raise SweepError(f"{len(failed)} members failed: {failed[0]}. The same command goes on.")
        if len(results) < self.members or any(not result.metrics.get("finished") for result in results):
            raise KeyboardInterrupt
        _write_history(home, results)
        shutil.rmtree(storage / name)  # every state of every member: which of them is copied is decided late
        best = results.get_best_result(self.metric, self.mode)
        values = " ".join(f"{key}={best.config[key]:.6g}" for key in each)
        folder = home / best.metrics["member"] / job.run.id
        return f"best of {self.members} members: {self.metric} {best.metrics[self.metric]:.4f}, {values}\n  {folder}"


def _speaker(metric: str, values: Sequence[str]) -> Any:
    """A callback of Ray Tune that prints a line for each validation."""
    from ray import tune

    @final
    class Speaker(tune.Callback):  # type: ignore[misc]
        def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
            said = " ".join(f"{key}={result[key]:.4g}" for key in values)
            say(f"{result['member']}  step {result['step']}  {metric} {result[metric]:.4f}  {said}")

    return Speaker()


def _write_history(home: Path, results: Any) -> None:
    """Writes what each member was and did, a line for each validation."""
    import pandas

    frames = [result.metrics_dataframe.assign(member=result.metrics["member"]) for result in results]
    table = pandas.concat(frames)
    known = {"member", "step", *results[0].config} | {name for name in table if "/" in name and "config/" not in name}
    table[[name for name in table if name in known]].to_csv(home / "history.csv", index=False)


def _domain(distribution: Any) -> Any:
    """What mutations are drawn from: a list, which Ray moves along, or a domain, which it multiplies."""
    from ray import tune

    if hasattr(distribution, "choices"):
        return [float(choice) for choice in distribution.choices]
    return (tune.loguniform if distribution.log else tune.uniform)(distribution.low, distribution.high)


def _drawn(domain: Any) -> Any:
    from ray import tune

    return tune.choice(domain) if isinstance(domain, list) else domain


def _within(values: dict[str, Any], space: Mapping[str, Any]) -> dict[str, Any]:
    """Multiplying leads out of a range; this leads back."""
    return {
        key: min(max(value, space[key].low), space[key].high) if hasattr(space[key], "low") else value
        for key, value in values.items()
    }


def _digest(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:10]
