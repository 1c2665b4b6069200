"""Work counted in one forward pass against formulas worked out by hand."""

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

from sparsity.flops import Cost, measure

HIDDEN, LAYERS, INNER, WORDS, CLASSES = 16, 2, 24, 50, 3
SIZES = {"hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "intermediate_size": INNER}


def measured(kind, sequences, length, attention):
    network = kind(BertConfig(**SIZES, vocab_size=WORDS, num_labels=CLASSES, attn_implementation=attention)).eval()
    ids = torch.ones(sequences, length, dtype=torch.long)
    with torch.no_grad():
        return measure(network, lambda: network(input_ids=ids), sequences, length)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(("sequences", "length"), [(1, 5), (3, 2), (4, 7)])
def test_a_bert_of_any_batch(sequences, length, attention):
    cost = measured(BertForSequenceClassification, sequences, length, attention)
    token = LAYERS * 2 * (4 * HIDDEN**2 + 2 * HIDDEN * INNER)
    pair = LAYERS * 2 * 2 * HIDDEN
    sequence = 2 * (HIDDEN**2 + HIDDEN * CLASSES)
    assert sum(cost.per_token.values()) == token
    assert sum(cost.per_sequence.values()) == sequence
    assert cost.per_token_pair == pair
    assert cost.forward(6, 9) == 6 * (9 * token + sequence + 81 * pair)
    key = "bert.encoder.layer.1.output.dense.weight"
    assert cost.per_token[key] == 2 * HIDDEN * INNER
    assert cost.forward(6, 9) - cost.forward(6, 9, {key: 0.25}) == 6 * 9 * 0.75 * 2 * HIDDEN * INNER


def test_a_tied_decoder_counts_under_the_name_of_the_embedding():
    cost = measured(BertForMaskedLM, 2, 5, "sdpa")
    assert cost.per_token["bert.embeddings.word_embeddings.weight"] == 2 * HIDDEN * WORDS


def test_a_step_by_hand():
    cost = Cost({"w": 10.0}, {"v": 4.0}, per_token_pair=1.0)
    forward = 2 * (3 * 10 * 0.5 + 4 + 9)
    assert cost.forward(2, 3, {"w": 0.5}) == forward
    assert cost.step(2, 3, {"w": 0.5}, {"w": 0.5}) == 3 * forward
    assert cost.step(2, 3, {"w": 0.5}, {}) == 2 * forward + 2 * (3 * 10 + 4 + 9)
