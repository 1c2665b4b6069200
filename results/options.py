"""What the command line of report.py may say: key=value, as train.py's."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, final

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from runs.nearest import nearest

FIGURES = Path(__file__).parent.parent / "conf" / "figure"
HELP = """Averages, compares and draws finished runs; <root>/report/ gets index.html, tables and figures.

  python report.py                                   # all runs in outputs/
  python report.py task=rte method=gmp,rigl compare=gmp,rigl
  python report.py --status                          # where the sweeps stand: done, running, waiting, failed

  root=outputs     where the runs are
  task=, model=, method=, sparsity=    which of them; several as a,b
  metric=          what the table shows and figures draw; without it the table has all but losses, and figures have what
                   chooses a task's best checkpoint, on the test split where that has labels
  compare=a,b      tests two methods against each other on the same seeds
  figure=          files of conf/figure/, without it all; figure=[] draws none"""


@final
@dataclass(frozen=True)
class Options:
    """A command; None leaves everything in."""

    root: Path = Path("outputs")
    task: Sequence[str] | None = None
    model: Sequence[str] | None = None
    method: Sequence[str] | None = None
    sparsity: Sequence[float] | None = None
    metric: Sequence[str] | None = None
    compare: tuple[str, str] | None = None
    figure: Sequence[str] | None = None

    @classmethod
    def parse(cls, words: Sequence[str]) -> "Options":
        """Reads a command line.

        Raises:
            ValueError: a word is not key=value, a key is unknown, or a value is not one of its key.
        """
        known = [field.name for field in fields(cls)]
        found: dict[str, Any] = {}
        for word in words:
            key, equals, _ = word.partition("=")
            if not equals:
                raise ValueError(f"'{word}' is not an option; write key=value, one of {', '.join(known)}")
            if key not in known:
                raise ValueError(f"unknown key '{key}'{nearest(key, known)}")
            found[key] = _values(word)
        if "root" in found:
            if len(found["root"]) != 1:
                raise ValueError("root= must name one folder")
            found["root"] = Path(str(found["root"][0])).expanduser()
        if "sparsity" in found:
            found["sparsity"] = [_sparsity(value) for value in found["sparsity"]]
        for key in found.keys() - {"root", "sparsity"}:
            found[key] = [str(value) for value in found[key]]
        if "compare" in found:
            if len(set(found["compare"])) != 2:
                raise ValueError(f"compare={','.join(found['compare'])} must name two methods, as compare=gmp,rigl")
            found["compare"] = tuple(found["compare"])
        choices = {path.stem for path in FIGURES.glob("*.yaml")}
        for name in found.get("figure", ()):
            if name not in choices:
                raise ValueError(f"figure={name} is not among the choices{nearest(name, choices)}")
        return cls(**found)


def _values(word: str) -> list[Any]:
    """What stands behind =: one value, a,b or [a,b]."""
    try:
        value = next(iter(OmegaConf.to_container(OmegaConf.from_dotlist([word])).values()))  # type: ignore[union-attr]
    except (YAMLError, OmegaConfBaseException) as error:
        raise ValueError(f"'{word}' is not an option: {' '.join(str(error).split())}") from None
    if isinstance(value, str):
        value = value.split(",")
    if value is None or isinstance(value, dict):
        raise ValueError(f"'{word}' needs a value, as {word.partition('=')[0]}=a or a,b")
    return value if isinstance(value, list) else [value]


def _sparsity(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"sparsity={value} must be a number") from None
