"""What an example is before a tokenizer sees it: plain frozen values, one class for each shape of input."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True, slots=True)
class Question:
    """A multiple-choice question. `label` is the index of the right choice, or None where the answer is not public."""

    text: str
    choices: tuple[str, ...]
    label: int | None
    id: str


@final
@dataclass(frozen=True, slots=True)
class Cloze:
    """A sentence with a blank: `before + option + after` is the sentence with one of the options in it.

    `label` is the index of the right option, or None where the answer is not public.
    """

    before: str
    options: tuple[str, ...]
    after: str
    label: int | None
    id: str


@final
@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts and how they relate, or a single text, with `second` None.

    `label` is a class index whose meaning the task gives, or the number that a regression aims at, or None where
    unknown. Where its data set has fewer classes than the task, further classes may be `also` right. `parts` of its
    split that it is in are measured by themselves.
    """

    first: str
    second: str | None
    label: int | float | None
    id: str
    also: tuple[int, ...] = ()
    parts: tuple[str, ...] = ()


def answer(row: Question | Cloze, choices: int) -> int | None:
    """The label of a row with so many choices, None where the answer is not public.

    Raises:
        ValueError: it is outside of the choices.
    """
    if row.label is not None and not 0 <= row.label < choices:
        raise ValueError(f"question {row.id} has label {row.label}; its {choices} choices are numbered from 0")
    return row.label


@final
@dataclass(frozen=True, slots=True)
class Document:
    """A text to be cut as its task likes, with a paragraph on each line."""

    text: str
    id: str


def class_names(labels: Sequence[object]) -> list[str]:
    """The names of classes as text: a label 1 and a label "1" are the same.

    Raises:
        ValueError: they are no list, fewer than two, or two are the same.
    """
    if isinstance(labels, str):
        raise ValueError(f"task.module.labels={labels} is not a list; write [{labels},...]")
    names = [str(label) for label in labels]
    if len(names) < 2:
        raise ValueError(f"task.module.labels={names} names fewer than two classes")
    if len(set(names)) != len(names):
        raise ValueError(f"task.module.labels={names} names a class twice")
    return names
