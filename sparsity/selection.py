"""The exact highest scores over many tensors, without joining or sorting them.

A sorted sample brackets the last score to keep, with high probability. One pass over each tensor marks what reaches the bracket
and counts what is above it; only what lies inside is gathered and sorted. Where the sample misleads, the bracket moves to the
missed side. Each round leaves fewer values inside, so that any input comes to an end.
"""

import math
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

# So many candidates, or a sixteenth of the largest tensor, are sorted; more are narrowed first.
_FEW = 1 << 14


def top(scores: Sequence[Tensor], keep: int) -> list[Tensor]:
    """Returns bool masks of the `keep` highest scores over all tensors together.

    Ties go to the earlier tensor, then to the lower flat index. Beyond scores and masks, memory peaks at a few bytes per weight
    of the largest tensor.

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
    masks = [torch.full_like(flat, keep > 0, dtype=torch.bool) for flat in flats]
    if 0 < keep < total:
        _mark(masks, flats, keep)
    return [mask.view(score.shape) for mask, score in zip(masks, scores, strict=True)]


def _refuse_nan(flats: Sequence[Tensor]) -> None:
    highest = [flat.max() for flat in flats if flat.numel()]  # NaN if any score is
    if highest and bool(torch.stack(highest).isnan().any()):
        index = next(index for index, flat in enumerate(flats) if bool(flat.isnan().any()))
        raise ValueError(f"a score is NaN in tensor {index}, so that its weights cannot be ranked")


def _mark(masks: Sequence[Tensor], flats: Sequence[Tensor], keep: int) -> None:
    """Fills the masks; 0 < keep < number of scores."""
    sizes = [flat.numel() for flat in flats]
    few = max(_FEW, max(sizes) // 16)
    scratch = torch.empty(max(sizes), dtype=torch.bool, device=flats[0].device)
    # Fewer than `keep` scores (n_above) are above `high`, at least `keep` (n_reach) reach `low`; candidates lie between.
    low, high, n_above, n_reach = -math.inf, math.inf, 0, sum(sizes)
    deviations = 4.0
    while True:
        candidates = n_reach - n_above
        if candidates <= few:
            last, first = low, high
        else:
            sample = _sample(flats, low, high, candidates)
            last, first = _bracket(sample, (keep - n_above - 0.5) / candidates, deviations, low, high)
        above, reach = _count(masks, flats, scratch, last, first)
        if sum(above) >= keep:
            low, n_reach = _next(first, math.inf, flats[0].dtype), sum(above)
        elif sum(reach) < keep:
            high, n_above = _next(last, -math.inf, flats[0].dtype), sum(reach)
        else:
            low, high, n_above, n_reach = last, first, sum(above), sum(reach)
            if low == high or n_reach - n_above <= few:
                break
        # A bracket of a single value is either hit, which ends the search, or ruled out.
        deviations = 4.0 if n_reach - n_above < candidates / 2 else 0.0
    inside = [b - a for a, b in zip(above, reach, strict=True)]
    if low == high:
        _drop_ties(masks, flats, inside, low, keep - n_above)
    else:
        _drop_lowest(masks, flats, scratch, high, keep - n_above)


def _sample(flats: Sequence[Tensor], low: float, high: float, candidates: int) -> Tensor:
    """Returns about candidates ** (2/3) of the scores in [low, high], in descending order: each n-th of all in a row."""
    stride = int(candidates ** (1 / 3)) | 1  # odd, so that it does not follow the columns of matrices
    parts, seen = [], 0
    for flat in flats:
        if not low == -math.inf < high == math.inf:
            flat = flat[(flat >= low) & (flat <= high)]
        parts.append(flat[-seen % stride :: stride])
        seen += flat.numel()
    return torch.cat(parts).sort(descending=True).values


def _bracket(sample: Tensor, rank: float, deviations: float, low: float, high: float) -> tuple[float, float]:
    """Returns values that a score of this relative rank (0 = highest) lies between, so many standard deviations wide."""
    size = sample.numel()
    place = rank * size
    margin = deviations * (math.sqrt(place * (1 - rank)) + 1)
    first, last = math.floor(place - margin), math.floor(place + margin)
    ends = sample[torch.tensor([min(last, size - 1), max(first, 0)], device=sample.device)].tolist()
    return low if last >= size else ends[0], high if first < 0 else ends[1]


def _count(
    masks: Sequence[Tensor], flats: Sequence[Tensor], scratch: Tensor, last: float, first: float
) -> tuple[list[int], list[int]]:
    """Marks what reaches `last`. Returns for each tensor how many scores are above `first`, and how many reach `last`."""
    counts = []
    for mask, flat in zip(masks, flats, strict=True):
        torch.ge(flat, last, out=mask)
        above = torch.gt(flat, first, out=scratch[: flat.numel()])
        counts.append(torch.stack([above.count_nonzero(), mask.count_nonzero()]))
    above_, reach = torch.stack(counts).T.tolist()
    return above_, reach


def _next(value: float, towards: float, dtype: torch.dtype) -> float:
    """Returns the neighbour of a value among the numbers of a dtype."""
    return float(torch.nextafter(torch.tensor(value, dtype=dtype), torch.tensor(towards, dtype=dtype)))


def _drop_ties(masks: Sequence[Tensor], flats: Sequence[Tensor], ties: Sequence[int], value: float, keep: int) -> None:
    """Unmarks all but the first `keep` of the scores that equal the value."""
    for mask, flat, count, before in zip(masks, flats, ties, accumulate(ties, initial=0), strict=False):
        quota = max(0, keep - before)
        if quota == 0 < count:
            torch.gt(flat, value, out=mask)
        elif quota < count:
            mask[(flat == value).nonzero().squeeze(1)[quota:]] = False


def _drop_lowest(masks: Sequence[Tensor], flats: Sequence[Tensor], scratch: Tensor, high: float, keep: int) -> None:
    """Unmarks all but the `keep` highest of the marked scores up to `high`."""
    places = []
    for mask, flat in zip(masks, flats, strict=True):
        inside = torch.le(flat, high, out=scratch[: flat.numel()]).logical_and_(mask)
        places.append(inside.nonzero().squeeze(1))
    scores = torch.cat([flat[place] for flat, place in zip(flats, places, strict=True)])
    # A stable sort leaves ties in their order.
    order = scores.sort(descending=True, stable=True).indices
    kept = torch.zeros_like(scores, dtype=torch.bool)
    kept[order[:keep]] = True
    for mask, place, chosen in zip(masks, places, kept.split([place.numel() for place in places]), strict=True):
        mask[place] = chosen
