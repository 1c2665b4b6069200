"""steps=0: a finished run or a model's folder is evaluated as it is, with the run's own numbers."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.metrics import accuracy_score, f1_score

import train as program
from runs.folder import TrainingError
from runs.settings import check
from tests.conftest import composed
from tests.tasks.glue_files import write

BRIEF = ["trainer=cpu", "batch_size=4", "task.module.max_length=32"]
TINY = ["model.hidden_size=16", "model.heads=2", "model.intermediate_size=32"]


def config(folder, task, data_dir, *overrides):
    made = composed(f"task={task}", f"task.data_dir={data_dir}", f"root={folder / 'outputs'}", *BRIEF, *overrides)
    check(made)
    return made


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run, its data and where these are."""
    folder = tmp_path_factory.mktemp("evaluation")
    data_dir = write(folder, "mrpc")
    return program.obtain(config(folder, "mrpc", data_dir, *TINY, "steps=6")), data_dir, folder


def test_a_run_writes_predictions_of_which_its_metrics_follow(trained):
    run, data_dir, _ = trained
    found = lines(run.folder / "predictions" / "val.jsonl")
    assert [line["id"] for line in found] == [str(index) for index in range(10)]
    labels, said = ([line[key] for line in found] for key in ("label", "prediction"))
    assert labels == [line.split("\t")[0] for line in (data_dir / "dev.tsv").read_text().splitlines()[1:]]
    assert said == [str(int(torch.tensor(line["scores"]).argmax())) for line in found]
    metrics = run.result["metrics"]
    assert metrics["val/accuracy"] == pytest.approx(accuracy_score(labels, said))
    assert metrics["val/f1"] == pytest.approx(f1_score(labels, said, pos_label="1"))
    assert not any(name.startswith("test/") for name in metrics)
    assert {line["label"] for line in lines(run.folder / "predictions" / "test.jsonl")} == {None}
    table = (run.folder / "submission" / "MRPC.tsv").read_text().splitlines()
    assert table[0] == "index\tprediction"
    assert len(table) == 9


@pytest.mark.parametrize("place", ["", "model"])
def test_evaluating_a_run_gives_its_own_numbers(trained, place):
    run, data_dir, folder = trained
    again = program.obtain(
        config(folder, "mrpc", data_dir, "model=pretrained", f"model.name={run.folder / place}", "steps=0")
    )
    assert again.result["metrics"] == run.result["metrics"]
    assert again.result["steps"] == 0
    assert "evaluated without training" in again.summary
    assert run.id in again.summary
    for name in ("predictions/val.jsonl", "predictions/test.jsonl", "submission/MRPC.tsv"):
        assert (again.folder / name).read_text() == (run.folder / name).read_text()
    before, after = (load_file(one.model / "model.safetensors") for one in (run, again))
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_a_run_and_the_model_in_it_are_one_evaluation(trained):
    run, data_dir, folder = trained
    ids = {
        program.Run(config(folder, "mrpc", data_dir, "model=pretrained", f"model.name={place}", "steps=0")).id
        for place in (run.folder, run.model)
    }
    assert len(ids) == 1


@pytest.mark.parametrize("absent", [["train.tsv"], ["train.tsv", "dev.tsv"]])
def test_no_training_files_are_needed(trained, tmp_path, absent):
    run, data_dir, _ = trained
    part = tmp_path / "part"
    shutil.copytree(data_dir, part)
    for name in absent:
        (part / name).unlink()
    overrides = ["model=pretrained", f"model.name={run.folder}"]
    again = program.obtain(config(tmp_path, "mrpc", part, *overrides, "steps=0"))
    own = {name: run.result["metrics"][name] for name in again.result["metrics"]}
    assert again.result["metrics"] == own
    assert bool(own) == ("dev.tsv" not in absent)
    said = "predictions/test.jsonl"
    assert (again.folder / said).read_text() == (run.folder / said).read_text()
    for length, sentence in {
        "steps=3": "no rows in the split 'train'",
        "epochs=1": "epochs=1.* needs the split",
    }.items():
        other = ["steps=null"] if length.startswith("epochs") else []
        with pytest.raises(ValueError, match=sentence):
            program.obtain(config(tmp_path, "mrpc", part, *overrides, *other, length))


