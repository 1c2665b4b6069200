"""What -m needs before Hydra sees the command line."""

from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from runs.ranks import started

MULTIRUN = {"-m", "--multirun"}
EXPERIMENTS = Path(__file__).parent.parent / "conf" / "experiment"


DRY = "--dry-run"


def prepared(words: Sequence[str]) -> list[str]:
    """Returns a command line as Hydra understands it; see `deferred`, and --dry-run is the launcher's business.

    Raises:
        ValueError: a sweep has been started more than once, or experiments are swept that are sweeps themselves.
    """
    if MULTIRUN & set(words) and started() > 1:
        raise ValueError("-m starts the processes of its runs itself: leave out torchrun or srun")
    if DRY in words:
        more = [] if MULTIRUN & set(words) else ["-m"]
        words = [*more, *(word for word in words if word != DRY), "hydra.launcher.dry_run=true"]
    for name in _experiments_swept(words):
        if _of_experiments([f"experiment={name}"]):  # which Hydra reads only of an experiment that is not swept
            raise ValueError(f"experiment={name} is a sweep of its own: give each such experiment a command")
    return deferred(words)


def deferred(words: Sequence[str]) -> list[str]:
    """Returns a command line on which options of a group swept there, or by an experiment, wait for the jobs.

    Hydra composes a config of the sweep itself, from all overrides but the swept ones, and would look for
    method.sparsifier.schedule in the default method. As a choice of one value the override is a swept one.

    >>> deferred(["-m", "method=gmp,rigl", "method.sparsifier.schedule.every=2", "steps=9"])
    ['-m', 'method=gmp,rigl', 'method.sparsifier.schedule.every=choice(2)', 'steps=9']
    """
    if not MULTIRUN & set(words):
        return list(words)
    swept = {word.partition("=")[0] for word in words if _is_sweep(word)} | _of_experiments(words)
    return [_choice(word) if word.partition(".")[0].lstrip("+") in swept else word for word in words]


def _experiments_swept(words: Sequence[str]) -> list[str]:
    swept = [word for word in words if word.startswith("experiment=") and _is_sweep(word)]
    overrides = OverridesParser.create().parse_overrides(swept)
    return [name for each in overrides if each.is_choice_sweep() for name in each.sweep_string_iterator()]


def _of_experiments(words: Sequence[str]) -> set[str]:
    """The keys that the experiments of a command line sweep."""
    files = (EXPERIMENTS / f"{word.partition('=')[2]}.yaml" for word in words if word.startswith("experiment="))
    loaded = (OmegaConf.load(file) for file in files if file.is_file())
    return {str(key) for config in loaded for key in OmegaConf.select(config, "hydra.sweeper.params", default={})}


def _choice(word: str) -> str:
    key, equals, value = word.partition("=")
    return f"{key}=choice({value})" if equals and "." in key and not _is_sweep(word) else word


def _is_sweep(word: str) -> bool:
    try:
        return bool(OverridesParser.create().parse_override(word).is_sweep_override())
    except HydraException:  # which Hydra itself says better
        return False
