"""Data sets in their original files or on the hub: every error names the place, down to the line and the field."""

import csv as comma_separated
import difflib
import gzip
import json
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.hub import offline_if_unreachable

Record = tuple[str, Mapping[Any, Any]]  # where the row stands, in words, and its fields


def locate(folder: str | Path, *names: str) -> Path:
    """The first of the files `names` that `folder` has, as it is or as gzip, with `.gz` behind its name.

    Raises:
        FileNotFoundError: there is no such folder, or none of the files is in it.
    """
    folder = Path(folder).expanduser()
    either = [form for name in names for form in (name, f"{name}.gz")]
    if not folder.is_dir():
        raise FileNotFoundError(
            f"task.data_dir={folder} is not a folder; pass the one that holds {' or '.join(either)}"
        )
    for name in either:
        if (folder / name).is_file():
            return folder / name
    found = sorted(path.name for path in folder.iterdir() if path.is_file())
    near = difflib.get_close_matches(names[0], found, n=3, cutoff=0.4) or found[:3]
    hint = f"it has {', '.join(near)}" if near else "it has no files"
    raise FileNotFoundError(f"there is neither {' nor '.join(either)} in {folder}; {hint}")


def present(
    folder: str | Path, names: Mapping[str, str | Sequence[str]], needed: Collection[str] = ()
) -> dict[str, Path]:
    """Those of the files of splits that `folder` has, plain or gzipped; of several names, the first.

    What a run needs beyond them it says itself: it may only evaluate.

    Raises:
        FileNotFoundError: there is no such folder, none of the files is in it, or one of a split that is `needed`.
    """
    found = {}
    choices = {split: [name] if isinstance(name, str) else name for split, name in names.items()}
    for split, each in choices.items():
        try:
            found[split] = locate(folder, *each)
        except FileNotFoundError:
            if split in needed:
                raise
    if not found:
        locate(folder, *next(iter(choices.values())))
    return found


def of_set(names: Mapping[str, str]) -> Collection[str]:
    """The splits that have to be there: of a set beside a task, which has no "val", all that are named."""
    return () if "val" in names else names


def records(path: Path, header: bool = True) -> Iterator[Record]:
    """Rows of a file: JSON lines or CSV where its name says so (`.jsonl`, `.json`, `.csv`), else tab-separated."""
    match path.name.removesuffix(".gz").rpartition(".")[2]:
        case "jsonl" | "json":
            return jsonl(path)
        case "csv":
            return csv(path, header)
        case _:
            return tsv(path, header)


def jsonl(path: Path) -> Iterator[Record]:
    """Rows of a file with one JSON object a line; blank lines are skipped.

    Raises:
        ValueError: a line is not a JSON object or holds half a surrogate pair, or there is none.
    """
    empty = True
    for where, line in lines(path):
        if line.strip():
            empty = False
            yield json_object(where, line)
    if empty:
        raise ValueError(f"{path}: the file is empty")


def json_object(where: str, text: str) -> Record:
    """A JSON object that stands at `where`.

    Raises:
        ValueError: the text is something else, or holds half a surrogate pair.
    """
    try:
        row = json.loads(text)
        if "\\u" in text:
            json.dumps(row, ensure_ascii=False).encode()  # tokenizers fail on half a surrogate pair
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: not valid JSON ({error.msg} at character {error.pos + 1})") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: JSON that cannot be read ({error})") from None
    if not isinstance(row, dict):
        raise ValueError(f"{where}: expected a JSON object, found {type(row).__name__}")
    return where, row


def tsv(path: Path, header: bool = True) -> Iterator[Record]:
    """Rows of a tab-separated file in which quote marks are ordinary characters.

    Fields are keyed by the names in the first line or, without `header`, by column number from 0.

    Raises:
        ValueError: a line has more or fewer columns than the first, or there are no rows.
    """
    return _table(path, ((where, line.rstrip("\r\n").split("\t")) for where, line in lines(path)), header)


def csv(path: Path, header: bool = True) -> Iterator[Record]:
    """Rows of a comma-separated file, in which a cell with commas, quote marks or line ends stands in quote marks.

    Fields are keyed as in `tsv`. A row is said to stand where its first line does; blank lines are skipped.

    Raises:
        ValueError: a quote does not end, a row has more or fewer columns than the first, or there are no rows.
    """
    return _table(path, _quoted(path), header)


