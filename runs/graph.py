"""Which runs a sweep comes to: each once, behind those that it starts from."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import final

from omegaconf import OmegaConf

from runs.folder import Run
from runs.start import needs

PROGRAM = Path(__file__).parent.parent / "train.py"
PLAIN = {  # what Hydra itself does for a job: nothing
    "defaults": ["_self_", {"override hydra/job_logging": "none"}, {"override hydra/hydra_logging": "none"}],
    "hydra": {"run": {"dir": "."}, "output_subdir": None},
}

Graph = dict[str, "Job"]


@final
@dataclass(frozen=True)
class Job:
    """A run of a sweep, as a process of its own.

    Attributes:
        run: what is trained.
        needs: ids of the runs that it starts from.
    """

    run: Run
    needs: tuple[str, ...] = ()

    @property
    def devices(self) -> int:
        """Accelerators that it trains on; 0 where it is told to use none."""
        trainer = self.run.config.trainer
        return 0 if trainer.accelerator == "cpu" else int(trainer.devices)

    @property
    def file(self) -> Path:
        """Where its whole config is written down."""
        return Path(self.run.config.root).resolve() / ".sweep" / "jobs" / f"{self.run.id}.yaml"

    def command(self) -> list[str]:
        """Writes the config down, and returns the command that trains it.

        A run that others need cannot always be said in overrides: its config is that of another run with changes.
        """
        self.file.parent.mkdir(parents=True, exist_ok=True)
        config = OmegaConf.to_container(self.run.config, resolve=False)
        OmegaConf.save({**PLAIN, **config}, self.file)  # type: ignore[dict-item]
        return [sys.executable, str(PROGRAM), f"--config-path={self.file.parent}", f"--config-name={self.file.stem}"]


def graph(asked: Iterable[Run]) -> Graph:
    """Returns the runs asked for and all that they start from, by id; a run comes behind what it needs."""
    found: Graph = {}
    for run in asked:
        _visit(run, found)
    return found


def _visit(run: Run, found: Graph) -> str:
    if run.id not in found:
        below = tuple(dict.fromkeys(_visit(Run(needed), found) for needed in needs(run.config).values()))
        found[run.id] = Job(run, below)
    return run.id


def missing(whole: Graph, asked: Iterable[Run]) -> Graph:
    """Returns what of a graph has to be trained: what is asked for or needed by that, and not there."""
    wanted: set[str] = set()
    pending = [run.id for run in asked]
    while pending:
        name = pending.pop()
        if name not in wanted and not whole[name].run.finished:
            wanted.add(name)
            pending += whole[name].needs
    return {name: job for name, job in whole.items() if name in wanted}


def closure(whole: Graph, run: Run) -> set[str]:
    """Returns the ids of a run and of all that it starts from."""
    seen: set[str] = set()
    pending = [run.id]
    while pending:
        if (name := pending.pop()) not in seen:
            seen.add(name)
            pending += whole[name].needs
    return seen
