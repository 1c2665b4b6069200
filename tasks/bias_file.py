"""Predictions of a bias-only model from a file: one distribution over the classes for each training row."""

import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np

from tasks import files

KINDS = ("probs", "log_probs")
TOLERANCE = 1e-3  # of a row's sum, for files in half precision
HARMLESS = {  # what pickles of containers, numbers and arrays are made with
    *((module, name) for module in ("numpy", "numpy.core.multiarray") for name in ("ndarray", "dtype")),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),
}


def read(path: str, ids: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Log-probabilities of the training rows, float32 of shape (rows, classes).

    * `.npy`: an array whose rows are in the order of the training rows;
    * `.pkl`: such an array or list, or a dictionary from row ids to lists or arrays;
    * `.jsonl`: on each line "probs" or "log_probs", a list or an object by class name, and an "id" or none at all.

    Columns are in the order of the task's classes. Whether numbers are probabilities or their logarithms can be seen,
    except in .jsonl, which says so.

    Args:
        path: the file, `.jsonl` also with .gz behind.
        ids: of the training rows, in their order.
        classes: names of the classes, in their order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is of another kind or cannot be read, or it does not hold one distribution for each row.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f"loss.bias_file={path} is not a file")
    readers: dict[str, Callable[[Path, Sequence[str]], Any]] = {".npy": _npy, ".pkl": _pkl, ".jsonl": _jsonl}
    suffix = Path(file.name.removesuffix(".gz")).suffix
    if suffix not in readers:
        raise ValueError(f"loss.bias_file={path} must end in {', '.join(readers)}")
    found = readers[suffix](file, classes)
    if isinstance(found, Mapping):
        rows = {str(key): row for key, row in found.items()}
        if missing := [key for key in ids if key not in rows]:
            raise ValueError(f"{file}: nothing for the training row '{missing[0]}' ({len(missing)} are missing)")
        found = [rows[key] for key in ids]
    try:
        table = np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{file}: the rows are not lists of {len(classes)} numbers") from None
    if table.shape != (len(ids), len(classes)):
        raise ValueError(
            f"{file}: shape {table.shape}, but there are {len(ids)} training rows and {len(classes)} classes"
        )
    return _logarithms(table, file)


def _logarithms(table: np.ndarray, file: Path) -> np.ndarray:
    for holds, rule in ((np.isfinite(table), "is not finite"), ((table <= 0) | (table >= 0), "is not a number")):
        if not holds.all():
            raise ValueError(f"{file}: a value of row {_first(~holds)} {rule}")
    probabilities = np.exp(table) if (table <= 0).all() else table
    sums = probabilities.sum(axis=1, keepdims=True)
    wrong = (probabilities < 0) | (np.abs(sums - 1) > TOLERANCE)
    if wrong.any():
        raise ValueError(f"{file}: row {_first(wrong)} is neither of probabilities, which sum to 1, nor of their logs")
    if not probabilities.all():
        raise ValueError(
            f"{file}: row {_first(probabilities == 0)} rules a class out; give every class some probability"
        )
    logs: np.ndarray = np.log(probabilities / sums).astype(np.float32)
    return logs


def _first(wrong: np.ndarray) -> int:
    return int(np.argwhere(wrong)[0][0])


def _npy(file: Path, classes: Sequence[str]) -> Any:
    try:
        return np.load(file, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{file}: not an array of numbers as numpy.save writes it") from error


def _pkl(file: Path, classes: Sequence[str]) -> Any:
    try:
        with file.open("rb") as opened:
            return _Unpickler(opened).load()
    except _RefusedError as refused:
        raise ValueError(f"{file}: {refused}") from None
    except Exception as error:  # a damaged pickle may raise anything
        raise ValueError(f"{file}: not a whole pickle") from error


def _jsonl(file: Path, classes: Sequence[str]) -> Any:
    rows: list[list[float]] = []
    named: dict[str, list[float]] = {}
    for record in files.jsonl(file):
        where, line = record
        kinds = [kind for kind in KINDS if kind in line]
        if len(kinds) != 1:
            raise ValueError(f"{where}: give either 'probs' or 'log_probs'")
        values = line[kinds[0]]
        if isinstance(values, Mapping):
            if set(values) != set(classes):
                raise ValueError(f"{where}: the classes are {', '.join(values)} and not {', '.join(classes)}")
            values = [values[name] for name in classes]
        if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
            raise ValueError(f"{where}: '{kinds[0]}' is no list of numbers")
        rows.append(values if kinds[0] == "log_probs" else [_log(value, where) for value in values])
        if "id" in line:
            if str(line["id"]) in named:
                raise ValueError(f"{where}: the id '{line['id']}' comes twice")
            named[str(line["id"])] = rows[-1]
    if named and len(named) != len(rows):
        raise ValueError(f"{file}: only {len(named)} of {len(rows)} lines have an id; give it to all or none")
    return named or rows


def _log(value: float, where: str) -> float:
    if not 0 < value <= 1 + TOLERANCE:
        raise ValueError(f"{where}: {value} is not a probability above 0")
    return min(0.0, float(np.log(value)))


class _RefusedError(Exception):
    pass


@final
class _Unpickler(pickle.Unpickler):
    """Admits plain containers, numbers and numpy arrays: nothing that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in HARMLESS:
            raise _RefusedError(f"{module}.{name} is neither a plain container nor a number nor an array")
        return super().find_class(module, name)
