"""Overrides that name many values as what Optuna draws from."""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep, Transformer


def search_space(params: Mapping[str, Any], arguments: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Returns the overrides that are the same for all trials, and the distribution of each that differs.

    `choice(a,b)` and `a,b` are categories; `range(1,5)` whole numbers or steps, its end left out; `interval(1e-5,1e-3)`
    all between, with `tag(log,interval(...))` on a logarithmic scale; `int(interval(1,9))` whole numbers of those.

    Args:
        params: overrides of a config by key; those of the command line replace them.

    Raises:
        ValueError: nothing differs.
    """
    parser = OverridesParser.create()
    typed = parser.parse_overrides(list(arguments))
    given = {override.get_key_element().lstrip("+") for override in typed}
    written = parser.parse_overrides([f"{key}={value}" for key, value in params.items() if key not in given])
    fixed = [override.input_line or "" for override in typed if not override.is_sweep_override()]
    fixed += [override.input_line or "" for override in written if not override.is_sweep_override()]
    space = {o.get_key_element(): _distribution(o) for o in (*written, *typed) if o.is_sweep_override()}
    if not space:
        raise ValueError("nothing is searched over: give a key several values, as lr='tag(log,interval(1e-5,1e-3))'")
    return fixed, space


def lowest(distribution: Any) -> Any:
    """The smallest value of a distribution, or its first category."""
    return distribution.choices[0] if hasattr(distribution, "choices") else distribution.low


def _distribution(override: Override) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match value := override.value():
        case IntervalSweep(start=start, end=end):
            log = "log" in value.tags
            if isinstance(start, int) and isinstance(end, int):
                return IntDistribution(start, end, log=log)
            return FloatDistribution(float(start or 0.0), float(end or 0.0), log=log)
        case RangeSweep(start=start, stop=stop, step=step) if not value.shuffle:
            points: list[Any] = sorted(override.sweep_iterator())
            if all(isinstance(number, int) for number in (start, stop, step)):
                return IntDistribution(points[0], points[-1], step=abs(int(step)))
            return FloatDistribution(points[0], points[-1], step=abs(float(step)))
        case ChoiceSweep() | RangeSweep():
            return CategoricalDistribution(list(map(str, override.sweep_iterator(transformer=Transformer.encode))))
        case _:
            raise ValueError(f"'{override.input_line}' cannot be searched over; use choice, range or interval")
