"""A whole report: from the folders of runs to tables, figures and the page."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from results import table
from results.comparison import Comparison, compare
from results.drawings import described, draw
from results.figures.study import studies
from results.groups import Group, grouped, main_metric, metrics_of, selected
from results.options import Options
from results.page import page
from results.reading import Reading, read
from runs.nearest import nearest

SHOWN = 40  # rows on a terminal


def report(options: Options) -> str:
    """Writes `<root>/report/` and returns what the terminal shows.

    Raises:
        ValueError: there is nothing to report, or an option names what is not there.
    """
    figures = described(options.figure)
    reading = read(options.root)
    for sentence in reading.damaged:
        print(sentence, file=sys.stderr)
    if not reading.runs:
        raise ValueError(f"root={options.root} has no finished runs{_beside(reading)}")
    groups, remarks = grouped(reading)
    groups = selected(groups, task=options.task, model=options.model, method=options.method, sparsity=options.sparsity)
    metrics, main_metrics = _metrics(groups, options.metric)
    comparisons, missed = _compared(groups, options.compare, main_metrics)
    folder = options.root / "report"
    try:
        folder.mkdir(exist_ok=True)
        shutil.rmtree(folder / "figures", ignore_errors=True)  # those of another report
        drawings, left_out = draw(figures, studies(groups, main_metrics), folder / "figures")
        said = [*remarks, *missed, *left_out]
        _write_tables(folder, groups, metrics)
        text = page(reading, groups, main_metrics, drawings, comparisons, said, options.root)
        (folder / "index.html").write_text(text)
    except OSError as error:
        raise ValueError(f"{folder} cannot be written to: {error.strerror}") from None
    lines = [table.aligned(table.brief(groups[:SHOWN], main_metrics))]
    if len(groups) > SHOWN:
        lines.append(f"... and {len(groups) - SHOWN} more rows in table.md")
    if comparisons:
        lines += ["", table.aligned([comparison.cells for comparison in comparisons])]
    lines += ["", *said, f"{sum(group.n for group in groups)} finished runs{_beside(reading)}"]
    return "\n".join([*lines, f"page: {folder / 'index.html'}"])


def _metrics(groups: Sequence[Group], wanted: Sequence[str] | None) -> tuple[list[str], dict[str, str]]:
    """What the tables show, and by task what is drawn and compared."""
    there = metrics_of(groups)
    for name in wanted or ():
        if name not in there:
            raise ValueError(f"metric={name} is not among the metrics of these runs{nearest(name, there)}")
    tasks = dict.fromkeys(group.task for group in groups)
    main = {task: main_metric([group for group in groups if group.task == task], wanted) for task in tasks}
    return list(wanted or [name for name in there if not name.endswith("/loss")] or there), main


def _compared(
    groups: Sequence[Group], methods: tuple[str, str] | None, main_metrics: dict[str, str]
) -> tuple[list[Comparison], list[str]]:
    if methods is None:
        return [], []
    selected(groups, method=methods)  # says so where one of them is not there
    found, missed = [], []
    for task, metric in main_metrics.items():
        comparisons, sentences = compare([group for group in groups if group.task == task], methods, metric)
        found += comparisons
        missed += sentences
    return found, missed


def _write_tables(folder: Path, groups: Sequence[Group], metrics: Sequence[str]) -> None:
    rows = table.cells(groups, metrics)
    (folder / "table.csv").write_text(table.csv(groups, metrics_of(groups)))
    (folder / "table.md").write_text(table.markdown(rows))
    (folder / "table.tex").write_text(table.latex(rows))


def _beside(reading: Reading) -> str:
    """How many runs are not finished, and the names of those that failed."""
    parts = [f"{len(reading.unfinished)} unfinished"] if reading.unfinished else []
    if reading.damaged:
        parts.append(f"{len(reading.damaged)} damaged")
    if reading.failed:
        names = list(reading.failed)
        rest = f" and {len(names) - 5} more" if len(names) > 5 else ""
        parts.append(f"{len(names)} failed: {', '.join(names[:5])}{rest}")
    return f"; {', '.join(parts)}" if parts else ""
