"""Searches: what is drawn, who is asked and told, what becomes of a search that died."""

import json
import os
import subprocess
import sys

import optuna
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution as Categorical
from optuna.distributions import FloatDistribution as Float
from optuna.distributions import IntDistribution as Int

from hydra_plugins.optuna_search import Optuna
from hydra_plugins.search import Search
from hydra_plugins.search_space import search_space
from runs.local_pool import LocalPool
from runs.sweep import Sweep, SweepError
from tests.cli.program import train
from tests.conftest import ROOT
from tests.runs.pools import RESULT, graph_of, scripted


@pytest.mark.parametrize(
    ("override", "distribution"),
    [
        ("lr=interval(1e-5,1e-3)", Float(1e-5, 1e-3)),
        ("lr=tag(log,interval(1e-5,1e-3))", Float(1e-5, 1e-3, log=True)),
        ("steps=int(interval(10,90))", Int(10, 90)),
        ("steps=tag(log,int(interval(10,90)))", Int(10, 90, log=True)),
        ("seed=range(1,5)", Int(1, 4)),
        ("seed=range(8,1,-3)", Int(2, 8, step=3)),
        ("x=range(0,1,0.25)", Float(0.0, 0.75, step=0.25)),
        ("method=rigl,set", Categorical(["rigl", "set"])),
        ("batch_size=choice(8,16)", Categorical(["8", "16"])),
    ],
)
def test_what_is_drawn(override, distribution):
    assert search_space({}, ["seed=3", override, "+trainer.x=1"]) == (
        ["seed=3", "+trainer.x=1"],
        {override.partition("=")[0]: distribution},
    )


def test_the_command_line_replaces_what_a_file_searches():
    fixed, space = search_space({"lr": "interval(1,2)", "seed": "1,2", "steps": 9}, ["seed=7"])
    assert (sorted(fixed), space) == (["seed=7", "steps=9"], {"lr": Float(1, 2)})


def test_a_search_over_nothing_is_refused():
    with pytest.raises(ValueError, match="nothing is searched over"):
        search_space({"seed": 1}, ["lr=1"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"trials": 0}, "hydra.sweeper.trials=0 must be at least 1"),
        ({"objectives": {"val/accuracy": "max"}}, "objectives.val/accuracy=max must be maximize or minimize"),
        ({"objectives": {}}, "objectives is empty"),
        ({"objectives": {"val/a": "maximize", "steps": "minimize"}, "pruner": {"x": 1}}, "needs a single objective"),
        ({"objectives": {"test/a": "maximize"}, "pruner": {"x": 1}}, "a metric of validation"),
    ],
)
def test_what_cannot_be_searched_is_one_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence.replace("(", r"\(")):
        Optuna(**{"trials": 1, "objectives": {"val/accuracy": "maximize"}, "storage": {}, "sampler": {}, **arguments})


@pytest.mark.parametrize("said", ["{val/f1: maximize}", "{val/f1: maximize, flops.inference: minimize}"])
def test_objectives_of_the_command_line_are_all_there_are(said):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        overrides = ["hydra/sweeper=optuna", f"hydra.sweeper.objectives={said}"]
        sweeper = compose("config", overrides=overrides, return_hydra_config=True).hydra.sweeper
    assert sweeper.objectives == OmegaConf.create(said)


def storage(folder):
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "studies.log"))
    return optuna.storages.JournalStorage(backend)


def study(folder, *directions):
    return optuna.create_study(
        study_name="s",
        storage=storage(folder),
        sampler=optuna.samplers.GridSampler({"x": list(range(10))}, seed=1),  # no value twice
        directions=directions or ("maximize",),
        load_if_exists=True,
    )


def planned(folder, seconds=0.0, endings=()):
    """Trials whose accuracy is x; some end otherwise."""

    def plan(trial):
        job = scripted(folder, f"x{trial.params['x']}", seconds=seconds, ending=dict(endings).get(trial.number, ""))
        result = {
            **RESULT,
            "metrics": {"val/accuracy": trial.params["x"]},
            "flops": {"inference": 10 - trial.params["x"]},
        }
        command = [json.dumps(result) if word == json.dumps(RESULT) else word for word in job.command()]
        object.__setattr__(job, "command", lambda: command)
        return job.run, graph_of(job)

    return plan


def search(folder, plan, trials, objectives=None, **options):
    objectives = objectives or {"val/accuracy": "maximize"}
    found = study(folder, *objectives.values())
    what = Search(found, {"x": Int(0, 9)}, objectives, Sweep(LocalPool(at_once=2)))
    return what.run(plan, trials, 2), found.trials


