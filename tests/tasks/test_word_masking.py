"""Chunks and masks: nothing is lost, words are masked as wholes, and what is masked follows from seed, step and row."""

from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from models.tiny import Tiny
from tasks import texts
from tasks.chunks import NO_WORD, Chunks, padded
from tasks.rows import Document
from tasks.word_masking import WordMasking
from tests.tasks.test_texts import SHARED, shared

BERT = Tiny().tokenizer()
TEXT = "Where is the unbelievable BAKO?\nNobody knows, nobody's seen it here."
ROBERTA_SPECIAL = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "pad": "<pad>", "mask": "<mask>"}


def byte_level() -> PreTrainedTokenizerFast:
    """As RoBERTa's: pieces of words begin with a mark where a space was, and none says that it goes on."""
    backend = Tokenizer(BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    names = sorted(set(ROBERTA_SPECIAL.values()))
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        ["where is the it here"] * 9, BpeTrainer(vocab_size=300, special_tokens=names, initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, **{f"{role}_token": token for role, token in ROBERTA_SPECIAL.items()}
    )


ROBERTA = byte_level()
TOKENIZERS = pytest.mark.parametrize("tokenizer", [BERT, ROBERTA], ids=["bert", "roberta"])


def masking(tokenizer: Any, seed: int = 0, share: float = 0.15) -> WordMasking:
    return WordMasking(share, tokenizer.mask_token_id, len(tokenizer), seed)


def batch(chunks: Any, indices: list[int], padding: int) -> dict[str, torch.Tensor]:
    return padded([chunks[index] for index in indices], padding) | {"index": torch.tensor(indices)}


def joined(parts: Iterable[list[int]]) -> list[int]:
    return list(chain.from_iterable(parts))


@TOKENIZERS
def test_words_by_hand(tokenizer: Any) -> None:
    (chunk,) = Chunks(tokenizer, [Document(TEXT, "")], 400, True)
    words: dict[int, list[int]] = {}
    for piece, word in zip(chunk.ids.tolist(), chunk.words.tolist(), strict=True):
        words.setdefault(word, []).append(piece)
    assert words.pop(NO_WORD) == [tokenizer.cls_token_id, tokenizer.sep_token_id]
    spelt = [tokenizer.decode(pieces).strip() for _, pieces in sorted(words.items())]
    apart = "' s" if tokenizer is BERT else "'s"
    expected = f"where is the unbelievable bako ? nobody knows , nobody {apart} seen it here .".split()
    assert [word.lower() for word in spelt] == expected
    assert max(map(len, words.values())) > 1


def test_the_rest_of_a_word_that_is_cut_is_a_word() -> None:
    chunks = Chunks(BERT, [Document("bakobako so", ""), Document("to", "")], 5, True)
    pieces = [BERT.convert_ids_to_tokens(chunk.ids.tolist())[1:-1] for chunk in chunks]
    assert pieces == [["ba", "##ko", "##ba"], ["##ko", "so", "[SEP]"], ["to"]]
    assert [chunk.words[1:-1].tolist() for chunk in chunks] == [[0, 0, 0], [0, 1, NO_WORD], [0]]


@TOKENIZERS
@given(
    st.lists(st.text("ab c,.\n", min_size=1, max_size=60).filter(str.strip), min_size=1, max_size=6),
    st.integers(4, 30),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_nothing_is_lost(tokenizer: Any, written: list[str], max_length: int, across: bool) -> None:
    documents = [Document("\n".join(text.split("\n")), str(index)) for index, text in enumerate(written)]
    chunks = Chunks(tokenizer, documents, max_length, across)
    pieces = [joined(tokenizer(d.text.split("\n"), add_special_tokens=False)["input_ids"]) for d in documents]
    found = [chunk.ids.tolist() for chunk in chunks]
    assert all(ids[0] == tokenizer.cls_token_id and ids[-1] == tokenizer.sep_token_id for ids in found)
    assert all(len(ids) <= max_length for ids in found)
    inner = joined(ids[1:-1] for ids in found)
    if across:
        assert inner == joined([tokenizer.sep_token_id, *part] for part in pieces if part)[1:]
        assert all(len(ids) == max_length for ids in found[:-1])
    else:
        assert inner == joined(pieces)
        assert len(found) == sum(-(-len(part) // (max_length - 2)) for part in pieces)
    assert [chunk.length for chunk in chunks[:2]] == [len(ids) for ids in found[:2]]


@TOKENIZERS
@pytest.mark.parametrize("step", [None, 7])
def test_words_are_masked_as_wholes_and_labels_are_what_was_there(tokenizer: Any, step: int | None) -> None:
    chunks = Chunks(tokenizer, [Document(TEXT * 3, str(n)) for n in range(40)], 50, True)
    clean = batch(chunks, list(range(len(chunks))), tokenizer.pad_token_id)
    words, before = clean["words"].clone(), clean["input_ids"].clone()
    noisy = masking(tokenizer)(clean, step)
    for row_words, row_masked in zip(words, noisy["masked"], strict=True):
        assert row_masked.any()
        for word in row_words.unique():
            inside = row_masked[row_words == word]
            assert not inside.any() if word == NO_WORD else inside.all() or not inside.any()
    assert torch.equal(noisy["labels"], before[noisy["masked"]])
    assert torch.equal(noisy["input_ids"][~noisy["masked"]], before[~noisy["masked"]])
    assert "words" not in noisy


def test_shares_are_those_of_bert() -> None:
    chunks = Chunks(BERT, [Document(TEXT, str(n)) for n in range(3000)], 64, True)
    clean = batch(chunks, list(range(len(chunks))), 0)
    before, tokens = clean["input_ids"].clone(), (clean["words"] >= 0).sum()
    noisy = masking(BERT)(clean, 3)
    shown, was = noisy["input_ids"][noisy["masked"]], before[noisy["masked"]]
    assert len(was) / tokens.item() == pytest.approx(0.15, abs=0.005)
    assert (shown == BERT.mask_token_id).float().mean().item() == pytest.approx(0.8, abs=0.01)
    assert (shown == was).float().mean().item() == pytest.approx(0.1, abs=0.01)


def test_masks_follow_from_seed_step_and_example_and_from_nothing_else() -> None:
    chunks = Chunks(BERT, [Document(f"{TEXT} {'so ' * n}", str(n)) for n in range(20)], 64, False)

    def rows(indices: list[int], seed: int, step: int | None) -> dict[int, list[int]]:
        noisy = masking(BERT, seed)(batch(chunks, indices, 0), step)
        real = noisy["attention_mask"].bool()
        shown = zip(indices, noisy["input_ids"], real, strict=True)
        return {index: ids[kept].tolist() for index, ids, kept in shown}

    everything = rows(list(range(len(chunks))), 1, 5)
    torch.manual_seed(9)
    np.random.seed(9)
    assert rows([3, 0], 1, 5) == {index: everything[index] for index in (3, 0)}  # beside others, padded otherwise
    assert rows([3], 1, 6) != rows([3], 1, 5) != rows([3], 2, 5)
    assert rows([3], 1, None) == rows([3], 2, None)
    assert rows([3], 1, None) != rows([3], 1, 0)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_illegal_share(share: float) -> None:
    with pytest.raises(ValueError, match=f"task.module.share={share}"):
        masking(BERT, share=share)


def test_illegal_length() -> None:
    with pytest.raises(ValueError, match=r"task\.module\.max_length=3 leaves no room"):
        Chunks(BERT, [Document("a", "")], 3, True)


@shared
@pytest.mark.shared
def test_masked_share_of_a_real_text() -> None:
    data = texts.read(str(SHARED / "wikitext-2"), names={"train": "test.txt", "val": "valid.txt"})
    chunks = Chunks(BERT, data["val"][:6], 64, True)
    clean = batch(chunks, list(range(len(chunks))), 0)
    tokens = (clean["words"] >= 0).sum().item()
    assert len(masking(BERT)(clean, None)["labels"]) / tokens == pytest.approx(0.15, abs=0.01)
