"""What becomes of each split: trained on, evaluated now and then, evaluated at the end, or only predicted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from tasks.batches import Encoded
from tasks.chunks import Chunks


@final
@dataclass(frozen=True)
class Splits:
    """The splits of a task's data by their use; each but "train" is in one of the first two.

    Attributes:
        validated: evaluated now and then in training and at its end: "val" and whatever else has labels, as "ood/hans".
        tested: evaluated at the end only: "test", and what has no labels.
        unlabelled: those without labels, of which there are predictions and no metrics.
    """

    validated: tuple[str, ...]
    tested: tuple[str, ...]
    unlabelled: frozenset[str]


def splits(examples: Mapping[str, Sequence[Encoded]], steps: int) -> Splits:
    """Returns the use of each split in a run of so many steps.

    Raises:
        ValueError: a split that the run needs is not there or has no rows, or only some rows of a split have labels.
    """
    for split, rows in examples.items():
        if not rows:
            raise ValueError(f"the data of the task has no rows in the split '{split}'")
    if steps > 0:
        for split in ("train", "val"):
            if split not in examples:
                raise ValueError(
                    f"the data of the task has no rows in the split '{split}', only in {', '.join(examples)}; training"
                    f" needs it, steps=0 evaluates without"
                )
    if not examples.keys() - {"train"}:
        raise ValueError("the data of the task has nothing to evaluate: no rows in the split 'val' or another one")
    labelled = {
        split: len(rows) if isinstance(rows, Chunks) else sum(_label(row) is not None for row in rows)
        for split, rows in examples.items()
    }
    for split, count in labelled.items():
        if count == 0 and split in ("train", "val"):
            raise ValueError(f"the rows of the split '{split}' have no labels")
        if 0 < count < len(examples[split]):
            number = next(index for index, row in enumerate(examples[split]) if _label(row) is None)
            raise ValueError(
                f"{count} of the {len(examples[split])} rows of the split '{split}' have labels, row {number} (from 0)"
                f" has none; label all or none"
            )
    evaluated = [split for split in examples if split != "train"]
    unlabelled = frozenset(split for split in evaluated if not labelled[split])
    tested = tuple(split for split in evaluated if split == "test" or split in unlabelled)
    # "val" comes first, because the trainer's progress is seen there.
    validated = sorted((split for split in evaluated if split not in tested), key=lambda split: split != "val")
    return Splits(tuple(validated), tested, unlabelled)


def _label(row: Encoded) -> object:
    """What is to be said of an example; a text is its own label."""
    return getattr(row, "label", row)
