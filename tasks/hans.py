"""HANS (McCoy et al. 2019, arXiv 1902.01007) from its original files: inference where word overlap misleads."""

from collections.abc import Mapping, Sequence

from tasks import files
from tasks.rows import Pair, class_names

GOLD = ("entailment", "non-entailment")
FILES = {"train": "heuristics_train_set.txt", "val": "heuristics_evaluation_set.txt"}


def read(labels: Sequence[str], data_dir: str, names: Mapping[str, str] | None = None) -> dict[str, list[Pair]]:
    """Rows by split, in the classes of any task that knows entailment.

    Every class but entailment counts as non-entailment; what is trained on has the label of contradiction, if there is
    one, as in SRNets. Parts are the heuristics, and what each says of entailed and of other pairs.

    Args:
        labels: names of the task's classes, among them "entailment".
        data_dir: folder with the files, plain or .gz.
        names: file of each split; by default `heuristics_train_set.txt` and `heuristics_evaluation_set.txt`.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the task does not know entailment, or a row is malformed.
    """
    classes = class_names(labels)
    if "entailment" not in classes:
        raise ValueError(f"HANS asks for entailment, which is not among task.module.labels={classes}")
    entailed = classes.index("entailment")
    others = [index for index in range(len(classes)) if index != entailed]
    others.sort(key=lambda index: classes[index] != "contradiction")
    right = ((entailed,), tuple(others))
    chosen = names or FILES
    paths = files.present(data_dir, chosen, files.of_set(chosen))
    return {split: [_pair(record, right) for record in files.records(path)] for split, path in paths.items()}


def _pair(record: files.Record, right: Sequence[tuple[int, ...]]) -> Pair:
    gold = files.label(record, files.field(record, "gold_label"), GOLD)
    heuristic = files.field(record, "heuristic", str)
    label, *also = right[gold]
    return Pair(
        first=files.field(record, "sentence1", str),
        second=files.field(record, "sentence2", str),
        label=label,
        id=files.field(record, "pairID", str),
        also=tuple(also),
        parts=(heuristic, f"{heuristic}_{GOLD[gold].replace('-', '_')}"),
    )
