"""Data sets in their original files or on the hub: every error names the place, down to the line and the field."""

import difflib
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.hub import offline_if_unreachable

Record = tuple[str, Mapping[Any, Any]]  # where the row stands, in words, and its fields


def locate(folder: str | Path, name: str) -> Path:
    """The file `name` of `folder`, or its gzip `name.gz`, whichever exists.

    Raises:
        FileNotFoundError: there is no such folder, or neither file is in it.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"task.data_dir={folder} is not a folder; pass the one that holds {name} or {name}.gz")
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    found = sorted(path.name for path in folder.iterdir() if path.is_file())
    near = difflib.get_close_matches(name, found, n=3, cutoff=0.4) or found[:3]
    hint = f"it has {', '.join(near)}" if near else "it has no files"
    raise FileNotFoundError(f"there is neither {name} nor {name}.gz in task.data_dir={folder}; {hint}")


def records(path: Path, header: bool = True) -> Iterator[Record]:
    """Rows of a file: JSON lines where its name says so (`.jsonl`, `.jsonl.gz`), else a tab-separated table."""
    return jsonl(path) if path.name.removesuffix(".gz").endswith(".jsonl") else tsv(path, header)


def jsonl(path: Path) -> Iterator[Record]:
    """Rows of a file with one JSON object a line; blank lines are skipped.

    Raises:
        ValueError: a line is not a JSON object or holds half a surrogate pair, or there is none.
    """
    empty = True
    for where, line in lines(path):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if "\\u" in line:
                json.dumps(row, ensure_ascii=False).encode()  # tokenizers fail on half a surrogate pair
        except json.JSONDecodeError as error:
            raise ValueError(f"{where}: not valid JSON ({error.msg} at character {error.pos + 1})") from None
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{where}: JSON that cannot be read ({error})") from None
        if not isinstance(row, dict):
            raise ValueError(f"{where}: expected a JSON object, found {type(row).__name__}")
        empty = False
        yield where, row
    if empty:
        raise ValueError(f"{path}: the file is empty")


def tsv(path: Path, header: bool = True) -> Iterator[Record]:
    """Rows of a tab-separated file in which quote marks are ordinary characters.

    Fields are keyed by the names in the first line or, without `header`, by column number from 0.

    Raises:
        ValueError: a line has more or fewer columns than the first, or there are no rows.
    """
    names: Sequence[str | int] | None = None
    empty = True
    for where, line in lines(path):
        cells = line.rstrip("\r\n").split("\t")
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


def near(name: object, valid: Mapping[Any, Any] | Sequence[Any]) -> str:
    """The end of an error sentence: the nearest of the valid names or, if none is near, all of them."""
    names = [str(choice) for choice in valid]
    close = difflib.get_close_matches(str(name), names, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; there are {', '.join(names[:12])}"


def hub(name: str, config: str | None = None) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """The splits of a data set on the hub, downloaded or from the local cache.

    Raises:
        ValueError: it is not cached and cannot be downloaded; without network this takes seconds.
    """
    import datasets  # type: ignore[import-untyped]  # reading local files does not pay for this import

    with offline_if_unreachable(datasets.config) as offline:
        try:
            return datasets.load_dataset(name, config)  # type: ignore[no-any-return]
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
