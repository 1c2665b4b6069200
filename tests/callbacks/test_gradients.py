"""What scores get to see outside the steps of training, against loops and finite differences."""

from types import SimpleNamespace

import pytest
import torch
from hydra.errors import InstantiationException
from lightning.pytorch import Callback
from torch import nn

from callbacks.activations import input_norms
from callbacks.gradients import batch_gradients, flow_gradient, hessian_gradient, mean_gradient
from tests.conftest import of_method
from tests.methods.building import parts


class TwoLayers(nn.Module):
    """What `Trained` asks of a module, with data of its own: pairs of inputs and targets."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
        self.batches = [(torch.randn(5, 3).double(), torch.randn(5, 2).double()) for _ in range(6)]

    def loss(self, batch):
        return (self.network(batch[0]) - batch[1]).square().mean()

    def outputs(self, batch):
        return self.network(batch[0])

    def sample_dataloader(self, batches):
        return iter(self.batches)

    def tokens(self, batch):
        return torch.ones(1, len(batch[0]), dtype=torch.bool)


@pytest.fixture
def trainer(small):
    """A trainer that is not training, of two micro-batches a step."""
    return SimpleNamespace(
        accumulate_grad_batches=2,
        strategy=SimpleNamespace(batch_to_device=lambda batch: batch, reduce=lambda tensor, reduce_op: tensor),
        precision_plugin=SimpleNamespace(forward_context=torch.enable_grad),
    )


def test_hessian_times_gradient_is_a_finite_difference_of_gradients(trainer):
    module = TwoLayers()
    weights = {name: weight for name, weight in module.network.named_parameters() if weight.dim() == 2}
    found = hessian_gradient(trainer, module, weights, 3)
    gradient = mean_gradient(trainer, module, weights, 3)
    moved, step = {}, 1e-5
    for sign in (1, -1):
        with torch.no_grad():
            for name, weight in weights.items():
                weight.add_(gradient[name], alpha=sign * step)
        moved[sign] = mean_gradient(trainer, module, weights, 3)
        with torch.no_grad():
            for name, weight in weights.items():
                weight.sub_(gradient[name], alpha=sign * step)
    for name, product in found.items():
        expected = (moved[1][name] - moved[-1][name]) / (2 * step)
        torch.testing.assert_close(product, expected, rtol=1e-6, atol=1e-9)
        assert product.abs().max() > 0.01


def test_input_norms_are_those_of_all_tokens(trainer):
    module = TwoLayers()
    found = input_norms(
        trainer, module, {"0.weight": module.network[0].weight, "2.weight": module.network[2].weight}, 2
    )
    inputs = torch.cat([batch[0] for batch in module.batches[:4]])
    torch.testing.assert_close(found["0.weight"], inputs.norm(dim=0).float())
    hidden = torch.tanh(module.network[0](inputs)).detach()
    torch.testing.assert_close(found["2.weight"], hidden.norm(dim=0).float())
    assert not module.network[0]._forward_pre_hooks


@pytest.mark.parametrize("task", ["little_world_qa", "little_world_nli"])  # with a dimension of choices, and without
def test_input_norms_do_not_change_with_more_padding(small, trainer, task):
    module = parts(small(f"task={task}", "model.dropout=0.0")).module
    # The pooler sees one vector per sequence, all others one per token.
    weights = {n: w for n, w in module.network.named_parameters() if n.endswith("dense.weight") or "query" in n}
    assert any("pooler" in name for name in weights)
    batches = [longer(batch, number) for number, batch in enumerate(module.sample_dataloader(4))]
    module.sample_dataloader = lambda number: batches
    found = input_norms(trainer, module, weights, 2)
    module.sample_dataloader = lambda number: [longer(batch, 5) for batch in batches]
    for name, norm in input_norms(trainer, module, weights, 2).items():
        torch.testing.assert_close(norm, found[name])
    seen = []
    query = module.network.get_submodule("bert.encoder.layer.0.attention.self.query")
    query.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    squares = 0
    for batch in batches:
        module.eval().loss(batch)
        for row, real in zip(seen.pop(), batch["attention_mask"].flatten(end_dim=-2), strict=True):
            squares += row[: int(real.sum())].square().sum(0)
    torch.testing.assert_close(found["bert.encoder.layer.0.attention.self.query.weight"], squares.sqrt())


def longer(batch, more):
    """The same batch with more padding."""
    wide = {key: value for key, value in batch.items() if key in ("input_ids", "attention_mask", "token_type_ids")}
    return batch | {key: nn.functional.pad(value, (0, more)) for key, value in wide.items()}


def test_batch_gradients_sum_micro_batches(trainer):
    module = TwoLayers()
    weights = dict(module.network.named_parameters())
    found = list(batch_gradients(trainer, module, weights, 3))
    for number, gradients in enumerate(found):
        loss = (module.loss(module.batches[2 * number]) + module.loss(module.batches[2 * number + 1])) / 2
        for (name, gradient), expected in zip(
            gradients.items(), torch.autograd.grad(loss, weights.values()), strict=True
        ):
            torch.testing.assert_close(gradient, expected, msg=name)
    assert all(weight.grad is None for weight in weights.values())


class Asked(Callback):
    """Asks for what scores may see before a step, and remembers what there was around it."""

    def __init__(self, step):
        self.step = step

    def on_before_optimizer_step(self, trainer, module, optimizer):
        if trainer.global_step != self.step:
            return
        weights = {n: w for n, w in module.network.named_parameters() if ".layer." in n and w.dim() == 2}
        before = torch.get_rng_state(), {name: weight.grad.clone() for name, weight in weights.items()}
        self.seen = {
            "gradient": mean_gradient(trainer, module, weights, 4),
            "hessian_gradient": hessian_gradient(trainer, module, weights, 2),
            "norm": input_norms(trainer, module, weights, 4),
            "flow": flow_gradient(module, weights),
        }
        assert torch.equal(before[0], torch.get_rng_state())
        assert all(torch.equal(weight.grad, before[1][name]) for name, weight in weights.items())
        assert module.training


def test_the_last_step_samples_beyond_the_end_of_the_run_and_leaves_no_trace(small, tmp_path):
    asked, weights = Asked(11), []
    for name, watchers in {"asked": [asked], "not": []}.items():
        run = parts(small("model.dropout=0.1"))
        run.fit(tmp_path / name, *watchers)
        weights.append(run.weights)
    assert all(torch.equal(weight, weights[1][name]) for name, weight in weights[0].items())
    for tensors in asked.seen.values():
        assert all(bool(tensor.isfinite().all()) and bool(tensor.any()) for tensor in tensors.values())
    assert all(tensor.dtype == torch.float64 for tensor in asked.seen["flow"].values())


def test_samples_are_the_batches_that_training_takes_next(small):
    module = parts(small()).module
    ahead, training = list(module.sample_dataloader(15)), list(module.train_dataloader())
    assert (len(ahead), len(training)) == (15, 12)
    for one, other in zip(ahead, training, strict=False):
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_illegal_input_norm_of_an_embedding(small, tmp_path):
    run = parts(small(*of_method("wanda"), "scope=encoder_and_embeddings"))
    with pytest.raises(
        ValueError, match=r"word_embeddings\.weight belongs to a layer of the type Embedding.*scope=enc"
    ):
        run.fit(tmp_path)


def test_illegal_number_of_batches(small):
    with pytest.raises(InstantiationException, match=r"method\.sparsifier\.gradient_batches=0 must be at least 1"):
        parts(small(*of_method("snip"), "method.sparsifier.gradient_batches=0"))
