"""From texts to token ids: two texts become one sequence, and each distinct text is tokenized once."""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

from transformers import PretrainedConfig, PreTrainedTokenizerBase


@final
@dataclass(frozen=True, slots=True)
class Sequences:
    """Encoded texts, one list of ids each. `types` are their token type ids, where the tokenizer has any."""

    ids: list[list[int]]
    types: list[list[int]] | None


Encode = Callable[[PreTrainedTokenizerBase, Sequence[str], Sequence[str] | None, int], Sequences]


def pair(
    tokenizer: PreTrainedTokenizerBase, firsts: Sequence[str], seconds: Sequence[str] | None, max_length: int
) -> Sequences:
    """Encodes texts or pairs of texts in the tokenizer's own format, cut to `max_length` tokens "longest first".

    BERT: `[CLS] first [SEP] second [SEP]`; RoBERTa: `<s> first </s></s> second </s>`.

    Raises:
        ValueError: `max_length` leaves no room for text.
    """
    return _join(tokenizer, _frame(tokenizer, seconds is not None), firsts, seconds, max_length)


def single_separator(
    tokenizer: PreTrainedTokenizerBase, firsts: Sequence[str], seconds: Sequence[str] | None, max_length: int
) -> Sequences:
    """Like `pair`, with one separator between the two texts whatever the tokenizer's own format.

    This is how fairseq encodes CommonsenseQA for RoBERTa: `<s> Q: ... </s> A: ... </s>`. For BERT it equals `pair`.

    Raises:
        ValueError: `max_length` leaves no room for text.
    """
    return _join(tokenizer, _one_separator(tokenizer, seconds is not None), firsts, seconds, max_length)


def second_leads(
    tokenizer: PreTrainedTokenizerBase, firsts: Sequence[str], seconds: Sequence[str] | None, max_length: int
) -> Sequences:
    """Like `single_separator`, with the second text before the first, of which alone the end is cut.

    This is how fairseq encodes RACE for RoBERTa: `<s> question option </s> article </s>`.

    Raises:
        ValueError: `max_length` leaves no room for text, or a second text none for the first.
    """
    if seconds is None:
        return single_separator(tokenizer, firsts, None, max_length)
    return _join(tokenizer, _one_separator(tokenizer, True), seconds, firsts, max_length, only_last)


def with_blank(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[tuple[str, str, str]], max_length: int
) -> tuple[list[list[int]], list[tuple[int, int]]]:
    """Encodes single texts given in three pieces, and says where the tokens of the middle piece stand: first and end.

    The space between the first two pieces goes with the second, as byte-level tokenizers expect it.

    Raises:
        ValueError: a text has more than `max_length` tokens, or its middle piece none.
    """
    pieces = [(before.rstrip(), before[len(before.rstrip()) :] + middle, after) for before, middle, after in texts]
    tokens, frame = _tokens(tokenizer, [piece for text in pieces for piece in text]), _frame(tokenizer, two=False)
    ids, blanks = [], []
    for text in pieces:
        before, middle, after = (tokens[piece] for piece in text)
        first = len(frame.before) + len(before)
        ids.append([*frame.before, *before, *middle, *after, *frame.behind])
        blanks.append((first, first + len(middle)))
        if len(ids[-1]) > max_length or not middle:
            problem = f"is longer than max_length={max_length} tokens" if middle else "has nothing in its blank"
            raise ValueError(f"'{textwrap.shorten(''.join(text), 60, placeholder=' ...')}' {problem}")
    return ids, blanks


def positions(config: PretrainedConfig) -> int:
    """The longest sequence that the position table allows: 512 for BERT, and for RoBERTa with its table of 514."""
    if config.model_type == "bert":
        return int(config.max_position_embeddings)
    # RoBERTa's positions start behind the padding index.
    return int(config.max_position_embeddings) - int(config.pad_token_id) - 1


