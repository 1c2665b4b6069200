"""What an example is before a tokenizer sees it: plain frozen values, one class for each shape of input."""

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
class Pair:
    """Two texts and how they relate, or a single text, with `second` None.

    `label` is a class index whose meaning the task gives, or None where unknown.
    """

    first: str
    second: str | None
    label: int | None
    id: str
