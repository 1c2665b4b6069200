"""What a network said of the rows of each split, and the files that it is written to."""

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, distributed


@final
@dataclass(frozen=True)
class Said:
    """What was said of some rows of a split.

    Attributes:
        index: which rows, (rows,).
        scores: logits of the classes or choices, -inf where there is no such choice, (rows, classes).
        predictions: (rows,), class indices or numbers.
    """

    index: Tensor
    scores: Tensor
    predictions: Tensor


@final
class Predictions:
    """Keeps what the latest evaluation of each split said, batch by batch and where the batches were."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Said]] = {}

    def add(self, split: str, said: Said, anew: bool) -> None:
        """Takes what was said of a batch, `anew` if it is the first of an evaluation."""
        if anew:
            self._parts[split] = []
        self._parts[split].append(said)

    def write(self, folder: Path, data: Mapping[str, Sequence[Any]], name: Callable[[Any], object]) -> None:
        """Writes `predictions/<split>.jsonl` for each split; see `write_jsonl`."""
        for split, said in self._whole().items():
            write_jsonl(folder / "predictions" / f"{split}.jsonl", data[split], said, name)

    def submit(self, folder: Path, names: Mapping[str, str], text: Callable[[Any], str]) -> None:
        """Writes `submission/<name>.tsv` for those of the splits that are there; see `write_submission`."""
        for split, said in self._whole().items():
            if split in names:
                write_submission(folder / "submission" / f"{names[split]}.tsv", said, text)

    def _whole(self) -> dict[str, Said]:
        """What was said of the splits by all ranks, for the first of them; every rank has to call it."""
        mine = {split: joined(parts) for split, parts in self._parts.items()}
        if not (distributed.is_available() and distributed.is_initialized()):
            return mine
        ranks: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(ranks, mine)
        splits = dict.fromkeys(split for rank in ranks for split in rank) if distributed.get_rank() == 0 else ()
        return {split: joined([rank[split] for rank in ranks if split in rank]) for split in splits}


def joined(parts: Sequence[Said]) -> Said:
    """The parts as one, on the CPU, in the order of the rows."""
    index = torch.cat([part.index.cpu() for part in parts])
    classes = max(part.scores.shape[1] for part in parts)
    scores = torch.full((len(index), classes), -math.inf)
    start = 0
    for part in parts:
        scores[start : start + len(part.index), : part.scores.shape[1]] = part.scores.detach().cpu()
        start += len(part.index)
    order = index.argsort()
    return Said(index[order], scores[order], torch.cat([part.predictions.cpu() for part in parts])[order])


def write_jsonl(path: Path, rows: Sequence[Any], said: Said, name: Callable[[Any], object]) -> None:
    """Writes one object a line for each row: id, scores (float32), prediction and label, null where unknown.

    Where further classes are right for a row, or it is in parts of the split, these are `also` and `parts`.

    Args:
        rows: the split's; each has an `id` and a `label`.
        name: what a class or number is called.
    """
    scores = [[float(f"{score:.9g}") for score in row if score != -math.inf] for row in said.scores.tolist()]
    lines = (
        {
            "id": rows[index].id,
            "scores": row,
            "prediction": name(prediction),
            "label": None if rows[index].label is None else name(rows[index].label),
            **({"also": [name(label) for label in also]} if (also := getattr(rows[index], "also", ())) else {}),
            **({"parts": list(parts)} if (parts := getattr(rows[index], "parts", ())) else {}),
        }
        for index, row, prediction in zip(said.index.tolist(), scores, said.predictions.tolist(), strict=True)
    )
    _write(path, (json.dumps(line, ensure_ascii=False) for line in lines))


def write_submission(path: Path, said: Said, text: Callable[[Any], str]) -> None:
    """Writes a table as the server of the GLUE benchmark (arXiv 1804.07461) takes it: row numbers and predictions."""
    lines = (f"{index}\t{text(value)}" for index, value in enumerate(said.predictions.tolist()))
    _write(path, ["index\tprediction", *lines])


def _write(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text("".join(f"{line}\n" for line in lines))
    os.replace(partial, path)
