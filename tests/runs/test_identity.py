"""Two runs have one identity if, and only if, they compute the same."""

import pytest

from runs.identity import folder_digest, identity, run_id
from runs.start import dense
from tests.conftest import composed


@pytest.mark.parametrize(
    "override",
    [
        "root=/elsewhere",
        "logger=wandb",
        "trainer.accelerator=gpu",
        "checkpoint_every=1",
    ],
)
def test_what_cannot_change_the_numbers_does_not_count(override):
    assert identity(composed(override)) == identity(composed())


@pytest.mark.parametrize(
    "override",
    [
        "seed=2",
        "lr=0.5",
        "batch_size=4",
        "steps=3",
        "task=rte",
        "model.layers=3",
        "method=gmp",
        "optim.schedule.warmup=0.1",
        "trainer.precision=bf16-mixed",
        "trainer.gradient_clip_val=2",
        "stop_step=3",
        "collapse=3",
    ],
)
def test_what_can_change_the_numbers_counts(override):
    assert identity(composed(override)) != identity(composed())


@pytest.mark.parametrize("override", ["sparsity=0.6", "scope=ffn", "distribution=uniform"])
def test_the_budget_counts_where_a_method_reads_it(override):
    assert identity(composed("method=gmp", "sparsity=0.5", override)) != identity(
        composed("method=gmp", "sparsity=0.5")
    )


def test_one_dense_run_serves_every_sparse_one():
    sparse = [
        composed("method=magnitude_after", "sparsity=0.5"),
        composed("method=random_after", "sparsity=0.9", "scope=ffn"),
        composed("method=lth", "sparsity=0.2", "distribution=erk"),
    ]
    assert {run_id(dense(config)) for config in sparse} == {run_id(composed())}


def test_content_of_local_files_counts_instead_of_their_place(tmp_path):
    for name, text in {"a": "x", "b": "x", "c": "y"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.tsv").write_text(text)
    a, b, c = (identity(composed("task=rte", f"task.data_dir={tmp_path / name}")) for name in "abc")
    assert a == b != c


def test_content_of_folders_in_a_data_folder_counts_but_not_where_runs_are_written(tmp_path):
    def name():
        return identity(composed("task=race", f"task.data_dir={tmp_path}", f"root={tmp_path / 'outputs'}"))

    article = tmp_path / "dev" / "high" / "1.txt"
    ids = []
    for text in ("x", "y", "x"):
        folder_digest.cache_clear()
        article.parent.mkdir(parents=True, exist_ok=True)
        article.write_text(text)
        ids.append(name())
        (tmp_path / "outputs").mkdir(exist_ok=True)
        (tmp_path / "outputs" / "result.json").write_text(text)
    assert ids[0] == ids[2] != ids[1]


def test_content_of_a_local_model_counts(tmp_path):
    for name, text in {"a": "x", "b": "x", "c": "y"}.items():
        (tmp_path / name / "bert").mkdir(parents=True)
        (tmp_path / name / "bert" / "model.safetensors").write_text(text)
    ids = [run_id(composed("model=pretrained", f"model.name={tmp_path / name / 'bert'}")) for name in "abc"]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0].startswith("little_world_qa-bert-dense-s0-seed1-")


def test_sets_of_another_distribution_count_by_content(tmp_path):
    for name, text in (("a", "x"), ("b", "x"), ("c", "y")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file.txt").write_text(text)
    configs = (composed("task=rte", "ood=hans", f"ood.hans.data_dir={tmp_path / name}") for name in "abc")
    a, b, c = map(identity, configs)
    assert a == b != c
    assert identity(composed("task=rte")) != a


def test_content_of_a_local_tokenizer_counts(tmp_path):
    for name, text in {"a": "x", "b": "x", "c": "y"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "vocab.txt").write_text(text)
    ids = [run_id(composed("model=scratch_tiny", f"model.tokenizer={tmp_path / name}")) for name in "abc"]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0].startswith("little_world_qa-scratch_tiny-dense-s0-seed1-")


def test_illegal_data_dir(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"ood.hans.data_dir=.*nowhere is not a folder"):
        identity(composed("task=rte", "ood=hans", f"ood.hans.data_dir={tmp_path / 'nowhere'}"))
    with pytest.raises(FileNotFoundError, match=r"task.data_dir=.* is not a folder"):
        identity(composed("task=rte", f"task.data_dir={tmp_path / 'nowhere'}"))


def test_the_name_is_readable():
    name = run_id(composed("method=rigl", "sparsity=0.8", "seed=3", "model=roberta_large", "task=commonsense_qa"))
    assert name.rpartition("-")[0] == "commonsense_qa-roberta_large-rigl-s0.8-seed3"
