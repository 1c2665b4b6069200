"""What every method of conf/method/ keeps, without naming one."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback
from omegaconf import DictConfig
from transformers import AutoModelForMultipleChoice, AutoTokenizer

import callbacks.last_checkpoint
import tasks.task
import train
from runs.folder import Run
from sparsity.drop_grow import share
from tests.conftest import METHODS, of_method
from tests.methods.building import Parts, parts, takes_ticket

SPARSE = [method for method in METHODS if method != "dense"]


def built(small: Callable[..., DictConfig], tmp_path: Path, method: str, *overrides: str) -> Parts:
    """The parts of a method's run; a method whose mask comes from another run gets the ticket of a dense one."""
    config = small(*of_method(method), *overrides)
    if not takes_ticket(config):
        return parts(config)
    dense = parts(small())
    dense.fit(tmp_path / "dense")
    return parts(config, ticket=tmp_path / "dense" / "checkpoints" / "last.ckpt")


def left(run: Parts, sparsity: float) -> int:
    """Weights that a run leaves of its 4096: as many as asked, or where each row is rounded, 6 of 16 and 13 of 32."""
    numel = sum(mask.numel() for mask in run.sparsifier.masks.values())
    assert numel in (0, 4096)
    if run.config.method.name != "dense" and run.config.distribution._target_.endswith(".PerRow"):
        assert sparsity == 0.6
        return 2 * ((4 * 16 + 32) * 6 + 16 * 13)
    return round(numel * (1 - sparsity))


class Watcher(Callback):
    """Looks at the weights at every hook where anyone can, and at what the optimizer holds."""

    def __init__(self, sparsifier):
        self.sparsifier = sparsifier
        self.counts = {}
        self.looks = 0

    def look(self, trainer, module, *_):
        network = dict(module.network.named_parameters())
        for name, mask in self.sparsifier.masks.items():
            weight = network[name]
            assert torch.equal(weight.detach()[~mask], torch.zeros(int((~mask).sum())))
            assert not torch.signbit(weight.detach()[~mask]).any()
        self.look_at_moments(trainer, network)
        self.looks += 1

    def look_at_moments(self, trainer, network):
        for name, active in self.sparsifier.active.items():
            weight = network[name]
            for value in trainer.optimizers[0].state.get(weight, {}).values() if trainer.optimizers else ():
                if torch.is_tensor(value) and value.shape == weight.shape:
                    assert not value[~active].any()

    def on_before_optimizer_step(self, trainer, module, optimizer):
        network = dict(module.network.named_parameters())
        for name, active in self.sparsifier.active.items():
            gradient = network[name].grad
            assert gradient is None or not gradient[~active].any()
        self.counts[trainer.global_step] = {name: int(mask.sum()) for name, mask in self.sparsifier.masks.items()}
        self.look_at_moments(trainer, network)
        # The one place where pruned weights may be other than zero, for what an optimizer steps on behind their zeros.
        optimizer.register_step_post_hook(self.looking_once(trainer, module, trainer.global_step))

    def looking_once(self, trainer, module, step):
        """Looks behind the optimizer's step, and when it is called later, not any more."""
        return lambda *_: self.look(trainer, module) if trainer.global_step == step else None

    on_train_start = on_train_batch_start = on_train_batch_end = on_before_zero_grad = look
    on_validation_start = on_validation_end = on_train_end = on_test_start = look


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "trainer", [{}, {"accumulate_grad_batches": 2}, {"precision": "bf16-mixed"}, {"gradient_clip_val": 0.01}], ids=str
)
def test_pruned_weights_are_zero_wherever_one_looks(small, tmp_path, method, trainer):
    run = built(small, tmp_path, method, *(f"trainer.{key}={value}" for key, value in trainer.items()))
    watcher = Watcher(run.sparsifier)
    run.fit(tmp_path, watcher)
    assert watcher.looks > 12 * 4
    assert sum(int(mask.sum()) for mask in run.sparsifier.masks.values()) == left(run, run.config.sparsity)
    assert run.sparsifier.settled


@pytest.mark.parametrize("method", SPARSE)
def test_kept_weights_are_trained(small, tmp_path, method):
    run = built(small, tmp_path, method)
    initial = run.weights
    run.fit(tmp_path)
    weights = run.weights
    for name, mask in run.sparsifier.masks.items():
        active = run.sparsifier.active[name]
        assert (weights[name] != initial[name])[mask & active].all()
        assert (weights[name] == initial[name])[mask & ~active].all()


