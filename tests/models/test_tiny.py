"""The tiny model needs no file, spells every ASCII text, and is an ordinary BERT once saved."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
)

from models.tiny import SPECIAL, Tiny, vocabulary

TOKENIZER = Tiny().tokenizer()


def test_vocabulary_counts_from_the_special_tokens() -> None:
    ids = vocabulary()
    assert tuple(ids)[:5] == SPECIAL
    assert list(ids.values()) == list(range(len(ids)))
    assert len(TOKENIZER) == len(ids)


def test_pieces_by_hand() -> None:
    assert TOKENIZER.tokenize("Where is BAKO?") == ["where", "is", "ba", "##ko", "?"]
    assert TOKENIZER.tokenize("night") == ["ni", "##g", "##h", "##t"]
    assert TOKENIZER.tokenize("ba" * 200) == ["ba"] + ["##ba"] * 199


def test_two_texts_in_bert_format() -> None:
    encoded = TOKENIZER("is it", "bako")
    assert TOKENIZER.convert_ids_to_tokens(encoded["input_ids"]) == [
        "[CLS]",
        "is",
        "it",
        "[SEP]",
        "ba",
        "##ko",
        "[SEP]",
    ]
    assert encoded["token_type_ids"] == [0, 0, 0, 0, 1, 1, 1]
    assert encoded["attention_mask"] == [1] * 7


def test_padding_is_masked() -> None:
    encoded = TOKENIZER(["is", "is it"], padding=True)
    assert encoded["input_ids"][0][-1] == vocabulary()["[PAD]"]
    assert encoded["attention_mask"] == [[1, 1, 1, 0], [1, 1, 1, 1]]


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=300))
def test_every_ascii_text_has_a_spelling(text: str) -> None:
    pieces = TOKENIZER.tokenize(text.replace("[", "("))
    assert "[UNK]" not in pieces
    assert "".join(piece.removeprefix("##") for piece in pieces if piece) == "".join(
        text.replace("[", "(").lower().split()
    )


def test_text_beyond_ascii_is_unknown_not_an_error() -> None:
    assert TOKENIZER.tokenize("\N{CJK UNIFIED IDEOGRAPH-4E16}") == ["[UNK]"]


@pytest.mark.parametrize(
    ("auto_class", "config"),
    [
        (AutoModelForMultipleChoice, {}),
        (AutoModelForSequenceClassification, {"num_labels": 3}),
        (AutoModelForMaskedLM, {}),
    ],
)
def test_saved_model_and_tokenizer_open_with_plain_transformers(
    auto_class: Any, config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    network = Tiny().build(auto_class, **config).eval()
    network.save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    again, tokenizer = auto_class.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    texts = ["Where is bako?", "it's {all} & more"], ["tuga", "MADE of x-ray"]
    before = TOKENIZER(*texts, padding=True, return_tensors="pt")
    after = tokenizer(*texts, padding=True, return_tensors="pt")
    assert before.keys() == after.keys() == {"input_ids", "token_type_ids", "attention_mask"}
    assert all(torch.equal(before[key], after[key]) for key in before)
    if auto_class is AutoModelForMultipleChoice:
        before = {key: value.unsqueeze(0) for key, value in before.items()}
    with torch.no_grad():
        assert torch.equal(network(**before).logits, again(**before).logits)
    assert tokenizer.model_max_length == again.config.max_position_embeddings


def test_sizes_are_the_given_ones_and_config_wins() -> None:
    tiny = Tiny("mine", hidden_size=24, layers=3, heads=2, intermediate_size=40, dropout=0.25, max_length=32)
    config = tiny.build(AutoModelForSequenceClassification, num_labels=5, attention_probs_dropout_prob=0.5).config
    assert isinstance(config, BertConfig)
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (24, 3, 2)
    assert (config.intermediate_size, config.hidden_dropout_prob, config.max_position_embeddings) == (40, 0.25, 32)
    assert config.pad_token_id == tiny.tokenizer().pad_token_id == 0
    assert (config.num_labels, config.attention_probs_dropout_prob) == (5, 0.5)
    assert (tiny.name, tiny.tokenizer().model_max_length) == ("mine", 32)


def test_the_global_generator_decides_the_weights() -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return Tiny().build(AutoModelForSequenceClassification).get_parameter("classifier.weight")

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_the_longest_text_fits() -> None:
    tiny = Tiny(max_length=16)
    encoded = tiny.tokenizer()("bako " * 50, truncation=True, return_tensors="pt")
    assert encoded["input_ids"].shape == (1, 16)
    assert tiny.build(AutoModelForSequenceClassification)(**encoded).logits.shape == (1, 2)


@pytest.mark.parametrize("key", ["hidden_size", "layers", "heads", "intermediate_size", "max_length"])
@pytest.mark.parametrize("value", [0, -4])
def test_illegal_sizes(key: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"^model\.{key}={value} must be at least 1$"):
        Tiny(**{key: value})


@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_illegal_dropout(value: float) -> None:
    with pytest.raises(ValueError, match=rf"^model\.dropout={value} must be at least 0 and below 1$"):
        Tiny(dropout=value)


def test_illegal_heads() -> None:
    with pytest.raises(ValueError, match=r"hidden_size=100 is not a multiple of model\.heads=3"):
        Tiny(hidden_size=100, heads=3)
