"""Documents cut into sequences of at most so many tokens, of which each knows the words that its tokens belong to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final, overload

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from tasks.batches import Batch
from tasks.rows import Document

NO_WORD = -1  # of special tokens and padding


@final
@dataclass(frozen=True, slots=True)
class Chunk:
    """Token ids and, of each token, the number of its word within the chunk or `NO_WORD`."""

    ids: np.ndarray
    words: np.ndarray

    @property
    def length(self) -> int:
        return len(self.ids)


@final
class Chunks(Sequence[Chunk]):
    """`[CLS] text [SEP]`, cut from documents one after the other; nothing is left out, so that some are shorter.

    Args:
        tokenizer: a fast one, whose pre-tokenizer says what a word is.
        documents: the text.
        max_length: most tokens, special ones included.
        across_documents: whether a chunk goes on with the next document, after a `[SEP]` (as RoBERTa's FULL-SENTENCES,
            Liu et al. 2019, arXiv 1907.11692, section 4.2), or ends with its document.

    Raises:
        ValueError: `max_length` leaves no room for text, or the tokenizer does not say what a word is.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        documents: Sequence[Document],
        max_length: int,
        across_documents: bool,
    ) -> None:
        room = max_length - 2
        if room < 2:
            raise ValueError(f"task.module.max_length={max_length} leaves no room for text; it must be at least 4")
        if not tokenizer.is_fast:
            raise ValueError("whole words are masked by the word ids of a fast tokenizer; this model has a slow one")
        self._ends = np.array([[tokenizer.cls_token_id], [tokenizer.sep_token_id]], np.int32)
        # Texts may be as large as memory, so what is kept of a token is its id and one byte.
        ids, starts, borders = [], [], [0]
        for document in documents:
            pieces, begins = _tokens(tokenizer, document.text)
            if len(pieces) and borders[-1] and across_documents:
                ids.append(self._ends[1])
                starts.append(np.array([NO_WORD], np.int8))
                borders[-1] += 1
            ids.append(pieces)
            starts.append(begins)
            borders.append(borders[-1] + len(pieces))
        self._ids, self._starts = (np.concatenate(parts) if parts else np.array([], np.int8) for parts in (ids, starts))
        if across_documents:
            borders = [0, len(self._ids)]
        self._places = [
            (first, min(first + room, end))
            for begin, end in pairwise(borders)
            for first in range(begin, end, room)
            if (self._starts[first : min(first + room, end)] != NO_WORD).any()
        ]

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Chunk: ...
    @overload
    def __getitem__(self, index: slice) -> list[Chunk]: ...
    def __getitem__(self, index: int | slice) -> Chunk | list[Chunk]:
        if isinstance(index, slice):
            return [self._chunk(*place) for place in self._places[index]]
        return self._chunk(*self._places[index])

    def _chunk(self, first: int, end: int) -> Chunk:
        starts = self._starts[first:end]
        begins = starts == 1
        if starts[0] == 0:  # the rest of a word that was cut is a word here
            begins = begins.copy()
            begins[0] = True
        words = np.where(starts == NO_WORD, NO_WORD, begins.cumsum() - 1)
        ids = np.concatenate([self._ends[0], self._ids[first:end], self._ends[1]])
        return Chunk(ids, np.pad(words, 1, constant_values=NO_WORD))


def _tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[np.ndarray, np.ndarray]:
    """Ids of a document's tokens, and of each whether a word starts there: 1, 0, or `NO_WORD` where there is none."""
    encoded = tokenizer(text.split("\n"), add_special_tokens=False, return_attention_mask=False, verbose=False)
    ids = [np.array(line, np.int32) for line in encoded["input_ids"]]
    starts = [np.array([*_starts(encoded.word_ids(number))], np.int8) for number in range(len(ids))]
    return np.concatenate(ids), np.concatenate(starts)


def _starts(words: Sequence[int | None]) -> Iterator[int]:
    before = None
    for word in words:
        yield NO_WORD if word is None else int(word != before)
        before = word


def padded(chunks: Sequence[Chunk], padding: int) -> Batch:
    """`input_ids`, `attention_mask` and `words` of chunks, each (batch, longest)."""
    longest = max(chunk.length for chunk in chunks)

    def stacked(rows: Sequence[np.ndarray], fill: int) -> torch.Tensor:
        filled = [np.pad(row, (0, longest - len(row)), constant_values=fill) for row in rows]
        return torch.from_numpy(np.stack(filled).astype(np.int64))

    lengths = torch.tensor([chunk.length for chunk in chunks])
    return {
        "input_ids": stacked([chunk.ids for chunk in chunks], padding),
        "attention_mask": (torch.arange(longest) < lengths[:, None]).long(),
        "words": stacked([chunk.words for chunk in chunks], NO_WORD),
    }
