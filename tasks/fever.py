"""FEVER as the authors of FEVER-Symmetric ship it (Schuster et al. 2019, arXiv 1908.05267): claim, evidence, label."""

from collections.abc import Mapping, Sequence

from tasks import files
from tasks.rows import Pair, class_names


def read(labels: Sequence[str], data_dir: str, names: Mapping[str, str], repeat: int = 1) -> dict[str, list[Pair]]:
    """Rows by split: the claim first, its evidence second.

    A line has "claim", "evidence" or "evidence_sentence" (a text or a list of sentences), "gold_label" or "label", and
    mostly "id".

    Args:
        labels: names of the task's classes, such as SUPPORTS, REFUTES and NOT ENOUGH INFO.
        data_dir: folder with the files, plain or .gz.
        names: file of each split.
        repeat: how often the training rows stand there, to give a small set weight.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a row is malformed, or `repeat` is not at least 1.
    """
    if repeat < 1:
        raise ValueError(f"repeat={repeat} must be at least 1")
    classes = class_names(labels)
    paths = files.present(data_dir, names, files.of_set(names))
    rows = {
        split: [_pair(record, index, classes) for index, record in enumerate(files.jsonl(path))]
        for split, path in paths.items()
    }
    return {split: pairs * repeat if split == "train" else pairs for split, pairs in rows.items()}


def _pair(record: files.Record, index: int, classes: Sequence[str]) -> Pair:
    where, row = record
    evidence = files.field(record, "evidence" if "evidence" in row else "evidence_sentence")
    sentences = evidence if isinstance(evidence, list) else [evidence]
    if not all(isinstance(sentence, str) for sentence in sentences):
        raise ValueError(f"{where}: field 'evidence' must be a text or a list of sentences")
    return Pair(
        first=files.field(record, "claim", str),
        second=" ".join(sentences),
        label=files.label(record, files.field(record, "gold_label" if "gold_label" in row else "label"), classes),
        id=str(row.get("id", index)),
    )
