"""Debiasing losses: tables by hand, what they are without bias, gradients, and runs with every life cycle."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

import train
from runs.start import needs
from tasks.debiasing import ConfidenceRegularization, LearnedMixin, ProductOfExperts, Reweighting
from tasks.rows import Pair
from tests.conftest import of_method
from tests.methods.building import parts

ROWS = [Pair(f"a{i}", "b", label, str(i)) for i, label in enumerate([0, 2, 1, 0])]
LABELS = torch.tensor([row.label for row in ROWS])
BIAS = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [0.6, 0.3, 0.1], [0.2, 0.4, 0.4]])
NETWORK: Any = SimpleNamespace(config=SimpleNamespace(num_labels=3, id2label=dict(enumerate("abc")), hidden_size=2))
INDEX = torch.tensor([3, 1, 0, 2])  # batches are in no order
LOSSES = ["poe", "reweight", "confidence", "learned_mixin"]


def prepared(loss: Any, folder: Path, bias: Tensor = BIAS) -> Any:
    torch.manual_seed(0)
    np.save(folder / "bias.npy", bias.numpy())
    loss.bias_file = str(folder / "bias.npy")
    loss.prepare(NETWORK, ROWS)
    return loss


def of(loss: Any, logits: Tensor, **more: Any) -> Tensor:
    """The loss of the four rows, which are in one batch."""
    labels = LABELS[INDEX]
    losses = functional.cross_entropy(logits, labels, reduction="none")
    outputs: Any = SimpleNamespace(logits=logits, labels=labels, losses=losses, **more)
    return loss(outputs, {"index": INDEX}, lambda network: SimpleNamespace(logits=network.said))


@pytest.fixture
def logits() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(4, 3, requires_grad=True)


def test_product_of_experts_by_hand(tmp_path, logits) -> None:
    expected = 0.0
    for row, index in zip(logits.tolist(), INDEX.tolist(), strict=True):
        products = [math.exp(z) * b for z, b in zip(row, BIAS[index].tolist(), strict=True)]
        expected -= math.log(products[ROWS[index].label or 0] / sum(products)) / 4
    assert of(prepared(ProductOfExperts(), tmp_path), logits).item() == pytest.approx(expected, abs=1e-6)


def test_reweighting_by_hand(tmp_path, logits) -> None:
    weights = [1 - 0.5, 1 - 0.8, 1 - 0.3, 1 - 0.2]
    losses = functional.cross_entropy(logits, LABELS[INDEX], reduction="none").tolist()
    for beta in (1.0, 2.0):
        mean = sum(w**beta for w in weights) / 4
        expected = sum(weights[i] ** beta / mean * loss for i, loss in zip(INDEX.tolist(), losses, strict=True)) / 4
        assert of(prepared(Reweighting(beta=beta), tmp_path), logits).item() == pytest.approx(expected, abs=1e-6)


def test_confidence_by_hand(tmp_path, logits) -> None:
    said = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
    expected = 0.0
    for row, taught, index in zip(logits.log_softmax(-1).tolist(), said.softmax(-1).tolist(), INDEX, strict=True):
        known = BIAS[index][ROWS[index].label or 0].item()
        scaled = [t ** (1 - known) for t in taught]
        expected -= sum(s / sum(scaled) * log for s, log in zip(scaled, row, strict=True)) / 4
    assert of(confident(tmp_path, said), logits).item() == pytest.approx(expected, abs=1e-6)


def confident(folder: Path, said: Tensor, bias: Tensor = BIAS) -> Any:
    loss = ConfidenceRegularization("unused")
    loss.bias_file = str(folder / "bias.npy")
    np.save(folder / "bias.npy", bias.numpy())
    super(ConfidenceRegularization, loss).prepare(NETWORK, ROWS)
    loss._teacher = SimpleNamespace(says=lambda by, device: by(SimpleNamespace(said=said)))
    return loss


def test_learned_mixin_by_hand(tmp_path, logits) -> None:
    loss = prepared(LearnedMixin(penalty=0.5), tmp_path)
    hidden = torch.randn(4, 5, 2)
    expected = 0.0
    for row, state, index in zip(logits.log_softmax(-1).tolist(), hidden[:, 0], INDEX, strict=True):
        trust = math.log1p(math.exp((loss.trust.weight[0] @ state + loss.trust.bias[0]).item()))
        powers = [b**trust for b in BIAS[index].tolist()]
        products = [math.exp(z) * power for z, power in zip(row, powers, strict=True)]
        shares = [power / sum(powers) for power in powers]
        expected -= math.log(products[ROWS[index].label or 0] / sum(products)) / 4
        expected -= 0.5 * sum(share * math.log(share) for share in shares) / 4
    assert of(loss, logits, hidden=(hidden,)).item() == pytest.approx(expected, abs=1e-6)
    of(loss, logits, hidden=(hidden,)).backward()
    assert loss.trust.weight.grad.abs().sum() > 0


def test_without_bias_they_are_cross_entropy(tmp_path, logits) -> None:
    uniform = torch.full((4, 3), 1 / 3)
    plain = functional.cross_entropy(logits, LABELS[INDEX])
    gradient = torch.autograd.grad(plain, logits)[0]
    even = torch.randn(4, 5, 2)
    for loss, more in (
        (prepared(ProductOfExperts(), tmp_path, uniform), {}),
        (prepared(Reweighting(beta=0.0), tmp_path), {}),
        (prepared(Reweighting(beta=3.0), tmp_path, uniform), {}),
        (prepared(LearnedMixin(penalty=0.0), tmp_path, uniform), {"hidden": (even,)}),
    ):
        found = of(loss, logits, **more)
        torch.testing.assert_close(found, plain)
        torch.testing.assert_close(torch.autograd.grad(found, logits)[0], gradient)


def test_confidence_between_a_teacher_and_no_opinion(tmp_path, logits) -> None:
    """Where bias knows nothing the target is the teacher's, where it knows all it is uniform."""
    said, small = torch.randn(4, 3), 1e-6
    ignorant = torch.full((4, 3), 0.5).scatter(1, LABELS[:, None], small)
    found = of(confident(tmp_path, said, ignorant), logits)
    torch.testing.assert_close(found, functional.cross_entropy(logits, said.softmax(-1)), atol=1e-4, rtol=0)
    sure = torch.full((4, 3), small / 2).scatter(1, LABELS[:, None], 1 - small)
    found = of(confident(tmp_path, said, sure), logits)
    torch.testing.assert_close(found, -logits.log_softmax(-1).mean(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", [ProductOfExperts, Reweighting])
def test_gradients_by_finite_differences(tmp_path, kind) -> None:
    loss = prepared(kind(), tmp_path).double()
    assert torch.autograd.gradcheck(lambda z: of(loss, z), torch.randn(4, 3, dtype=torch.double, requires_grad=True))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda: Reweighting(beta=-1), "loss.beta=-1 must be at least 0"),
        (lambda: LearnedMixin(penalty=-1), "loss.penalty=-1 must be at least 0"),
        (lambda: ConfidenceRegularization(None).prepare(NETWORK, ROWS), "loss.teacher is missing"),
    ],
)
def test_illegal_arguments(loss, message) -> None:
    with pytest.raises(ValueError, match=message):
        loss()


