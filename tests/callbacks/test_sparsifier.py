"""What the sparsifier refuses, reports and holds under optimizers and networks of every kind."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Callback
from torch.optim import SGD, Adafactor, Adam, AdamW, RMSprop
from transformers import RobertaConfig, RobertaForMultipleChoice

from tests.conftest import of_method
from tests.methods.building import parts


@pytest.mark.parametrize(
    "optimizer",
    [
        partial(SGD, lr=0.1, momentum=0.9, weight_decay=0.01),
        partial(SGD, lr=0.1, momentum=0.9, nesterov=True),
        partial(Adam, lr=1e-3, weight_decay=0.01),
        partial(AdamW, lr=1e-3, amsgrad=True),
        partial(RMSprop, lr=1e-3, momentum=0.9),
        partial(Adafactor, lr=1e-2),
    ],
    ids=lambda optimizer: f"{optimizer.func.__name__}-{'-'.join(optimizer.keywords)}",
)
@pytest.mark.parametrize("method", ["gmp", "rigl"])
def test_zeros_stay_with_every_optimizer(small, tmp_path, method, optimizer):
    run = parts(small(*of_method(method)))
    run.module.optim = type(run.module.optim)(optimizer, run.module.optim.schedule)
    run.fit(tmp_path)
    for name, mask in run.sparsifier.masks.items():
        assert not run.weights[name][~mask].any()
    assert run.sparsifier.settled


def roberta(run):
    """Puts a small RoBERTa in the place of a run's network."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    vocabulary = {"vocab_size": len(run.module.tokenizer), "pad_token_id": 0, "max_position_embeddings": 64}
    run.module.network = RobertaForMultipleChoice(RobertaConfig(**sizes, **vocabulary, type_vocab_size=2))
    return run


@pytest.mark.parametrize("method", ["gmp", "rigl", "snip"])
def test_a_roberta_keeps_its_zeros(small, tmp_path, method):
    run = roberta(parts(small(*of_method(method))))
    run.fit(tmp_path)
    assert len(run.sparsifier.masks) == 12
    for name, mask in run.sparsifier.masks.items():
        assert not run.weights[name][~mask].any()


def test_embeddings_with_sparse_gradients_keep_their_count(small, tmp_path):
    run = parts(small(*of_method("rigl"), "scope=encoder_and_embeddings"))
    run.fit(tmp_path)
    name = "bert.embeddings.word_embeddings.weight"
    mask = run.sparsifier.masks[name]
    assert int(mask.sum()) == run.sparsifier.ledger(run.module)["tensors"][0]["target"]
    assert not run.weights[name][~mask].any()


def test_a_frozen_weight_can_be_pruned(small, tmp_path):
    run = parts(small(*of_method("gmp")))
    for name, weight in run.module.network.named_parameters():
        weight.requires_grad_("layer.0" not in name)
    run.fit(tmp_path)
    assert run.sparsifier.settled
    for name, mask in run.sparsifier.masks.items():
        assert not run.weights[name][~mask].any()


def test_a_layer_without_weights_is_named(small, tmp_path, caplog):
    config = small("method=magnitude_before", "sparsity=0.5")
    run = parts(config)
    name = "bert.encoder.layer.1.output.dense.weight"
    with torch.no_grad():
        dict(run.module.network.named_parameters())[name].mul_(1e-6)
    run.fit(tmp_path)
    assert f"{name} has no weights left" in caplog.text
    assert run.sparsifier.ledger(run.module)["empty"] == [name]


def test_a_leaking_weight_is_named(small, tmp_path):
    run = parts(small("method=magnitude_before", "sparsity=0.5"))

    class Leak(Callback):
        def on_train_batch_end(self, trainer, module, *_):
            name, mask = next(iter(run.sparsifier.masks.items()))
            with torch.no_grad():
                dict(module.network.named_parameters())[name][~mask] = 1.0

    with pytest.raises(RuntimeError, match=r"pruned weights of bert\.encoder\.layer\.0\..* are not zero"):
        run.fit(tmp_path, Leak())


def test_best_counts_only_once_the_target_is_reached(small, tmp_path):
    """Validation is best at the start, when nothing is pruned yet: that is not the best sparse model."""
    run = parts(small(*of_method("gmp"), "steps=20"))
    steps = iter([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.01])
    settled = []

    class Worse(Callback):
        def on_validation_epoch_end(self, trainer, module):
            settled.append((trainer.global_step, run.sparsifier.settled))
            trainer.callback_metrics["val/accuracy"].fill_(next(steps))
            module.metrics["val"]["accuracy"].compute = lambda value=trainer.callback_metrics["val/accuracy"]: value

    numbers = run.fit(tmp_path, Worse())
    first_settled = next(step for step, done in settled if done)
    assert settled[0] == (3, False)
    best = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["global_step"] == numbers["best"]["step"] == first_settled > 3
    shown = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.01][settled.index((first_settled, True))]
    assert numbers["best"]["val/accuracy"] == pytest.approx(shown)
    rows = [line.split(",") for line in (tmp_path / "metrics.csv").read_text().splitlines()[1:]]
    losses = {int(step): float(value) for step, name, value in rows if name == "val/loss"}
    assert numbers["best"]["val/loss"] == pytest.approx(losses[first_settled - 1])
    assert numbers["best"]["val/accuracy"] > numbers["metrics"]["val/accuracy"]


def test_illegal_checkpoint_without_masks(small, tmp_path):
    run = parts(small(*of_method("gmp")))
    run.fit(tmp_path / "first")
    state = torch.load(tmp_path / "first" / "checkpoints" / "last.ckpt", weights_only=True)
    del state["callbacks"]["Sparsifier"]
    torch.save(state, tmp_path / "without.ckpt")
    with pytest.raises(ValueError, match=r"without\.ckpt has no masks"):
        parts(small(*of_method("gmp"))).fit(tmp_path / "second", resume=tmp_path / "without.ckpt")


def test_illegal_masks_of_another_scope(small, tmp_path):
    parts(small(*of_method("gmp"), "scope=ffn")).fit(tmp_path / "first")
    with pytest.raises(ValueError, match="are not those of this model and scope"):
        parts(small(*of_method("gmp"))).fit(
            tmp_path / "second", resume=tmp_path / "first" / "checkpoints" / "last.ckpt"
        )


def test_illegal_checkpoint_of_another_model(small, tmp_path):
    parts(small(*of_method("gmp"), "model.layers=3")).fit(tmp_path / "first")
    with pytest.raises(ValueError, match="belongs to another model"):
        parts(small(*of_method("gmp"))).fit(
            tmp_path / "second", resume=tmp_path / "first" / "checkpoints" / "last.ckpt"
        )


def test_illegal_truncated_checkpoint(small, tmp_path):
    parts(small(*of_method("gmp"))).fit(tmp_path / "first")
    whole = (tmp_path / "first" / "checkpoints" / "last.ckpt").read_bytes()
    (tmp_path / "half.ckpt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"half\.ckpt is not a whole checkpoint"):
        parts(small(*of_method("gmp"))).fit(tmp_path / "second", resume=tmp_path / "half.ckpt")


def test_a_run_that_stops_short_of_its_target_is_a_failure(small, tmp_path):
    class Stop(Callback):
        def on_train_batch_end(self, trainer, *_):
            trainer.should_stop = trainer.global_step == 2

    with pytest.raises(RuntimeError, match="stopped at step 2 of 12"):
        parts(small(*of_method("gmp"))).fit(tmp_path, Stop())
