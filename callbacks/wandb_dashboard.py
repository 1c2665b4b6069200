"""Makes a workspace on Weights & Biases with the figures of `report.py`: python -m callbacks.wandb_dashboard ENTITY.

Its panels read what `logger=wandb` logs. Runs are grouped by method and sparsity, so that every curve and every point
is a mean over seeds; dense runs are the points at sparsity 0.
"""

import argparse
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

STEP = "trainer/global_step"


def workspace(entity: str, project: str, metric: str) -> Any:
    """Returns the workspace; its method `save_as_new_view` uploads it.

    Args:
        entity: user or team.
        metric: of `metrics` in result.json.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is written for an older pydantic
        import wandb_workspaces.reports.v2 as reports
        import wandb_workspaces.workspaces as workspaces

    final = reports.SummaryMetric(f"metrics.{metric}")
    flops = {"training": "flops.train", "inference": "flops.inference"}
    sections = {
        "Metric over sparsity": [
            reports.ScatterPlot(
                title=f"{metric} over sparsity of the scope", x=reports.SummaryMetric("sparsity.scope"), y=final
            ),
            reports.BarPlot(title=f"{metric} by method", metrics=[final], groupby=reports.Config("method.name")),
        ],
        "Metric over FLOPs": [
            reports.ScatterPlot(
                title=f"{metric} over FLOPs of {name}", x=reports.SummaryMetric(key), y=final, log_x=True
            )
            for name, key in flops.items()
        ],
        "Layers": [
            reports.LinePlot(title="Sparsity of each tensor", x=STEP, metric_regex="layers/.*", range_y=(0, 1)),
            reports.WeavePanelSummaryTable(table_name="ledger"),
            reports.MediaBrowser(title="Masks", media_keys=["masks"]),
        ],
        "Curves": [
            reports.LinePlot(title=name, x=STEP, y=[name], groupby_aggfunc="mean", groupby_rangefunc="stddev")
            for name in dict.fromkeys(("train/loss", "val/loss", metric, "sparsity"))
        ],
    }
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=f"Lacuna: {metric}",
        sections=[workspaces.Section(name=name, panels=panels, is_open=True) for name, panels in sections.items()],
        settings=workspaces.WorkspaceSettings(x_axis=STEP),
        runset_settings=workspaces.RunsetSettings(
            filters="State = 'finished'",
            groupby=[workspaces.Config("method.name"), workspaces.Config("sparsity")],
            pinned_columns=["config:sparsity", "config:seed", f"summary:metrics.{metric}", "summary:sparsity.scope"],
        ),
    )


def main(words: Sequence[str] | None = None) -> None:
    """Saves the workspace as a new view of a project."""
    parser = argparse.ArgumentParser(prog="python -m callbacks.wandb_dashboard", description=__doc__)
    parser.add_argument("entity", help="user or team whose project it is")
    parser.add_argument("--project", default="lacuna", help="as logger.project (default: %(default)s)")
    parser.add_argument("--metric", default="val/accuracy", help="of a run's result (default: %(default)s)")
    given = parser.parse_args(words)
    if find_spec("wandb_workspaces") is None:
        parser.error("this needs wandb-workspaces: pip install 'lacuna[dashboard]'")
    import wandb

    made = workspace(given.entity, given.project, given.metric)
    try:
        made.save_as_new_view()
    except (wandb.errors.Error, OSError) as error:
        parser.error(f"Weights & Biases did not take it ({error}); is '{given.entity}' yours, and 'wandb login' done?")


if __name__ == "__main__":
    main()
