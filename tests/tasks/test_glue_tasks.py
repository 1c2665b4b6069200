"""GLUE's nine tasks as their yaml files read them, from files in the official layouts and from a hub of the tests."""

import gzip
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from sklearn.metrics import f1_score, matthews_corrcoef
from torch import tensor

from tasks import files
from tests.conftest import composed
from tests.tasks.glue_files import FOLDERS, TEXTS, expected, write

COUNTS = {"train": 12, "val": 10, "test": 8}
shared = Path(__file__).parents[2] / "../shared/data/glue"


def read(task: str, data_dir: Path, *overrides: str) -> dict[str, list[Any]]:
    node = composed(f"task={task}", f"task.data_dir={data_dir}", *overrides).task.data
    try:
        return instantiate(node, _convert_="all")
    except InstantiationException as error:
        raise error.__cause__ from None


@pytest.mark.parametrize("task", FOLDERS)
def test_official_files(tmp_path: Path, task: str) -> None:
    data = read(task, write(tmp_path, task))
    assert read(task, tmp_path) == data, "the folder that holds GLUE's folders"
    counts = COUNTS | ({"val_mismatched": 10, "test_mismatched": 8} if task == "mnli" else {})
    assert {split: len(rows) for split, rows in data.items()} == counts
    for split, rows in data.items():
        part = {"val": "dev"}.get(split.partition("_")[0], split.partition("_")[0])
        for index, row in enumerate(rows):
            assert row.first == TEXTS[index % 6]
            assert row.second == (None if task in ("cola", "sst2") else TEXTS[(index + 1) % 6])
            assert row.label == expected(task, part, index)
            assert row.id == str(index)


def test_gzip_and_absent_files(tmp_path: Path) -> None:
    place = write(tmp_path, "rte")
    (place / "dev.tsv.gz").write_bytes(gzip.compress((place / "dev.tsv").read_bytes()))
    for name in ("dev.tsv", "train.tsv"):
        (place / name).unlink()
    assert {split: len(rows) for split, rows in read("rte", place).items()} == {"val": 10, "test": 8}
    for name in ("dev.tsv.gz", "test.tsv"):
        (place / name).unlink()
    with pytest.raises(FileNotFoundError, match=r"neither train.tsv nor train.tsv.gz"):
        read("rte", place)


def test_mnli_without_its_mismatched_half_is_asked_for_by_name(tmp_path: Path) -> None:
    place = write(tmp_path, "mnli")
    (place / "dev_mismatched.tsv").unlink()
    with pytest.raises(FileNotFoundError, match=r"neither dev_mismatched.tsv nor dev_mismatched.tsv.gz"):
        read("mnli", place)
    assert "val_mismatched" not in read("mnli", place, "~task.data.names.val_mismatched")


def test_a_labelled_test_file_has_labels(tmp_path: Path) -> None:
    place = write(tmp_path, "mrpc")
    (place / "test.tsv").write_bytes((place / "dev.tsv").read_bytes())
    assert [row.label for row in read("mrpc", place)["test"]] == [index % 2 for index in range(10)]


@pytest.mark.parametrize(
    ("task", "name", "row", "message"),
    [
        ("qqp", "train.tsv", "13\t1\t2\thow ?\twhat ?", "train.tsv, line 14: 5 columns where the first line has 6"),
        ("qnli", "dev.tsv", "9\ta\tb\tmaybe", r"dev.tsv, line 12: unknown label 'maybe'"),
        ("stsb", "dev.tsv", "9" + "\ta" * 8 + "\thigh", r"dev.tsv, line 12: 'high' is not a number"),
        ("stsb", "dev.tsv", "9" + "\ta" * 8 + "\tnan", r"dev.tsv, line 12: 'nan' is not a number"),
        ("cola", "train.tsv", "gj04\t2\t\tSo.", r"train.tsv, line 13: unknown label '2'"),
        ("cola", "test.tsv", "gj04\t1\t\tSo.", r"test.tsv, line 10: 4 columns where the first line has 2"),
    ],
)
def test_illegal_line(tmp_path: Path, task: str, name: str, row: str, message: str) -> None:
    place = write(tmp_path, task)
    with (place / name).open("a") as file:
        file.write(f"{row}\n")
    with pytest.raises(ValueError, match=message):
        read(task, place)


@pytest.mark.parametrize(
    ("task", "row", "label"),
    [
        ("rte", {"sentence1": "A", "sentence2": "B", "label": 1, "idx": 3}, 1),
        ("stsb", {"sentence1": "A", "sentence2": "B", "label": 2.5, "idx": 3}, 2.5),
        ("mnli", {"premise": "A", "hypothesis": "B", "label": 2, "idx": 3}, 2),
    ],
)
def test_the_hub_says_minus_one_where_the_answer_is_not_public(
    monkeypatch: pytest.MonkeyPatch, task: str, row: dict[str, Any], label: float
) -> None:
    splits = composed(f"task={task}").task.data.get("hub_splits") or {"train": "train", "val": "validation"}
    loaded = {name: [row] for name in splits.values() if "test" not in name} | {
        name: [row | {"label": -1}] for name in ("test", "test_matched", "test_mismatched")
    }
    monkeypatch.setattr(files, "hub", lambda *name: loaded)
    data = instantiate(composed(f"task={task}").task.data, _convert_="all")
    assert {split: rows[0].label for split, rows in data.items() if "test" not in split} == dict.fromkeys(
        [split for split in splits if "test" not in split], label
    )
    assert {rows[0].label for split, rows in data.items() if "test" in split} == {None}
    assert {rows[0].id for rows in data.values()} == {"3"}


@pytest.mark.parametrize("predicted", [[0, 1, 1, 0, 1, 1], [1] * 6, [0] * 6, [1, 0, 1, 1, 0, 0], [1, 0, 1, 1, 0, 1]])
def test_metrics_are_those_of_scikit_learn(predicted: list[int]) -> None:
    labels = [1, 0, 1, 1, 0, 1]
    weighted = partial(f1_score, average="weighted")
    for task, name, reference in (
        *(("cola", "matthews", matthews_corrcoef), ("mrpc", "f1", f1_score)),
        *((task, "f1_weighted", weighted) for task in ("qqp", "paws_qqp", "paws_wiki")),
    ):
        metric = instantiate(composed(f"task={task}").task.module.metrics[name])
        metric.update(tensor(predicted), tensor(labels))
        assert metric.compute().item() == pytest.approx(reference(labels, predicted), abs=1e-6)


@pytest.mark.shared
@pytest.mark.skipif(not shared.is_dir(), reason="the public data sets are not here")
@pytest.mark.parametrize(
    ("task", "counts"),
    [
        ("rte", {"train": 2490, "val": 277}),
        ("cola", {"train": 8551, "val": 1043}),
        ("mrpc", {"train": 3668, "val": 408, "test": 1725}),
        ("sst2", {"train": 20000, "val": 872}),
        ("qnli", {"val": 5463}),
    ],
)
def test_the_published_files(task: str, counts: dict[str, int]) -> None:
    assert {split: len(rows) for split, rows in read(task, shared).items()} == counts
