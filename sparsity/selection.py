"""The exact highest scores, over many tensors without joining or sorting them, and within rows.

A sorted sample brackets the last score to keep, with high probability. One pass over each tensor grades every score as
below, inside or above the bracket; only what lies inside is gathered and ranked. Where the sample misleads, the bracket
moves to the missed side. Each round leaves fewer values inside, so that any input comes to an end.
"""

import math
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

# So many candidates, or half the size of the largest tensor, are gathered and ranked; more are narrowed first.
_FEW = 1 << 14


def top(scores: Sequence[Tensor], keep: int) -> list[Tensor]:
    """Returns bool masks of the `keep` highest scores over all tensors together.

    Ties go to the earlier tensor, then to the lower flat index. Beyond scores and masks, memory peaks at some bytes per
    weight of the largest tensor.

    Args:
        scores: float tensors of any shape and strides, of one dtype and on one device; infinities are ordinary values.
        keep: how many to keep.

    Raises:
        ValueError: if a score is NaN, dtypes differ, or `keep` is negative or more than there are.
    """
    total = sum(score.numel() for score in scores)
    if not 0 <= keep <= total:
        raise ValueError(f"cannot keep {keep} of {total} scores; keep between 0 and {total}")
    for index, score in enumerate(scores):
        if score.dtype != scores[0].dtype or not score.is_floating_point():
            raise ValueError(f"scores must be floats of one dtype, but tensor {index} has {score.dtype}")
    flats = [score.detach().reshape(-1) for score in scores]
    _refuse_nan(flats)
    if 0 < keep < total:
        flat_masks = _select(flats, keep)
    else:
        flat_masks = [torch.full_like(flat, keep > 0, dtype=torch.bool) for flat in flats]
    return [mask.view(score.shape) for mask, score in zip(flat_masks, scores, strict=True)]


def top_of_each(scores: Tensor, keep: int) -> Tensor:
    """Returns the bool mask of the `keep` highest scores of each row; ties go to the lower index.

    Args:
        scores: floats of two dimensions.
        keep: how many to keep in a row.

    Raises:
        ValueError: if a score is NaN, or `keep` is negative or more than a row has.
    """
    if not 0 <= keep <= scores.shape[1]:
        raise ValueError(f"cannot keep {keep} of {scores.shape[1]} scores; keep between 0 and {scores.shape[1]}")
    _refuse_nan([scores.detach().reshape(-1)])
    if keep in (0, scores.shape[1]):
        return torch.full_like(scores, keep > 0, dtype=torch.bool)
    lowest = scores.detach().topk(keep, sorted=False).values.amin(1, keepdim=True)
    above, ties = scores > lowest, scores == lowest
    return above | (ties & (ties.cumsum(1) <= keep - above.sum(1, keepdim=True)))


def _refuse_nan(flats: Sequence[Tensor]) -> None:
    highest = [flat.max() for flat in flats if flat.numel()]  # NaN if any score is
    if highest and bool(torch.stack(highest).isnan().any()):
        index = next(index for index, flat in enumerate(flats) if bool(flat.isnan().any()))
        raise ValueError(f"a score is NaN in tensor {index}, so that its weights cannot be ranked")


