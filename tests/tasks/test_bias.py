"""What a bias-only model says of the training rows: from files of all kinds, or by a model of our own."""

import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks import bias_file, bias_model
from tasks.little_world import pairs
from tasks.rows import Pair

SHARED = Path(__file__).parents[2] / "../shared/data/bias_model_preds/fever/log_probs.npy"
IDS, CLASSES = ["5", "3", "9"], ["no", "yes"]
TABLE = np.array([[0.25, 0.75], [0.5, 0.5], [0.9, 0.1]])


def npy(array: np.ndarray) -> Callable[[Path], Any]:
    return lambda path: np.save(path, array)


def pkl(content: Any, protocol: int = 4) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(pickle.dumps(content, protocol=protocol))


def jsonl(*rows: Any) -> Callable[[Path], Any]:
    return lambda path: path.write_text("\n".join(map(json.dumps, rows)))


def named(key: Callable[[str], Any], value: Callable[[np.ndarray], Any]) -> dict[Any, Any]:
    return {key(name): value(row) for name, row in reversed(list(zip(IDS, TABLE, strict=True)))}


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.npy", npy(TABLE)),
        ("a.npy", npy(np.log(TABLE).astype(np.float32))),
        ("a.npy", npy(TABLE.astype(np.float16))),
        ("a.pkl", pkl(TABLE)),
        ("a.pkl", pkl(TABLE, protocol=2)),
        ("a.pkl", pkl(TABLE.tolist())),
        ("a.pkl", pkl(named(int, list))),  # of numpy's own numbers
        ("a.pkl", pkl(named(str, lambda row: np.log(row).astype(np.float32)), protocol=5)),
        ("a.jsonl", jsonl(*({"probs": row} for row in TABLE.tolist()))),
        ("a.jsonl", jsonl(*({"id": key, "log_probs": np.log(row).tolist()} for key, row in named(int, list).items()))),
        ("a.jsonl", jsonl(*({"probs": {"yes": row[1], "no": row[0]}} for row in TABLE.tolist()))),
    ],
)
def test_every_kind_of_file_says_the_same(tmp_path: Path, name: str, write: Callable[[Path], Any]) -> None:
    write(tmp_path / name)
    found = bias_file.read(str(tmp_path / name), IDS, CLASSES)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.exp(found), TABLE, atol=1e-3)


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("evil",)


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("a.npy", npy(TABLE[:2]), r"shape \(2, 2\), but there are 3 training rows and 2 classes"),
        ("a.npy", npy(np.ones((3, 3)) / 3), r"shape \(3, 3\)"),
        ("a.npy", npy(TABLE * 2), "row 0 is neither of probabilities"),
        ("a.npy", npy(np.log(TABLE) * 2), "row 0 is neither of probabilities"),
        ("a.npy", npy(np.vstack([TABLE[:2], [-0.1, 1.1]])), "row 2 is neither of probabilities"),
        ("a.npy", npy(np.vstack([TABLE[:1], [np.nan, 1], TABLE[:1]])), "a value of row 1 is not finite"),
        ("a.npy", npy(np.vstack([TABLE[:1], [0, 1], TABLE[:1]])), "row 1 rules a class out"),
        ("a.npy", npy(np.array([["a", "b"]] * 3)), "the rows are not lists of 2 numbers"),
        ("a.npy", lambda path: path.write_bytes(b"abc"), "not an array of numbers as numpy.save writes it"),
        ("a.npy", lambda path: np.save(path, np.array([Evil()], dtype=object)), "not an array of numbers"),
        ("a.pkl", pkl({5: [0.5, 0.5], 3: [0.5, 0.5]}), "nothing for the training row '9'"),
        ("a.pkl", pkl([[0.5, 0.5], [1.0], [0.5, 0.5]]), "the rows are not lists of 2 numbers"),
        ("a.pkl", pkl(Evil()), "posix.mkdir is neither a plain container"),
        ("a.pkl", pkl({"a": Path("x")}), r"pathlib.* is neither a plain container"),
        ("a.pkl", lambda path: path.write_bytes(b"abc"), "not a whole pickle"),
        ("a.csv", lambda path: path.write_text("0.5,0.5"), "must end in .npy, .pkl, .jsonl"),
        ("a.jsonl", jsonl({"probs": [0.5, 0.5], "log_probs": [-1, -1]}), "line 1: give either 'probs' or 'log_probs'"),
        ("a.jsonl", jsonl({"probs": {"no": 0.5, "maybe": 0.5}}), "the classes are no, maybe and not no, yes"),
        ("a.jsonl", jsonl({"probs": [0, 1]}), "line 1: 0 is not a probability above 0"),
        ("a.jsonl", jsonl({"probs": [0.5, 0.5], "id": 1}, {"probs": [0.5, 0.5], "id": 1}), "'1' comes twice"),
        ("a.jsonl", jsonl({"probs": [0.5, 0.5], "id": 1}, {"probs": [0.5, 0.5]}), "only 1 of 2 lines have an id"),
        ("a.jsonl", jsonl({"probs": "x"}), "'probs' is no list of numbers"),
    ],
)
def test_illegal_file(tmp_path: Path, name: str, write: Callable[[Path], Any], message: str) -> None:
    write(tmp_path / name)
    with pytest.raises(ValueError, match=message):
        bias_file.read(str(tmp_path / name), IDS, CLASSES)
    assert not Path("evil").exists()


