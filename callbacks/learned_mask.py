"""Learned masks: the highest trained scores are kept."""

from collections.abc import Sequence
from typing import final

from torch import Tensor

from callbacks.learned_scores import LearnedScores
from callbacks.scoring import Scoring
from callbacks.sparsifier import Masks
from sparsity.budget import Budget
from sparsity.schedules import Schedule
from sparsity.scores import FROM_GRADIENTS, Score, needs


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
    ) -> None:
        if margin is not None and margin <= 0:
            raise ValueError(f"method.sparsifier.margin={margin} must be above 0, or null for a soft initialisation")
        super().__init__(budget, schedule, every, train, Scoring(seed, batches=gradient_batches))
        self.initial = initial
        self.margin = margin

    def initial_scores(self) -> dict[str, Tensor]:
        scores = self.scoring.scores(self.initial, 0)
        if self.margin is None:
            return scores
        return {name: mask * self.margin for name, mask in self.budget.masks(scores).items()}

    def update(self, step: int, value: float) -> Masks:
        return self.budget.masks({name: score.detach() for name, score in self._scores.items()}, value)

    @property
    def batches_before_training(self) -> int:
        return self.scoring.batches if FROM_GRADIENTS & needs(self.initial) else 0
