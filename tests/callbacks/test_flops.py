"""What a run says of its work is the sum over its batches."""

import pytest

import train
from sparsity.drop_grow import share
from tests.conftest import of_method
from tests.methods.building import parts

METHODS = [
    "dense",
    "gmp",
    "rigl",
    "set",
    "mest_soft",
    "snip",
    "snip_rigl",
    "sr_ste",
    "top_kast",
    "grasp",
    "obert_gradual",
    "movement",
]
GRADUAL = ("gmp", "obert_gradual", "movement")


def formula(batch, density, inner=32, classes=1):
    """A forward pass of the tiny BERT of the tests, its encoder at a density."""
    hidden, layers = 16, 2
    *sequences, length = batch["input_ids"].shape
    count = sequences[0] if len(sequences) == 1 else sequences[0] * sequences[1]
    encoder = layers * 2 * (4 * hidden**2 + 2 * hidden * inner) * density
    return count * (length * encoder + length**2 * layers * 4 * hidden + 2 * (hidden**2 + classes * hidden))


@pytest.mark.parametrize("method", METHODS)
def test_the_sum_over_batches(small, tmp_path, method):
    more = ["method.sparsifier.schedule.every=5"] if method in ("rigl", "set", "snip_rigl", *GRADUAL) else []
    more += ["distribution=uniform"] if method != "dense" else []
    config = small(*of_method(method), "trainer.accumulate_grad_batches=2", *more)
    run, untrained = parts(config), parts(config).module
    numbers = run.fit(tmp_path)
    plan = dict(run.sparsifier.plan)
    density = 1.0 if method in ("dense", *GRADUAL) else 0.4
    expected = 0.0
    for index, batch in enumerate(untrained.train_dataloader()):
        step = index // 2
        if method in GRADUAL:
            # The masks of an update hold from the step behind it on: its own forward pass is as before.
            density = 1 - max((value for at, value in plan.items() if at < step or at == 0), default=0.0)
        if method == "mest_soft":
            fraction = next((value for at, value in reversed(plan.items()) if at < step), 0.0)
            kept = [int(mask.sum()) for mask in run.sparsifier.masks.values()]
            density = sum(count + share(fraction, count) for count in kept) / sum(kept) * 0.4
        sparse, dense = formula(batch, density), formula(batch, 1.0)
        expected += 3 * sparse
        if method in ("rigl", "snip_rigl") and step > 0 and step in plan:
            expected += dense - sparse
        if method == "sr_ste":
            expected += dense - sparse
        if method == "top_kast":  # 0.375 of the pruned 0.6 have gradients, too
            expected += formula(batch, 0.4 + 0.375 * 0.6) - sparse
        if method in ("snip", "snip_rigl") and step == 0:
            expected += 3 * dense
        if method == "grasp" and step == 0:
            expected += 3 * 12 * dense
        if method == "obert_gradual" and step in plan:
            expected += 3 * 3 * sparse
    assert numbers["flops"]["train"] == pytest.approx(expected, rel=1e-3)
    batches = list(untrained.val_dataloader()[0])
    dense = sum(formula(batch, 1.0) for batch in batches) / 24
    sparse = sum(formula(batch, 1.0 if method == "dense" else 0.4) for batch in batches) / 24
    assert numbers["flops"]["dense_inference"] == pytest.approx(dense)
    assert numbers["flops"]["inference"] == pytest.approx(sparse, rel=1e-3)


@pytest.mark.parametrize("loss", ["distill", "confidence"])
def test_a_teacher_costs_a_forward_pass_of_its_own_size_and_zeros(small, tmp_path, loss):
    of = ["task=little_world_nli"]
    teacher = train.obtain(small(*of, "method=magnitude_before", "sparsity=0.75", "model.intermediate_size=64"))
    config = small(*of, f"loss={loss}", f"loss.teacher={teacher.folder}", "trainer.accumulate_grad_batches=2")
    run = parts(config)
    untrained = parts(config).module
    numbers = run.fit(tmp_path)
    expected = 0.0
    for batch in untrained.train_dataloader():
        work = formula(batch, 1.0, classes=3), formula(batch, 0.25, inner=64, classes=3)
        expected += 3 * work[0] + work[1]
    assert numbers["flops"]["train"] == pytest.approx(expected, rel=1e-3)
    assert numbers["flops"]["inference"] == numbers["flops"]["dense_inference"]


def test_a_resumed_run_counts_what_the_whole_one_counts(small, tmp_path):
    config = small(*of_method("rigl"))
    whole = parts(config).fit(tmp_path / "whole")
    parts(config).fit(tmp_path / "parts", stop_step=5)
    resumed = parts(config).fit(tmp_path / "parts", resume=tmp_path / "parts" / "checkpoints" / "last.ckpt")
    assert resumed["flops"] == whole["flops"]


def test_each_round_and_each_batch_of_a_score_counts(small, tmp_path):
    def work(rounds, batches):
        more = [f"+method.sparsifier.rounds={rounds}", f"method.sparsifier.gradient_batches={batches}"]
        run = parts(small(*of_method("snip"), "distribution=uniform", *more))
        return run.fit(tmp_path / f"{rounds}of{batches}")["flops"]["train"]

    score = 3 * formula(next(iter(parts(small()).module.train_dataloader())), 1.0)
    assert work(3, 2) - work(1, 1) == pytest.approx(5 * score)
