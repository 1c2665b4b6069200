"""A whole report: from the folders of runs to tables, figures and the page."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from results import table
from results.comparison import compare
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
    groups = selected(
        groups, task=options.task, model=options.model, method=options.method, sparsity=options.sparsity
    )
    metrics, main = _metrics(groups, options.metric)
    comparisons, missed = [], []
    if options.compare:
        for method in options.compare:
            selected(groups, method=[method])
        for task, metric in main.items():
            found, sentences = compare([group for group in groups if group.task == task], options.compare, metric)
            comparisons += found
            missed += sentences
    folder = options.root / "report"
    try:
        folder.mkdir(exist_ok=True)
        shutil.rmtree(folder / "figures", ignore_errors=True)  # of another report
        drawings, left_out = draw(figures, studies(groups, main), folder / "figures")
        rows = table.cells(groups, metrics)
        (folder / "table.csv").write_text(table.csv(groups, metrics_of(groups)))
        (folder / "table.md").write_text(table.markdown(rows))
        (folder / "table.tex").write_text(table.latex(rows))
        said = [*remarks, *missed, *left_out]
        (folder / "index.html").write_text(page(reading, groups, main, drawings, comparisons, said, options.root))
    except OSError as error:
        raise ValueError(f"{folder} cannot be written to: {error.strerror}") from None
    lines = [_short(groups, main)]
    if comparisons:
        lines += ["", table.aligned([comparison.cells for comparison in comparisons])]
    lines += ["", *said, f"{len(reading.runs)} finished runs{_beside(reading)}", f"page: {folder / 'index.html'}"]
    return "\n".join(lines)


def _metrics(groups: Sequence[Group], wanted: Sequence[str] | None) -> tuple[list[str], dict[str, str]]:
    """What the tables show, and by task what is drawn and compared."""
    there = metrics_of(groups)
    for name in wanted or ():
        if name not in there:
            raise ValueError(f"metric={name} is not among the metrics of these runs{nearest(name, there)}")
    by_task = {task: [group for group in groups if group.task == task] for task in dict.fromkeys(g.task for g in groups)}
    main = {task: main_metric(of_task, wanted) for task, of_task in by_task.items()}
    return list(wanted or (name for name in there if not name.endswith("/loss"))) or there, main


def _short(groups: Sequence[Group], main: dict[str, str]) -> str:
    """The first rows of the table, with one metric each."""
    rows = []
    for group in groups[:SHOWN]:
        name = main[group.task]
        (row,) = table.cells([group], [name])
        rows.append({"metric": name} | {column.replace(name, "").strip() or "mean": text for column, text in row.items()})
    names = [name for name in ("task", "model", "method", "settings", "sparsity", "scope", "of model", "n")]
    names = [name for name in names if any(name in row for row in rows)] + ["metric", "mean", "95 %", "max"]
    text = table.aligned([{name: row.get(name, "") for name in names} for row in rows])
    more = len(groups) - SHOWN
    return text + (f"\n... and {more} more rows in table.md" if more > 0 else "")


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
