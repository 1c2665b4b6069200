"""Lottery tickets: the mask comes from a trained run, the weights from before that training."""

from pathlib import Path
from typing import final

import torch

from callbacks.checkpoint_file import load
from callbacks.moments import Moments
from callbacks.sparsifier import Masks, Plan, Sparsifier
from sparsity.budget import Budget
from sparsity.masks import unpack
from sparsity.scores import Score, evaluate


@final
class LotteryTicket(Sparsifier):
    """One level of the lottery ticket procedure (Frankle & Carbin 2019, arXiv 1803.03635; rewinding: arXiv 1912.05671).

    The mask is pruned once from the trained weights of the level before, within that level's mask, and stays. Which
    weights it is put on is not decided here: the run's own initial ones, which with the same seed are the same as the
    first level's, the dense run's at a later step, or those of the level before.

    Args:
        budget: this level's sparsity, scope and distribution.
        score: importance of a trained weight.
        ticket: checkpoint of the level before.
        moments: what the optimizer remembers of pruned weights.
    """

    def __init__(self, budget: Budget, score: Score, ticket: Path, moments: Moments | None = None) -> None:
        super().__init__(budget, moments=moments)
        self.score = score
        self.ticket = ticket

    def make_plan(self, steps: int) -> Plan:
        return {}

    def first_masks(self) -> Masks:
        checkpoint = load(Path(self.ticket))
        packed = checkpoint["callbacks"][self.state_key]["masks"]
        scores = {}
        for name, weight in self._weights.items():
            trained = checkpoint["state_dict"][f"network.{name}"].to(weight.device)
            scores[name] = evaluate(self.score, weight=trained)
            if packed:
                scores[name].masked_fill_(~unpack(packed[name].to(weight.device), weight.shape), -torch.inf)
        masks = self.budget.masks(scores)
        for name, score in scores.items():
            if bool(score[masks[name]].eq(-torch.inf).any()):
                raise ValueError(f"{self.ticket} keeps fewer weights of {name} than this run is to keep")
        return masks

    def update(self, step: int, value: float) -> Masks:
        raise AssertionError("a lottery ticket's plan is empty: its mask is static")