@pytest.mark.parametrize("method", SPARSE)
def test_sparsity_is_constant_or_follows_the_plan(small, tmp_path, method):
    run = built(small, tmp_path, method)
    watcher = Watcher(run.sparsifier)
    run.fit(tmp_path, watcher)
    counts, plan = watcher.counts, run.sparsifier.plan
    totals = {step: sum(counts[step].values()) for step in sorted(counts)}
    if "drop" in run.config.method.sparsifier:
        assert plan
        surplus = dict.fromkeys(totals, 0)
        if run.sparsifier.exchange.has_surplus:
            for step in surplus:
                value = plan[max((at for at in plan if at <= step), default=max(plan))]
                surplus[step] = sum(share(value, count) for count in counts[0].values())
            grown = [surplus[step] for step in plan]
            assert grown == sorted(grown, reverse=True)
            assert grown[0] > grown[-1] == 0
        assert {step: total - totals[0] for step, total in totals.items()} == surplus
        if run.sparsifier.tensors_keep_counts:
            assert all(each == counts[0] for step, each in counts.items() if surplus[step] == 0)
    elif "threshold" in run.config.method.sparsifier:  # the plan is a floor, until its end
        assert all(total >= left(run, plan.get(step, 0.0)) for step, total in totals.items())
        assert totals[max(totals)] == left(run, run.config.sparsity)
    else:
        before, planned = (totals[0], plan.get(0, 0.0))
        for step, total in totals.items():
            value = plan.get(step, planned)
            assert total == before if value == planned else (total < before) == (value > planned)
            if step in plan:
                assert total == left(run, value)
            before, planned = total, value


class Killed(BaseException):
    """Stands for a SIGKILL: nothing of ours catches it."""


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_run_ends_as_if_nothing_had_happened(small, tmp_path, monkeypatch, method):
    overrides = [*of_method(method), "model.dropout=0.1", "checkpoint_every=0", "steps=23"]
    whole = train.obtain(small(*overrides, f"root={tmp_path / 'whole'}"))
    original = callbacks.last_checkpoint.LastCheckpoint.on_train_batch_start
    config = small(*overrides, f"root={tmp_path / 'broken'}")
    # Validations come every 3 steps, and the state is not saved at theirs. The attempts go on where the last one was.
    seen = []
    for step, saved in {4: 4, 9: 8, 15: 14}.items():

        def killing(self, trainer, *arguments, step=step):
            original(self, trainer, *arguments)
            seen.append(trainer.global_step)
            if trainer.global_step == step:
                raise Killed

        monkeypatch.setattr(callbacks.last_checkpoint.LastCheckpoint, "on_train_batch_start", killing)
        with pytest.raises(Killed):
            train.obtain(config)
        unfinished = [path for path in (tmp_path / "broken").glob("*-seed*") if not (path / "result.json").exists()]
        states = [torch.load(path / "checkpoints" / "last.ckpt", weights_only=True) for path in unfinished]
        assert [state["global_step"] for state in states] == [saved]
    monkeypatch.setattr(callbacks.last_checkpoint.LastCheckpoint, "on_train_batch_start", original)
    assert seen == [*range(0, 5), *range(4, 10), *range(8, 16)]
    broken = train.obtain(config)
    states = [torch.load(run.checkpoint, weights_only=True) for run in (whole, broken)]
    assert states[0]["state_dict"].keys() == states[1]["state_dict"].keys()
    for name, weight in states[0]["state_dict"].items():
        assert torch.equal(weight, states[1]["state_dict"][name]), name
    for name, bits in states[0]["callbacks"]["Sparsifier"]["masks"].items():
        assert torch.equal(bits, states[1]["callbacks"]["Sparsifier"]["masks"][name]), name
    assert broken.result["metrics"] == whole.result["metrics"]
    assert broken.result["steps"] == whole.result["steps"] == 23
    assert (broken.folder / "metrics.csv").read_text() == (whole.folder / "metrics.csv").read_text()


