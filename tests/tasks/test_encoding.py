"""Our joining of separately encoded texts gives what the tokenizer itself would give for the pair."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.pre_tokenizers import ByteLevel
from transformers import BertConfig, PreTrainedTokenizerBase, RobertaConfig, RobertaTokenizer

from models.tiny import Tiny
from tasks.encoding import longest_first, pair, positions, second_leads, single_separator

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
VOCABULARY = {token: index for index, token in enumerate([*SPECIAL, *sorted(ByteLevel.alphabet())])}
BERT = Tiny().tokenizer()
ROBERTA = RobertaTokenizer(vocab=VOCABULARY, merges=[])
TEXTS = st.lists(st.text("ab c.{}", max_size=12), min_size=1, max_size=5)


@pytest.mark.parametrize("tokenizer", [BERT, ROBERTA], ids=["bert", "roberta"])
@settings(deadline=None, max_examples=60)
@given(TEXTS, st.text("xyz ", max_size=12), st.integers(8, 24))
def test_pair_is_the_tokenizers_own_format(
    tokenizer: PreTrainedTokenizerBase, firsts: list[str], second: str, length: int
) -> None:
    seconds = [second] * len(firsts)
    ours = pair(tokenizer, firsts, seconds, length)
    theirs = tokenizer(firsts, seconds, truncation="longest_first", max_length=length)
    assert ours.ids == theirs["input_ids"]
    assert ours.types == theirs.get("token_type_ids")


@pytest.mark.parametrize("tokenizer", [BERT, ROBERTA], ids=["bert", "roberta"])
@settings(deadline=None, max_examples=30)
@given(TEXTS, st.integers(5, 16))
def test_single_texts_are_the_tokenizers_own_format(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], length: int
) -> None:
    ours = pair(tokenizer, texts, None, length)
    theirs = tokenizer(texts, truncation=True, max_length=length)
    assert ours.ids == theirs["input_ids"]
    assert ours.types == theirs.get("token_type_ids")


def test_roberta_with_one_separator() -> None:
    encoded = single_separator(ROBERTA, ["Q: a"], ["A: b"], 512)
    tokens = ROBERTA.convert_ids_to_tokens(encoded.ids[0])
    assert tokens == ["<s>", "Q", ":", "\u0120", "a", "</s>", "A", ":", "\u0120", "b", "</s>"]
    assert encoded.types is None
    own = pair(ROBERTA, ["Q: a"], ["A: b"], 512)
    assert len(own.ids[0]) == len(encoded.ids[0]) + 1


def test_bert_with_one_separator_is_its_own_format() -> None:
    texts = (["what is it", "who"], ["a thing", "me"])
    assert single_separator(BERT, *texts, 64) == pair(BERT, *texts, 64)


@pytest.mark.parametrize("tokenizer", [BERT, ROBERTA], ids=["bert", "roberta"])
@settings(deadline=None, max_examples=60)
@given(st.text("abc ", max_size=20), st.text("xyz ", max_size=9), st.integers(16, 32))
def test_second_leads_cuts_the_end_of_the_first_text_only(
    tokenizer: PreTrainedTokenizerBase, first: str, second: str, length: int
) -> None:
    encoded = second_leads(tokenizer, [first], [second], length)
    swapped = single_separator(tokenizer, [second], [first], 512)
    whole = len(swapped.ids[0])
    assert encoded.ids[0][:-1] == swapped.ids[0][: min(whole, length) - 1]
    assert encoded.ids[0][-1] == tokenizer.sep_token_id
    if encoded.types is not None and swapped.types is not None:
        assert encoded.types[0] == swapped.types[0][: min(whole, length)]


def test_second_leads_by_hand() -> None:
    encoded = second_leads(ROBERTA, ["abcdef", "ab"], ["xyz", "x"], 8)
    tokens = [ROBERTA.convert_ids_to_tokens(ids) for ids in encoded.ids]
    assert tokens == [["<s>", "x", "y", "z", "</s>", "a", "b", "</s>"], ["<s>", "x", "</s>", "a", "b", "</s>"]]
    assert second_leads(BERT, ["it is"], None, 64) == pair(BERT, ["it is"], None, 64)


@pytest.mark.parametrize(("first", "second"), [("abc", "x" * 5), ("abc", "x" * 9), ("", "x" * 6)])
def test_illegal_second_that_leaves_no_room(first: str, second: str) -> None:
    with pytest.raises(ValueError, match=rf"max_length=8 leaves no room beside '{second}' \({len(second)} tokens\)"):
        second_leads(ROBERTA, [first], [second], 8)


def test_a_second_may_fill_the_room_where_there_is_no_first() -> None:
    assert len(second_leads(ROBERTA, [""], ["x" * 5], 8).ids[0]) == 8


def test_a_tokenizer_that_gives_all_types_zero_keeps_them() -> None:
    tokenizer = RobertaTokenizer(
        vocab=VOCABULARY, merges=[], model_input_names=["input_ids", "token_type_ids", "attention_mask"]
    )
    assert pair(tokenizer, ["a"], ["b"], 9).types == [[0] * 6]


def test_nothing_to_encode() -> None:
    assert pair(BERT, [], [], 9).ids == []


@given(st.integers(0, 30), st.integers(0, 30), st.integers(2, 40))
def test_longest_first_fills_the_room(first: int, second: int, room: int) -> None:
    keep = longest_first(first, second, room)
    assert sum(keep) == min(first + second, room)
    assert keep[0] <= first
    assert keep[1] <= second
    if keep != (first, second):
        cut, other = (keep[0], keep[1]) if first > second else (keep[1], keep[0])
        assert cut >= other


@pytest.mark.parametrize(
    ("lengths", "room", "kept"),
    [((3, 4), 7, (3, 4)), ((3, 9), 7, (3, 4)), ((9, 3), 7, (4, 3)), ((9, 9), 7, (3, 4)), ((9, 8), 7, (4, 3))],
)
def test_longest_first_by_hand(lengths: tuple[int, int], room: int, kept: tuple[int, int]) -> None:
    assert longest_first(*lengths, room) == kept


def test_positions() -> None:
    assert positions(BertConfig()) == 512
    assert positions(RobertaConfig(max_position_embeddings=514, pad_token_id=1)) == 512


@pytest.mark.parametrize("encode", [pair, single_separator])
def test_illegal_no_room_for_text(encode: object) -> None:
    with pytest.raises(ValueError, match=r"max_length=4 leaves no room beside [34] special tokens"):
        encode(BERT if encode is single_separator else ROBERTA, ["a"], ["b"], 4)  # type: ignore[operator]
