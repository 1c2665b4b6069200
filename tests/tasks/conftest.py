"""A RoBERTa of a few weights, in a folder as it would be downloaded."""

from pathlib import Path

import pytest
from tokenizers.pre_tokenizers import ByteLevel
from transformers import RobertaConfig, RobertaForMaskedLM, RobertaTokenizer


@pytest.fixture(scope="session")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("roberta")
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet())]
    RobertaTokenizer(vocab={piece: number for number, piece in enumerate(pieces)}, merges=[]).save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = RobertaConfig(vocab_size=len(pieces), max_position_embeddings=514, type_vocab_size=1, **sizes)
    RobertaForMaskedLM(config).save_pretrained(folder)
    return folder
