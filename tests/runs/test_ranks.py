"""Which processes there are, who starts them, and who of them writes and speaks."""

import pytest

from runs.errors import one_voice
from runs.folder import Run, TrainingError
from runs.ranks import company, start, started
from runs.sweeps import prepared


class Second:
    """The second of two processes; `ended` is the exit code of the first one, if it ends earlier than this one."""

    first = False

    def __init__(self, decision=False, ended=None):
        self.decision, self.ended, self.code, self.parted = decision, ended, None, False

    def agree(self, decide):
        return self.decision

    def end(self, code):
        self.code = code
        return self.ended

    def part(self):
        self.parted = True


NUMBERS = {"metrics": {"val/accuracy": 0.5}}


def test_the_others_write_nothing_and_believe_the_first(small):
    run = Run(small(), Second(decision=True))
    assert run.finished
    assert run.interrupted
    with run.lock():
        run.carry_out(lambda begin, accumulate: begin() or NUMBERS, {})
    run.write("ledger.json", {})
    assert not run.folder.parent.exists()


@pytest.mark.parametrize("ended", [None, 1])
def test_the_first_to_fail_writes_it_down(small, ended):
    ranks = Second(ended=ended)
    run = Run(small(), ranks)
    run.folder.mkdir(parents=True)

    def fails(begin, accumulate):
        begin()
        raise RuntimeError("so it goes")

    with pytest.raises(TrainingError):
        run.carry_out(fails, {})
    assert ranks.code == 1
    assert (run.result is None) == (ended is not None)


@pytest.mark.parametrize(
    ("error", "code"), [(ValueError("wrong"), 2), (KeyboardInterrupt(), 130), (TrainingError("failed"), 1)]
)
def test_the_first_to_end_speaks_and_the_others_end_as_it_did(error, code):
    ranks = Second()
    with pytest.raises(type(error)), one_voice(ranks):
        raise error
    assert ranks.code == code
    with pytest.raises(SystemExit) as end, one_voice(Second(ended=7)):
        raise error
    assert end.value.code == 7


def test_all_part_when_all_is_well():
    with one_voice(Second()) as ranks:
        assert not ranks.parted
    assert ranks.parted


def test_one_process_is_alone(monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}.items():
        monkeypatch.setenv(name, value)
    assert started() == 1
    assert company().first


def test_a_batch_script_is_no_step_of_slurm(monkeypatch):
    """It has SLURM_PROCID and SLURM_NTASKS, although srun has not started it."""
    monkeypatch.setenv("SLURM_PROCID", "0")
    monkeypatch.setenv("SLURM_NTASKS", "4")
    assert started() == 1


def test_a_sweep_is_started_once(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert prepared(["seed=1"]) == ["seed=1"]
    with pytest.raises(ValueError, match="-m starts the processes of its runs itself"):
        prepared(["-m", "seed=1,2"])


@pytest.mark.parametrize(
    ("overrides", "environment", "sentence"),
    [
        (["+trainer.num_nodes=2"], {}, "trainer.num_nodes=2 needs torchrun or srun"),
        (
            [],
            {"RANK": "0", "WORLD_SIZE": "2"},
            "trainer.devices=1 on trainer.num_nodes=1 does not make the 2 processes",
        ),
        (
            ["trainer.devices=2"],
            {"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "4"},
            "trainer.devices=2 on .* does not make the 4 processes",
        ),
    ],
)
def test_illegal_numbers_of_processes(small, monkeypatch, overrides, environment, sentence):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=sentence):
        start(small(*overrides).trainer, unless=lambda: True)


def test_the_identity_does_not_know_how_many_devices_there_are(small):
    assert Run(small()).id == Run(small("trainer=ddp", "trainer.devices=4", "trainer.num_nodes=2")).id
