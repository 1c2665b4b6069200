"""The ledger of a small network, by hand."""

import json

import torch
from torch import nn

from sparsity.ledger import counts, ledger, trainable


def network() -> nn.Module:
    model = nn.ModuleDict(
        {"embeddings": nn.Embedding(3, 2), "body": nn.Linear(2, 4), "head": nn.Linear(2, 3, bias=False)}
    )
    model["head"].weight = model["embeddings"].weight
    return model


def test_by_hand() -> None:
    body = torch.tensor([[1, 0], [0, 0], [1, 1], [0, 0]]).bool()
    masks = {"embeddings.weight": torch.zeros(3, 2).bool(), "body.weight": body}
    found = ledger(network(), masks, 0.75, {"embeddings.weight": None, "body.weight": 3})
    assert found == {
        "scope": {"numel": 14, "kept": 3, "sparsity": 11 / 14, "target": 0.75},
        "model": {"numel": 18, "kept": 7, "sparsity": 11 / 18},  # the tied weight counts once, the bias is dense
        "tensors": [
            {"name": "embeddings.weight", "shape": [3, 2], "numel": 6, "kept": 0, "sparsity": 1.0, "target": None},
            {"name": "body.weight", "shape": [4, 2], "numel": 8, "kept": 3, "sparsity": 0.625, "target": 3},
        ],
        "empty": ["embeddings.weight"],
    }
    assert json.loads(json.dumps(found)) == found


def test_values_do_not_count() -> None:
    model = network()
    nn.init.zeros_(model["body"].weight)
    found = ledger(model, {"body.weight": torch.ones(4, 2).bool()}, 0.0)
    assert found["scope"]["sparsity"] == found["model"]["sparsity"] == 0.0


def test_without_masks() -> None:
    found = ledger(network(), {}, 0.0)
    assert found["scope"] == {"numel": 0, "kept": 0, "sparsity": 0.0, "target": 0.0}
    assert found["model"] == {"numel": 18, "kept": 18, "sparsity": 0.0}
    assert found["tensors"] == found["empty"] == []


def test_trainable_by_hand() -> None:
    model = network()
    model["body"].bias.requires_grad_(False)
    body = torch.tensor([[1, 0], [0, 0], [1, 1], [0, 0]]).bool()
    found = ledger(model, {"body.weight": body}, 0.625)
    expected = {"all": 9, "head": 6, "without_head": 3, "of": 13}  # the tied weight is the head's here
    assert trainable(model, {"embeddings.weight"}, found) == expected
    expected = {"all": 6, "head": 6, "without_head": 0, "of": 13}
    assert trainable(model, {"embeddings.weight"}, found, frozen={"body.weight"}) == expected


def test_counts() -> None:
    masks = {"a": torch.zeros(2, 2).bool(), "b": torch.tensor([[0, 1]]).bool(), "c": torch.zeros(1, 1).bool()}
    assert counts(masks) == {"a": 0, "b": 1, "c": 0}
