"""Which runs are averaged, and what they are called."""

import os

import pytest
import yaml

from results.groups import grouped, main_metric, selected
from results.reading import read
from results.variants import describe
from tests.conftest import ROOT
from tests.results.synthetic import config, write_run


def groups_of(root):
    return grouped(read(root))[0]


def test_seeds_are_averaged_and_places_do_not_matter(tmp_path):
    for seed in (1, 2):
        trainer = {**config("gmp", 0.5, seed, tmp_path, "t")["trainer"], "accelerator": ["cpu", "gpu"][seed - 1]}
        changes = {"trainer": trainer, "logger": {"_target_": str(seed)}, "checkpoint_every": float(seed)}
        write_run(tmp_path, "gmp", 0.5, seed, {"val/a": 0.4 + 0.2 * seed}, **changes)
    (group,) = groups_of(tmp_path)
    assert group.values("val/a") == pytest.approx({1: 0.6, 2: 0.8})
    assert group.summary("val/a").mean == pytest.approx(0.7)
    assert group.summary("val/b") is None
    assert group.label == "gmp"


def test_runs_that_differ_in_anything_else_are_not_averaged(tmp_path):
    for seed in (1, 2):
        for lr in (1e-3, 1e-4):
            write_run(tmp_path, "gmp", 0.5, seed, {}, lr=lr)
            write_run(tmp_path, "gmp", 0.8, seed, {}, lr=lr)
        write_run(tmp_path, "rigl", 0.5, seed, {}, lr=1e-3)
    found = [(group.label, group.sparsity, group.n) for group in groups_of(tmp_path)]
    assert found == [
        ("gmp (lr=0.0001)", 0.5, 2),
        ("gmp (lr=0.0001)", 0.8, 2),
        ("gmp (lr=0.001)", 0.5, 2),
        ("gmp (lr=0.001)", 0.8, 2),
        ("rigl", 0.5, 2),  # of which there is one kind only
    ]


def test_the_seed_of_the_data_is_not_the_runs_seed(tmp_path):
    base = config("gmp", 0.5, 1, tmp_path, "t")
    other = config("gmp", 0.5, 2, tmp_path, "t")
    assert describe([base, other]) == ["", ""]
    for node in (base, other):
        node["task"]["data"]["seed"] = node["seed"]
    assert describe([base, other]) == ["seed=1", "seed=2"]


def test_differences_are_named_as_they_are_typed(tmp_path):
    def made(**changes):
        return config("gmp", 0.5, 1, tmp_path, "t", **changes)

    assert describe([made(), made(batch_size=8, steps=10)]) == ["batch_size=32, steps=2500", "batch_size=8, steps=10"]
    one, other = made(), made()
    other["method"]["sparsifier"]["schedule"]["every"] = 50
    assert describe([one, other]) == ["every=100", "every=50"]
    other = made(stop_step=20)
    assert describe([made(), other]) == ["", "stop_step=20"]
    other = made()
    other["model"]["_target_"] = "models.other.Other"
    assert describe([made(), other])[1] == "model=Other"


def test_what_follows_from_a_call_is_not_said(tmp_path):
    hans = {"_target_": "tasks.hans.read", "data_dir": "/hans", "names": {"test": "a.txt"}}
    full, low, high, with_set = (config("gmp", 0.5, 1, tmp_path, "t") for _ in range(4))
    with_set["ood"] = {"hans": hans}
    assert describe([full, with_set]) == ["", "hans=read"]
    for node, rank in ((low, 8), (high, 16)):
        node["tuning"] = {"_target_": "models.tuning.Lora", "rank": rank, "dropout": 0.1}
    assert describe([full, low]) == ["tuning=Full", "tuning=Lora"]
    assert describe([full, low, high]) == ["tuning=Full", "tuning=Lora, rank=8", "tuning=Lora, rank=16"]


def test_a_node_that_is_a_file_of_its_group_goes_by_its_name(tmp_path):
    one, other = (config("gmp", 0.5, 1, tmp_path, "t") for _ in range(2))
    ffn = yaml.safe_load((ROOT / "conf" / "scope" / "ffn.yaml").read_text())
    other["scope"] = other["budget"]["scope"] = other["method"]["sparsifier"]["budget"]["scope"] = ffn
    assert describe([one, other]) == ["scope=encoder", "scope=ffn"]


def test_of_two_runs_with_one_config_and_seed_the_later_counts_and_is_named(tmp_path):
    first = write_run(tmp_path, "gmp", 0.5, 1, {"val/a": 0.1})
    second = first.rename(first.with_name(first.name[:-10] + "0123456789"))
    write_run(tmp_path, "gmp", 0.5, 1, {"val/a": 0.9})
    os.utime(second / "result.json", (0, 0))
    (group,), (remark,) = grouped(read(tmp_path))
    assert group.values("val/a") == {1: 0.9}
    assert remark.endswith(f"have one config: the later one, {first.name}, counts")


def test_selected(tmp_path):
    for method, sparsity in (("gmp", 0.5), ("gmp", 0.8), ("rigl", 0.5)):
        write_run(tmp_path, method, sparsity, 1, {})
    groups = groups_of(tmp_path)
    found = selected(groups, method=["gmp"], sparsity=[0.5], task=None)
    assert [(group.method, group.sparsity) for group in found] == [("gmp", 0.5)]
    with pytest.raises(ValueError, match=r"method=gpm is not among the finished runs; did you mean 'gmp'\?"):
        selected(groups, method=["gpm"])
    with pytest.raises(ValueError, match=r"sparsity=0\.8 is not among"):
        selected(groups, method=["rigl"], sparsity=[0.8])


@pytest.mark.parametrize(
    ("metrics", "wanted", "chosen"),
    [
        ({"val/f1": 1, "val/accuracy": 1, "test/accuracy": 1}, None, "val/f1"),
        ({"val/f1": 1, "val/accuracy": 1, "test/f1": 1}, None, "test/f1"),
        ({"val/f1": 1, "val/accuracy": 1}, ["test/f1", "val/accuracy"], "val/accuracy"),
        ({"val/f1": 1}, ["test/f1"], "val/f1"),
        ({"ood/hans/accuracy": 1}, None, "ood/hans/accuracy"),
    ],
)
def test_what_a_task_is_judged_by(tmp_path, metrics, wanted, chosen):
    write_run(tmp_path, "gmp", 0.5, 1, metrics)
    assert main_metric(groups_of(tmp_path), wanted) == chosen
