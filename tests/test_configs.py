"""Every file in conf/ composes, checks and says what it promises."""

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from runs.settings import check
from tests.conftest import METHODS, ROOT, composed

OPTIONS = sorted(
    (group, path.relative_to(ROOT / "conf" / group).with_suffix("").as_posix())
    for group in (
        *("task", "model", "scope", "distribution", "pattern", "sparsity_of", "optim", "loss", "tuning", "trainer"),
        "logger",
    )
    for path in (ROOT / "conf" / group).rglob("*.yaml")
)
SIZES = ["model.hidden_size=8", "model.layers=1", "model.heads=2", "model.intermediate_size=8", "model.max_length=8"]
ASKED_FOR = {
    "scratch": SIZES,
    "pretrained": ["model.name=x"],
}  # what only users know
EXPERIMENTS = sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml"))


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_option_composes_and_checks(group, option):
    check(answered(f"{group}={option}", *ASKED_FOR.get(option, [])))


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
    written.pop("defaults", None)  # one of them names another group's choice
    config = answered(f"experiment={experiment}")
    check(config)
    for key, value in leaves(OmegaConf.to_container(written, resolve=True)):
        if not key.startswith("hydra"):
            assert OmegaConf.select(config, key) == value, key


@pytest.mark.parametrize("steps", [150, 3000, 30000])
def test_gmp_star_begins_and_ends_pruning_where_the_learning_rate_starts_anew(steps):
    config = composed("method=gmp_star", "sparsity=0.9", f"steps={steps}", "lr=1.0")
    plan = instantiate(config.method.sparsifier.schedule).plan(steps, 0.9)
    assert (min(plan), max(plan)) == (steps // 15, steps // 15 * 14)
    assert plan[min(plan)] == pytest.approx(0.75 * 0.9)
    _, schedule = instantiate(config.optim).build(nn.Linear(1, 1), steps)
    rates = [schedule.lr_lambdas[0](step) for step in range(steps)]
    assert [step for step in range(1, steps) if rates[step] > rates[step - 1]] == [
        steps // 15 * cycle for cycle in range(1, 15)
    ]


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


@pytest.mark.parametrize(
    ("experiment", "shorter", "recipe"),
    [
        ("glue_run_glue", "mrpc,wnli", (2e-5, 32, 3, 0.0, 0.0)),
        ("petl_full", "mrpc", (2e-5, 16, 10, 0.1, 0.06)),
    ],
)
def test_glue_protocols_are_those_of_their_sources(experiment, shorter, recipe):
    path = ROOT / "conf" / "experiment" / f"{experiment}.yaml"
    swept = OmegaConf.load(path).hydra.sweeper.params.task.split(",")
    assert f"task={shorter} epochs=5" in path.read_text()
    nine = {"cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "qnli", "rte", "wnli"}
    assert sorted([*swept, *shorter.split(",")]) == sorted(nine)
    for task in nine:
        config = composed(f"experiment={experiment}", f"task={task}")
        check(config)
        optim = config.optim
        found = (
            optim.optimizer.lr,
            config.batch_size,
            config.epochs,
            optim.optimizer.weight_decay,
            optim.schedule.warmup,
        )
        assert found == recipe
        assert config.task.module.max_length == 128


@pytest.mark.parametrize("experiment", ["glue", "full", "layers", "scale"])
def test_petl_has_a_head_of_its_own_and_is_validated_after_each_epoch(experiment):
    config = composed(f"experiment=petl_{experiment}", "task=rte")
    check(config)
    assert config.model.pooling.mean == ("roberta" in config.model.name)
    assert config.validations == config.epochs
    check(composed(f"experiment=petl_{experiment}", "task=rte", "steps=3", "epochs=null"))


@pytest.mark.parametrize("experiment", ["srnets_finetuned", "srnets_pretrained", "srnets_timing"])
@pytest.mark.parametrize("recipe", sorted(path.stem for path in (ROOT / "conf" / "srnets").glob("*.yaml")))
def test_the_recipes_of_srnets_survive_composition(experiment, recipe):
    written = OmegaConf.load(ROOT / "conf" / "srnets" / f"{recipe}.yaml")
    config = answered(f"experiment={experiment}", f"srnets={recipe}")
    check(config)
    assert config.task.name == recipe
    assert config.ood
    for key, value in leaves(OmegaConf.to_container(written)):
        if not key.startswith("defaults"):
            assert OmegaConf.select(config, key) == value, key


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "conf" / "ood").glob("*.yaml")))
def test_a_set_of_another_distribution_bears_its_files_name(name):
    config = answered("task=little_world_nli", f"ood={name}")
    check(config)
    assert list(config.ood) == [name]


def answered(*overrides):
    """The config with a folder wherever only users know one."""
    written = leaves(OmegaConf.to_container(composed(*overrides)))
    missing = [key for key, value in written if value == "???" and key.endswith(".data_dir")]
    return composed(*overrides, *(f"{key}=/x" for key in missing))


def leaves(node, key=""):
    """Pairs of dotted key and value, all the way down."""
    if isinstance(node, dict):
        for name, child in node.items():
            yield from leaves(child, f"{key}.{name}" if key else str(name))
    else:
        yield key, node
