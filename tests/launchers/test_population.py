"""A population: what may change, within which bounds, and what is refused."""

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from hydra_plugins.population import Population, _domain, _within
from hydra_plugins.search_space import search_space
from tests.cli.program import train
from tests.conftest import ROOT, SMALL

YAML = OmegaConf.load(ROOT / "conf" / "hydra" / "sweeper" / "pbt.yaml")


@pytest.mark.parametrize(
    ("key", "value"), [("members", 1), ("mode", "best"), ("interval", 0), ("quantile", 0.6), ("resample", -0.1)]
)
def test_a_number_out_of_range_is_named(key, value):
    with pytest.raises(ValueError, match=rf"hydra\.sweeper\.{key}={value} is out of range"):
        Population(**{"members": 4, "metric": "val/accuracy", key: value})


def test_the_file_makes_one():
    assert isinstance(instantiate(YAML), Population)


def test_values_that_are_multiplied_stay_within_their_range():
    _, space = search_space({}, ["lr=tag(log,interval(1e-5,1e-3))", "optim.optimizer.weight_decay=choice(0.0,0.1)"])
    space = {"lr": space["lr"], "weight_decay": space["optim.optimizer.weight_decay"]}
    assert _within({"lr": 1.2e-3, "weight_decay": 0.1}, space) == {"lr": 1e-3, "weight_decay": 0.1}
    assert _within({"lr": 0.8e-5, "weight_decay": 0.0}, space) == {"lr": 1e-5, "weight_decay": 0.0}
    assert _within({"lr": 2e-4, "weight_decay": 0.1}, space) == {"lr": 2e-4, "weight_decay": 0.1}
    # A domain would be multiplied where a list is moved along.
    assert _domain(space["weight_decay"]) == [0.0, 0.1]
    assert (_domain(space["lr"]).lower, _domain(space["lr"]).upper) == (1e-5, 1e-3)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["lr=interval(1e-4,1e-3)"], "hydra/sweeper=pbt trains on Ray: add hydra/launcher=ray"),
        (
            ["hydra/launcher=ray", "batch_size=8,16"],
            "a population cannot change batch_size while it trains",
        ),
        (["hydra/launcher=ray", "method=lth", "sparsity=0.2", "lr=1e-3,1e-4"], "method=lth starts from another run"),
    ],
)
def test_what_a_population_cannot_do_is_one_sentence(tmp_path, arguments, sentence):
    small = [word for word in SMALL if not word.startswith("batch_size")]
    done = train("-m", "hydra/sweeper=pbt", *small, *arguments, folder=tmp_path / "outputs", check=False)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
