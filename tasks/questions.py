"""Multiple-choice data sets from files or the hub, and the plain form of a row: texts and choices in its fields."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from tasks import files
from tasks.rows import Cloze, Question

Row = TypeVar("Row", Question, Cloze)
Form = Callable[[files.Record], Row]  # what makes a question of a row

SPLITS = ("train", "val", "test")
BLIND = "test"  # the split that may have no labels
LABEL = "label"


def read(
    form: Form[Row],
    names: Mapping[str, Sequence[str]],
    hub: str,
    hub_splits: Mapping[str, str],
    data_dir: str | None = None,
    label_names: Mapping[str, Sequence[str]] | None = None,
    hub_config: str | None = None,
    hub_revision: str | None = None,
    hub_form: Form[Row] | None = None,
) -> dict[str, list[Row]]:
    """Questions by split. Those of "test" need no labels: what the authors keep to themselves is predicted.

    Args:
        form: makes a question of a row; one without id, "", gets its number in the split, from 0.
        names: names of the file of each split, of which the first that exists is read, plain or with .gz behind.
        hub, hub_config, hub_revision: name, configuration and revision of the data set on the hub.
        hub_splits: split on the hub of each of ours; that of "test" need not be there.
        data_dir: folder with the files; None reads the hub.
        label_names: likewise of the file with the label of each row, one a line, where the rows have none.
        hub_form: `form` of the hub's rows, where it differs.

    Raises:
        FileNotFoundError: there is none of the files, or one lacks its labels.
        ValueError: a mapping has an unknown key, a row is malformed or lacks the label that it needs, there are more
            or fewer labels than rows, or the hub does not have the data set or cannot be reached.
    """
    for argument, given in {"names": names, "label_names": label_names, "hub_splits": hub_splits}.items():
        for key in given or ():
            if key not in SPLITS:
                raise ValueError(f"unknown key 'task.data.{argument}.{key}'{files.near(key, SPLITS)}")
    if data_dir is None:
        loaded = files.hub(hub, hub_config, hub_revision)
        return {
            ours: _each(hub_form or form, files.split(loaded, theirs, hub), ours)
            for ours, theirs in hub_splits.items()
            if theirs in loaded or ours != BLIND
        }
    paths = files.present(data_dir, names)
    labels = {split: files.locate(data_dir, *each) for split, each in (label_names or {}).items() if split in paths}
    return {
        split: _each(form, labelled(path, labels[split]) if split in labels else files.records(path), split)
        for split, path in paths.items()
    }


def _each(form: Form[Row], records: Iterable[files.Record], split: str) -> list[Row]:
    questions = []
    for number, record in enumerate(records):
        question = form(record)
        if question.label is None and split != BLIND:
            where, row = record
            raise ValueError(
                f"{where}: no label among {', '.join(map(str, row))}; only rows of the split '{BLIND}' need none"
            )
        questions.append(question if question.id else replace(question, id=str(number)))
    return questions


def labelled(path: Path, labels: Path) -> Iterator[files.Record]:
    """Rows of a file, with the label of each from another one, which has one label a line.

    Raises:
        ValueError: there are more labels than rows, or fewer.
    """
    rows = list(files.records(path))
    lines = [(where, line.strip()) for where, line in files.lines(labels) if line.strip()]
    if len(rows) != len(lines):
        raise ValueError(f"{labels} has {len(lines)} labels for the {len(rows)} rows of {path}")
    for (where, row), (place, label) in zip(rows, lines, strict=True):
        yield f"{where} (label: {place})", {**row, LABEL: label}


def filled(
    record: files.Record,
    text: str,
    choices: Sequence[str],
    labels: Sequence[str],
    label: str = LABEL,
    id: str | None = None,
) -> Question:
    """A question whose texts are templates, in which `{name}` stands for the row's field of that name.

    Args:
        text: template of what all choices share.
        choices: template of each choice.
        labels: value of the label field for each choice, compared as text.
        label: field with the label; see `chosen`.
        id: field with the id, if there is one.

    Raises:
        ValueError: the row lacks a text or has an unknown label, or there are more or fewer labels than choices.
    """
    if len(choices) != len(labels):
        raise ValueError(f"task.data.form has {len(labels)} labels for {len(choices)} choices")
    return Question(
        text=_fill(text, record),
        choices=tuple(_fill(choice, record) for choice in choices),
        label=chosen(record, label, labels),
        id="" if id is None else str(files.field(record, id)),
    )


def chosen(record: files.Record, name: str, labels: Sequence[str]) -> int | None:
    """The index among `labels` of what a field holds, None where the row has no label.

    Raises:
        ValueError: it holds something else.
    """
    return None if files.unpublished(record, name) else files.label(record, record[1][name], labels)


def _fill(template: str, record: files.Record) -> str:
    return re.sub(r"\{(\w+)\}", lambda place: str(files.field(record, place[1], str)), template)
