"""Every file in conf/ composes, checks and says what it promises."""

import pytest
from omegaconf import OmegaConf

from runs.settings import check
from tests.conftest import METHODS, ROOT, composed

OPTIONS = sorted(
    (path.parent.name, path.stem)
    for group in ("task", "model", "scope", "distribution", "pattern", "sparsity_of", "optim", "trainer", "logger")
    for path in (ROOT / "conf" / group).glob("*.yaml")
)
SIZES = ["model.hidden_size=8", "model.layers=1", "model.heads=2", "model.intermediate_size=8", "model.max_length=8"]
ASKED_FOR = {
    "scratch": SIZES,
    "pretrained": ["model.name=x"],
    "heads_and_neurons": ["pattern.heads.size=16"],
}  # what only users know
EXPERIMENTS = sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml"))


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_option_composes_and_checks(group, option):
    check(composed(f"{group}={option}", *ASKED_FOR.get(option, [])))


@pytest.mark.parametrize("method", METHODS)
def test_method_composes_and_bears_its_files_name(method):
    config = composed(f"method={method}", *([] if method == "dense" else ["sparsity=0.5"]))
    check(config)
    assert config.method.name == method


@pytest.mark.parametrize("method", METHODS)
def test_a_method_reads_at_a_glance(method):
    lines = (ROOT / "conf" / "method" / f"{method}.yaml").read_text().splitlines()
    assert 5 <= len(lines) <= 15
    assert lines[0].startswith("# ")


@pytest.mark.parametrize("task", [option for group, option in OPTIONS if group == "task"])
def test_a_task_bears_its_files_name(task):
    assert composed(f"task={task}").task.name == task


@pytest.mark.parametrize("method", METHODS)
def test_the_command_line_wins_over_a_methods_own_distribution(method):
    targets = {"global": "Global", "uniform": "Uniform", "erk": "Erk", "per_row": "PerRow", "owl": "Owl"}
    for distribution, target in targets.items():
        config = composed(f"method={method}", f"distribution={distribution}")
        assert config.distribution._target_ == f"sparsity.distributions.{target}"


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiments_values_survive_composition(experiment):
    written = OmegaConf.load(ROOT / "conf" / "experiment" / f"{experiment}.yaml")
    config = composed(f"experiment={experiment}")
    check(config)
    for key, value in leaves(OmegaConf.to_container(written)):
        if not key.startswith(("defaults", "hydra")):
            assert OmegaConf.select(config, key) == value, key


def test_smc_csqa_is_the_recipe_of_the_benchmark():
    config = composed("experiment=smc_csqa")
    recipe = OmegaConf.to_container(config, resolve=True)
    assert (recipe["lr"], recipe["batch_size"], recipe["steps"]) == (1e-5, 16, 3000)
    optimizer = recipe["optim"]["optimizer"]
    assert (optimizer["betas"], optimizer["eps"], optimizer["weight_decay"]) == ([0.9, 0.98], 1e-6, 0.01)
    assert round(recipe["optim"]["schedule"]["warmup"] * recipe["steps"]) == 150
    assert recipe["optim"]["decay_biases_and_norms"] is True
    assert recipe["trainer"]["gradient_clip_val"] is None
    assert recipe["model"]["head_dropout"] == 0.0
    assert recipe["scope"] == OmegaConf.to_container(composed("scope=encoder").scope)
    sweep = OmegaConf.load(ROOT / "conf" / "experiment" / "smc_csqa.yaml").hydra.sweeper.params
    assert len(set(sweep.method.split(","))) == len(set(sweep.sparsity.split(","))) == 10
    assert set(sweep.method.split(",")) < set(METHODS)
    assert [float(s) for s in sweep.sparsity.split(",")] == [round(1 - 0.8**n, 12) for n in range(1, 11)]


def leaves(node, key=""):
    """Pairs of dotted key and value, all the way down."""
    if isinstance(node, dict):
        for name, child in node.items():
            yield from leaves(child, f"{key}.{name}" if key else str(name))
    else:
        yield key, node
