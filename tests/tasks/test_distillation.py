"""Distillation: what is compared, by hand; that padding and absent choices take no part; runs that train a teacher."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import train
from runs.identity import folder_digest, run_id
from runs.start import needs
from tasks.distillation import Distillation, divergence, over_tokens, soft, states
from tasks.losses import Outputs
from tasks.teacher import learned
from tests.conftest import composed, of_method
from tests.methods.building import parts

INFINITE = float("inf")


def outputs(logits: Tensor, hidden: tuple[Tensor, ...] = (), real: Tensor | None = None) -> Outputs:
    labels = torch.zeros(len(logits), dtype=torch.long)
    return Outputs(logits, labels, torch.zeros(len(logits)), hidden, torch.ones(1, 1).bool() if real is None else real)


def test_soft_targets_by_hand() -> None:
    teacher, student = torch.tensor([[math.log(3.0), 0.0]]), torch.tensor([[0.0, 0.0]])
    right, said = (0.75, 0.25), (0.5, 0.5)
    divergence_ = sum(p * math.log(p / q) for p, q in zip(right, said, strict=True))
    torch.testing.assert_close(soft(student, teacher, 1.0), torch.tensor(divergence_))
    right = (3**0.5 / (3**0.5 + 1), 1 / (3**0.5 + 1))
    divergence_ = 4 * sum(p * math.log(p / q) for p, q in zip(right, said, strict=True))
    torch.testing.assert_close(soft(student, teacher, 2.0), torch.tensor(divergence_))


def test_absent_choices_take_no_part() -> None:
    student = torch.tensor([[1.0, 2.0, -INFINITE]], requires_grad=True)
    teacher = torch.tensor([[0.5, -1.0, -INFINITE]])
    loss = soft(student, teacher, 2.0)
    torch.testing.assert_close(loss, soft(student[:, :2], teacher[:, :2], 2.0))
    loss.backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()
    assert student.grad[0, 2] == 0


def test_a_regression_learns_the_number() -> None:
    assert soft(torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [2.0]]), 5.0) == 2.0


def test_states_of_real_tokens_are_compared_layer_by_layer() -> None:
    """Layers 0, 1, 2 of the student with 0, 2, 4 of the teacher; one of two tokens is real."""
    real = torch.tensor([[True, False]])
    student = tuple(torch.tensor([[[float(layer)], [99.0]]]) for layer in range(3))
    teacher = tuple(torch.tensor([[[3.0 * layer], [-99.0]]]) for layer in range(5))
    found = states(outputs(torch.zeros(1, 2), student, real), outputs(torch.zeros(1, 2), teacher, real), nn.Identity())
    assert found == (0 + (1 - 6) ** 2 + (2 - 12) ** 2) / 3


def test_each_sequence_weighs_the_same_however_long() -> None:
    values, real = torch.tensor([[1.0, 9.0], [3.0, 5.0]]), torch.tensor([[True, False], [True, True]])
    assert over_tokens(values, real) == (1 + (3 + 5) / 2) / 2


def test_relations_ignore_padding() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 3, 4, 4, requires_grad=True), torch.randn(2, 3, 4, 4)
    real = torch.tensor([[True, True, True, False], [True, True, False, False]])
    expected = []
    for sequence, length in enumerate((3, 2)):
        p, q = (each[sequence, :, :length, :length].softmax(-1) for each in (teacher, student))
        expected.append((p * (p / q).log()).sum(-1).mean())
    loss = divergence(student, teacher, real)
    torch.testing.assert_close(loss, torch.stack(expected).mean())
    loss.backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()
    assert not student.grad[0, :, 3].any()
    assert not student.grad[:, :, :, 3].any()


SIZES = ["steps=4", "model.dropout=0.0"]
INSIDE = ["loss.hidden=1.0", "loss.attention=1.0"]


@pytest.fixture
def taught(small, tmp_path: Path):
    """A config with a teacher of the same sizes, after a few steps."""
    config = small("loss=distill", *SIZES)
    teacher = train.obtain(needs(config)["teacher"])
    return lambda *more: small("loss=distill", f"loss.teacher={teacher.folder}", *SIZES, *more)


@pytest.mark.parametrize("more", [[], INSIDE], ids=str)
@pytest.mark.parametrize("task", ["little_world_qa", "little_world_nli"])
def test_nothing_is_to_be_learned_from_oneself(small, tmp_path, task, more) -> None:
    teacher = train.obtain(small(f"task={task}", *SIZES))
    config = small(f"task={task}", "loss=distill", f"loss.teacher={teacher.folder}", *SIZES, *more)
    run = parts(config)
    state = learned(str(teacher.folder), run.module.network).state_dict()
    run.module.network.load_state_dict(state)
    batch = next(iter(run.module.train_dataloader()))
    loss = run.module.loss(batch)
    assert abs(loss.item()) < 1e-6
    run.module.network.load_state_dict({name: weight + torch.randn_like(weight) for name, weight in state.items()})
    assert run.module.loss(batch) > 1e-3


def test_padding_changes_nothing(taught) -> None:
    module = parts(taught(*INSIDE, "loss.share=0.5")).module
    batch = next(iter(module.train_dataloader()))
    torch.nn.init.normal_(module.network.classifier.weight)
    wider = {
        name: torch.cat([tensor, torch.zeros_like(tensor[..., :3])], -1) if tensor.dim() == 3 else tensor
        for name, tensor in batch.items()
    }
    assert wider["input_ids"].shape[-1] == batch["input_ids"].shape[-1] + 3
    torch.testing.assert_close(module.loss(wider), module.loss(batch))


def test_another_width_takes_a_projection_that_is_trained(taught) -> None:
    run = parts(taught("loss.hidden=1.0", "model.hidden_size=8"))
    optimized = {
        id(p) for group in run.module.configure_optimizers()["optimizer"].param_groups for p in group["params"]
    }
    assert {id(parameter) for parameter in run.module.objective.parameters()} <= optimized
    assert run.module.objective.projection.weight.shape == (16, 8)
    run.module.loss(next(iter(run.module.train_dataloader()))).backward()
    assert run.module.objective.projection.weight.grad.abs().sum() > 0
    assert all(not name.startswith("objective.") or "projection" in name for name in run.module.state_dict())


@pytest.mark.parametrize("method", ["gmp", "rigl", "lth", "magnitude_after", "learned_mask", "snip"])
def test_every_life_cycle_trains_with_a_teacher(taught, tmp_path, method) -> None:
    finished = train.obtain(taught(*of_method(method, 0.5), "steps=6"))
    assert finished.result is not None
    assert abs(finished.result["sparsity"]["scope"] - 0.5) < 0.01


def test_the_teacher_is_the_dense_run_of_the_task_and_is_trained_once() -> None:
    plain = run_id(composed())
    for more in ([], ["tuning=full"], ["method=gmp", "sparsity=0.5"], ["method=magnitude_after", "sparsity=0.5"]):
        found = needs(composed("loss=distill", *more))
        assert run_id(found["teacher"]) == plain
        assert run_id(found.get("weights", found["teacher"])) == plain
    assert "teacher" not in needs(composed("loss=distill", "loss.teacher=/somewhere"))
    with pytest.raises(ValueError, match="name the folder of a finished run"):
        needs(composed("loss=distill", "tuning=bitfit"))


@pytest.mark.parametrize("loss", ["distill", "confidence"])
def test_a_run_without_steps_needs_no_teacher(small, loss) -> None:
    of = ["task=little_world_nli", "steps=0"]
    evaluated, plain = (train.obtain(small(*of, *more, "tuning=bitfit")) for more in ([f"loss={loss}"], []))
    assert evaluated.result is not None
    assert plain.result is not None
    assert evaluated.result["metrics"] == plain.result["metrics"]
    assert sorted(each.name for each in evaluated.folder.parent.glob("little*")) == sorted([evaluated.id, plain.id])
    with pytest.raises(ValueError, match=r"loss\.teacher is missing"):
        train.obtain(small(*of, f"loss={loss}", *of_method("snip", 0.5)))


def test_a_method_that_prunes_and_evaluates_looks_at_the_gradients_of_the_loss(taught) -> None:
    of = [*of_method("snip", 0.5), "steps=0"]
    states = [torch.load(train.obtain(taught(*of, f"loss.share={s}")).checkpoint, weights_only=True) for s in (0, 1)]
    masks, others = (state["callbacks"]["Sparsifier"]["masks"] for state in states)
    assert any(not torch.equal(mask, others[name]) for name, mask in masks.items())


def test_another_teacher_is_another_run(taught, tmp_path) -> None:
    config = taught()
    before = run_id(config)
    assert before != run_id(taught("loss.temperature=3"))
    (Path(config.loss.teacher) / "model" / "added").write_text("anything")
    folder_digest.cache_clear()
    assert run_id(config) != before


@pytest.mark.parametrize(
    ("key", "value"),
    [("temperature", 0), ("temperature", INFINITE), ("share", 1.5), ("hidden", -1.0), ("attention", -0.1)],
)
def test_illegal_settings(key, value) -> None:
    with pytest.raises(ValueError, match=rf"loss\.{key}={value} must be"):
        Distillation(None, **{key: value})


def test_illegal_teachers(taught, small, tmp_path) -> None:
    folder = taught().loss.teacher
    with pytest.raises(
        ValueError, match=r"loss\.attention compares heads, of which the teacher has 2 and the network 4"
    ):
        parts(taught("loss.attention=1", "model.heads=4"))
    with pytest.raises(ValueError, match=r"has no trained classifier"):
        parts(small("task=little_world_nli", "loss=distill", f"loss.teacher={folder}"))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        parts(small("loss=distill", f"loss.teacher={tmp_path / 'nowhere'}"))
    with pytest.raises(ValueError, match=r"loss\.teacher is missing"):
        parts(small("loss=distill"))
