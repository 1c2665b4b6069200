"""What masks cost at a training step: python benchmarks/step.py [rounds]

A step of BERT-base (8 sequences of 64 tokens, forward to fused AdamW) with and without masked gradients at 80 %
sparsity, in turn, on one thread, in process CPU time. Prints the median of the ratios of each round.
"""

import sys
import time
from pathlib import Path
from statistics import median

import torch
from transformers import BertConfig, BertForSequenceClassification

sys.path.insert(0, str(Path(__file__).parent.parent))
from sparsity.budget import Budget
from sparsity.distributions import Global
from sparsity.masks import zero_
from sparsity.scope import Scope
from sparsity.scores import magnitude

ENCODER = Scope(include=[r"encoder\.layer\..*(query|key|value|dense)\.weight$"])


def main(rounds: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = BertForSequenceClassification(BertConfig())
    weights = ENCODER.select(network)
    masks = Budget(0.8, ENCODER, Global()).masks({name: magnitude(weight) for name, weight in weights.items()})
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5, fused=True)
    batch = {"input_ids": torch.randint(0, 30522, (8, 64)), "labels": torch.randint(0, 2, (8,))}

    def step(masked: bool) -> float:
        start = time.process_time()
        network(**batch).loss.backward()
        if masked:
            for name, weight in weights.items():
                zero_(weight.grad, masks[name])
        optimizer.step()
        optimizer.zero_grad()
        return time.process_time() - start

    step(False), step(True)
    pairs = [(step(False), step(True)) for _ in range(rounds)]
    dense, sparse = (median(column) for column in zip(*pairs, strict=True))
    ratios = sorted(sparse / dense for dense, sparse in pairs)
    print(f"{sum(mask.numel() for mask in masks.values()):,} weights in scope, {rounds} rounds")
    print(f"dense step  {dense:.3f} s\nsparse step {sparse:.3f} s")
    print(f"ratio {median(ratios):.3f} (rounds {ratios[0]:.3f} to {ratios[-1]:.3f})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