def test_gradients_of_no_training_data_are_refused(trained, tmp_path):
    run, data_dir, _ = trained
    part = tmp_path / "part"
    shutil.copytree(data_dir, part)
    (part / "train.tsv").unlink()
    overrides = ["model=pretrained", f"model.name={run.folder}", "method=snip", "sparsity=0.5", "steps=0"]
    with pytest.raises(ValueError, match="the method looks at training data, and the data of the task has no split"):
        program.obtain(config(tmp_path, "mrpc", part, *overrides))


def test_an_untrained_head_is_said(trained, tmp_path, caplog):
    run, *_ = trained
    data_dir = write(tmp_path, "mnli")
    program.obtain(config(tmp_path, "mnli", data_dir, "model=pretrained", f"model.name={run.folder}", "steps=0"))
    assert "nothing has been trained of classifier: evaluated is what chance gave" in caplog.text


def test_illegal_order_of_classes(trained, tmp_path):
    run, data_dir, _ = trained
    overrides = ["model=pretrained", f"model.name={run.folder}", "steps=0", 'task.module.labels=["1","0"]']
    with pytest.raises(ValueError, match=r"trained on the task's classes in another order: task.module.labels=\[0,1\]"):
        program.obtain(config(tmp_path, "mrpc", data_dir, *overrides))


def test_mnli_is_submitted_in_its_halves(tmp_path):
    run = program.obtain(config(tmp_path, "mnli", write(tmp_path, "mnli"), *TINY, "steps=2"))
    assert {path.name for path in (run.folder / "submission").iterdir()} == {"MNLI-m.tsv", "MNLI-mm.tsv"}
    assert {"val/accuracy", "val_mismatched/accuracy"} <= run.result["metrics"].keys()
    names = {path.stem for path in Path(run.folder / "predictions").iterdir()}
    assert names == {"val", "val_mismatched", "test", "test_mismatched"}


@pytest.mark.filterwarnings("ignore:The variance of predictions or target is close to zero")
def test_a_correlation_that_does_not_exist_is_no_failure(tmp_path):
    """The network's last layer is all zero, so that every row gets the same number."""
    data_dir = write(tmp_path, "stsb")
    made = program.obtain(config(tmp_path, "stsb", data_dir, *TINY, "steps=2"))
    weights = load_file(made.model / "model.safetensors")
    save_file({**weights, "classifier.weight": weights["classifier.weight"] * 0}, made.model / "model.safetensors")
    overrides = ["model=pretrained", f"model.name={made.model}", "steps=0"]
    run = program.obtain(config(tmp_path, "stsb", data_dir, *overrides))
    text = (run.folder / "result.json").read_text()
    metrics = json.loads(text, parse_constant=pytest.fail)["metrics"]
    assert {name for name, value in metrics.items() if value is None} == {"val/spearman", "val/pearson"}
    assert metrics["val/loss"] > 0
    assert "val/spearman  undefined" in run.summary
    assert program.obtain(run.config).finished


@pytest.mark.filterwarnings("ignore:Encountered `nan` values", "ignore:The variance of predictions")
def test_a_regression_that_diverges_has_failed_all_the_same(tmp_path):
    data_dir = write(tmp_path, "stsb")
    with pytest.raises(TrainingError, match=r"training diverged: val/loss is (inf|nan)"):
        program.obtain(config(tmp_path, "stsb", data_dir, *TINY, "steps=6", "lr=1e30"))


def test_an_interrupted_run_says_everything_when_it_goes_on(trained):
    run, _, _ = trained
    before = (run.folder / "predictions" / "val.jsonl").read_text()
    result = run.result
    (run.folder / "result.json").unlink()
    shutil.rmtree(run.folder / "predictions")
    again = program.obtain(run.config)
    assert (again.folder / "predictions" / "val.jsonl").read_text() == before
    assert again.result["metrics"] == result["metrics"]
