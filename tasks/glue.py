"""Sentence classification from tables: GLUE's files, anyone's tab-separated or JSON-lines files, or the hub."""

from collections.abc import Mapping, Sequence

from tasks import files
from tasks.rows import Pair, class_names

COLUMNS = ("first", "second", "label", "id")
SPLITS = ("train", "val", "test")


def read(
    labels: Sequence[str],
    columns: Mapping[str, str | int],
    data_dir: str | None = None,
    names: Mapping[str, str] | None = None,
    header: bool = True,
    hub: str = "nyu-mll/glue",
    hub_config: str | None = None,
    hub_columns: Mapping[str, str] | None = None,
    hub_splits: Mapping[str, str] | None = None,
) -> dict[str, list[Pair]]:
    """Rows by split.

    Args:
        labels: the values of the label column, in the order of the classes, compared as text. The hub's labels are
            class numbers already.
        columns: column of "first", "label" and, for pairs, "second" (and "id", if there is one), by name or,
            in a table without header, by number from 0.
        data_dir: folder with the files; None reads the hub.
        names: file of each split, plain or with .gz behind; by default `train.tsv` and `dev.tsv`.
        header: whether the first line of a table names the columns.
        hub, hub_config: name and configuration of the data set on the hub.
        hub_columns: columns on the hub, where they differ from `columns`.
        hub_splits: split on the hub of each of ours; by default "train" and "validation".

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a mapping has an unknown key or lacks one, a row is malformed, or the hub does not have the data
            set or cannot be reached.
    """
    classes = class_names(labels)
    _check("columns", columns, COLUMNS, needed=("first", "label"))
    _check("hub_columns", hub_columns or columns, COLUMNS, needed=("first", "label"))
    _check("names", names or {}, SPLITS)
    _check("hub_splits", hub_splits or {}, SPLITS)
    if data_dir is not None:
        names = names or {"train": "train.tsv", "val": "dev.tsv"}
        paths = {split: files.locate(data_dir, name) for split, name in names.items()}
        return {
            split: [_pair(row, index, columns, classes) for index, row in enumerate(files.records(path, header))]
            for split, path in paths.items()
        }
    splits = hub_splits or {"train": "train", "val": "validation"}
    numbers = [str(number) for number in range(len(classes))]
    loaded = files.hub(hub, hub_config)
    return {
        ours: [
            _pair(row, index, hub_columns or columns, numbers)
            for index, row in enumerate(files.split(loaded, theirs, hub))
        ]
        for ours, theirs in splits.items()
    }


def _check(argument: str, given: Mapping[str, object], valid: Sequence[str], needed: Sequence[str] = ()) -> None:
    for key in given:
        if key not in valid:
            raise ValueError(f"unknown key 'task.data.{argument}.{key}'{files.near(key, valid)}")
    for key in needed:
        if key not in given:
            raise ValueError(f"'task.data.{argument}.{key}' is missing; give it the name of a column")


def _pair(record: files.Record, index: int, columns: Mapping[str, str | int], labels: Sequence[str]) -> Pair:
    return Pair(
        first=files.field(record, columns["first"], str),
        second=files.field(record, columns["second"], str) if "second" in columns else None,
        label=files.label(record, files.field(record, columns["label"]), labels),
        id=str(files.field(record, columns["id"]) if "id" in columns else index),
    )
