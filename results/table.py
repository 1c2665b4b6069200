"""The table of averages as CSV, Markdown and LaTeX, one row for each group."""

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from results.groups import Group
from results.statistics import Summary

Cells = dict[str, str]


def numbers(groups: Sequence[Group], metrics: Sequence[str]) -> pd.DataFrame:
    """Every number as it is: for each metric `/mean`, `/std`, `/ci95_low`, `/ci95_high`, `/n` and `/max`."""
    rows = []
    for group in groups:
        row = {
            "task": group.task,
            "model": group.model,
            "method": group.method,
            "settings": group.settings,
            "sparsity": group.sparsity,
            "scope_sparsity": group.mean(lambda run: run.result["sparsity"]["scope"]),
            "model_sparsity": group.mean(lambda run: run.result["sparsity"]["model"]),
            "n": group.n,
            "steps": group.mean(lambda run: run.result["steps"]),
            "seconds": group.mean(lambda run: run.result["seconds"]),
            "train_flops": group.mean(lambda run: run.result["flops"]["train"]),
            "train_flops_with_origins": group.training_flops,
            "inference_flops": group.mean(lambda run: run.result["flops"]["inference"]),
            "dense_inference_flops": group.mean(lambda run: run.result["flops"]["dense_inference"]),
        }
        for name in metrics:
            if (summary := group.summary(name)) is not None:
                row |= {
                    f"{name}/mean": summary.mean,
                    f"{name}/std": summary.std,
                    f"{name}/ci95_low": summary.low,
                    f"{name}/ci95_high": summary.high,
                    f"{name}/n": summary.n,
                    f"{name}/max": summary.max,
                }
        rows.append(row | {"runs": " ".join(run.id for run in group.runs)})
    frame = pd.DataFrame(rows)
    return frame[[*(name for name in frame.columns if name != "runs"), "runs"]]


def csv(groups: Sequence[Group], metrics: Sequence[str]) -> str:
    return str(numbers(groups, metrics).to_csv(index=False))


def cells(groups: Sequence[Group], metrics: Sequence[str]) -> list[Cells]:
    """The table as it is read: per metric mean ± std, 95 % interval and max; without columns that are always empty."""
    rows = []
    for group in groups:
        row = _which(group)
        for name in metrics:
            summary = group.summary(name)
            row |= {name: mean(summary, group.n), f"{name} 95 %": interval(summary), f"{name} max": highest(summary)}
        rows.append(row)
    return _filled(rows)


def brief(groups: Sequence[Group], metric_of: Mapping[str, str]) -> list[Cells]:
    """The same with one metric only, by task."""
    rows = []
    for group in groups:
        metric, summary = metric_of[group.task], group.summary(metric_of[group.task])
        shown = {"metric": metric, "mean": mean(summary, group.n), "95 %": interval(summary), "max": highest(summary)}
        rows.append(_which(group) | shown)
    return _filled(rows)


def _which(group: Group) -> Cells:
    return {
        "task": group.task,
        "model": group.model,
        "method": group.method,
        "settings": group.settings,
        "sparsity": f"{group.sparsity:.4g}",
        "scope": f"{group.mean(lambda run: run.result['sparsity']['scope']):.2%}",
        "of model": f"{group.mean(lambda run: run.result['sparsity']['model']):.2%}",
        "n": str(group.n),
    }


def _filled(rows: Sequence[Cells]) -> list[Cells]:
    """The rows without columns that are empty in all."""
    kept = [name for name in rows[0] if any(row[name] for row in rows)]
    return [{name: row[name] for name in kept} for row in rows]


def mean(summary: Summary | None, n: int) -> str:
    """Mean ± std; with its own n where not all of n runs have the metric."""
    if summary is None:
        return ""
    spread = "" if summary.std is None else f" ± {digits(summary.std)}"
    return f"{digits(summary.mean)}{spread}" + (f" (n={summary.n})" if summary.n != n else "")


def interval(summary: Summary | None) -> str:
    if summary is None or summary.low is None or summary.high is None:
        return ""
    return f"[{digits(summary.low)}, {digits(summary.high)}]"


def highest(summary: Summary | None) -> str:
    return digits(summary.max) if summary else ""


def digits(value: float) -> str:
    """Four decimals, or four figures of what is large."""
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.4g}"


def aligned(rows: Sequence[Cells]) -> str:
    """The table for a terminal."""
    names = list(rows[0])
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}
    lines = [{name: name for name in names}, *rows]
    return "\n".join("  ".join(line[name].ljust(widths[name]) for name in names).rstrip() for line in lines)


def markdown(rows: Sequence[Cells]) -> str:
    """The table for GitHub and its like."""
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([row[name].replace("|", r"\|") for name in names] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def latex(rows: Sequence[Cells]) -> str:
    """The table for a paper, with the rules of the booktabs package."""
    frame = pd.DataFrame([{_tex(name): _tex(text) for name, text in row.items()} for row in rows])
    return str(frame.style.hide(axis="index").to_latex(hrules=True, column_format="l" * len(frame.columns)))


def _tex(text: str) -> str:
    escaped = re.sub(r"([&%$#_{}])", r"\\\1", text.replace("\\", r"\textbackslash "))
    return escaped.replace("±", r"$\pm$").replace("~", r"\textasciitilde ").replace("^", r"\textasciicircum ")