def test_a_kill_after_the_last_step_costs_nothing(small, tmp_path, monkeypatch):
    whole = train.obtain(small(*of_method("gmp"), f"root={tmp_path / 'whole'}"))
    original = tasks.task.Task.save
    monkeypatch.setattr(tasks.task.Task, "save", _killed)
    config = small(*of_method("gmp"), f"root={tmp_path / 'broken'}")
    with pytest.raises(Killed):
        train.obtain(config)
    monkeypatch.setattr(tasks.task.Task, "save", original)
    broken = train.obtain(config)
    assert broken.result["metrics"] == whole.result["metrics"]
    assert broken.result["steps"] == whole.result["steps"]
    assert (broken.folder / "metrics.csv").read_text() == (whole.folder / "metrics.csv").read_text()


def _killed(*_):
    raise Killed


def test_a_rewound_ticket_has_a_best_checkpoint_of_its_own(small):
    run = train.obtain(small("method=lth", "sparsity=0.3", "steps=20", "method.start.rewind_step=11"))
    best = torch.load(run.folder / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["global_step"] == run.result["best"]["step"] > 11
    assert best["callbacks"]["Sparsifier"]["masks"]


def test_illegal_rewind_step_beyond_the_run(small):
    with pytest.raises(ValueError, match="must be below the run's 12 steps"):
        train.obtain(small("method=lth", "sparsity=0.3", "steps=null", "epochs=0.3", "method.start.rewind_step=500"))


def test_pruning_a_model_that_was_not_trained(small):
    run = train.obtain(small("method=magnitude_after", "sparsity=0.5", "steps=0"))
    assert run.result["steps"] == 0
    assert run.result["sparsity"]["scope"] == 0.5


@pytest.mark.parametrize("method", METHODS)
def test_a_run_leaves_what_it_promises(small, method):
    config = small(*of_method(method))
    run = train.obtain(config)
    assert {path.name for path in run.folder.iterdir()} == {
        "config.yaml", "result.json", "metrics.csv", "ledger.json", "checkpoints", "model", "predictions",
    }  # fmt: skip
    assert {path.name for path in (run.folder / "checkpoints").iterdir()} == {"last.ckpt", "best.ckpt"}
    result = json.loads((run.folder / "result.json").read_text())
    assert result["status"] == "completed"
    assert (result["task"], result["model"], result["method"], result["seed"]) == ("little_world_qa", "tiny", method, 1)
    assert result["sparsity"]["target"] == config.sparsity
    assert {"val/accuracy", "val/loss", "test/accuracy", "test/loss"} == set(result["metrics"])
    network = AutoModelForMultipleChoice.from_pretrained(run.folder / "model")
    AutoTokenizer.from_pretrained(run.folder / "model")
    weights = dict(network.named_parameters())
    ledger = json.loads((run.folder / "ledger.json").read_text())
    for row in ledger["tensors"]:
        assert int(weights[row["name"]].count_nonzero()) <= row["kept"]
        assert list(weights[row["name"]].shape) == row["shape"]
    assert ledger["scope"]["sparsity"] == result["sparsity"]["scope"]


@pytest.mark.parametrize("method", METHODS)
def test_a_finished_run_is_not_trained_again(small, monkeypatch, method):
    config = small(*of_method(method))
    first = train.obtain(config)
    monkeypatch.setattr(train, "train", lambda *_: pytest.fail("trained again"))
    assert train.obtain(config).result == first.result


@pytest.mark.parametrize("method", ["dense", "magnitude_before", "sr_ste"])
def test_zero_sparsity_is_the_dense_run(small, tmp_path, method):
    dense = train.obtain(small())
    same = train.obtain(small(f"method={method}", "sparsity=0"))
    weights = [torch.load(run.checkpoint, weights_only=True)["state_dict"] for run in (dense, same)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_after_starts_from_the_trained_weights_and_may_only_evaluate(small):
    config = small("method=magnitude_after", "sparsity=0.5", "method.retrain_steps=0")
    run = train.obtain(config)
    dense = Run(small())
    assert run.result["started_from"] == dense.id
    assert run.result["steps"] == 0
    trained = torch.load(dense.checkpoint, weights_only=True)["state_dict"]
    network = AutoModelForMultipleChoice.from_pretrained(run.folder / "model")
    kept = 0
    for name, weight in network.named_parameters():
        places = weight != 0 if ".layer." in name and weight.dim() == 2 else torch.ones_like(weight, dtype=torch.bool)
        assert torch.equal(weight[places], trained[f"network.{name}"][places])
        kept += int(places.sum())
    assert kept < sum(weight.numel() for weight in network.parameters())
