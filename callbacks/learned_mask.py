"""Learned masks: the highest trained scores are kept."""

import math
from collections.abc import Sequence
from typing import Any, final

from torch import Tensor

from callbacks.learned_scores import LearnedScores
from callbacks.moments import Moments
from callbacks.scoring import Scoring
from callbacks.sparsifier import Masks
from sparsity.budget import Budget
from sparsity.patterns import Unstructured
from sparsity.schedules import Schedule
from sparsity.scores import Score


@final
class LearnedMask(LearnedScores):
    """Keeps exactly as many of the highest scores as the budget says, whenever masks are chosen.

    With frozen weights these are the masks of SRNets and of Zhao et al. 2020 (arXiv 2004.12406); trained together with
    the weights from scores of zero, it is movement pruning (Sanh et al. 2020, arXiv 2005.07683).

    SRNets' code keeps scores strictly above a threshold, which it moves to the k-th smallest score only now and then:
    between two moves its sparsity drifts, and weights tied at the threshold are all pruned. Here the count is exact,
    ties are broken by index, and between two choices the mask stays.

    Args:
        budget: target sparsity, scope and distribution; SRNets' is uniform.
        initial: score of each weight at the beginning (soft initialisation: its magnitude).
        margin: hard initialisation: those that the initial score keeps at the target start with this score, the others
            with 0; SRNets' is 0.02. None = soft.
        schedule: maps the run's steps to {step: sparsity}.
        every: optimizer steps between two choices of the masks.
        train: regular expressions of the names of parameters that are trained with the scores; the others are frozen.
        seed: of a random initial score.
        gradient_batches: training batches over which an initial score that needs gradients averages them.
        threshold_every: as in SRNets' code, keep what scores above a threshold, which moves to the highest pruned score
            only after so many steps; None = keep as many as the budget says. At the end of training the count is exact
            either way.
        moments: what the optimizer remembers of trained weights that are pruned and kept again; by default everything.
    """

    def __init__(
        self,
        budget: Budget,
        initial: Score,
        margin: float | None,
        schedule: Schedule,
        every: int,
        train: Sequence[str],
        seed: int,
        gradient_batches: int = 1,
        threshold_every: int | None = None,
        moments: Moments | None = None,
    ) -> None:
        if threshold_every is not None and threshold_every < 1:
            raise ValueError(f"method.sparsifier.threshold_every={threshold_every} must be at least 1 step, or null")
        if threshold_every is not None and threshold_every % every:
            raise ValueError(f"method.sparsifier.threshold_every={threshold_every} must be a multiple of every={every}")
        if threshold_every is not None and not isinstance(budget.pattern, Unstructured):
            raise ValueError(f"threshold_every knows single weights only, not pattern={budget.pattern.label}")
        if margin is not None and margin <= 0:
            raise ValueError(f"method.sparsifier.margin={margin} must be above 0, or null for a soft initialisation")
        super().__init__(budget, schedule, every, train, Scoring(seed, batches=gradient_batches), moments)
        self.initial = initial
        self.margin = margin
        self.threshold_every = threshold_every
        self._thresholds: dict[str, float] = {}

    def initial_scores(self) -> dict[str, Tensor]:
        scores = self.scoring.scores(self.initial, 0)
        if self.margin is None:
            return scores
        return {name: mask * self.margin for name, mask in self.budget.masks(scores).items()}

    def update(self, step: int, value: float) -> Masks:
        scores = {name: score.detach() for name, score in self._scores.items()}
        if self.threshold_every and self._thresholds and step % self.threshold_every and step != max(self.plan):
            return {name: score > self._thresholds[name] for name, score in scores.items()}
        masks = self.budget.masks(scores, value)
        if self.threshold_every and step == 0 and self.margin is not None:
            self._thresholds = dict.fromkeys(scores, self.margin / 2)
        elif self.threshold_every:
            pruned = {name: score[~masks[name]] for name, score in scores.items()}
            self._thresholds = {name: float(each.max()) if len(each) else -math.inf for name, each in pruned.items()}
        return masks

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "thresholds": self._thresholds}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self._thresholds = state["thresholds"]

    def forward_passes(self, step: int) -> int:
        return 0 if step else self.scoring.forward_passes(self.initial, 0)
