"""CommonsenseQA (Talmor et al., 2019) from its original files or the hub."""

from collections.abc import Sequence

from tasks import files
from tasks.rows import Question

FILES = {"train": "train_rand_split.jsonl", "val": "dev_rand_split.jsonl"}
SPLITS = {"train": "train", "val": "validation"}


def read(data_dir: str | None = None, hub: str = "tau/commonsense_qa") -> dict[str, list[Question]]:
    """The random split: "train" (9741 questions) and "val" (1221). The published test questions have no answers.

    Args:
        data_dir: folder with `train_rand_split.jsonl` and `dev_rand_split.jsonl`, plain or .gz; None reads the hub.
        hub: name of the data set on the hub.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a row is malformed, or the hub does not have the data set or cannot be reached.
    """
    if data_dir is not None:
        paths = files.present(data_dir, FILES)
        return {split: [from_file(record) for record in files.jsonl(path)] for split, path in paths.items()}
    loaded = files.hub(hub)
    return {ours: [from_hub(record) for record in files.split(loaded, theirs, hub)] for ours, theirs in SPLITS.items()}


def from_file(record: files.Record) -> Question:
    """A line of the original: `{"answerKey", "id", "question": {"stem", "choices": [{"label", "text"}, ...]}}`."""
    where, _ = record
    question = (where, files.field(record, "question", dict))
    choices = [(where, choice) for choice in files.field(question, "choices", list)]
    return _question(
        record,
        files.field(question, "stem", str),
        [files.field(choice, "label", str) for choice in choices],
        [files.field(choice, "text", str) for choice in choices],
    )


def from_hub(record: files.Record) -> Question:
    """A row of the hub: `{"answerKey", "id", "question": text, "choices": {"label": [...], "text": [...]}}`."""
    choices = (record[0], files.field(record, "choices", dict))
    return _question(
        record,
        files.field(record, "question", str),
        files.field(choices, "label", list),
        files.field(choices, "text", list),
    )


def _question(record: files.Record, text: str, labels: Sequence[str], choices: Sequence[str]) -> Question:
    if len(choices) < 2:
        raise ValueError(f"{record[0]}: {len(choices)} choices, a question needs two or more")
    if len(labels) != len(choices):
        raise ValueError(f"{record[0]}: {len(choices)} texts for {len(labels)} labels of choices")
    for index, label in enumerate(labels):
        if label in labels[:index]:
            raise ValueError(f"{record[0]}: two choices have the label '{label}'")
    answer = files.label(record, files.field(record, "answerKey", str), labels)
    return Question(text, tuple(choices), answer, files.field(record, "id", str))
