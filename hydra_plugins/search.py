"""The life of a search: trials are asked for as there is room, and told as they end."""

import math
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, final

from runs.folder import Run
from runs.graph import Graph
from runs.nearest import nearest
from runs.sweep import Sweep, failures, say

BEAT = 10.0  # seconds between two signs of life of a trial
GRACE = 60.0  # without one, after which it is taken for lost

Plan = Callable[[Any], tuple[Run, Graph]]  # the run of a trial, and what of it and its needs is missing


@final
class Search:
    """Trials of an Optuna study as runs of a sweep. Searches of other processes and machines may share the study.

    Args:
        study: what there is to ask and tell.
        space: distributions by key.
        objectives: numbers of the result that a trial is judged by, with their directions.
        sweep: trains the runs.
    """

    def __init__(self, study: Any, space: Mapping[str, Any], objectives: Mapping[str, str], sweep: Sweep) -> None:
        self.study, self.space, self.objectives, self.sweep = study, space, objectives, sweep
        self.open: dict[int, tuple[Any, Run]] = {}  # trials by number, with their runs
        self.me = f"{socket.gethostname()}:{os.getpid()}"
        self._beaten = 0.0

    def run(self, plan: Plan, trials: int, at_once: int) -> str:
        """Asks, trains and tells until there are so many trials in all; returns what is best, as lines.

        Args:
            plan: what a trial comes to.
            trials: how many, those of other searches of the study included.
            at_once: most trials at once.

        Raises:
            SweepError: trials have failed and none was completed.
        """
        try:
            while True:
                self._revive()
                while len(self.open) < at_once and self._asked() < trials:
                    self._ask(plan)
                if not self.open:
                    if not self._completed() and self.sweep.failed:
                        raise failures(self.sweep.failed, "hydra.sweeper.trials=<more> goes on")
                    return self._best()
                self.sweep.turn()
                self._beat()
                for number in list(self.open):
                    self._tell(number)
        finally:
            self.sweep.pool.stop()

    def _ask(self, plan: Plan) -> None:
        trial = self.study.ask(self.space)
        trial.set_user_attr("searcher", self.me)
        trial.set_user_attr("beat", time.time())
        try:
            run, jobs = plan(trial)
        except Exception:
            self.study.tell(trial, state=_state("FAIL"))
            raise
        trial.set_user_attr("run", run.id)
        say(f"trial {trial.number:<3} {run.id}  {' '.join(f'{key}={value}' for key, value in trial.params.items())}")
        self.open[trial.number] = trial, run
        self.sweep.add(jobs)

    def _tell(self, number: int) -> None:
        trial, run = self.open[number]
        if run.id in self.sweep.waiting or run.id in self.sweep.running:
            return
        if run.finished:
            values = [_number(run.result or {}, name) for name in self.objectives]
            defined = all(value is not None and math.isfinite(value) for value in values)
            self.study.tell(trial, values if defined else None, state=None if defined else _state("FAIL"))
        else:
            ended = "pruned" in self.study.get_trials(deepcopy=False)[number].user_attrs
            self.study.tell(trial, state=_state("PRUNED" if ended else "FAIL"))
        del self.open[number]

    def _beat(self) -> None:
        if time.monotonic() - self._beaten >= BEAT:
            self._beaten = time.monotonic()
            for trial, _ in self.open.values():
                trial.set_user_attr("beat", time.time())

    def _asked(self) -> int:
        trials = self.study.get_trials(deepcopy=False)
        return sum(trial.state != _state("WAITING") and "lost" not in trial.user_attrs for trial in trials)

    def _revive(self) -> None:
        """Has trials run again whose search has died; their runs go on where they were."""
        import optuna

        for lost in self.study.get_trials(deepcopy=False, states=(_state("RUNNING"),)):
            if lost.number in self.open or not self._dead(lost):
                continue
            trial = optuna.trial.Trial(self.study, lost._trial_id)
            try:
                trial.set_user_attr("lost", True)
                self.study.tell(trial, state=_state("FAIL"))
            except optuna.exceptions.UpdateFinishedTrialError:
                continue  # another search was faster
            self.study.enqueue_trial(lost.params)

    def _dead(self, trial: Any) -> bool:
        host, _, pid = trial.user_attrs.get("searcher", "").rpartition(":")
        if host == socket.gethostname():
            return not _lives(int(pid))
        seen = float(trial.user_attrs.get("beat", trial.datetime_start.timestamp()))
        return time.time() - seen > GRACE

    def _completed(self) -> bool:
        return any(trial.state == _state("COMPLETE") for trial in self.study.get_trials(deepcopy=False))

    def _best(self) -> str:
        found = self.study.best_trials if self._completed() else []
        lines = [f"{len(self.study.trials)} trials of {self.study.study_name}; best:"]
        for trial in {trial.user_attrs["run"]: trial for trial in found}.values():
            values = ", ".join(f"{name} {value:.6g}" for name, value in zip(self.objectives, trial.values, strict=True))
            params = " ".join(f"{key}={value}" for key, value in trial.params.items())
            lines.append(f"  {values}  {params}  {trial.user_attrs['run']}")
        return "\n".join(lines if found else [*lines, "  none was completed"])


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _number(result: Mapping[str, Any], name: str) -> float | None:
    """A metric of a result, or one of its other numbers by its dotted path; None where it is undefined.

    Raises:
        ValueError: there is none of that name.
    """
    if name in result["metrics"]:
        return result["metrics"][name]  # type: ignore[no-any-return]
    found: Any = result
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, int | float):
        return float(found)
    raise ValueError(f"hydra.sweeper.objectives has '{name}', which no result has{nearest(name, result['metrics'])}")