def _select(flats: Sequence[Tensor], keep: int) -> list[Tensor]:
    """Returns the masks; 0 < keep < number of scores."""
    grades = [torch.empty_like(flat, dtype=torch.uint8) for flat in flats]
    few = max(_FEW, max(flat.numel() for flat in flats) // 2)
    # Fewer than `keep` scores (n_above) are above `high`, at least `keep` (n_reach) reach `low`; the rest is between.
    low, high, n_above, n_reach = -math.inf, math.inf, 0, sum(flat.numel() for flat in flats)
    halved = True
    while True:
        candidates = n_reach - n_above
        first, last = high, low
        if candidates > few:
            rank = (keep - n_above - 0.5) / candidates
            sample = _sample(flats, low, high, candidates)
            first, last = _bracket(sample, rank, 5.0, low, high) if halved else _bracket(sample, 0.5, 0.0, low, high)
        reach, above = _grade(grades, flats, first, last)
        if sum(above) >= keep:
            low, n_reach = _next(first, math.inf, flats[0].dtype), sum(above)
        elif sum(reach) < keep:
            high, n_above = _next(last, -math.inf, flats[0].dtype), sum(reach)
        else:
            low, high, n_above, n_reach = last, first, sum(above), sum(reach)
            if low == high or n_reach - n_above <= few:
                break
        # Where a bracket does not help, the median does: a single value is hit, which ends the search, or ruled out.
        halved = n_reach - n_above <= candidates / 2
    if low == high:
        _keep_first(grades, [r - a for r, a in zip(reach, above, strict=True)], keep - n_above)
    else:
        _keep_highest(grades, flats, keep - n_above)
    return [grade.bitwise_right_shift_(1).view(torch.bool) for grade in grades]


def _sample(flats: Sequence[Tensor], low: float, high: float, candidates: int) -> Tensor:
    """Returns about candidates ** (2/3) of the scores in [low, high], evenly spaced in memory, in descending order."""
    stride = int(candidates ** (1 / 3)) | 1  # odd, so that it does not follow the columns of matrices
    parts, seen = [], 0
    for flat in flats:
        if not low == -math.inf < high == math.inf:
            flat = flat[(flat >= low) & (flat <= high)]
        parts.append(flat[-seen % stride :: stride])
        seen += flat.numel()
    return torch.cat(parts).sort(descending=True).values


def _bracket(sample: Tensor, rank: float, deviations: float, low: float, high: float) -> tuple[float, float]:
    """Returns values that the score of a relative rank (0 = highest) lies between, so many deviations to each side."""
    size = sample.numel()
    place = rank * size
    margin = deviations * (math.sqrt(place * (1 - rank)) + 1)
    first, last = math.floor(place - margin), math.floor(place + margin)
    ends: list[float] = sample[[max(first, 0), min(last, size - 1)]].tolist()
    return high if first < 0 else ends[0], low if last >= size else ends[1]


def _grade(grades: Sequence[Tensor], flats: Sequence[Tensor], first: float, last: float) -> tuple[list[int], list[int]]:
    """Grades each score: 0 below `last`, 1 from `last` to `first`, 2 above `first`.

    Returns for each tensor how many scores reach `last`, and how many are above `first`.
    """
    # On a CPU parts stay in its cache, and comparing into floats is faster than into bools. Their sums are exact up to
    # 2 ** 24.
    part = 1 << (16 if flats[0].device.type == "cpu" else 24)
    both = flats[0].new_empty(2, min(part, max(flat.numel() for flat in flats)))
    totals = []
    for grade, flat in zip(grades, flats, strict=True):
        counts = []
        for graded, scores in zip(torch.split(grade, part), torch.split(flat, part), strict=True):
            comparisons = both[:, : scores.numel()]
            reaches, exceeds = comparisons
            torch.ge(scores, last, out=reaches)
            torch.gt(scores, first, out=exceeds)
            counts.append(comparisons.sum(1, dtype=torch.float32))
            graded.copy_(reaches.add_(exceeds))
        totals.append(torch.stack(counts).long().sum(0))
    reach, above = torch.stack(totals, 1).tolist()
    return reach, above


def _next(value: float, towards: float, dtype: torch.dtype) -> float:
    """Returns the neighbour of a value among the numbers of a dtype."""
    return float(torch.nextafter(torch.tensor(value, dtype=dtype), torch.tensor(towards, dtype=dtype)))


def _keep_first(grades: Sequence[Tensor], ties: Sequence[int], keep: int) -> None:
    """Regrades the scores inside a bracket of a single value: the first ones as above it, the others as below."""
    for grade, count, before in zip(grades, ties, accumulate(ties, initial=0), strict=False):
        quota = min(max(0, keep - before), count)
        if 0 < quota < count:
            grade[_inside(grade)[quota:]] = 0
        if quota > 0:
            grade.clamp_(max=1).mul_(2)


def _keep_highest(grades: Sequence[Tensor], flats: Sequence[Tensor], keep: int) -> None:
    """Regrades the scores inside the bracket: the highest as above it, earlier ties first, the others as below."""
    places = [_inside(grade) for grade in grades]
    scores = torch.cat([flat[place] for flat, place in zip(flats, places, strict=True)])
    lowest = scores.topk(keep, sorted=False).values.min()
    chosen = scores > lowest
    ties = (scores == lowest).nonzero().squeeze(1)
    chosen[ties[: keep - int(chosen.count_nonzero())]] = True
    parts = torch.split(chosen.to(torch.uint8).mul_(2), [place.numel() for place in places])
    for grade, place, regrade in zip(grades, places, parts, strict=True):
        grade[place] = regrade


def _inside(grade: Tensor) -> Tensor:
    """Returns the indices of what is graded 1."""
    return (grade & 1).view(torch.bool).nonzero().squeeze(1)
