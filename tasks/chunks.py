"""Documents cut into sequences of at most so many tokens, of which each knows the words that its tokens belong to."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import final, overload

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from tasks.batches import Batch
from tasks.rows import Document

NO_WORD = -1  # of special tokens and padding
TOGETHER = 1_000_000  # characters that are tokenized at once


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
        # Texts may be as large as memory, so what is kept of a token is its id, as short as can be, and one byte.
        kind = np.uint16 if len(tokenizer) <= 2**16 else np.uint32
        self._ends = np.array([[tokenizer.cls_token_id], [tokenizer.sep_token_id]], kind)
        ids, starts, borders = [], [], [0]
        for pieces, begins in _tokens(tokenizer, documents, kind):
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
        firsts = np.concatenate([np.arange(*border, room) for border in pairwise(borders)] or [np.array([], np.int64)])
        ends = np.append(firsts, borders[-1])[1:]  # a chunk is followed by the next one
        worded = np.logical_or.reduceat(self._starts != NO_WORD, firsts) if len(firsts) else np.array([], bool)
        self._firsts, self._lasts = firsts[worded], ends[worded]

    def __len__(self) -> int:
        return len(self._firsts)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each chunk, special ones included."""
        lengths: np.ndarray = self._lasts - self._firsts + 2
        return lengths

    @overload
    def __getitem__(self, index: int) -> Chunk: ...
    @overload
    def __getitem__(self, index: slice) -> list[Chunk]: ...
    def __getitem__(self, index: int | slice) -> Chunk | list[Chunk]:
        if isinstance(index, slice):
            return [self._chunk(first, end) for first, end in zip(self._firsts[index], self._lasts[index], strict=True)]
        return self._chunk(self._firsts[index], self._lasts[index])

    def _chunk(self, first: int, end: int) -> Chunk:
        starts = self._starts[first:end]
        begins = starts == 1
        if starts[0] == 0:  # the rest of a word that was cut is a word here
            begins = begins.copy()
            begins[0] = True
        words = np.where(starts == NO_WORD, NO_WORD, begins.cumsum() - 1)
        ids = np.concatenate([self._ends[0], self._ids[first:end], self._ends[1]])
        return Chunk(ids, np.pad(words, 1, constant_values=NO_WORD))


def _tokens(
    tokenizer: PreTrainedTokenizerBase, documents: Iterable[Document], kind: type[np.unsignedinteger]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Ids of each document's tokens, and of each whether a word starts there: 1, 0, or `NO_WORD` where there is none.

    Many are tokenized together, which occupies all cores.
    """
    for together in _gathered(documents):
        paragraphs = [document.text.split("\n") for document in together]
        lines = [line for each in paragraphs for line in each]
        encoded = tokenizer(lines, add_special_tokens=False, return_attention_mask=False, verbose=False)
        found = iter(encoded.encodings or ())
        for each in paragraphs:
            of_lines = list(islice(found, len(each)))
            ids, starts = [np.array(line.ids, kind) for line in of_lines], [_starts(line.word_ids) for line in of_lines]
            yield np.concatenate(ids), np.concatenate(starts)


def _gathered(documents: Iterable[Document]) -> Iterator[list[Document]]:
    gathered, size = [], 0
    for document in documents:
        gathered.append(document)
        size += len(document.text)
        if size >= TOGETHER:
            yield gathered
            gathered, size = [], 0
    if gathered:
        yield gathered


def _starts(words: Sequence[int | None]) -> np.ndarray:
    numbers = np.array(words, np.float64)  # None becomes NaN, which equals nothing
    starts = np.append(np.nan, numbers)[:-1] != numbers
    return np.where(np.isnan(numbers), NO_WORD, starts).astype(np.int8)


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
