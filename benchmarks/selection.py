"""Global selection against the way of SMC-Bench: join all scores, sort the highest, compare with the last of these.

    python benchmarks/selection.py [millions of weights] [rounds]

One thread, process CPU time, the two ways in turn; the ratio is the median of the rounds' ratios. SMC-Bench's
comparison is strict, so that it keeps one weight less, or many less where scores tie; the exact selection keeps the
right number.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from sparsity.budget import kept
from sparsity.selection import top


def smc(scores: Sequence[Tensor], keep: int) -> list[Tensor]:
    """Returns masks by the threshold of a sorted top-k over all scores."""
    threshold = torch.topk(torch.cat([score.flatten() for score in scores]), keep, sorted=True).values[-1]
    return [score > threshold for score in scores]


def seconds(select: Callable[[Sequence[Tensor], int], list[Tensor]], scores: Sequence[Tensor], keep: int) -> float:
    """Returns the CPU time of one selection."""
    begin = time.process_time()
    select(scores, keep)
    return time.process_time() - begin


def layers(numel: int) -> list[Tensor]:
    """Returns scores of so many weights in encoder layers of hidden size 768, each tensor with its own scale."""
    shapes = [(768, 768)] * 4 + [(3072, 768), (768, 3072)]
    scores: list[Tensor] = []
    while sum(score.numel() for score in scores) < numel:
        shape = shapes[len(scores) % len(shapes)]
        scores.append(torch.randn(shape).mul_(0.02 + 0.001 * len(scores)).abs_())
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("millions", nargs="?", type=float, default=25.0)
    parser.add_argument("rounds", nargs="?", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    scores = layers(int(arguments.millions * 1e6))
    numel = sum(score.numel() for score in scores)
    keep = kept(numel, 0.8)
    if (found := sum(int(mask.count_nonzero()) for mask in top(scores, keep))) != keep:
        raise SystemExit(f"kept {found} instead of {keep}")
    ratios, ours, theirs = [], [], []
    for turn in range(arguments.rounds):
        times = {select: seconds(select, scores, keep) for select in ((top, smc) if turn % 2 else (smc, top))}
        ours.append(times[top])
        theirs.append(times[smc])
        ratios.append(times[smc] / times[top])
    print(f"{numel:,} weights, 80 % sparsity, {arguments.rounds} rounds")
    print(f"SMC-Bench       {median(theirs):.3f} s, {median(theirs) / numel * 1e9:.1f} ns a weight")
    print(f"exact selection {median(ours):.3f} s, {median(ours) / numel * 1e9:.1f} ns a weight")
    print(f"ratio {median(ratios):.1f} (rounds {min(ratios):.1f} to {max(ratios):.1f})")


if __name__ == "__main__":
    main()
