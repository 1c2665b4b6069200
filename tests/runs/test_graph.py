"""A sweep's runs: each once, behind what they start from; what is there is not trained."""

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from runs.folder import Run
from runs.forecast import forecast
from runs.graph import closure, graph, missing
from runs.identity import run_id
from tests.conftest import ROOT, composed


def runs(*overrides):
    return [Run(composed(*line.split())) for line in overrides]


def finish(run):
    """Leaves a result where a run's would be."""
    numbers = {"metrics": {"val/accuracy": 0.5}, "sparsity": {"scope": 0.5, "model": 0.1}, "steps": 3, "seconds": 1.0}
    run.carry_out(lambda begin, accumulate: {**numbers, "examples_per_second": 1.0}, {})


@pytest.fixture
def asked(tmp_path):
    return runs(*(f"method={method} sparsity={s} root={tmp_path}" for method in ("lth", "gmp") for s in (0.2, 0.36)))


def test_a_run_comes_once_and_behind_what_it_needs(asked):
    whole = graph([*asked, *asked])
    names = list(whole)
    dense, first, second, *gmp = names
    assert "-dense-" in dense
    assert [first, second] == [run.id for run in asked[:2]]
    assert gmp == [run.id for run in asked[2:]]
    assert whole[dense].needs == ()
    assert whole[first].needs == (dense,)
    assert whole[second].needs == (first,)
    assert closure(whole, asked[1]) == {dense, first, second}


def test_rewinding_needs_two_runs(tmp_path):
    (run,) = runs(f"method=lth_late sparsity=0.2 root={tmp_path}")
    whole = graph([run])
    assert len(whole[run.id].needs) == 2
    assert all("-dense-" in name for name in whole[run.id].needs)


def test_what_is_there_is_not_trained_nor_what_only_that_needs(asked):
    whole = graph(asked)
    assert missing(whole, asked).keys() == whole.keys()
    finish(asked[1])
    absent = missing(whole, asked)
    assert asked[1].id not in absent
    assert len(absent) == 4  # the dense run and the level below are needed by the level below alone, which is asked for
    finish(asked[0])
    assert missing(whole, asked).keys() == {run.id for run in asked[2:]}


def test_a_job_is_written_down_whole(asked):
    """What its command composes is the run's config, also where that was derived from another run's."""
    whole = graph(asked)
    for job in whole.values():
        *_, folder, name = job.command()
        with initialize_config_dir(folder.removeprefix("--config-path="), version_base="1.3"):
            config = compose(name.removeprefix("--config-name="))
        assert run_id(config) == job.run.id
        assert config == job.run.config


def test_forecast_counts_what_sharing_saves(asked):
    whole = graph(asked)
    lines = forecast(whole, asked).splitlines()
    assert lines[0] == "to train: 5 runs, 12,500 optimizer steps; there already: 0"
    assert lines[1] == "run by run: 7 runs, 17,500 optimizer steps"
    assert [line.split() for line in lines[2:]] == [
        ["little_world_qa", "tiny", method, str(n), "runs", str(n), "to", "train"]
        for method, n in (("dense", 1), ("lth", 2), ("gmp", 2))
    ]
    finish(asked[3])
    assert forecast(whole, asked).startswith("to train: 4 runs, 10,000 optimizer steps; there already: 1")


def test_forecast_reads_the_data_where_epochs_end_a_run(tmp_path):
    asked = runs(f"root={tmp_path} epochs=3 steps=null batch_size=32 task.data.train=320")
    assert "1 runs, 30 optimizer steps" in forecast(graph(asked), asked)


def test_the_figure_of_smc_bench_shares_74_trainings(tmp_path):
    """10 methods at 10 sparsities: 101 trainings where run by run it would be 175."""
    params = OmegaConf.load(ROOT / "conf" / "experiment" / "smc_csqa.yaml").hydra.sweeper.params
    asked = []
    for run in runs(*(f"experiment=smc_csqa root={tmp_path} method={method}" for method in params.method.split(","))):
        for sparsity in params.sparsity.split(","):
            asked.append(Run(run.config.copy()))
            asked[-1].config.sparsity = float(sparsity)
    lines = forecast(graph(asked), asked).splitlines()
    assert lines[0] == "to train: 101 runs, 303,000 optimizer steps; there already: 0"
    assert lines[1] == "run by run: 175 runs, 525,000 optimizer steps"
