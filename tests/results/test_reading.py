"""Run folders as they are found: finished, failed, unfinished, damaged."""

import json
import shutil

import pytest
import yaml

from results.reading import config, read
from tests.results.synthetic import write_run


def rewrite(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_is_finished_failed_unfinished_and_damaged(tmp_path):
    fine, failed, unfinished, cut, bare = (
        write_run(tmp_path, "gmp", 0.5, seed, {"val/accuracy": 0.5}) for seed in range(1, 6)
    )
    rewrite(failed / "result.json", status="failed", error="ValueError: loss is nan\nat step 3")
    (unfinished / "result.json").unlink()
    (cut / "result.json").write_text('{"status": "comp')
    (bare / "config.yaml").unlink()
    (tmp_path / ".sweep").mkdir()
    (tmp_path / "report").mkdir()
    reading = read(tmp_path)
    assert list(reading.runs) == [fine.name]
    assert reading.failed == {failed.name: "ValueError: loss is nan"}
    assert reading.unfinished == [unfinished.name]
    assert len(reading.damaged) == 2
    assert any(cut.name in sentence and "is not a result" in sentence for sentence in reading.damaged)
    assert any(bare.name in sentence and "is not a config: No such file" in sentence for sentence in reading.damaged)


@pytest.mark.parametrize(
    "changes",
    [
        {"metrics": {"val/accuracy": "0.5"}},
        {"metrics": None},
        {"flops": {"train": 1}},
        {"seed": None},
        {"sparsity": {"scope": 0.5, "model": 0.2}},
    ],
)
def test_illegal_result(tmp_path, changes):
    rewrite(write_run(tmp_path, "gmp", 0.5, 1, {"val/accuracy": 0.5}) / "result.json", **changes)
    reading = read(tmp_path)
    assert not reading.runs
    (sentence,) = reading.damaged
    assert "result.json is not a result; delete it to run this again" in sentence


def test_illegal_config(tmp_path):
    folder = write_run(tmp_path, "gmp", 0.5, 1, {"val/accuracy": 0.5})
    (folder / "config.yaml").write_text("task: [1, 2\nmodel: {")
    assert "config.yaml is not a config" in read(tmp_path).damaged[0]


def test_illegal_root(tmp_path):
    with pytest.raises(ValueError, match="missing is not a folder"):
        read(tmp_path / "missing")


def test_metrics_without_value_are_left_out(tmp_path):
    write_run(tmp_path, "rigl", 0.5, 1, {"val/a": None, "val/b": float("nan"), "val/c": 0.5}, numbers={"survival": 0.4})
    (run,) = read(tmp_path).runs.values()
    assert run.numbers == {"val/c": 0.5, "survival": 0.4}


def test_a_config_is_what_yaml_makes_of_the_whole_file(tmp_path):
    path = write_run(tmp_path, "rigl", 0.5, 1, {}, tasks=["a", {"b": "c\nd: e"}]) / "config.yaml"
    assert config(path) == yaml.safe_load(path.read_text())
    assert config(path)["tasks"] == ["a", {"b": "c\nd: e"}]


def test_training_counts_the_runs_that_a_run_starts_from(tmp_path):
    dense = write_run(tmp_path, "dense", 0.0, 1, {}, flops=5.0)
    level = write_run(tmp_path, "lth", 0.2, 1, {}, flops=3.0, started_from=dense.name)
    last = write_run(tmp_path, "lth", 0.36, 1, {}, flops=2.0, started_from=level.name)
    reading = read(tmp_path)
    assert reading.training_flops(reading.runs[last.name]) == 10.0
    assert reading.training_flops(reading.runs[dense.name]) == 5.0
    shutil.rmtree(dense)
    reading = read(tmp_path)
    assert reading.training_flops(reading.runs[last.name]) is None


def test_curves_and_ledgers_that_are_damaged_are_named_once(tmp_path, capsys):
    folder = write_run(tmp_path, "gmp", 0.5, 1, {}, curves={"train/loss": {1: 0.5}}, tensors=[])
    (folder / "metrics.csv").write_text("step,metric,value\n1,train/loss,0.5\n2,train/loss\n")
    (folder / "ledger.json").write_text("{}")
    for run in (*read(tmp_path).runs.values(), *read(tmp_path).runs.values()):
        assert run.curves == {}
        assert run.ledger == []
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "metrics.csv is left out of the curves: ValueError" in lines[0]
    assert "ledger.json is left out of the heat maps: KeyError 'tensors'" in lines[1]
