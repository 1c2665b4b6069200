"""One HTML page that holds everything: table, figures, comparisons. It loads nothing from anywhere."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from results.comparison import Comparison
from results.drawings import Drawing
from results.groups import Group
from results.reading import Reading

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


def page(
    reading: Reading,
    groups: Sequence[Group],
    main_metrics: Mapping[str, str],
    drawings: Sequence[Drawing],
    comparisons: Sequence[Comparison],
    remarks: Sequence[str],
    root: Path,
) -> str:
    """Returns the page as it lies in a folder of the root, from where the links to run folders lead.

    Args:
        main_metrics: by task, what it is judged by.
        remarks: sentences about what was left out or chosen.
    """
    data = {"rows": [_row(group) for group in groups], "main": dict(main_metrics)}
    figures = [asdict(drawing) | {"image": _data_uri(drawing.svg)} for drawing in drawings]
    template = TEMPLATES.get_template("page.html")
    return template.render(
        count=sum(group.n for group in groups),
        **{"root": root, "reading": reading, "data": data, "figures": figures, "comparisons": comparisons},
        **{"remarks": remarks, "link": _link},
    )


def _row(group: Group) -> dict[str, Any]:
    return {
        "task": group.task,
        "model": group.model,
        "method": group.method,
        "settings": group.settings,
        "sparsity": group.sparsity,
        "scope": group.mean(lambda run: run.result["sparsity"]["scope"]),
        "of_model": group.mean(lambda run: run.result["sparsity"]["model"]),
        "metrics": {name: asdict(summary) for name in group.metrics if (summary := group.summary(name))},
        "runs": [
            {"seed": run.seed, "href": _link(run.id), "numbers": {n: round(v, 6) for n, v in run.numbers.items()}}
            for run in group.runs
        ],
    }


def _link(run_id: str) -> str:
    return f"../{quote(run_id)}/"


def _data_uri(svg: Path) -> str:
    """A picture as text; as an image of its own, so that its names do not clash with those of others."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.read_bytes()).decode()}"
