"""A run for which memory does not suffice goes on with smaller micro-batches, or says what would help."""

import json

import pytest
import torch

import train as program
from runs.folder import Run, TrainingError
from runs.memory import with_room
from runs.settings import check
from tasks.task import Task
from tests.conftest import of_method

LACK = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of ...")


def trains_with(most: int, share: int):
    """A training for which memory suffices if a micro-batch has no more examples; with the sizes that were tried."""
    tried = []

    def train(accumulate: int) -> dict[str, int]:
        tried.append(share // accumulate)
        if share / accumulate > most:
            raise LACK
        return {"steps": 3}

    return train, tried


@pytest.mark.parametrize(
    ("accumulate", "share", "most", "sizes"),
    [(1, 8, 8, [8]), (1, 8, 2, [8, 4, 2]), (2, 8, 1, [4, 2, 1]), (1, 6, 2, [6, 3, 1]), (3, 9, 2, [3, 1])],
)
def test_micro_batches_are_halved_or_what_divides_the_batch(accumulate, share, most, sizes, capsys):
    train, tried = trains_with(most, share)
    numbers = with_room(train, accumulate, share, halve=True)
    assert tried == sizes
    assert numbers == {"steps": 3, "accumulate": share // sizes[-1], "out_of_memory": len(sizes) - 1}
    assert len(capsys.readouterr().err.splitlines()) == len(sizes) - 1


def test_an_example_that_does_not_fit(capsys):
    train, tried = trains_with(0, 2)
    with pytest.raises(MemoryError, match="CUDA out of memory, with micro-batches of one example; take a smaller"):
        with_room(train, 1, 2, halve=True)
    assert tried == [2, 1]


def test_nothing_is_halved_unless_asked_for(capsys):
    train, tried = trains_with(1, 2)
    with pytest.raises(MemoryError, match="CUDA out of memory; halve_on_oom=true goes on"):
        with_room(train, 1, 2, halve=False)
    assert tried == [2]


def test_other_errors_are_not_about_memory():
    def fails(accumulate: int) -> dict[str, int]:
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        with_room(fails, 1, 2, halve=True)


@pytest.fixture
def tight(monkeypatch):
    """From the sixth step on there is room for micro-batches of four examples. Returns the steps that were trained."""
    training_step, trained = Task.training_step, []

    def step(self, batch, batch_idx):
        if self.global_step >= 5 and len(batch["labels"]) > 4:
            raise LACK
        trained.append(self.global_step)
        return training_step(self, batch, batch_idx)

    monkeypatch.setattr(Task, "training_step", step)
    return trained


@pytest.mark.parametrize("checkpoint_every", [0, 30])
@pytest.mark.parametrize("method", ["dense", "rigl"])
def test_a_run_goes_on_from_its_checkpoint_or_begins_anew(small, tmp_path, tight, method, checkpoint_every, request):
    overrides = [*of_method(method), f"checkpoint_every={checkpoint_every}"]
    run = program.obtain(small(*overrides, "halve_on_oom=true"))
    assert (run.result["accumulate"], run.result["out_of_memory"]) == (2, 1)
    assert run.result["steps"] == 12
    first = 5 if checkpoint_every == 0 else 0
    assert tight == [*range(5), *(step for step in range(first, 12) for _ in range(2))]
    request.getfixturevalue("monkeypatch").undo()
    plain = program.obtain(small(*overrides, f"root={tmp_path / 'plain'}"))
    assert plain.id == run.id
    assert (plain.result["accumulate"], plain.result["out_of_memory"]) == (1, 0)
    assert run.result["metrics"] == pytest.approx(plain.result["metrics"], abs=1e-4)
    assert run.result["sparsity"] == plain.result["sparsity"]
    curves = [(r.folder / "metrics.csv").read_text().splitlines() for r in (run, plain)]
    logged = [[line.split(",")[:2] for line in lines] for lines in curves]
    assert logged[0] == logged[1]
    weights = [torch.load(r.checkpoint, weights_only=True)["state_dict"] for r in (run, plain)]
    for name, weight in weights[0].items():
        if name != "network.classifier.bias":  # whose gradient is but rounding
            torch.testing.assert_close(weight, weights[1][name], rtol=0, atol=1e-4)


def test_without_the_option_a_run_has_failed(small, tight):
    config = small()
    with pytest.raises(TrainingError, match="halve_on_oom=true"):
        program.obtain(config)
    result = json.loads((Run(config).folder / "result.json").read_text())
    assert result["status"] == "failed"
    assert "CUDA out of memory; halve_on_oom=true goes on with smaller micro-batches" in result["error"]


@pytest.mark.parametrize("key", ["trainer.devices", "trainer.num_nodes"])
def test_illegal_with_several_devices(small, key):
    with pytest.raises(ValueError, match=f"halve_on_oom=true needs {key}=1"):
        check(small("halve_on_oom=true", "trainer=ddp", "trainer.devices=1", f"{key}=2"))
