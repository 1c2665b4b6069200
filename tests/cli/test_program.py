"""The program as a user meets it: a process, its output, its exit code and what it leaves on disk."""

import signal
import subprocess
import sys
import time

import pytest
import torch

from tests.cli.program import results, train
from tests.conftest import ROOT, SMALL, of_method


def test_a_run_and_the_same_command_again(tmp_path):
    first = train(*SMALL, *of_method("rigl"), folder=tmp_path)
    assert "val/accuracy" in first.stdout
    assert "of the scope" in first.stdout
    assert str(tmp_path) in first.stdout
    assert "Traceback" not in first.stderr
    (result_file,) = tmp_path.glob("*/result.json")
    written = result_file.stat().st_mtime_ns
    start = time.monotonic()
    again = train(*SMALL, *of_method("rigl"), folder=tmp_path)
    assert time.monotonic() - start < 5  # the imports of a training alone take longer on a busy machine
    assert again.stdout == first.stdout
    assert result_file.stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["metod=rigl"], "error: unknown key 'metod'; did you mean 'method'?"),
        (["+metod=rigl"], "error: unknown key 'metod'; did you mean 'method'?"),
        (["method=rgl"], "error: method=rgl is not among the choices; did you mean 'rigl'?"),
        (["scop=ffn"], "error: unknown key 'scop'; did you mean 'scope'?"),
        (["method=rigl", "method.sparsifier.drop_fracton=1"], "did you mean 'drop_fraction'?"),
        (["sparsity=1.5"], "error: sparsity=1.5 must be at least 0 and below 1"),
        (["sparsity=0.5"], "error: method=dense keeps every weight, so sparsity=0.5 needs another method"),
        (["method=gmp", "sparsity=0.5", "scope.include=[nothing]"], "nothing"),
        (["task=rte", "task.data_dir=/nowhere"], "error: task.data_dir=/nowhere is not a folder"),
        (["model=pretrained"], "error: 'model.name' has no value: give model.name=<value>"),
        (["model=pretrained", "model.name=/nowhere"], "/nowhere is not a folder"),
        (["method=gmp", "sparsity=0.5", "steps=0"], "steps"),
        (["method=rigl", "sparsity=0.5", "method.sparsifier.drop_fraction=2"], "drop_fraction=2"),
        (["batch_size=7", "trainer.accumulate_grad_batches=2"], "batch_size=7 cannot be split evenly"),
        (["steps=3", "epochs=1"], "error: steps and epochs are two ways"),
        (["foo"], "error: 'foo' is not an override; write key=value"),
    ],
)
def test_a_wrong_command_gets_one_sentence_and_leaves_nothing(tmp_path, arguments, sentence):
    done = train(*arguments, folder=tmp_path / "outputs", check=False)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not [path for path in (tmp_path / "outputs").glob("*") if not path.name.startswith(".")]


def test_a_sweep_survives_its_jobs_and_runs_what_is_missing(tmp_path, monkeypatch):
    """One job raises, one is killed; the others finish, the failures are named, and the next call does the rest."""
    (tmp_path / "sabotage").mkdir()
    # Imported by every Python that starts with it on its path: the jobs with seeds 2 and 3 fail while they train.
    (tmp_path / "sabotage" / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if '-seed2-' in sys.argv[-1] or '-seed3-' in sys.argv[-1]:\n"
        "    import lightning.pytorch as pl\n"
        "    def on_train_batch_end(self, *_):\n"
        "        if '-seed2-' in sys.argv[-1]: raise MemoryError('injected')\n"
        "        os.kill(os.getpid(), 9)\n"
        "    pl.LightningModule.on_train_batch_end = on_train_batch_end\n"
    )
    arguments = ["-m", *SMALL, "method=magnitude_before", "sparsity=0.5", "seed=1,2,3,4"]
    broken = train(
        *arguments, folder=tmp_path / "outputs", check=False, environment={"PYTHONPATH": str(tmp_path / "sabotage")}
    )
    assert broken.returncode != 0
    assert "2 of 4 runs completed" in broken.stdout
    assert "MemoryError: injected" in broken.stdout
    assert "-seed2-" in broken.stderr.splitlines()[-1]
    assert "killed by signal 9" in broken.stderr.splitlines()[-1]
    states = {result["seed"]: result["status"] for result in results(tmp_path / "outputs").values()}
    assert states == {1: "completed", 2: "failed", 4: "completed"}
    mended = train(*arguments, folder=tmp_path / "outputs")
    assert "4 of 4 runs completed" in mended.stdout
    assert {result["status"] for result in results(tmp_path / "outputs").values()} == {"completed"}


