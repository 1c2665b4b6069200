"""A run as a trial of a search: what it comes to is reported as it goes, and ends it where others do better."""

import math
from typing import Any, final

from lightning.pytorch import Callback, LightningModule, Trainer


class PrunedError(RuntimeError):
    """The search has ended the run, which has no result."""

    on_purpose = True


@final
class Trial(Callback):
    """Reports a validation metric to a study of Optuna after each validation, and ends the run if its pruner says so.

    Args:
        storage: of the study.
        study: its name.
        pruner: compares trials.
        number: of the trial.
        metric: name of the validation metric.
    """

    def __init__(self, storage: Any, study: str, pruner: Any, number: int, metric: str) -> None:
        import optuna

        self.metric = metric
        found = optuna.load_study(
            study_name=study, storage=storage, sampler=optuna.samplers.RandomSampler(), pruner=pruner
        )
        self.trial = optuna.trial.Trial(found, found.get_trials(deepcopy=False)[number]._trial_id)
        self._reported = set(found.trials[number].intermediate_values)  # before an interruption

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reports.

        Raises:
            ValueError: there is no such metric.
            PrunedError: the run is to end.
        """
        if self.metric not in trainer.callback_metrics:
            there = ", ".join(sorted(name for name in trainer.callback_metrics if name.startswith("val/")))
            raise ValueError(f"hydra.sweeper.objectives has '{self.metric}', which is not measured; there are {there}")
        step, value = trainer.global_step, float(trainer.callback_metrics[self.metric])
        if trainer.is_global_zero and step not in self._reported and not math.isnan(value):
            self.trial.report(value, step)
        # Not at the end, where everything is paid for.
        if step < trainer.max_steps and trainer.strategy.reduce_boolean_decision(self._beaten(trainer), all=False):
            if trainer.is_global_zero:
                self.trial.set_user_attr("pruned", step)
            raise PrunedError(f"ended by the search at step {step} of {trainer.max_steps}")

    def _beaten(self, trainer: Trainer) -> bool:
        return bool(trainer.is_global_zero and self.trial.should_prune())
