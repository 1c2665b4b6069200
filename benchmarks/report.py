"""How long a report of thousands of runs takes: python benchmarks/report.py [runs]

Writes so many folders as a sweep leaves them (10 methods x 10 sparsities on two tasks, and dense runs; config.yaml of
its real size and result.json), and times reading, averaging, tables and the page, in this process and without imports;
then a figure. Measured on two cores: 4,848 runs in 2.0 s with nothing else running, 5,050 in 8.3 s with a load of 15.
"""

import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
from results import table
from results.drawings import described, draw
from results.figures.study import studies
from results.groups import grouped, main_metric, metrics_of
from results.page import page
from results.reading import read
from tests.results.synthetic import METHODS, SPARSITIES, sweep

TASKS = ("little_world_qa", "little_world_nli")


def timed(name: str, work: Callable[[], Any]) -> Any:
    start = time.perf_counter()
    done = work()
    print(f"{name:<9} {time.perf_counter() - start:6.2f} s")
    return done


def main(wanted: int) -> None:
    methods = (*METHODS, "snip_rigl", "random_rigl")
    seeds = math.ceil(wanted / (len(TASKS) * (len(methods) * len(SPARSITIES) + 1)))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        print(f"{sweep(root, methods, seeds=seeds, tasks=TASKS, files=False):,} runs")
        start = time.perf_counter()
        reading = timed("reading", lambda: read(root))
        groups, _ = timed("averages", lambda: grouped(reading))
        names = metrics_of(groups)
        rows = timed("tables", lambda: (table.csv(groups, names), table.cells(groups, names)))[1]
        timed("LaTeX", lambda: (table.markdown(rows), table.latex(rows)))
        main_metrics = {task: main_metric([g for g in groups if g.task == task]) for task in TASKS}
        timed("page", lambda: page(reading, groups, main_metrics, [], [], [], root))
        print(f"{'all':<9} {time.perf_counter() - start:6.2f} s")
        figures = described(["metric_over_sparsity"])
        timed("figure", lambda: draw(figures, studies(groups, main_metrics), root / "report" / "figures"))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
