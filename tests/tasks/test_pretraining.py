"""The experiments of sparse pretraining are those of Numenta, and each goes its first steps on a text file."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf
from transformers import AutoModelForMaskedLM

from models.tiny import Tiny
from tests.conftest import composed
from tests.methods.building import parts
from train import build

SMALL = [
    *("model.hidden_size=16", "model.layers=2", "model.heads=2", "model.intermediate_size=32"),
    *("model.max_length=32", "steps=20", "batch_size=8", "method.sparsifier.schedule.every=2", "trainer=cpu"),
]
# Sparsity, peak of the learning rate, share of the steps until then, batch size (nupic.research, projects/transformers)
PUBLISHED = {
    "tiny": (0.8, 0.0075, 0.3, 128),
    "mini": (0.8, 0.0075, 0.3, 128),
    "small": (0.8027, 0.005, 0.1, 128),
    "base": (0.8, 0.0012, 0.3, 256),
    "wide": (0.9595, 0.0015, 0.3, 256),
}


@pytest.mark.parametrize("size", PUBLISHED)
def test_the_recipes_are_the_published_ones(size: str) -> None:
    config = composed(f"experiment=numenta_{size}")
    found = OmegaConf.to_container(config, resolve=True)
    schedule, sparsifier = found["optim"]["schedule"], found["method"]["sparsifier"]
    assert (found["sparsity"], found["lr"], schedule["pct_start"], found["batch_size"]) == PUBLISHED[size]
    assert (found["steps"], sparsifier["drop_fraction"], sparsifier["schedule"]["every"]) == (100_000, 0.3, 100)
    assert (schedule["div_factor"], schedule["final_div_factor"]) == (25, 1e4)
    assert (schedule["base_momentum"], schedule["max_momentum"], schedule["anneal_strategy"]) == (0.85, 0.95, "linear")
    assert found["optim"]["optimizer"]["weight_decay"] == 0.01
    of_compat = composed(f"experiment=numenta_{size}", "compat=numenta")
    for group in ("scope", "distribution", "moments"):
        assert config[group] == of_compat[group]
    assert found["task"]["module"]["share"] == 0.15


@pytest.mark.parametrize("size", PUBLISHED)
def test_the_first_steps(size: str, tmp_path: Path) -> None:
    Tiny().tokenizer().save_pretrained(tmp_path / "tokenizer")
    (tmp_path / "text").mkdir()
    text = "\n\n".join(
        f"{x} is a kind of place.\nwe use {x} for {y}." for x in ("bako", "tuga") for y in "abcdefghijkl"
    )
    (tmp_path / "text" / "train.txt").write_text(text)
    places = [f"model.tokenizer={tmp_path / 'tokenizer'}", f"task.data_dir={tmp_path / 'text'}"]
    overrides = [f"experiment=numenta_{size}", *SMALL, *places, f"loss.teacher={tmp_path / 'teacher'}"]
    build(composed(*overrides).model).build(AutoModelForMaskedLM).save_pretrained(tmp_path / "teacher")
    Tiny().tokenizer().save_pretrained(tmp_path / "teacher")
    run = parts(composed(*overrides))
    before = run.weights
    numbers = run.fit(tmp_path)
    sparsity = PUBLISHED[size][0]
    assert numbers["sparsity"]["scope"] == pytest.approx(sparsity, abs=1 / 16)  # rows of 16 weights, rounded
    assert any((run.weights[name] != weight).any() for name, weight in before.items())
    assert numbers["metrics"].keys() == {"val/loss", "val/accuracy", "val/perplexity"}