def test_illegal_place() -> None:
    with pytest.raises(FileNotFoundError, match=r"loss.bias_file=/nowhere.npy is not a file"):
        bias_file.read("/nowhere.npy", IDS, CLASSES)


@pytest.mark.skipif(not SHARED.exists(), reason="the public data sets are not here")
@pytest.mark.shared
def test_the_published_file() -> None:
    ids = [str(index) for index in range(242911)]
    found = bias_file.read(str(SHARED), ids, ["SUPPORTS", "REFUTES", "NOT ENOUGH INFO"])
    np.testing.assert_allclose(found, np.load(SHARED), atol=1e-5)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("The dog saw the cat.", "the cat", [1, 1, 1, np.log(4), 0]),
        ("The dog saw the cat.", "The cat saw!", [1, 0, 1, np.log(3), 0]),
        ("a b", "b c a d", [0, 0, 0.5, 0, np.log(3)]),
        ("ab", "a", [0, 0, 0, 0, 0]),
    ],
)
def test_overlap_by_hand(first: str, second: str, expected: list[float]) -> None:
    assert bias_model.overlap(first, second) == pytest.approx(expected)


def test_a_bias_only_model_finds_the_bias_and_nothing_else() -> None:
    rows = pairs(train=4000, bias=0.9)["train"]
    found = np.exp(bias_model.predictions(rows, 2))
    known = found[np.arange(len(rows)), [row.label for row in rows]]
    assert found.sum(1) == pytest.approx(1, abs=1e-5)
    assert np.mean(known > 0.5) == pytest.approx(0.9, abs=0.02)  # the shortcut
    assert known.mean() == pytest.approx(0.82, abs=0.02)  # and it says how sure one may be: 0.9^2 + 0.1^2
    unbiased = pairs(train=4000)["train"]
    chance = np.exp(bias_model.predictions(unbiased, 2))[np.arange(4000), [row.label for row in unbiased]]
    assert np.mean(chance > 0.5) == pytest.approx(0.5, abs=0.04)


def test_a_bias_only_model_is_reproducible_and_has_not_seen_what_it_judges() -> None:
    rows = [Pair(f"word{i}", None, i * i % 3 % 2, str(i)) for i in range(60)]  # each word occurs once
    first, second = (bias_model.predictions(rows, 3) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    fold_priors = {tuple(np.round(row, 4)) for row in first}
    assert len(fold_priors) <= bias_model.FOLDS
    assert np.exp(first[:, 2]) == pytest.approx(bias_model.SMALLEST / 3)  # a class without rows


def test_what_many_rows_lead_to_is_kept_by_their_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, fits = pairs(train=400, bias=0.9)["train"][:200], []
    monkeypatch.setattr(bias_model, "LARGE", 100)
    monkeypatch.setattr(bias_model, "cached_assets_path", lambda *_, **__: tmp_path)
    original = bias_model._features
    monkeypatch.setattr(bias_model, "_features", lambda rows: fits.append(len(rows)) or original(rows))
    first, again = (bias_model.predictions(rows, 2) for _ in range(2))
    assert fits == [200]
    np.testing.assert_array_equal(first, again)
    bias_model.predictions([replace(row, id="x") for row in rows], 2)
    assert fits == [200]
    other = [replace(rows[0], label=1 - int(rows[0].label or 0)), *rows[1:]]
    assert not np.array_equal(bias_model.predictions(other, 2), first)
    assert fits == [200, 200]
    bias_model.predictions(rows, 3)
    bias_model.predictions(rows[:99], 2)
    assert fits == [200, 200, 200, 99]


def test_a_cache_that_cannot_be_written_to_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> Path:
        raise PermissionError

    rows = pairs(train=400, bias=0.9)["train"][:100]
    few = bias_model.predictions(rows, 2)
    monkeypatch.setattr(bias_model, "LARGE", 100)
    monkeypatch.setattr(bias_model, "cached_assets_path", refused)
    np.testing.assert_array_equal(bias_model.predictions(rows, 2), few)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([Pair("a", "b", 0, "0")] * 4, "at least 5 training rows, not 4"),
        ([Pair("a", "b", 0, "0")] * 9, "at least two classes"),
    ],
)
def test_illegal_rows(rows: list[Pair], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bias_model.predictions(rows, 2)


def test_a_model_that_knows_nothing_is_not_sure_of_itself():
    draws = np.random.default_rng(0)
    words = [f"word{number}" for number in range(300)]
    rows = [Pair(" ".join(draws.choice(words, 8)), None, int(draws.integers(2)), str(n)) for n in range(600)]
    found = bias_model.predictions(rows, 2)
    assert -found[np.arange(600), [row.label for row in rows]].mean() < np.log(2) + 0.01