def _quoted(path: Path) -> Iterator[tuple[str, list[str]]]:
    places: list[str] = []

    def text() -> Iterator[str]:
        for where, line in lines(path):
            places.append(where)
            yield line

    try:
        for cells in comma_separated.reader(text(), strict=True):
            if cells:
                yield places[0], cells
            places.clear()
    except comma_separated.Error as error:
        raise ValueError(f"{places[0]}: not a CSV row ({error})") from None


def _table(path: Path, rows: Iterator[tuple[str, list[str]]], header: bool) -> Iterator[Record]:
    names: Sequence[str | int] | None = None
    empty = True
    for where, cells in rows:
        if names is None:
            names = cells if header else range(len(cells))
            if header:
                continue
        if len(cells) != len(names):
            raise ValueError(f"{where}: {len(cells)} columns where the first line has {len(names)}")
        empty = False
        yield where, dict(zip(names, cells, strict=True))
    if empty:
        raise ValueError(f"{path}: the file is empty" + (" after its header" if names else ""))


def field(record: Record, name: str | int, kind: type = object) -> Any:
    """The field `name` of a row.

    Raises:
        ValueError: the row is no object, it has no such field, or its value is not of `kind`.
    """
    where, row = record
    if not isinstance(row, Mapping):
        raise ValueError(f"{where}: expected an object with the field '{name}', found {type(row).__name__}")
    if name not in row:
        raise ValueError(f"{where}: no field '{name}'{near(name, row)}")
    if not isinstance(row[name], kind):
        raise ValueError(f"{where}: field '{name}' is {type(row[name]).__name__}, expected {kind.__name__}")
    return row[name]


def label(record: Record, value: object, labels: Sequence[str]) -> int:
    """The index of `value` among `labels`.

    Raises:
        ValueError: it is not one of them.
    """
    if str(value) not in labels:
        raise ValueError(f"{record[0]}: unknown label '{value}'{near(value, labels)}")
    return list(labels).index(str(value))


def unpublished(record: Record, name: str | int) -> bool:
    """Whether a row has no label: its field is not there or, as on the hub, holds nothing or -1."""
    return record[1].get(name) in (None, "", -1)


def near(name: object, valid: Mapping[Any, Any] | Sequence[Any]) -> str:
    """The end of an error sentence: the nearest of the valid names or, if none is near, all of them."""
    names = [str(choice) for choice in valid]
    close = difflib.get_close_matches(str(name), names, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; there are {', '.join(names[:12])}"


def hub(name: str, config: str | None = None, revision: str | None = None) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """The splits of a data set on the hub, downloaded or from the local cache.

    Raises:
        ValueError: it is not cached and cannot be downloaded; without network this takes seconds.
    """
    import datasets  # type: ignore[import-untyped]  # reading local files does not pay for this import

    with offline_if_unreachable(datasets.config) as offline:
        try:
            return datasets.load_dataset(name, config, revision=revision)  # type: ignore[no-any-return]
        except (OSError, ValueError, RuntimeError) as error:
            full = name if config is None else f"{name}, {config}"
            reason = (
                "is not in the local cache and the hub cannot be reached; connect"
                if offline
                else f"could not be loaded from the hub ({str(error).splitlines()[0]}); correct its name"
            )
            raise ValueError(f"data set '{full}' {reason}, or pass task.data_dir=<folder>") from error


def split(splits: Mapping[str, Any], name: str, source: str) -> Iterator[Record]:
    """Rows of one split of a data set from the hub.

    Raises:
        ValueError: there is no such split.
    """
    if name not in splits:
        raise ValueError(f"data set '{source}' has no split '{name}'{near(name, splits)}")
    return ((f"{source} {name}, row {index}", row) for index, row in enumerate(splits[name]))


def lines(path: Path) -> Iterator[tuple[str, str]]:
    """Lines with their place. Only a line feed ends a line: other separators occur inside texts."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as opened:
            for number, line in enumerate(opened, start=1):
                where = f"{path}, line {number}"
                try:
                    yield where, line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError:
                    raise ValueError(f"{where}: not UTF-8 text") from None
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise ValueError(f"{path}: not a whole gzip file") from None
