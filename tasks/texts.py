"""Running text: documents of text files or of the hub, and a validation split that parts no document."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tasks import files
from tasks.rows import Document

USUAL = {"train": "train.txt", "val": "valid.txt", "test": "test.txt"}
TITLE = re.compile(r"= [^=\s].* =")  # of an article, in WikiText; its sections have more of these signs


def read(
    data_dir: str | None = None,
    names: Mapping[str, str] | None = None,
    val_share: float = 0.05,
    hub: str = "Salesforce/wikitext",
    hub_config: str | None = None,
    hub_splits: Mapping[str, str] | None = None,
    hub_documents: bool = False,
) -> dict[str, list[Document]]:
    """Documents by split.

    In a file a paragraph stands on each line, and blank lines stand between documents; a file that begins with the
    title of a WikiText article, ` = Title = `, has a document from each such title to the next.

    Args:
        data_dir: folder with `train.txt`, `valid.txt` and `test.txt`, of which the first is enough, or with any text
            files, which are one corpus in the order of their names; all plain or with .gz behind. None reads the hub.
        names: file of each split, where they have other names.
        val_share: where there is no validation split, the share of documents that becomes one: the first ones, as in
            Numenta's nupic.research.
        hub, hub_config: name and configuration of the data set on the hub; its column `text` is read.
        hub_splits: split on the hub of each of ours; by default "train", "validation" and "test".
        hub_documents: whether a row of it is a document, or a line as in a file.

    Raises:
        FileNotFoundError: there is no text.
        ValueError: a split is empty, or is one line, or one document that would have to be parted; or the hub does not
            have the data set or cannot be reached.
    """
    if not 0 < val_share < 1:
        raise ValueError(f"task.data.val_share={val_share} must be above 0 and below 1")
    splits = _of_hub(hub, hub_config, hub_splits, hub_documents) if data_dir is None else _of_files(data_dir, names)
    return splits if "val" in splits or "train" not in splits else _parted(splits, val_share)


def documents(lines: Iterable[tuple[str, str]], source: str) -> list[Document]:
    """The documents of lines, each given with its place in words.

    Raises:
        ValueError: there is no text, or it all stands on one line.
    """
    found: list[Document] = []
    paragraphs: list[str] = []

    def end() -> None:
        if paragraphs:
            found.append(Document("\n".join(paragraphs), f"{source}-{len(found)}"))
            paragraphs.clear()

    titled, blank, count = None, True, 0
    for _, line in lines:
        text = line.strip()
        if text:
            title = blank and TITLE.fullmatch(text) is not None
            titled = title if titled is None else titled
            if title if titled else blank:
                end()
            paragraphs.append(text)
            count += 1
        blank = not text
    if count < 2:
        raise ValueError(
            f"{source}: {'one line of' if count else 'no'} text; a paragraph stands on each line, and a blank line"
            f" between two documents"
        )
    end()
    return found


def _of_files(data_dir: str, names: Mapping[str, str] | None) -> dict[str, list[Document]]:
    folder = Path(data_dir).expanduser()
    for key in names or {}:
        if key not in USUAL:
            raise ValueError(f"unknown key 'task.data.names.{key}'{files.near(key, USUAL)}")
    texts = sorted(path for path in folder.glob("*") if path.name.removesuffix(".gz").endswith(".txt"))
    stems = {path.name.removesuffix(".gz") for path in texts}
    if names is None and stems.isdisjoint(USUAL.values()) and texts:
        return {"train": documents((line for path in texts for line in _apart(path)), str(folder))}
    paths = files.present(data_dir, names or USUAL)
    return {split: documents(files.lines(path), str(path)) for split, path in paths.items()}


def _apart(path: Path) -> Iterator[tuple[str, str]]:
    """The lines of one file of several, which ends a document."""
    yield from files.lines(path)
    yield f"the end of {path}", ""


def _of_hub(name: str, config: str | None, splits: Mapping[str, str] | None, whole: bool) -> dict[str, list[Document]]:
    loaded = files.hub(name, config)
    usual = {"train": "train", "val": "validation", "test": "test"}
    chosen = splits or {ours: theirs for ours, theirs in usual.items() if ours == "train" or theirs in loaded}
    found = {}
    for ours, theirs in chosen.items():
        rows = files.split(loaded, theirs, name)
        texts = ((record[0], files.field(record, "text", str)) for record in rows)
        found[ours] = (
            [Document(text, place) for place, text in texts] if whole else documents(texts, f"{name} {theirs}")
        )
    return found


def _parted(splits: dict[str, list[Document]], share: float) -> dict[str, list[Document]]:
    everything = splits["train"]
    if len(everything) < 2:
        raise ValueError(
            f"{everything[0].id}: one document cannot be parted into training and validation text; put a blank line"
            f" between documents, or give valid.txt"
        )
    held_out = max(1, round(share * len(everything)))
    return {**splits, "train": everything[held_out:], "val": everything[:held_out]}
