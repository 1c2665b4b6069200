"""The sizes of a BERT, in the words of our configs and in those of transformers."""

from typing import Any

from models.heads import check_dropout


def bert_sizes(
    hidden_size: int, layers: int, heads: int, intermediate_size: int, dropout: float, max_length: int
) -> dict[str, Any]:
    """Arguments of BertConfig.

    Raises:
        ValueError: a size is below 1, the heads do not divide the hidden size, or dropout is no probability below 1.
    """
    sizes = {"hidden_size": hidden_size, "layers": layers, "heads": heads, "intermediate_size": intermediate_size}
    for key, size in {**sizes, "max_length": max_length}.items():
        if size < 1:
            raise ValueError(f"model.{key}={size} must be at least 1")
    if hidden_size % heads:
        raise ValueError(f"model.hidden_size={hidden_size} is not a multiple of model.heads={heads}")
    check_dropout("model.dropout", dropout)
    return {
        "hidden_size": hidden_size,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": intermediate_size,
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
        "max_position_embeddings": max_length,
    }
