"""RACE (Lai et al. 2017, arXiv 1704.04683): questions about articles, from English examinations in China."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tasks import files
from tasks.rows import Question

LEVELS = ("middle", "high")
FOLDERS = {"train": "train", "val": "dev", "test": "test"}
HUB_SPLITS = {"train": "train", "val": "validation", "test": "test"}
LETTERS = "ABCD"


def read(
    data_dir: str | None = None, levels: Sequence[str] = LEVELS, hub: str = "ehovy/race"
) -> dict[str, list[Question]]:
    """Questions of these levels, by split; all three splits have answers.

    With both levels, "test_middle" and "test_high" are the parts of "test", as published figures are of either part.

    Args:
        data_dir: the folder RACE with `train`, `dev` and `test`, in each `middle` and `high`, in each a .txt file for
            every article; or a folder with `train_middle.jsonl` and so on, a question a line. Plain or .gz. None
            reads the hub.
        levels: parts of the data set, "middle" or "high" or both.
        hub: name of the data set on the hub.

    Raises:
        FileNotFoundError: a folder or file is missing.
        ValueError: a level is unknown, a file or row is malformed, or the hub does not have the data set or cannot be
            reached.
    """
    if isinstance(levels, str) or not levels:
        raise ValueError(f"task.data.levels={levels} is not a list; write [middle], [high] or [middle,high]")
    for level in levels:
        if level not in LEVELS:
            raise ValueError(f"task.data.levels has the unknown level '{level}'{files.near(level, LEVELS)}")
    chosen = [level for level in LEVELS if level in levels]
    if data_dir is None:
        parts = {level: _hub(hub, level) for level in chosen}
    else:
        # What a run needs beyond these it says itself: it may only evaluate.
        there = [s for s, folder in FOLDERS.items() if any(_is_there(data_dir, folder, level) for level in chosen)]
        parts = {level: _local(data_dir, level, there or list(FOLDERS)) for level in chosen}
    whole = {split: [row for part in parts.values() for row in part[split]] for split in parts[chosen[0]]}
    each = {f"test_{level}": part["test"] for level, part in parts.items() if "test" in part}
    return whole | (each if len(parts) > 1 else {})


def numbered(records: Iterable[files.Record]) -> list[Question]:
    """Questions whose ids are those of the articles, and the number of the question about it from 0: `high3.txt-2`."""
    seen: Counter[str] = Counter()
    questions = []
    for record in records:
        article = files.field(record, "example_id", str)
        questions.append(question(record, f"{article}-{seen[article]}"))
        seen[article] += 1
    return questions


def question(record: files.Record, id: str) -> Question:
    """What the choices share is the article; each choice is the question with the option.

    The option stands in place of the question's blank, a run of underscores, or behind a question that has none: so in
    fairseq's preprocessing, which SMC-Bench uses (arXiv 2303.02141), but that there each underscore is a blank.

    Raises:
        ValueError: the row lacks a field, has not four options, or its answer is none of them.
    """
    text = files.field(record, "question", str)
    options = files.field(record, "options", list)
    if len(options) != len(LETTERS) or not all(isinstance(option, str) for option in options):
        raise ValueError(f"{record[0]}: 'options' are not {len(LETTERS)} texts")
    return Question(
        text=files.field(record, "article", str).replace("\n", " "),
        choices=tuple(_statement(text, option) for option in options),
        label=files.label(record, files.field(record, "answer", str), LETTERS),
        id=id,
    )


def _statement(text: str, option: str) -> str:
    return re.sub("_+", lambda blank: option, text) if "_" in text else f"{text} {option}"


def _hub(name: str, level: str) -> dict[str, list[Question]]:
    loaded = files.hub(name, level)
    return {ours: numbered(files.split(loaded, theirs, f"{name}, {level}")) for ours, theirs in HUB_SPLITS.items()}


def _local(data_dir: str, level: str, splits: Sequence[str]) -> dict[str, list[Question]]:
    return {split: numbered(_of_part(data_dir, FOLDERS[split], level)) for split in splits}


def _is_there(data_dir: str, folder: str, level: str) -> bool:
    top = Path(data_dir).expanduser()
    return any(
        (top / name).exists() for name in (f"{folder}/{level}", f"{folder}_{level}.jsonl", f"{folder}_{level}.jsonl.gz")
    )


def _of_part(data_dir: str, split: str, level: str) -> Iterator[files.Record]:
    folder = Path(data_dir).expanduser() / split / level
    if not folder.is_dir():
        name = f"{split}_{level}.jsonl"
        try:
            yield from files.jsonl(files.locate(data_dir, name))
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{error}; nor is there a folder {split}/{level}") from None
        return
    articles = sorted(path for path in folder.iterdir() if path.name.endswith((".txt", ".txt.gz")))
    if not articles:
        raise FileNotFoundError(f"{folder} has no .txt files, one for each article")
    for path in articles:
        yield from of_article(path)


def of_article(path: Path) -> Iterator[files.Record]:
    """A row for each question of an article's file: one object with `article`, `questions`, `options`, `answers`, `id`.

    Raises:
        ValueError: the file is malformed, or has not as many options and answers as questions.
    """
    record = files.json_object(str(path), "".join(line for _, line in files.lines(path)))
    questions, options, answers = (files.field(record, name, list) for name in ("questions", "options", "answers"))
    if not len(questions) == len(options) == len(answers):
        raise ValueError(
            f"{path}: {len(questions)} questions, {len(options)} lists of options and {len(answers)} answers"
        )
    shared = {"article": files.field(record, "article", str), "example_id": files.field(record, "id", str)}
    for number, (text, choices, answer) in enumerate(zip(questions, options, answers, strict=True), start=1):
        yield f"{path}, question {number}", {**shared, "question": text, "options": choices, "answer": answer}
