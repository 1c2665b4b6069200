"""The last lines of a run on the terminal."""

from pathlib import Path
from typing import Any


def summary(result: dict[str, Any], folder: Path) -> str:
    """Returns a small table: metrics, sparsity of scope and model, steps, time and the run's folder."""
    sparsity = result["sparsity"]
    rows = [
        (name, "undefined" if value is None else f"{value:.4f}") for name, value in sorted(result["metrics"].items())
    ]
    rows += [
        *best(result.get("best"), result["steps"]),
        ("sparsity", f"{sparsity['scope']:.4%} of the scope, {sparsity['model']:.4%} of the model"),
        *trained(result.get("trainable"), result.get("trained_scores", 0)),
        ("steps", f"{result['steps'] or '0: evaluated without training'}"),
        *collapsed(result.get("collapsed")),
        ("time", f"{result['seconds']:.1f} s, {result['examples_per_second']:.0f} examples/s"),
        ("folder", str(folder)),
    ]
    width = max(len(name) for name, _ in rows)
    title = f"{result['task']}  {result['model']}  {result['method']}  seed {result['seed']}"
    return "\n".join([title, *(f"  {name:<{width}}  {text}" for name, text in rows)])


def best(found: dict[str, float] | None, steps: int) -> list[tuple[str, str]]:
    """Returns the line that says which checkpoint was best on validation, where that is not the last one."""
    if found is None or found["step"] == steps:
        return []
    metric = list(found)[1]
    return [("best", f"{metric} {found[metric]:.4f} at step {found['step']}")]


def trained(counts: dict[str, int] | None, scores: int) -> list[tuple[str, str]]:
    """Returns the line that says how many parameters are trained, where not all are or scores are, too."""
    if counts is None or (counts["all"] == counts["of"] and not scores):
        return []
    text = f"{counts['without_head']:,} of {counts['of']:,} parameters, and {counts['head']:,} of the head"
    return [("trained", f"{text}; {scores:,} scores" if scores else text)]


def collapsed(where: dict[str, int] | None) -> list[tuple[str, str]]:
    """Returns the line that says when a run was ended because it did no better than guessing."""
    return [] if where is None else [("collapsed", f"at chance level, ended after step {where['step']}")]
