"""Questions with lettered choices and an answer key, as CommonsenseQA and OpenBookQA have them."""

from collections.abc import Sequence
from string import ascii_uppercase

from tasks import files, questions
from tasks.rows import Question


def from_file(record: files.Record) -> Question:
    """A line of the original: `{"answerKey", "id", "question": {"stem", "choices": [{"label", "text"}, ...]}}`.

    Raises:
        ValueError: the row is malformed.
    """
    where, row = record
    if "Question Stem" in row:
        return from_table(record)
    question = (where, files.field(record, "question", dict))
    choices = [(where, choice) for choice in files.field(question, "choices", list)]
    return _question(
        record,
        files.field(question, "stem", str),
        [files.field(choice, "label", str) for choice in choices],
        [files.field(choice, "text", str) for choice in choices],
        "answerKey",
        files.field(record, "id", str),
    )


def from_table(record: files.Record) -> Question:
    """A row of OpenBookQA's table: its choices stand in one cell, `(A) text (B) text ...`.

    A letter out of turn is text: one published choice reads `(D) baby birds chewing worms (D) mother dogs ...`.

    Raises:
        ValueError: the row is malformed.
    """
    rest = files.field(record, "Choices", str).strip()
    texts: list[str] = []
    for letter in ascii_uppercase:
        before, found, rest = rest.partition(f"({letter})")
        texts.append(before.strip())
        if not found:
            break
    if texts[0]:
        raise ValueError(f"{record[0]}: the choices are not of the form '(A) ... (B) ...'")
    stem, id = (files.field(record, name, str) for name in ("Question Stem", "ID"))
    return _question(record, stem, ascii_uppercase[: len(texts) - 1], texts[1:], "Answer Key", id)


def from_hub(record: files.Record, stem: str = "question") -> Question:
    """A row of the hub: `{"answerKey", "id", "question": text, "choices": {"label": [...], "text": [...]}}`.

    Args:
        stem: field with the text of the question.

    Raises:
        ValueError: the row is malformed.
    """
    choices = (record[0], files.field(record, "choices", dict))
    return _question(
        record,
        files.field(record, stem, str),
        files.field(choices, "label", list),
        files.field(choices, "text", list),
        "answerKey",
        files.field(record, "id", str),
    )


def _question(
    record: files.Record, text: str, labels: Sequence[str], choices: Sequence[str], key: str, id: str
) -> Question:
    if len(choices) < 2:
        raise ValueError(f"{record[0]}: {len(choices)} choices, a question needs two or more")
    if len(labels) != len(choices):
        raise ValueError(f"{record[0]}: {len(choices)} texts for {len(labels)} labels of choices")
    for index, label in enumerate(labels):
        if label in labels[:index]:
            raise ValueError(f"{record[0]}: two choices have the label '{label}'")
    return Question(text, tuple(choices), questions.chosen(record, key, labels), id)
