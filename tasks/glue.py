"""Sentences and pairs with a class or a number, from GLUE's files, anyone's tables or JSON lines, or the hub."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks import files
from tasks.rows import Pair, class_names

COLUMNS = ("first", "second", "label", "id")
SPLITS = ("train", "val", "val_mismatched", "test", "test_mismatched", "diagnostic")
FILES = {"train": "train.tsv", "val": "dev.tsv", "test": "test.tsv"}
HUB_SPLITS = {"train": "train", "val": "validation", "test": "test"}


def read(
    labels: Sequence[str] | None,
    columns: Mapping[str, str | int],
    data_dir: str | None = None,
    folder: str | None = None,
    names: Mapping[str, str] | None = None,
    test_columns: Mapping[str, str | int] | None = None,
    hub: str = "nyu-mll/glue",
    hub_config: str | None = None,
    hub_columns: Mapping[str, str] | None = None,
    hub_splits: Mapping[str, str] | None = None,
) -> dict[str, list[Pair]]:
    """Rows by split. Where a test split has no labels, those of its rows are None.

    Args:
        labels: the values of the label column, in the order of the classes, compared as text; the hub's labels are
            class numbers already. None: the labels are numbers, as of a regression.
        columns: column of "first", "label" and, for pairs, "second" (and "id", if there is one) by name, or, in a
            table without header, by number from 0.
        data_dir: folder with the files; None reads the hub.
        folder: the data set's own folder, where `data_dir` is one of several data sets.
        names: file of each split, plain or with .gz behind; by default `train.tsv`, `dev.tsv` and `test.tsv`. Those
            that are not there are left out, except for `val_mismatched`.
        test_columns: columns of test files, where they differ from `columns`. One that has no label column is read
            without labels.
        hub, hub_config: name and configuration of the data set on the hub.
        hub_columns: columns on the hub, where they differ from `columns`.
        hub_splits: split on the hub of each of ours; by default "train", "validation" and "test".

    Raises:
        FileNotFoundError: none of the files is there, or one is missing that has to be.
        ValueError: a mapping has an unknown key or lacks one, a row is malformed, or the hub does not have the data
            set or cannot be reached.
    """
    classes = None if labels is None else class_names(labels)
    needed = ("first", "label")
    _check("columns", columns, COLUMNS, needed)
    _check("test_columns", test_columns or columns, COLUMNS, ("first",))
    _check("hub_columns", hub_columns or columns, COLUMNS, needed)
    _check("names", names or {}, SPLITS)
    _check("hub_splits", hub_splits or {}, SPLITS)
    if data_dir is not None:
        within = Path(data_dir).expanduser() / (folder or ".")
        paths = files.present(within if within.is_dir() else data_dir, names or FILES, needed=("val_mismatched",))
        return {split: _table(path, split, columns, test_columns or columns, classes) for split, path in paths.items()}
    numbers = None if classes is None else [str(number) for number in range(len(classes))]
    loaded = files.hub(hub, hub_config)
    return {
        ours: [
            _pair(row, index, hub_columns or columns, numbers, _is_test(ours))
            for index, row in enumerate(files.split(loaded, theirs, hub))
        ]
        for ours, theirs in (hub_splits or HUB_SPLITS).items()
        if theirs in loaded or not _is_test(ours)
    }


def _table(
    path: Path,
    split: str,
    columns: Mapping[str, str | int],
    test_columns: Mapping[str, str | int],
    labels: Sequence[str] | None,
) -> list[Pair]:
    test = _is_test(split)
    named = test_columns if test else columns
    rows = files.records(path, header=any(isinstance(column, str) for column in named.values()))
    return [_pair(row, index, named, labels, test) for index, row in enumerate(rows)]


def _is_test(split: str) -> bool:
    """Whether a split may have no labels."""
    return split.startswith(("test", "diagnostic"))


def _check(argument: str, given: Mapping[str, object], valid: Sequence[str], needed: Sequence[str] = ()) -> None:
    for key in given:
        if key not in valid:
            raise ValueError(f"unknown key 'task.data.{argument}.{key}'{files.near(key, valid)}")
    for key in needed:
        if key not in given:
            raise ValueError(f"'task.data.{argument}.{key}' is missing; give it the name of a column")


def _pair(
    record: files.Record, index: int, columns: Mapping[str, str | int], labels: Sequence[str] | None, test: bool
) -> Pair:
    unknown = test and ("label" not in columns or files.unpublished(record, columns["label"]))
    return Pair(
        first=files.field(record, columns["first"], str),
        second=files.field(record, columns["second"], str) if "second" in columns else None,
        label=None if unknown else _label(record, files.field(record, columns["label"]), labels),
        id=str(files.field(record, columns["id"]) if "id" in columns else index),
    )


def _label(record: files.Record, value: object, labels: Sequence[str] | None) -> int | float:
    return _number(record, value) if labels is None else files.label(record, value, labels)


def _number(record: files.Record, value: object) -> float:
    """A finite number that a field holds, as such or as text.

    Raises:
        ValueError: it holds something else.
    """
    try:
        found = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"{record[0]}: '{value}' is not a number")
    return found
