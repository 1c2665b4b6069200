"""What becomes of splits, by their names and whether their rows have labels."""

import pytest

from tasks.batches import Example
from tasks.splits import Splits, splits


def rows(*labels: int | float | None) -> list[Example]:
    return [Example([[1]], None, label) for label in labels]


def test_uses() -> None:
    examples = {
        **{"train": rows(0), "ood/hans": rows(1, 0), "val_mismatched": rows(1), "val": rows(2)},
        **{"test": rows(0), "test_mismatched": rows(None, None), "ood/blind": rows(None)},
    }
    assert splits(examples, steps=1) == Splits(
        validated=("val", "ood/hans", "val_mismatched"),
        tested=("test", "test_mismatched", "ood/blind"),
        unlabelled=frozenset({"test_mismatched", "ood/blind"}),
    )


def test_zero_is_a_label() -> None:
    assert not splits({"train": rows(0), "val": rows(0, 0.0)}, steps=1).unlabelled


@pytest.mark.parametrize("examples", [{"val": rows(0)}, {"test": rows(None)}, {"ood/x": rows(1)}])
def test_evaluation_needs_no_training_split(examples: dict[str, list[Example]]) -> None:
    found = splits(examples, steps=0)
    assert {*found.validated, *found.tested} == examples.keys()
    with pytest.raises(ValueError, match=r"no rows in the split 'train', only in .*; training needs it, steps=0"):
        splits(examples, steps=1)


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ({"train": rows(0)}, "has nothing to evaluate"),
        ({"val": rows(0), "test": []}, "no rows in the split 'test'"),
        ({"val": rows(None)}, "rows of the split 'val' have no labels"),
        ({"val": rows(0), "test": rows(0, None, 1)}, r"2 of the 3 rows of the split 'test' have labels, row 1"),
    ],
)
def test_illegal(examples: dict[str, list[Example]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        splits(examples, steps=0)