def test_illegal_task(small) -> None:
    with pytest.raises(ValueError, match="needs texts or pairs with classes"):
        parts(small("loss=poe"))


def test_illegal_certainty(tmp_path) -> None:
    sure = torch.full((4, 3), 1e-30, dtype=torch.double).scatter(1, LABELS[:, None], 1.0)
    with pytest.raises(ValueError, match="nothing is left to learn from"):
        prepared(Reweighting(), tmp_path, sure)


BIASED = ["task=little_world_biased", "task.data.unbiased=24"]


@pytest.fixture
def biased(small):
    return lambda *more: small(*BIASED, *more)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_trains_and_is_evaluated_beside_validation(biased, loss) -> None:
    finished = train.obtain(biased(f"loss={loss}", *of_method("learned_mask")))
    assert finished.result["metrics"].keys() >= {"val/accuracy", "ood/unbiased/accuracy", "ood/unbiased/loss"}
    state = torch.load(finished.checkpoint, weights_only=True)["state_dict"]
    own = {name for name in state if not name.startswith("network.")}
    assert own == ({"objective.trust.weight", "objective.trust.bias"} if loss == "learned_mixin" else set())


@pytest.mark.parametrize("method", ["snip", "obert", "lth"])
def test_scores_descend_the_same_loss(biased, method) -> None:
    finished = train.obtain(biased("loss=learned_mixin", *of_method(method, 0.5)))
    assert abs(finished.result["sparsity"]["scope"] - 0.5) < 0.01


@pytest.mark.parametrize("loss", LOSSES)
def test_accumulation_changes_rounding_only(biased, tmp_path, loss) -> None:
    more = [] if loss != "confidence" else [f"loss.teacher={train.obtain(biased()).folder}"]
    options: dict[str, list[str]] = {"plain": [], "accumulated": ["trainer.accumulate_grad_batches=2"]}
    if loss == "learned_mixin":  # the one that computes with parameters of its own
        options["half"] = ["trainer.precision=bf16-mixed"]
    losses = {}
    for name, overrides in options.items():
        run = parts(biased(f"loss={loss}", *more, *overrides))
        losses[name] = run.fit(tmp_path / name)["metrics"]["val/loss"]
    assert losses["accumulated"] == pytest.approx(losses["plain"], abs=1e-4)
    assert losses.get("half", losses["plain"]) == pytest.approx(losses["plain"], abs=2e-2)


def test_the_teacher_has_not_seen_other_distributions(biased, tmp_path) -> None:
    config = biased("loss=confidence", "ood=hans", f"ood.hans.data_dir={tmp_path}", "+ood.hans.names.train=x")
    teacher = needs(config)["teacher"]
    assert dict(config.ood.hans.names).keys() == {"test", "train"}
    assert dict(teacher.ood.hans.names).keys() == {"test"}
