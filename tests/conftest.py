"""What the tests share: composed configs of runs that take a second."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # networks of a second's training only lose by more threads

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep
from omegaconf import DictConfig

ROOT = Path(__file__).parent.parent
METHODS = sorted(path.stem for path in (ROOT / "conf" / "method").glob("*.yaml"))
SMALL = [
    "steps=12",
    "batch_size=8",
    "model.hidden_size=16",
    "model.heads=2",
    "model.intermediate_size=32",
    "task.data.train=320",
    "task.data.val=24",
    "task.data.test=24",
    "trainer=cpu",
]


def composed(*overrides: str) -> DictConfig:
    """The config that `python train.py` gets with these overrides."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("config", overrides=list(overrides))


@cache
def plain(method: str) -> DictConfig:
    """The config of a method; composing takes longer than training a few steps."""
    return composed(f"method={method}")


def first_job(words: Sequence[str]) -> list[str]:
    """The overrides of the first job that a command line, which may be that of a sweep, comes to."""
    found = []
    for override in OverridesParser.create().parse_overrides([word for word in words if not word.startswith("-")]):
        if isinstance(value := override.value(), IntervalSweep):
            found.append(f"{override.key_or_group}={value.start}")
        elif override.is_sweep_override():
            found.append(f"{override.key_or_group}={next(override.sweep_string_iterator())}")
        else:
            found.append(str(override.input_line))
    return found


def of_method(method: str, sparsity: float = 0.6) -> list[str]:
    """Overrides that select a method, make its schedules fit a dozen steps, and take few batches and rounds."""
    overrides = [f"method={method}"]
    if method != "dense":
        overrides.append(f"sparsity={sparsity}")
    config = plain(method)
    node = config.method
    if "schedule" in node.sparsifier and "every" in node.sparsifier.schedule:
        overrides.append("method.sparsifier.schedule.every=2")
    if "cycles" in config.optim.schedule:
        overrides.append("optim.schedule.cycles=5")
    if "rate" in node.start:
        overrides.append("method.start.rate=0.4")
    if node.start.get("rewind_step"):
        overrides.append("method.start.rewind_step=2")
    for key in ("gradient_batches", "rounds"):
        if node.sparsifier.get(key, 1) > 1:
            overrides.append(f"method.sparsifier.{key}=3")
    return overrides


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., DictConfig]:
    """Composes a run of a second, with its root in a temporary folder."""
    return lambda *overrides: composed(*SMALL, f"root={tmp_path / 'outputs'}", *overrides)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Has processes that a test starts hear SIGINT, which those in the background of a shell do not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
