"""What dynamic sparse training has tried: which weights were ever kept, and what became of those it grew.

Masks are bit-packed (see `sparsity.masks`): a bit per weight for those ever kept, and one more for each update whose
newborns are still young.
"""

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from sparsity.ledger import counts
from sparsity.masks import pack, unpack

Masks = Mapping[str, Tensor]
Packed = dict[str, Tensor]


@final
class Exploration:
    """The history of a run's masks (in-time over-parameterization, Liu et al. 2021, arXiv 2102.02887, section 3).

    Args:
        masks: the first ones.
    """

    def __init__(self, masks: Masks) -> None:
        self._ever: Packed = _pack(masks)
        self._born: dict[int, Packed] = {}
        self._numbers = {"explored": _share(masks, masks)}

    @property
    def numbers(self) -> dict[str, float]:
        """`explored`: fraction of all weights that were ever kept. From the second update that follows one with
        newborns, `survival`: share of the weights grown at an update that are kept after the next one."""
        return dict(self._numbers)

    def update(self, step: int, old: Masks, new: Masks, grace: int) -> None:
        """Takes note of an update.

        Args:
            step: when it is.
            old: masks before it.
            new: masks after it.
            grace: steps for which its newborns will be young.
        """
        self._ever = {name: bits | pack(new[name]) for name, bits in self._ever.items()}
        self._numbers["explored"] = _share(_unpack(self._ever, new), new)
        if self._born:
            newborns = _unpack(self._born[max(self._born)], new)
            if grown := _count(newborns):
                self._numbers["survival"] = _count({name: mask & new[name] for name, mask in newborns.items()}) / grown
        self._born = {then: packed for then, packed in self._born.items() if step - then < grace}
        self._born[step] = _pack({name: mask & ~old[name] for name, mask in new.items()})

    def young(self, step: int, masks: Masks, grace: int) -> dict[str, Tensor]:
        """Returns which weights were grown less than `grace` steps ago, as masks shaped like the given ones."""
        found = {name: torch.zeros_like(mask) for name, mask in masks.items()}
        for then, packed in self._born.items():
            if step - then < grace:
                found = {name: found[name] | mask for name, mask in _unpack(packed, masks).items()}
        return found

    def state_dict(self) -> dict[str, Any]:
        """Returns packed masks on the CPU and numbers, in plain containers."""
        born = {step: {name: bits.cpu() for name, bits in packed.items()} for step, packed in self._born.items()}
        return {"ever": {n: bits.cpu() for n, bits in self._ever.items()}, "born": born, "numbers": self.numbers}

    @classmethod
    def restored(cls, state: Mapping[str, Any], masks: Masks) -> "Exploration":
        """Returns what `state_dict` described, on the devices of the given masks."""
        new = cls({})
        new._ever = {name: bits.to(masks[name].device) for name, bits in state["ever"].items()}
        new._born = {
            step: {name: bits.to(masks[name].device) for name, bits in packed.items()}
            for step, packed in state["born"].items()
        }
        new._numbers = dict(state["numbers"])
        return new


def _pack(masks: Masks) -> Packed:
    return {name: pack(mask) for name, mask in masks.items()}


def _unpack(packed: Packed, like: Masks) -> dict[str, Tensor]:
    return {name: unpack(bits, like[name].shape) for name, bits in packed.items()}


def _share(kept: Masks, of: Masks) -> float:
    return _count(kept) / max(1, sum(mask.numel() for mask in of.values()))


def _count(masks: Masks) -> int:
    return sum(counts(masks).values())
