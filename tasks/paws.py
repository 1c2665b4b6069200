"""PAWS (Zhang et al. 2019, arXiv 1904.01130): paraphrases of the same words, from its tables or the hub."""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tasks import files, glue
from tasks.rows import Pair, class_names

COLUMNS = {"first": "sentence1", "second": "sentence2", "label": "label", "id": "id"}
OF_HUB = {"train": "train", "val": "validation", "test": "test"}


def read(
    labels: Sequence[str],
    names: Mapping[str, str],
    data_dir: str | None = None,
    hub: str = "google-research-datasets/paws",
    hub_config: str = "labeled_final",
) -> dict[str, list[Pair]]:
    """Rows by split.

    The script that makes PAWS-QQP writes texts as Python writes bytes, `b'...'`; they are read as what they mean.

    Args:
        labels: names of the task's two classes, "0" or one that begins with "not" for what is no paraphrase.
        names: file of each split, plain or with .gz behind.
        data_dir: folder with the files; None reads the hub.
        hub, hub_config: name and configuration of the data set on the hub.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the task has other classes, a row is malformed, or the hub cannot be reached.
    """
    classes = class_names(labels)
    negative = [index for index, name in enumerate(classes) if name == "0" or name.startswith("not")]
    if len(classes) != 2 or len(negative) != 1:
        raise ValueError(f"PAWS has the classes 0 and 1 (paraphrase), which task.module.labels={classes} do not tell")
    if data_dir is not None:
        files.present(data_dir, names, files.of_set(names))
    rows = glue.read(
        ["0", "1"],
        COLUMNS,
        data_dir,
        names=names,
        hub=hub,
        hub_config=hub_config,
        hub_splits={split: OF_HUB.get(split, split) for split in names},
    )
    flipped = negative[0] == 1
    return {split: [_decoded(pair, flipped) for pair in pairs] for split, pairs in rows.items()}


def _decoded(row: Pair, flipped: bool) -> Pair:
    label = None if row.label is None else int(row.label) ^ flipped
    return replace(row, first=_text(row.first, row.id), second=_text(row.second or "", row.id), label=label)


def _text(text: str, row: str) -> str:
    if not (text[:2] in ("b'", 'b"') and len(text) > 2 and text[-1] == text[1]):
        return text
    try:
        decoded: str = ast.literal_eval(text).decode()
    except (SyntaxError, ValueError, AttributeError) as error:
        raise ValueError(f"row {row}: {text[:40]}... is not a text that Python wrote as bytes") from error
    return decoded
