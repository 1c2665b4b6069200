"""WinoGrande (Sakaguchi et al. 2019, arXiv 1907.10641): which of two options belongs in the blank of a sentence?"""

from tasks import files, questions
from tasks.rows import Cloze, Question

LABELS = ("1", "2")


def read(data_dir: str | None = None, size: str = "xl", hub: str = "allenai/winogrande") -> dict[str, list[Question]]:
    """The two-choice form of the paper's section 4: what the choices share is the sentence up to its blank, each choice
    is an option with the rest of the sentence. Otherwise as `clozes`.
    """
    return {split: [two_choice(row) for row in rows] for split, rows in clozes(data_dir, size, hub).items()}


SIZES = ("xs", "s", "m", "l", "xl")


def clozes(data_dir: str | None = None, size: str = "xl", hub: str = "allenai/winogrande") -> dict[str, list[Cloze]]:
    """Sentences by split; the published ones of "test" have no answers.

    Args:
        data_dir: folder with `train_<size>.jsonl`, `dev.jsonl` and `test.jsonl`, plain or .gz; None reads the hub.
        size: of the training set: xs (160), s (640), m (2558), l (10234) or xl (40398 sentences).
        hub: name of the data set on the hub.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a row is malformed, or the hub does not have the data set or cannot be reached.
    """
    if size not in SIZES:
        raise ValueError(f"task.data.size={size} is no training set{files.near(size, SIZES)}")
    return questions.read(
        form=cloze,
        names={"train": [f"train_{size}.jsonl"], "val": ["dev.jsonl"], "test": ["test.jsonl"]},
        hub=hub,
        hub_config=f"winogrande_{size}",
        hub_splits={"train": "train", "val": "validation", "test": "test"},
        data_dir=data_dir,
    )


def two_choice(row: Cloze) -> Question:
    return Question(row.before.rstrip(), tuple(option + row.after for option in row.options), row.label, row.id)


def cloze(record: files.Record) -> Cloze:
    """A row: `{"sentence": text with a blank, "option1", "option2", "answer": "1", "2" or, where not public, ""}`.

    Raises:
        ValueError: the row lacks a field, the sentence has not exactly one blank `_`, or the answer is not 1 or 2.
    """
    sentence = files.field(record, "sentence", str)
    if sentence.count("_") != 1:
        raise ValueError(f"{record[0]}: the sentence has {sentence.count('_')} blanks '_', expected one")
    before, after = sentence.split("_")
    options = tuple(files.field(record, name, str) for name in ("option1", "option2"))
    label = questions.chosen(record, "answer", LABELS)
    return Cloze(before, options, after, label, id=str(record[1].get("qID", "")))