def test_a_sweep_checks_every_job_before_the_first(tmp_path):
    done = train("-m", *SMALL, "method=gmp", "sparsity=0.5,1.5", folder=tmp_path / "outputs", check=False)
    assert done.returncode == 2
    assert "sparsity=1.5 must be at least 0" in done.stderr
    assert not results(tmp_path / "outputs")


def test_a_killed_process_resumes_to_the_same_bits(tmp_path):
    arguments = [*SMALL, *of_method("rigl"), "model.dropout=0.1", "steps=400", "checkpoint_every=0"]
    train(*arguments, folder=tmp_path / "whole")
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(
        "import lightning.pytorch as pl\n"
        "pl.LightningModule.on_train_start = lambda self: print('begins at', self.trainer.global_step)\n"
    )
    command = [sys.executable, "train.py", *arguments, f"root={tmp_path / 'broken'}"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "broken").glob("*/checkpoints/last.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list((tmp_path / "broken").glob("*/checkpoints/last.ckpt"))
    assert not results(tmp_path / "broken")
    killed_at = torch.load(next((tmp_path / "broken").glob("*/checkpoints/last.ckpt")), weights_only=True)[
        "global_step"
    ]
    resumed = train(*arguments, folder=tmp_path / "broken", environment={"PYTHONPATH": str(tmp_path / "watch")})
    assert f"begins at {killed_at}" in resumed.stdout
    states = [
        torch.load(next((tmp_path / name).glob("*/checkpoints/last.ckpt")), weights_only=True)["state_dict"]
        for name in ("whole", "broken")
    ]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    metrics = [next(iter(results(tmp_path / name).values()))["metrics"] for name in ("whole", "broken")]
    assert metrics[0] == metrics[1]


def test_jobs_of_a_sweep_explain_themselves_in_one_sentence(tmp_path):
    done = train("-m", "model=pretrained", "model.name=/nowhere,/elsewhere", folder=tmp_path, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "(exit code 2): error: model.name=/nowhere is not a folder" in done.stdout
    assert "(exit code 2)" in done.stderr.splitlines()[-1]


def test_help_answers_without_the_heavy_imports(tmp_path):
    code = "import sys; sys.argv = ['train.py', '--help']; import runpy\n"
    code += "try: runpy.run_path('train.py', run_name='__main__')\n"
    code += "except SystemExit: pass\n"
    code += "print({'torch', 'lightning', 'transformers', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "method: " in done.stdout
    assert done.stdout.splitlines()[-1] == "set()"


def test_wandb_offline_makes_one_run_per_run(tmp_path):
    pytest.importorskip("wandb")
    environment = {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path)}
    train(*SMALL, "method=lth", "sparsity=0.2", "logger=wandb", folder=tmp_path, environment=environment)
    assert len(results(tmp_path)) == 2
    for run in results(tmp_path):
        assert len(list((tmp_path / run / "wandb").glob("offline-run-*/*.wandb"))) == 1


def test_wandb_without_an_account_is_refused_before_training(tmp_path):
    pytest.importorskip("wandb")
    environment = {"WANDB_MODE": "online", "WANDB_API_KEY": "", "HOME": str(tmp_path), "NETRC": "/nowhere"}
    done = train(*SMALL, "logger=wandb", folder=tmp_path / "outputs", check=False, environment=environment)
    assert done.returncode == 2
    assert "WANDB_MODE=offline" in done.stderr
    assert not list((tmp_path / "outputs").glob("*-seed*"))
