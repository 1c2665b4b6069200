"""What flows through a network without data, against a product of matrices and the law of conservation."""

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMultipleChoice,
    BertForSequenceClassification,
    RobertaConfig,
    RobertaForMultipleChoice,
    RobertaForSequenceClassification,
)

from models.flow import flow

SIZES = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12, "vocab_size": 20}
NETWORKS = [
    (BertForMultipleChoice, BertConfig, 3),
    (BertForSequenceClassification, BertConfig, 2),
    (RobertaForMultipleChoice, RobertaConfig, 3),
    (RobertaForSequenceClassification, RobertaConfig, 2),
]


def built(kind, config, **more):
    torch.manual_seed(0)
    network = kind(config(**SIZES, max_position_embeddings=16, **more)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    return network


def flowing(network, dims, **changed):
    weights = {name: weight.detach().double() for name, weight in network.named_parameters() if weight.dim() == 2}
    weights |= changed
    for weight in weights.values():
        weight.requires_grad_()
    value = flow(network, weights, torch.zeros([1] * dims, dtype=torch.long))
    gradients = torch.autograd.grad(value, list(weights.values()))
    return value.detach(), {
        name: (weight.detach() * gradient) for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
    }


def by_hand(network):
    """The same, as products of positive matrices."""
    w = {name: weight.detach().double().abs() for name, weight in network.named_parameters()}
    prefix = network.base_model_prefix
    hidden = sum(weight.sum(0) for name, weight in w.items() if "embeddings" in name and weight.dim() == 2)
    for layer in range(SIZES["num_hidden_layers"]):
        at = f"{prefix}.encoder.layer.{layer}."
        three = sum(w[f"{at}attention.self.{part}.weight"] for part in ("query", "key", "value"))
        hidden = w[f"{at}attention.output.dense.weight"] @ three @ hidden
        hidden = w[f"{at}output.dense.weight"] @ w[f"{at}intermediate.dense.weight"] @ hidden
    for name, weight in w.items():
        if ("pooler" in name or not name.startswith(prefix)) and weight.dim() == 2:
            hidden = weight @ hidden
    return hidden.sum()


@pytest.mark.parametrize(("kind", "config", "dims"), NETWORKS)
def test_flow_is_a_product_of_positive_matrices(kind, config, dims):
    network = built(kind, config)
    torch.testing.assert_close(flowing(network, dims)[0], by_hand(network))


@pytest.mark.parametrize(("kind", "config", "dims"), NETWORKS)
def test_what_flows_into_a_neuron_flows_out_of_it(kind, config, dims):
    """Conservation (Tanaka et al. 2020, theorems 1 and 2)."""
    network = built(kind, config)
    total, scores = flowing(network, dims)
    assert all((score > 0).all() for score in scores.values())
    prefix = network.base_model_prefix
    for layer in range(SIZES["num_hidden_layers"]):
        at = f"{prefix}.encoder.layer.{layer}."
        into, out = scores[f"{at}intermediate.dense.weight"], scores[f"{at}output.dense.weight"]
        torch.testing.assert_close(into.sum(1), out.sum(0))
        three = sum(scores[f"{at}attention.self.{part}.weight"].sum(1) for part in ("query", "key", "value"))
        torch.testing.assert_close(three, scores[f"{at}attention.output.dense.weight"].sum(0))
    # Every layer has all of the flow: what is embedded, or passes attention, in three parts.
    blocks = ("attention.self.", "attention.output.", "intermediate.", "output.")
    layers = [f"{prefix}.encoder.layer.{layer}.{block}" for layer in (0, 1) for block in blocks]
    heads = [name for name in scores if "pooler" in name or not name.startswith(prefix)]
    for layer in (f"{prefix}.embeddings.", *layers, *heads):
        torch.testing.assert_close(sum(score.sum() for name, score in scores.items() if name.startswith(layer)), total)


def test_a_deep_network_flows_beyond_float32():
    network = built(BertForMultipleChoice, BertConfig)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1e4)
    value, scores = flowing(network, 3)
    assert torch.finfo(torch.float32).max < value < float("inf")
    assert all(score.isfinite().all() for score in scores.values())


def test_weights_and_modes_stay_as_they_are():
    network = built(BertForMultipleChoice, BertConfig)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    ids = torch.zeros(1, 1, 4, dtype=torch.long)
    logits = network(ids).logits
    flowing(network, 3)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert torch.equal(network(ids).logits, logits)


def test_illegal_activation():
    network = built(BertForMultipleChoice, BertConfig, hidden_act="gelu_new")
    with pytest.raises(ValueError, match="flow through hidden_act=gelu_new; it must be one of gelu, relu"):
        flowing(network, 3)
