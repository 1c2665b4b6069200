"""SRNets' experiments, on small files in the original formats, for a few steps."""

import json
from pathlib import Path

import pytest
import torch

import train
from callbacks.checkpoint_file import load
from runs.start import DenseRun, needs
from sparsity.masks import unpack
from tasks.ood import joined
from tests.conftest import composed

LABELS = ["SUPPORTS", "REFUTES", "NOT ENOUGH INFO"]
SMALL = [
    *("model=tiny", "model.hidden_size=16", "model.heads=2", "model.intermediate_size=32", "trainer=cpu", "lr=1e-2"),
    *("steps=6", "batch_size=4", "optim.schedule.warmup=0", "method.retrain_steps=4", "sparsity=0.5"),
]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """The overrides that name small files of FEVER and FEVER-Symmetric."""

    def write(name: str, rows: int, text: str, gold: str, classes: int) -> None:
        lines = ({"id": i, "claim": f"Claim {i} .", text: "It is .", gold: LABELS[i % classes]} for i in range(rows))
        (tmp_path / "data" / name).write_text("\n".join(map(json.dumps, lines)))

    (tmp_path / "data").mkdir()
    write("fever.train.jsonl", 30, "evidence", "gold_label", 3)
    write("fever.dev.jsonl", 9, "evidence", "gold_label", 3)
    write("fever_symmetric_generated.jsonl", 8, "evidence_sentence", "label", 2)
    write("fever_symmetric_dev.jsonl", 5, "evidence", "gold_label", 2)
    write("fever_symmetric_test.jsonl", 8, "evidence", "gold_label", 2)
    keys = ("task", "ood.fever_symmetric_v1", "ood.fever_symmetric_v2")
    return [f"root={tmp_path / 'outputs'}", *(f"{key}.data_dir={tmp_path / 'data'}" for key in keys)]


@pytest.mark.parametrize("experiment", ["finetuned", "pretrained", "timing", "isolated_fever", "unbiased_fever"])
def test_an_experiment_runs(files, experiment) -> None:
    more = {"timing": ["method.start.step=2"], "isolated_fever": ["method.start.retrain_steps=5"]}.get(experiment, [])
    thresholds = [] if experiment == "isolated_fever" else ["method.sparsifier.threshold_every=2"]
    config = composed(f"experiment=srnets_{experiment}", *SMALL, *more, *thresholds, *files)
    run = train.obtain(config)
    found = run.result
    assert found["steps"] == 4
    assert found["sparsity"]["scope"] == pytest.approx(0.5, abs=1e-3)
    assert {f"ood/fever_symmetric_v{v}/accuracy" for v in (1, 2)} < found["metrics"].keys()
    final = load(run.checkpoint)
    if experiment == "pretrained":
        assert found["started_from"] is None
        return
    (start,) = needs(config).values()
    other = load(train.obtain(start).checkpoint)
    assert other["global_step"] == {"timing": 2, "isolated_fever": 5}.get(experiment, 6)
    masks = [
        next(state["masks"] for state in each["callbacks"].values() if "masks" in state) for each in (final, other)
    ]
    assert "bert.pooler.dense.weight" in masks[0]
    for name in masks[0]:
        weight, before = (each["state_dict"][f"network.{name}"] for each in (final, other))
        kept = unpack(masks[0][name], weight.shape)
        assert not weight[~kept].any()
        if experiment == "isolated_fever":  # the same mask, on weights that it was not trained with
            assert torch.equal(kept, unpack(masks[1][name], weight.shape))
            assert not torch.equal(weight, before)
        else:  # a mask, and weights as they were
            assert torch.equal(weight[kept], before[kept])


def test_the_bound_is_trained_on_both_distributions_and_its_start_on_one(files) -> None:
    config = composed("experiment=srnets_unbiased_fever", *SMALL, *files)
    start = needs(config)["weights"]
    data, before = (joined(train.build(each.task.data), train.build(each.ood)) for each in (config, start))
    assert (len(data["train"]), len(before["train"])) == (30 + 10 * 5, 30)


def test_thresholds_move_twice_as_often_on_fever() -> None:
    for task, steps in {"fever": 500, "mnli": 1000, "qqp": 1000}.items():
        configs = [composed(f"experiment=srnets_{name}", f"srnets={task}") for name in ("finetuned", "timing")]
        for config in (*configs, composed(f"experiment=srnets_unbiased_{task}")):
            assert (config.task.name, config.method.sparsifier.threshold_every) == (task, steps)


def test_the_dense_run_is_shared_up_to_a_step() -> None:
    config = composed("method=learned_mask", "sparsity=0.5", "steps=9", "+method.start.step=4")
    assert needs(config)["weights"].stop_step == 4
    assert DenseRun(step=9).needs(config)["weights"].stop_step is None
    for step, message in ((10, "step=10 is beyond the dense run's steps=9"), (0, "step=0 must be at least 1")):
        with pytest.raises(ValueError, match=message):
            DenseRun(step=step).needs(config)
