"""What was ever kept and what became of newborns: eight weights through four updates."""

import torch
from torch import Tensor

from sparsity.exploration import Exploration

ROWS = {
    0: [1, 1, 0, 0, 0, 0, 0, 0],
    10: [1, 0, 1, 0, 0, 0, 0, 0],  # 2 is grown
    20: [0, 0, 1, 1, 0, 0, 0, 0],  # 3 is grown, 2 survives
    30: [1, 1, 0, 0, 0, 0, 0, 0],  # 0 and 1 are grown again, 3 does not survive
    40: [1, 0, 0, 0, 0, 0, 0, 1],  # 0 survives, 1 does not
}


def masks(row: list[int]) -> dict[str, Tensor]:
    mask = torch.tensor(row).bool()
    return {"a": mask[:4].view(2, 2), "b": mask[4:]}


def flat(found: dict[str, Tensor]) -> list[int]:
    return [int(value) for mask in found.values() for value in mask.reshape(-1)]


def test_eight_weights() -> None:
    exploration = Exploration(masks(ROWS[0]))
    assert exploration.numbers == {"explored": 0.25}
    seen, old = [], masks(ROWS[0])
    for step in (10, 20, 30, 40):
        new = masks(ROWS[step])
        exploration.update(step, old, new, grace=25)
        old = new
        seen.append(exploration.numbers)
        exploration = Exploration.restored(exploration.state_dict(), new)  # as after an interruption
    assert seen == [
        {"explored": 3 / 8},
        {"explored": 4 / 8, "survival": 1.0},
        {"explored": 4 / 8, "survival": 0.0},
        {"explored": 5 / 8, "survival": 0.5},
    ]
    assert flat(exploration.young(44, old, 25)) == [1, 1, 0, 1, 0, 0, 0, 1]  # grown at 20, 30 and 40
    assert flat(exploration.young(45, old, 25)) == [1, 1, 0, 0, 0, 0, 0, 1]
    assert flat(exploration.young(45, old, 5)) == [0] * 8
    assert flat(exploration.young(45, old, 6)) == [0] * 7 + [1]


def test_only_what_is_young_is_stored() -> None:
    exploration, old = Exploration(masks(ROWS[0])), masks(ROWS[0])
    for step in (10, 20, 30, 40):
        exploration.update(step, old, masks(ROWS[step]), grace=0)
        old = masks(ROWS[step])
    assert list(exploration.state_dict()["born"]) == [40]


def test_an_update_without_newborns_leaves_survival_as_it_was() -> None:
    same = masks(ROWS[0])
    exploration = Exploration(same)
    for step in (10, 20):
        exploration.update(step, same, same, grace=0)
    assert exploration.numbers == {"explored": 0.25}
