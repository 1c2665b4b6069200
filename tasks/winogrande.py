"""WinoGrande (Sakaguchi et al. 2019, arXiv 1907.10641): which of two options belongs in the blank of a sentence?"""

from tasks import files, questions
from tasks.rows import Question

LABELS = ("1", "2")


def read(data_dir: str | None = None, size: str = "xl", hub: str = "allenai/winogrande") -> dict[str, list[Question]]:
    """ "train" and "val" in the two-choice form; the published test sentences have no answers.

    Args:
        data_dir: folder with `train_<size>.jsonl` and `dev.jsonl`, plain or .gz; None reads the hub.
        size: of the training set: xs (160), s (640), m (2558), l (10234) or xl (40398 sentences).
        hub: name of the data set on the hub.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a row is malformed, or the hub does not have the data set or cannot be reached.
    """
    return questions.read(
        form=question,
        names={"train": [f"train_{size}.jsonl"], "val": ["dev.jsonl"]},
        hub=hub,
        hub_config=f"winogrande_{size}",
        hub_splits={"train": "train", "val": "validation"},
        data_dir=data_dir,
    )


def question(record: files.Record) -> Question:
    """What the choices share is the sentence up to its blank; each choice is an option and the rest of the sentence.

    This is the two-choice form of the paper's section 4.

    Raises:
        ValueError: the row lacks a field, the sentence has not exactly one blank `_`, or the answer is not 1 or 2.
    """
    sentence = files.field(record, "sentence", str)
    if sentence.count("_") != 1:
        raise ValueError(f"{record[0]}: the sentence has {sentence.count('_')} blanks '_', expected one")
    before, after = sentence.split("_")
    return Question(
        text=before.rstrip(),
        choices=tuple(files.field(record, name, str) + after for name in ("option1", "option2")),
        label=files.label(record, files.field(record, "answer"), LABELS),
        id=str(record[1].get("qID", "")),
    )
