"""A run on disk: its folder, its lock and its result.

The folder's files are a contract with whatever reads them:

    config.yaml   the resolved config       checkpoints/   last.ckpt and best.ckpt
    result.json   written last, atomically  model/         the final model and its tokenizer, as transformers saves them
    metrics.csv   the training curves       ledger.json    per-tensor counts
    predictions/  <split>.jsonl: what the final model says of each row of the splits that were evaluated
    submission/   the same as a benchmark's server takes it, where a task says for which splits
"""

import gc
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import Any, final

from omegaconf import DictConfig, OmegaConf

from runs.identity import model_label, run_id
from runs.locks import held, holding, lock_file
from runs.memory import with_room
from runs.ranks import Alone, Ranks
from runs.result import written
from runs.summary import summary
from runs.versions import versions

FAILED = 1  # exit code of a command whose training failed
Begin = Callable[[], None]
Train = Callable[[Begin, int], Mapping[str, Any]]


class TrainingError(RuntimeError):
    """Training had begun when something went wrong, so that a traceback says more than a sentence."""


@final
class Run:
    """One training (or evaluation) with a given config.

    Args:
        config: what is run.
        ranks: the processes that train it together; what the first of them finds on disk is what all of them find.
    """

    def __init__(self, config: DictConfig, ranks: Ranks | None = None) -> None:
        self.config = config
        self.ranks: Ranks = ranks or Alone()

    @cached_property
    def id(self) -> str:
        """The run's name, unique to what it computes."""
        return run_id(self.config)

    @property
    def labels(self) -> dict[str, str]:
        """Names of what is run, for people."""
        config = self.config
        return {"task": config.task.name, "model": model_label(config.model.name), "method": config.method.name}

    @property
    def resolved(self) -> dict[str, Any]:
        """The config as plain containers, with every reference replaced by its value."""
        return OmegaConf.to_container(self.config, resolve=True)  # type: ignore[return-value]

    @property
    def folder(self) -> Path:
        return Path(self.config.root) / self.id

    @property
    def model(self) -> Path:
        """Folder of the final network, with its tokenizer."""
        return self.folder / "model"

    @property
    def checkpoint(self) -> Path:
        """The latest training state; it is there once training has gone on for a while."""
        return self.folder / "checkpoints" / "last.ckpt"

    @property
    def result(self) -> dict[str, Any] | None:
        """The stored result, or None where there is none yet.

        Raises:
            ValueError: the file is not a result.
        """
        return written(self.folder)

    @property
    def summary(self) -> str:
        """The result as a few lines for people."""
        return summary(self.result or {}, self.folder)

    def show(self) -> None:
        """Prints the result; of several processes the first one does."""
        if self.ranks.first:
            print(self.summary)

    @property
    def finished(self) -> bool:
        return self.ranks.agree(self._completed)

    def _completed(self) -> bool:
        result = self.result
        return result is not None and result["status"] == "completed"

    def mention_version(self) -> None:
        """Says so if another version of the code or of a library computed the stored result."""
        if not self.ranks.first:
            return
        now, then = versions(), (self.result or {}).get("versions", {})
        changed = [f"{name} {then.get(name)}, now {now[name]}" for name in now if then.get(name) != now[name]]
        if changed:
            _say_once(f"{self.id} is the result of another version: {'; '.join(changed)}")

    @property
    def interrupted(self) -> bool:
        """Whether a training state without a result is there to go on from."""
        return self.ranks.agree(lambda: self.result is None and self.checkpoint.exists())

    @property
    def log(self) -> Path:
        """What the run's process says, where it is one of a sweep."""
        return Path(self.config.root) / ".sweep" / "logs" / f"{self.id}.log"

    @property
    def headline(self) -> str:
        """The result in a few words: the metric that says which checkpoint is best, and the time."""
        result = self.result or {}
        name, value = next(iter(result["metrics"].items()))
        return f"{name} {'undefined' if value is None else f'{value:.4f}'}, {result['seconds']:.1f} s"

    @property
    def last_words(self) -> str:
        """What a run that failed, or its process, said last."""
        result = self.result
        if result is not None and result["status"] == "failed":
            return str(result["error"]).splitlines()[0]
        lines = self.log.read_text(errors="replace").split("\n") if self.log.exists() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    @property
    def locked(self) -> bool:
        """Whether another process holds the run."""
        return held(lock_file(Path(self.config.root), self.id))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the run; another process that wants it waits. The lock goes with the process, however that dies."""
        if not self.ranks.first:
            yield
            return
        try:
            file = lock_file(Path(self.config.root), self.id)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        except OSError as error:
            if self._completed():
                yield  # there is nothing to write
                return
            raise ValueError(f"root={self.config.root} cannot be written to: {error.strerror}") from None
        with holding(file, f"waiting for {self.id}, which another process is running"):
            yield

    def carry_out(self, train: Train, origins: Mapping[str, "Run"]) -> None:
        """Trains in the run's folder, which is made fresh unless the run was interrupted, and writes the result.

        An error before training begins is a mistake in what was asked: the folder is taken away again, so that
        nothing is left that looks like a run. An error afterwards is written down as the result; an interruption
        is not.

        Args:
            train: returns the numbers of the result. It calls its first argument when training begins, and splits
                batches into as many micro-batches as the second one says.
            origins: the runs that this one starts from, the one that its weights or masks come from first.

        Raises:
            TrainingError: an error after training has begun.
        """
        resumed = begun = False

        def attempt(accumulate: int) -> Mapping[str, Any]:
            nonlocal resumed
            resumed = self.interrupted
            if self.ranks.first:
                if not resumed:
                    shutil.rmtree(self.folder, ignore_errors=True)
                self.folder.mkdir(parents=True, exist_ok=True)
            return train(begin, accumulate)

        def begin() -> None:
            nonlocal begun
            begun = True
            if self.ranks.first:
                OmegaConf.save(self.config, self.folder / "config.yaml", resolve=True)

        always = {
            **self.labels,
            "seed": self.config.seed,
            "started_from": next((origin.id for origin in origins.values()), None),
            "versions": versions(),
        }
        try:
            trainer = self.config.trainer
            share = self.config.batch_size // (trainer.devices * trainer.get("num_nodes", 1))
            numbers = with_room(attempt, trainer.accumulate_grad_batches, share, self.config.halve_on_oom)
            gc.collect()  # a trainer and its callbacks refer to each other; a chain of runs would pile them up
        except BaseException as error:
            if begun and isinstance(error, Exception):
                text = f"{type(error).__name__}: {error}"
                if self.ranks.end(FAILED) is None:
                    self._write("result.json", {"status": "failed", **always, "error": text})
                raise TrainingError(f"{self.id} failed: {text}") from error
            if self.ranks.first and not (begun or resumed):
                shutil.rmtree(self.folder)
            raise
        self.write("result.json", {"status": "completed", **always, **numbers})

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Writes a JSON file of the folder atomically."""
        if self.ranks.first:
            self._write(name, content)

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        path = self.folder / name
        partial = path.with_name(f".{name}.partial")
        partial.write_text(json.dumps(content, indent=2) + "\n")
        os.replace(partial, path)


@cache
def _say_once(line: str) -> None:
    """Prints a line on stderr, unless it has been: several runs may start from one."""
    print(line, file=sys.stderr)