def test_a_total_is_reached_and_the_best_is_said(tmp_path):
    said, trials = search(tmp_path, planned(tmp_path), 5)
    assert len(trials) == 5
    best = max(trial.params["x"] for trial in trials)
    assert [trial.values for trial in trials] == [[trial.params["x"]] for trial in trials]
    assert said.splitlines()[1].split() == ["val/accuracy", str(best), f"x={best}", f"x{best}"]
    _, more = search(tmp_path, planned(tmp_path), 7)
    assert len(more) == 7
    assert [trial.params for trial in more[:5]] == [trial.params for trial in trials]
    assert len(search(tmp_path, planned(tmp_path), 7)[1]) == 7


def test_several_objectives_give_a_front(tmp_path):
    said, trials = search(tmp_path, planned(tmp_path), 4, {"val/accuracy": "maximize", "flops.inference": "minimize"})
    assert all(trial.values == [trial.params["x"], 10 - trial.params["x"]] for trial in trials)
    best = max(trial.params["x"] for trial in trials)
    assert len(said.splitlines()) == 2
    assert f"val/accuracy {best}, flops.inference {10 - best}" in said


def test_failed_trials_count_and_are_told(tmp_path):
    _, trials = search(tmp_path, planned(tmp_path, endings={0: "raise", 2: "kill"}), 4)
    assert [trial.state.name for trial in trials] == ["FAIL", "COMPLETE", "FAIL", "COMPLETE"]


def test_a_search_of_failures_is_an_error(tmp_path):
    with pytest.raises(SweepError, match=r"failed: x\d \(exit code 2\); x\d \(exit code 2\)"):
        search(tmp_path, planned(tmp_path, endings={0: "wrong", 1: "wrong"}), 2)
    assert [trial.state.name for trial in study(tmp_path).trials] == ["FAIL", "FAIL"]


def test_an_objective_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="'val/acuracy', which no result has; did you mean 'val/accuracy'"):
        search(tmp_path, planned(tmp_path), 1, {"val/acuracy": "maximize"})


HEAD = """
import sys, pathlib
from tests.launchers.test_search import planned, search
search(pathlib.Path(sys.argv[1]), planned(pathlib.Path(sys.argv[1]), seconds=60), 3)
"""


def test_trials_of_a_search_that_was_killed_run_again(tmp_path):
    head = subprocess.Popen([sys.executable, "-c", HEAD, str(tmp_path)], cwd=ROOT, stdout=subprocess.DEVNULL)
    while len(list(tmp_path.glob("*.pid"))) < 1 or len(study(tmp_path).trials) < 2:
        assert head.poll() is None
    head.kill()
    head.wait()
    lost = [trial for trial in study(tmp_path).trials if trial.state.name == "RUNNING"]
    assert lost
    _, trials = search(tmp_path, planned(tmp_path), 3)
    assert sum(trial.state.name == "COMPLETE" for trial in trials) == 3
    again = [trial.params for trial in trials if trial.state.name == "COMPLETE"]
    assert all(trial.params in again for trial in lost)
    assert {trial.number for trial in trials if "lost" in trial.user_attrs} == {trial.number for trial in lost}


def test_trials_of_another_machine_are_left_to_it_while_it_lives(tmp_path):
    found = study(tmp_path)
    for beat in (0.0, 4e9):
        trial = found.ask({"x": Int(0, 9)})
        trial.set_user_attr("searcher", "elsewhere:1")
        trial.set_user_attr("beat", beat)
    _, trials = search(tmp_path, planned(tmp_path), 3)
    assert [trial.state.name for trial in trials[:2]] == ["FAIL", "RUNNING"]
    assert trials[2].params == trials[0].params
    assert sum(trial.state.name == "COMPLETE" for trial in trials) == 2
    assert os.getpid() == int(trials[2].user_attrs["searcher"].rpartition(":")[2])


@pytest.mark.parametrize(
    "file", sorted((ROOT / "conf" / "hydra" / "sweeper").glob("[sp][ar]*/*.yaml")), ids=lambda f: f.stem
)
def test_samplers_and_pruners_can_be_made(file):
    node = OmegaConf.merge({"steps": 300}, {"it": OmegaConf.load(file)})
    assert instantiate(node).it


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["hydra/sweeper=optuna", "method=lth,gmp", "sparsity=0.2"], "20 trials over method of Categorical"),
        (["hydra/sweeper=pbt", "hydra/launcher=ray", "lr=interval(1e-5,1e-3)"], "4 members, each of them:"),
    ],
)
def test_a_dry_run_trains_nothing(tmp_path, options, said):
    done = train("--dry-run", *options, folder=tmp_path / "outputs")
    assert done.stdout.startswith(said)
    assert "optimizer steps; there already: 0" in done.stdout
    assert not (tmp_path / "outputs").exists()