def room(config: PretrainedConfig, max_length: int | None) -> int:
    """Tokens a sequence may have: what the position table allows, or `max_length` if that is less."""
    allowed = positions(config)
    return allowed if max_length is None else min(max_length, allowed)


@dataclass(frozen=True, slots=True)
class _Frame:
    """The special tokens before, between and behind the texts, and the token type of the last text, if it has one."""

    before: list[int]
    between: list[int]
    behind: list[int]
    last_type: int | None

    def __len__(self) -> int:
        return len(self.before) + len(self.between) + len(self.behind)


def _frame(tokenizer: PreTrainedTokenizerBase, two: bool) -> _Frame:
    """The tokenizer's own frame, read off an encoding of two words."""
    encoded = tokenizer("a", "b") if two else tokenizer("a")
    ids: list[int] = encoded["input_ids"]
    owners: list[int | None] = encoded.sequence_ids(0)
    first = [place for place, owner in enumerate(owners) if owner == 0]
    last = [place for place, owner in enumerate(owners) if owner == 1] or first
    types: list[int] | None = encoded.get("token_type_ids")
    return _Frame(
        before=ids[: first[0]],
        between=ids[first[-1] + 1 : last[0]],
        behind=ids[last[-1] + 1 :],
        last_type=None if types is None else types[last[0]],
    )


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens to keep of two texts: the longer one is cut until both are equal, then both.

    An odd token that remains goes to the longer text, as in the `tokenizers` library.
    """
    if first + second <= room:
        return first, second
    short = min(first, second, room // 2)
    long = room - short
    return (long, short) if first > second else (short, long)


def only_last(first: int, last: int, room: int) -> tuple[int, int] | None:
    """How many tokens to keep of two texts of which only the last is cut; None where nothing of it would be left."""
    return (first, min(last, room - first)) if first + min(last, 1) <= room else None


def _one_separator(tokenizer: PreTrainedTokenizerBase, two: bool) -> _Frame:
    middle = [tokenizer.sep_token_id] if two else []
    return _Frame([tokenizer.cls_token_id], middle, [tokenizer.sep_token_id], _frame(tokenizer, two).last_type)


def _join(
    tokenizer: PreTrainedTokenizerBase,
    frame: _Frame,
    firsts: Sequence[str],
    seconds: Sequence[str] | None,
    max_length: int,
    cut: Callable[[int, int, int], tuple[int, int] | None] = longest_first,
) -> Sequences:
    room = max_length - len(frame)
    if room < (1 if seconds is None else 2):
        raise ValueError(f"max_length={max_length} leaves no room beside {len(frame)} special tokens; raise it")
    tokens = _tokens(tokenizer, [*firsts, *(seconds or ())])
    ids: list[list[int]] = []
    types: list[list[int]] = []
    for index, text in enumerate(firsts):
        first = tokens[text]
        second = [] if seconds is None else tokens[seconds[index]]
        if len(first) + len(second) > room:
            kept = cut(len(first), len(second), room)
            if kept is None:
                shown = textwrap.shorten(text, 60, placeholder=" ...")
                raise ValueError(
                    f"max_length={max_length} leaves no room beside '{shown}' ({len(first)} tokens), which is not cut"
                )
            first, second = first[: kept[0]], second[: kept[1]]
        head = [*frame.before, *first, *frame.between]
        tail = [*second, *frame.behind]
        ids.append(head + tail)
        types.append([0] * len(head) + [frame.last_type or 0] * len(tail))
    return Sequences(ids, None if frame.last_type is None else types)


def _tokens(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> dict[str, list[int]]:
    distinct = list(dict.fromkeys(texts))
    if not distinct:
        return {}
    # verbose=False: a text longer than the model is no news here, it is cut afterwards.
    encoded = tokenizer(distinct, add_special_tokens=False, verbose=False)["input_ids"]
    return dict(zip(distinct, encoded, strict=True))
