"""The workspace on Weights & Biases as it would be uploaded."""

import json
import sys

import pytest

from callbacks.wandb_dashboard import main, workspace

METRIC = "val/matthews"


@pytest.fixture(scope="module")
def spec():
    pytest.importorskip("wandb_workspaces", exc_type=ImportError)
    return json.loads(workspace("me", "lacuna", METRIC)._to_model().model_dump_json(by_alias=True, exclude_none=True))


def panels(spec):
    sections = spec["spec"]["section"]["panelBankConfig"]["sections"]
    return {section["name"]: [panel["config"] for panel in section["panels"]] for section in sections}


def test_it_has_the_figures_of_the_report(spec):
    assert (spec["entity"], spec["project"], spec["displayName"]) == ("me", "lacuna", f"Lacuna: {METRIC}")
    found = panels(spec)
    axes = [(panel.get("xAxis"), panel.get("yAxis")) for panel in found["Metric over sparsity"]]
    assert axes[0] == ("summary:sparsity.scope", f"summary:metrics.{METRIC}")
    axes = [(panel["xAxis"], panel["yAxis"], panel["xAxisLogScale"]) for panel in found["Metric over FLOPs"]]
    final = f"summary:metrics.{METRIC}"
    assert axes == [("summary:flops.train", final, True), ("summary:flops.inference", final, True)]
    assert found["Layers"][0]["metricRegex"] == "layers/.*"
    assert found["Layers"][2]["mediaKeys"] == ["masks"]
    curves = {metric for panel in found["Curves"] for metric in panel["metrics"]}
    assert curves == {"train/loss", "val/loss", METRIC, "sparsity"}


def test_seeds_are_grouped(spec):
    (runs,) = spec["spec"]["section"]["runSets"]
    assert [key["name"] for key in runs["grouping"]] == ["method.value.name", "sparsity.value"]


def test_illegal_without_the_library(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    with pytest.raises(SystemExit):
        main(["me"])
    assert "pip install 'lacuna[dashboard]'" in capsys.readouterr().err


def test_illegal_without_an_account(monkeypatch, capsys, tmp_path):
    pytest.importorskip("wandb_workspaces", exc_type=ImportError)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with pytest.raises(SystemExit):
        main(["me"])
    assert "'wandb login' done?" in capsys.readouterr().err
