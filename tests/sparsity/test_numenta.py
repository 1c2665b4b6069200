"""Numenta's on-parameters of sparse BERT-base, from shapes alone (nupic.research, projects/transformers)."""

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel

from sparsity.budget import Budget
from sparsity.distributions import PerRow
from sparsity.scope import Scope

SCOPE = Scope([r"\bencoder\.layer\.\d+\..*\b(query|key|value|dense)\.weight$", r"\bword_embeddings\.weight$"])


def bert(width: int = 1) -> nn.Module:
    """BERT-base cased without pooler and without memory for its weights."""
    sizes = {"hidden_size": 768 * width, "intermediate_size": 3072 * width, "num_attention_heads": 12 * width}
    with torch.device("meta"):
        return BertModel(BertConfig(vocab_size=28_996, **sizes), add_pooling_layer=False)


@pytest.mark.parametrize(
    ("width", "sparsity", "on"),
    [(1, 0.8, 21_994_216), (1, 0.85, 16_577_932), (1, 0.9, 11_255_156), (2, 0.9595, 16_561_784)],
)
def test_on_parameters(width: int, sparsity: float, on: int) -> None:
    network = bert(width)
    weights = SCOPE.select(network)
    targets = Budget(sparsity, SCOPE, PerRow()).targets({name: weight.shape for name, weight in weights.items()})
    dense = sum(parameter.numel() for parameter in network.parameters()) - sum(w.numel() for w in weights.values())
    assert sum(target or 0 for target in targets.values()) + dense == on
    assert Budget(sparsity, SCOPE, PerRow()).on(network).met({n: w.shape for n, w in weights.items()}, on - dense)
    if width == 1:
        assert dense == 516_096
        assert sum(parameter.numel() for parameter in network.parameters()) == 107_719_680
